"""Every task: the machine of trial states, the targets, the events."""

import math

import numpy as np
import pytest

from bmi_runtime.config import TaskConfig
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import TrialState
from bmi_runtime.tasks.base import begins_with
from bmi_runtime.tasks.registry import TASKS, make_task

BIN_S = 0.01


def make(kind="centre-out", seed=1, **keys):
    return make_task(TaskConfig(kind=kind, **keys), BIN_S, np.random.default_rng(seed))


def test_hold_success_pause_and_the_way_back():
    task = make(hold_s=0.05, pause_s=0.03, timeout_s=1.0)
    assert task.target == (0.1, 0.0, 0.017)
    events = [task.advance(0.1, 0.0) for _ in range(5)]
    assert events[:4] == [None] * 4
    assert events[4]["result"] == "success"
    assert events[4]["time_to_target_s"] == pytest.approx(0.05)
    assert task.trial_state is TrialState.SUCCESS
    assert [task.advance(0.1, 0.0) for _ in range(3)] == [None] * 3
    assert task.trial_state is TrialState.REACH
    assert (task.trial, task.successes, task.target[:2]) == (1, 1, (0.0, 0.0))


def test_leaving_the_target_starts_the_hold_again():
    task = make(hold_s=0.05)
    for _ in range(4):
        task.advance(0.1, 0.0)
    assert task.trial_state is TrialState.HOLD
    assert task.hold_fraction == pytest.approx(0.8)
    task.advance(0.0, 0.0)
    assert task.trial_state is TrialState.REACH
    assert task.hold_fraction == 0.0
    assert [task.advance(0.1, 0.0) for _ in range(5)][-1]["result"] == "success"


def test_timeout_is_counted_and_the_next_trial_comes():
    task = make(timeout_s=0.1, pause_s=0.0)
    events = [task.advance(-0.1, -0.1) for _ in range(10)]
    assert events[-1]["result"] == "timeout"
    assert (task.timeouts, task.successes, task.trial) == (1, 0, 1)


def test_centre_out_visits_every_target_once_before_any_again():
    task = make(hold_s=0.0, pause_s=0.0, targets=8)
    seen = []
    for _ in range(32):
        x, y, _ = task.target
        seen.append((round(x, 9), round(y, 9)))
        task.advance(x, y)
    ring = seen[0:16:2]
    assert len(set(ring)) == 8
    assert all(math.hypot(*point) == pytest.approx(0.1) for point in ring)
    assert set(seen[1::2]) == {(0.0, 0.0)}
    assert seen[16:] == seen[:16]


def test_random_targets_fill_their_square_and_follow_the_seed():
    def targets(seed):
        task = make("random-target", seed, hold_s=0.0, pause_s=0.0)
        points = []
        for _ in range(500):
            points.append(task.target[:2])
            task.advance(*task.target[:2])
        return np.array(points)

    first = targets(1)
    assert np.abs(first).max() <= 0.1
    assert np.allclose(first.mean(0), 0.0, atol=0.01)
    assert np.allclose(first.std(0), 0.2 / math.sqrt(12), rtol=0.1)
    assert np.array_equal(first, targets(1))
    assert not np.array_equal(first, targets(2))


def test_pursuit_succeeds_where_the_cursor_follows_and_fails_where_it_does_not():
    follow, stay = make("pursuit", timeout_s=1.0), make("pursuit", timeout_s=1.0)
    for _ in range(1000):
        follow.advance(*follow.target[:2])
        stay.advance(0.3, 0.3)
    assert (follow.successes, follow.timeouts) == (10, 0)
    assert (stay.successes, stay.timeouts) == (0, 10)


@pytest.mark.parametrize("kind", TASKS)
def test_a_snapshot_goes_on_to_the_bit(kind):
    task = make(kind, hold_s=0.02, pause_s=0.02)
    path = np.random.default_rng(3).uniform(-0.1, 0.1, (400, 2))
    for x, y in path[:200]:
        task.advance(x, y)
    state, rng = task.snapshot(), task.rng.bit_generator.state
    twin = make(kind, hold_s=0.02, pause_s=0.02)
    twin.restore(state)
    twin.rng.bit_generator.state = rng
    for x, y in path[200:]:
        assert task.advance(x, y) == twin.advance(x, y)
        assert (task.target, task.trial_state) == (twin.target, twin.trial_state)


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(BadInput, match="centre-out, random-centre-out, centre-out-click, random-target, pursuit"):
        make("chess")


def test_a_trial_begins_and_ends_with_events_where_the_options_say_so():
    task = make(pause_s=0.02, options={"begin_on": "ttl line=3 state=1", "end_on": "ttl line=4"})
    assert task.trial_state is TrialState.PAUSE
    assert [task.advance(0.1, 0.0) for _ in range(50)] == [None] * 50  # nothing begins by itself
    assert task.tell("end") is None and task.tell("begin") is None
    assert task.trial_state is TrialState.REACH and task.trial == 1
    task.tell("begin")
    assert task.trial == 1  # one that runs goes on
    task.advance(0.0, 0.1)
    event = task.tell("end")
    assert (event["result"], event["trial"]) == ("stopped", 1) and (task.successes, task.timeouts) == (0, 0)
    assert task.trial_state is TrialState.PAUSE


@pytest.mark.parametrize(
    ("pattern", "event", "is_it"),
    [
        ("ttl line=3 state=1", {"kind": "ttl", "line": 3, "state": 1}, True),
        ("ttl line=3 state=1", {"kind": "ttl", "line": 3, "state": 0}, False),
        ("ttl", {"kind": "ttl", "line": 3}, True),
        ("marker value=go", {"kind": "ttl", "value": "go"}, False),
        ("", {"kind": "ttl"}, False),
    ],
)
def test_an_event_is_told_by_its_kind_and_values(pattern, event, is_it):
    assert begins_with(pattern, event) is is_it


def test_a_pattern_that_is_none_is_refused_by_name():
    with pytest.raises(BadInput, match=r"task\.options\.begin_on.*name=value"):
        make(options={"begin_on": "ttl three"})
    with pytest.raises(BadInput, match="pursuit has no pause"):
        make("pursuit", options={"begin_on": "ttl"})
