"""The ``bmi`` command: finds the subcommand, turns errors into one sentence and an exit code."""

import importlib
import os
import sys

import click

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


class LazyGroup(click.Group):
    """A group whose subcommands are imported only when they are called, so that ``bmi --help`` stays quick."""

    def list_commands(self, ctx):
        """Return the names in the order of the table."""
        return [name for name, (module, _, _) in SUBCOMMANDS.items() if _exists(module)]

    def get_command(self, ctx, cmd_name):
        """Import and return one subcommand, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, function, _ = SUBCOMMANDS[cmd_name]
        return getattr(importlib.import_module(module), function)

    def format_commands(self, ctx, formatter):
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUBCOMMANDS[name][2]) for name in self.list_commands(ctx)])

    def resolve_command(self, ctx, args):
        """Find the subcommand; name the nearest one when there is none."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; choose from {', '.join(self.list_commands(ctx))}"
            ctx.fail(f"there is no command '{name}'{hint}")
        return super().resolve_command(ctx, args)


def _exists(module):
    here = os.path.dirname(__file__)
    return os.path.exists(os.path.join(here, module.rpartition(".")[2] + ".py"))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bmi-runtime")
def bmi():
    """Closed-loop brain-machine interfaces: run, replay, decode, calibrate, analyse."""


ONE_THREAD_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Numeric libraries with threads of their own; on a busy machine two are several times slower than one."""


def main():
    """Run the command line; every error is one sentence on standard error and an exit code."""
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
