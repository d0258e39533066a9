"""What of a task's own numbers a bin's record can hold."""

import struct
import types

import numpy as np
import pytest

from bmi_runtime.tasks.numbers import check_numbers, why_unwritten


def task(**changed):
    usual = {"trial": 3, "successes": 2, "timeouts": 1, "trial_state": 0, "hold_fraction": 0.5}
    return types.SimpleNamespace(**usual | changed)


@pytest.mark.parametrize("value", [0, 1, True, np.int64(7), np.uint8(255), 2**32 - 1])
def test_whole_numbers_of_any_kind_are_taken(value):
    check_numbers(task(trial=value))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("trial", 2**32, "4294967296"),
        ("trial_state", 256, "256"),
        ("successes", -1, "-1"),
        ("timeouts", 1.0, "1.0"),
        ("trial", "three", "'three'"),
        ("trial", [3], "a list"),
        ("successes", None, "None"),
        ("hold_fraction", "half", "'half'"),
        ("hold_fraction", None, "None"),
    ],
)
def test_what_cannot_be_written_is_named_with_what_can(name, value, shown):
    with pytest.raises(ValueError, match="is wanted") as error:
        check_numbers(task(**{name: value}))
    assert f"its {name} is {shown}" in str(error.value)


def test_an_error_of_the_record_is_told_as_the_number_that_made_it():
    told = why_unwritten(task(trial=-5), struct.error("argument out of range"))
    assert "its trial is -5" in str(told)
    other = ValueError("of the task itself")
    assert why_unwritten(task(), other) is other
    unknown = struct.error("argument out of range")
    assert why_unwritten(task(), unknown) is unknown  # all of its numbers can be held
