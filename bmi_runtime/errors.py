"""The errors that a person sees: one sentence saying what was wrong, where, and what to do."""

import errno
import re
import signal
from unicodedata import category

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors that say that a disk is full, or a limit reached."""
SAID = 300  # characters of what somebody's part said when it failed


class BmiError(Exception):
    """The run failed (exit code 1)."""

    exit_code = 1


class BadInput(BmiError):
    """Bad usage, data or configuration (exit code 2)."""

    exit_code = 2


class CheckFailed(BmiError):
    """A check did not hold: a replay diverged, a bound was missed (exit code 3)."""

    exit_code = 3


class EndNow(KeyboardInterrupt):
    """A signal asks for the end at once; it is raised wherever the program is, also inside somebody's part."""


def is_fault_of_part(error: BaseException) -> bool:
    """Return whether what came out of somebody's decoder, task, intention or source is a fault of that part.

    Everything is, ``SystemExit`` included, but for a signal that ends the run: `EndNow`, or Ctrl-C where Python itself
    answers it.
    """
    if isinstance(error, EndNow):
        return False
    return not isinstance(error, KeyboardInterrupt) or signal.getsignal(signal.SIGINT) is not signal.default_int_handler


def described(error: BaseException) -> str:
    """Return kind and text of an error of somebody's part, fit to be recorded, sent and shown."""
    try:
        text = str(error)
    except BaseException as another:
        if not is_fault_of_part(another):
            raise
        text = "(it cannot say what)"
    return printable(f"{type(error).__name__}: {text}")[:SAID]


HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Kinds of characters (Unicode) that are not seen, or change how others are seen."""


def printable(text: str) -> str:
    """Return a text whose control characters, changes of direction and halves of characters are written out."""
    if text.isprintable():
        return text
    hidden = (category(c) in HIDDEN for c in text)
    return "".join(c.encode("unicode_escape").decode() if hide else c for c, hide in zip(text, hidden, strict=True))


def shown_lines(text: str) -> str:
    """Return a text of several lines for a terminal: `printable`, but for line ends and tabs."""
    return "".join(part if part in "\n\t" else printable(part) for part in re.split("([\n\t])", text))


LONGEST_LINE = 240  # characters


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing: for sentences about it.

    What it repeats of a damaged file may be as long as the file, and is cut.
    """
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..."
