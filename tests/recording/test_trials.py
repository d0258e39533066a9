"""Which events are trials that a table of trials can hold."""

import math

import pytest

from bmi_runtime.recording.trials import is_whole_trial

WHOLE = {"name": "trial", "bin": 10, "result": "success", "time_to_target_s": 0.8, "target_m": [0.1, 0.0]}


def test_a_whole_trial_is_one_in_as_many_axes_as_the_session_has():
    assert is_whole_trial(WHOLE, 2)
    assert is_whole_trial(WHOLE | {"target_m": (0.1,)}, 1)
    assert not is_whole_trial(WHOLE, 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "note"},
        {"result": None},
        {"time_to_target_s": None},
        {"time_to_target_s": math.nan},
        {"target_m": None},
        {"target_m": [0.1, math.inf]},
        {"target_m": [0.1, "left"]},
        {"target_m": "ab"},
    ],
)
def test_what_lacks_anything_is_an_event_like_others(changed):
    assert not is_whole_trial(WHOLE | changed, 2)


@pytest.mark.parametrize("key", ["name", "result", "time_to_target_s", "target_m"])
def test_what_is_not_there_is_not_invented(key):
    assert not is_whole_trial({name: value for name, value in WHOLE.items() if name != key}, 2)
