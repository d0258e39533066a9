"""What every subcommand shares: the options ``--json`` and ``--debug``, the answer, the progress bar."""

import contextlib
import json
import math
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import click
import numpy as np

from bmi_runtime.errors import NO_ROOM, BmiError, shown_lines
from bmi_runtime.outputs import check_writable


def answer_options(function):
    """Add ``--json`` (the last line of standard output is one JSON object) and ``--debug`` (show tracebacks)."""
    debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object on the last line.")
    return as_json(debug(function))


class Verbs(click.Group):
    """A group that lists its commands with a whole sentence each, where click cuts it after 45 characters."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line_of(self.commands[name])) for name in self.list_commands(ctx)])


def line_of(command: click.Command) -> str:
    """Return the first sentence of a command's help, whole."""
    return command.get_short_help_str(limit=10_000)


def laid_out(command: click.Command) -> click.Command:
    r"""Let lines of a command's help after one of ``\b`` alone stand as they are in its source."""
    command.help = command.help and command.help.replace("\\b\n", "\b\n")
    return command


CONFIG = "TOML file, or the name of a shipped one (first_session, hard_world, real_world)."
"""What --config takes."""

PICTURES = (".png", ".svg", ".pdf", ".eps", ".ps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


class OutFile(click.Path):
    """The name of a file to write; its folder, and its ending if only some will do, are checked before any work."""

    def __init__(self, endings: tuple[str, ...] = (), path_type: type[pathlib.Path] | None = None):
        super().__init__(dir_okay=False, path_type=path_type)
        self.endings = endings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail in one sentence."""
        given = pathlib.Path(os.fsdecode(super().convert(value, param, ctx)))
        if not given.name or given.is_dir():
            self.fail(f"'{value}' is not a file name to write to", param, ctx)
        if not given.parent.is_dir():
            self.fail(f"there is no folder {given.parent} to write {given.name} into", param, ctx)
        try:
            check_writable(given)
        except BmiError as error:
            self.fail(str(error), param, ctx)
        if self.endings and given.suffix.lower() not in self.endings:
            self.fail(f"{given.name} must end in one of {', '.join(self.endings)}", param, ctx)
        return given if self.type is pathlib.Path else str(given)


PICTURE = OutFile(PICTURES)
PICTURE_PATH = OutFile(PICTURES, pathlib.Path)


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: arrays as lists, not-a-number and infinities as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def say(text: str, as_json: bool = False) -> None:
    """Print `text` for a person: to standard output, or to standard error when that must hold JSON alone."""
    _open_again()
    print(shown_lines(text), file=sys.stderr if as_json else sys.stdout, flush=True)


def _open_again() -> None:
    """Open standard output and error again where somebody else's part closed or took them away."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            setattr(sys, name, os.fdopen(number, "w", errors="backslashreplace", closefd=False))


def answer(result: dict, as_json: bool, text: str | None = None) -> None:
    """Print the result: one JSON line, or `text` (by default the keys and values, one a line)."""
    if as_json:
        shown = json.dumps(plain(result))
    else:
        lines = text if text is not None else "\n".join(f"{key}: {_shown(value)}" for key, value in result.items())
        shown = shown_lines(lines)
    _open_again()
    try:
        print(shown, flush=True)
    except OSError as error:
        if error.errno not in NO_ROOM:  # a reader that is gone is not our fault
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to write goes nowhere
        raise BmiError(f"the answer cannot be written to standard output: {error.strerror}") from None


def _shown(value: Any) -> str:
    """Return a value for a person: numbers with four digits, lists with commas."""
    value = plain(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return {True: "yes", False: "no", None: "-"}[value] if value is None or isinstance(value, bool) else str(value)


@contextlib.contextmanager
def progress(title: str, total: float | None = None) -> Iterator[Any]:
    """Show a progress bar on a terminal and nothing in a pipe; yields a callable ``advance(amount=1)``."""
    if not sys.stderr.isatty():
        yield lambda amount=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda amount=1: bar.advance(task, amount)
