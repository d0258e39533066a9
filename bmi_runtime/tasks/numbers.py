"""The numbers of a task that every bin's record holds."""

from __future__ import annotations

import operator
import struct

from bmi_runtime.errors import printable
from bmi_runtime.tasks.base import ReachTask

COUNTED = {"trial": 2**32, "successes": 2**32, "timeouts": 2**32, "trial_state": 2**8}
"""What is recorded as a whole number, and below which limit (`messages.output_dtype`)."""


def check_numbers(task: ReachTask) -> None:
    """Raise `ValueError` naming what of a task's own numbers a bin's record cannot hold."""
    for name, limit in COUNTED.items():
        value = getattr(task, name)
        whole = hasattr(type(value), "__index__")  # what `struct` takes: int, bool, enumerations, NumPy's integers
        if not whole or not 0 <= operator.index(value) < limit:
            raise ValueError(f"its {name} is {_shown(value)}: a whole number from 0 to {limit - 1} is wanted")
    fraction = task.hold_fraction
    if not hasattr(type(fraction), "__float__"):
        raise ValueError(f"its hold_fraction is {_shown(fraction)}: a number from 0 to 1 is wanted")


def why_unwritten(task: ReachTask, error: BaseException) -> BaseException:
    """Return what is told where a record could not be written: which of the task's numbers it is, if it is one."""
    if isinstance(error, struct.error):
        try:
            check_numbers(task)
        except BaseException as clearer:
            return clearer
    return error


def _shown(value: object) -> str:
    return printable(repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}")[:60]
