"""The ``bmi`` command: finds the subcommand, turns errors into one sentence and an exit code.

``bmi --help`` is answered from the table alone: to import click takes eight times as long as to start Python.
"""

import os
import sys
import warnings
from collections.abc import Iterator

from bmi_runtime.cli.subcommands import ABOUT, SUBCOMMANDS, exists

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


ONE_THREAD_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Numeric libraries with threads of their own; on a busy machine two are several times slower than one."""


def _one_line(message, category, filename, lineno, line=None) -> str:
    """Return a warning as a sentence; who wants to know where it comes from says ``--debug``."""
    return f"bmi: {message}\n" if category is UserWarning else f"bmi: {category.__name__}: {message}\n"


def _unexpected(error: Exception) -> str:
    """Return what to say of an error that nobody foresaw."""
    from bmi_runtime.errors import first_line

    if isinstance(error, MemoryError):
        return f"this needs more memory than there is: ask for less ({first_line(error)})"
    return f"{type(error).__name__}: {error} (run again with --debug for the traceback)"


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
    if not debug:
        warnings.formatwarning = _one_line
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
        print(f"bmi: {_unexpected(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
