"""The ``bmi`` command: finds the subcommand, turns errors into one sentence and an exit code.

``bmi --help`` is answered from the table alone: to import click takes eight times as long as to start Python.
"""

import os
import sys
from collections.abc import Iterator

SUBCOMMANDS = {  # name: (module, function, one line of help)
    "run": ("bmi_runtime.cli.run", "run", "A closed-loop session; a window if there is a display."),
    "simulate": ("bmi_runtime.cli.simulate", "simulate", "A spike source in its own process."),
    "replay": ("bmi_runtime.cli.replay", "replay", "A recording through the same step: verify it, or ask what if."),
    "decode": ("bmi_runtime.cli.decode", "decode", "Stream an open-loop recording: adapt, then decode."),
    "train": ("bmi_runtime.cli.train", "train", "Train a recurrent decoder on recordings, for a session."),
    "learn": ("bmi_runtime.cli.learn", "learn", "Beside a session: refit a decoder as it runs, and hand it over."),
    "calibrate": ("bmi_runtime.cli.calibrate", "calibrate", "Learning rate to error and convergence time, and back."),
    "glm": ("bmi_runtime.cli.glm", "glm", "Coupled Poisson GLMs: bin, simulate, fit, select, test, plot, export."),
    "perturb": ("bmi_runtime.cli.perturb", "perturb", "Causal effects from perturbation."),
    "networks": ("bmi_runtime.cli.networks", "networks", "Integrate-and-fire networks and their fixed points."),
    "fokker-planck": ("bmi_runtime.cli.fokker_planck", "fokker_planck", "Populations of neurons as densities."),
    "sweep": ("bmi_runtime.cli.sweep", "sweep", "Any command over a grid of settings."),
    "compare": ("bmi_runtime.cli.compare", "compare", "Decoders side by side, with confidence intervals."),
    "rehearse": ("bmi_runtime.cli.rehearse", "rehearse", "Settings tried on a pilot's own units and subject."),
    "inspect": ("bmi_runtime.cli.inspect", "inspect", "What is in a recording or data file, and what is odd."),
    "lineage": ("bmi_runtime.cli.lineage", "lineage", "Sessions of a folder as a chain."),
    "stability": ("bmi_runtime.cli.stability", "stability", "Has the array changed since the reference days?"),
    "sync": ("bmi_runtime.cli.sync", "sync", "Delay and jitter of a photodiode against the target onsets."),
    "recover": ("bmi_runtime.cli.recover", "recover", "Salvage a truncated recording."),
    "export": ("bmi_runtime.cli.export", "export", "A recording to NWB or tables."),
    "guard": ("bmi_runtime.cli.guard", "guard", "An independent process between the runtime and an effector."),
    "gui": ("bmi_runtime.cli.gui", "gui", "Open the operator's console, or render a picture of it."),
    "keys": ("bmi_runtime.cli.keys", "keys", "Make the keys that secure sockets off loopback."),
    "doctor": ("bmi_runtime.cli.doctor", "doctor", "Is this machine fit for a live session?"),
    "figures": ("bmi_runtime.cli.figures", "figures", "Redraw a published figure from our own runs."),
}


ABOUT = "Closed-loop brain-machine interfaces: run, replay, decode, calibrate, analyse."
OPTIONS = {"--version": "Show the version and exit.", "-h, --help": "Show this message and exit."}
WIDEST, NARROWEST = 78, 50


def help_text(columns: int = 80) -> str:
    """Return what ``bmi --help`` says on a terminal of some columns, as click would lay it out."""
    width = max(min(columns - 2, WIDEST), NARROWEST)
    commands = {name: line for name, (module, _, line) in SUBCOMMANDS.items() if exists(module)}
    lines = ["Usage: bmi [OPTIONS] COMMAND [ARGS]...", "", *(f"  {line}" for line in _wrapped(ABOUT, width - 2))]
    for title, rows in (("Options", OPTIONS), ("Commands", commands)):
        lines += ["", f"{title}:"]
        first = max(map(len, rows)) + 4
        for name, text in rows.items():
            pieces = list(_wrapped(text, width - first))
            lines += [f"  {name:<{first - 2}}{pieces[0]}", *(" " * first + piece for piece in pieces[1:])]
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return 80


def exists(module: str) -> bool:
    """Return whether a module of the command line is there, without importing it."""
    here = os.path.dirname(__file__)
    return os.path.exists(os.path.join(here, module.rpartition(".")[2] + ".py"))


def __getattr__(name: str):
    if name == "bmi":  # made when it is asked for
        from bmi_runtime.cli.group import bmi

        return bmi
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


ONE_THREAD_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Numeric libraries with threads of their own; on a busy machine two are several times slower than one."""


def main():
    """Run the command line; every error is one sentence on standard error and an exit code."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(help_text(_columns()))
        sys.exit(0)
    import click

    from bmi_runtime.cli.group import bmi
    from bmi_runtime.errors import BmiError

    for name in ONE_THREAD_EACH:  # before NumPy is imported; a value that the user has set stays
        os.environ.setdefault(name, "1")

    debug = "--debug" in sys.argv
    try:
        status = bmi.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        if debug:
            raise
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "bmi"
        print(f"{where}: {error.format_message()}", file=sys.stderr)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BmiError as error:
        if debug:
            raise
        print(f"bmi: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        print(f"bmi: {type(error).__name__}: {error} (run again with --debug for the traceback)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
