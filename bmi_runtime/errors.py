"""The errors that a person sees: one sentence saying what was wrong, where, and what to do."""


class BmiError(Exception):
    """The run failed (exit code 1)."""

    exit_code = 1


class BadInput(BmiError):
    """Bad usage, data or configuration (exit code 2)."""

    exit_code = 2


class CheckFailed(BmiError):
    """A check did not hold: a replay diverged, a bound was missed (exit code 3)."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing: for sentences about it."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
