"""The guard: its two requirements whatever arrives, its silence, and every recording of the tests."""

import math
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime import config as configuration
from bmi_runtime.messages import SafetyState, StepRecord
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.guard import Guard, GuardState, Wanted, braking_speed, guarded
from bmi_runtime.session.guard_process import over_recording
from bmi_runtime.session.replay import recorded_config

BIN_S, ACTIVE = 0.005, int(SafetyState.ACTIVE)
LIMITS = {"max_speed": 1.0, "max_acceleration": 20.0, "max_age_s": 0.1, "healthy_bins": 3}
GOLDEN = sorted((pathlib.Path(__file__).parent / "golden").glob("*.mcap"))


def guard(**limits):
    return Guard(configuration.GuardConfig(**{**LIMITS, **limits}), BIN_S)


def started(at=(0.0, 0.0), **limits):
    watch = guard(**limits)
    for _ in range(watch.config.healthy_bins):
        left = watch.judge(Wanted(at, (0.0,) * len(at), 0.0, ACTIVE))
    assert left.state is GuardState.PASSING and left.position == at
    watch.drain()
    return watch


def test_it_is_silent_until_the_stream_has_been_healthy():
    watch = guard()
    for _ in range(2):
        assert watch.judge(Wanted((0.1,), (0.0,), 0.0, ACTIVE)).position is None
    assert watch.judge(Wanted((0.1,), (0.0,), 9.0, ACTIVE)).position is None  # too old: it starts counting anew
    assert watch.missed().position is None
    left = [watch.judge(Wanted((0.1,), (0.0,), 0.0, ACTIVE)).position for _ in range(3)]
    assert left == [None, None, (0.1,)]
    assert watch.counts() == {"passed": 1, "limited": 0, "stopped": 0, "withheld": 5}


def test_what_is_within_the_limits_leaves_to_the_bit():
    watch, x, v = started(), 0.0, 0.0
    for k in range(200):
        v = 0.3 * math.sin(0.02 * k)
        x += BIN_S * v
        left = watch.judge(Wanted((x, -x), (v, -v), 0.0, ACTIVE))
        assert (left.position, left.velocity, left.why) == ((x, -x), (v, -v), "")
    assert watch.counts()["passed"] == 201 and not watch.drain()


def test_a_jump_is_followed_within_the_limits_and_without_overshoot():
    watch, path, goal = started(), [(0.0, 0.0)], (0.3, -0.4)
    for _ in range(400):
        left = watch.judge(Wanted(goal, (0.0, 0.0), 0.0, ACTIVE))
        path.append(left.position)
    path = np.array(path)
    velocity = np.diff(path, axis=0) / BIN_S
    assert np.hypot(*velocity.T).max() <= 1.0 + 1e-9
    assert np.hypot(*np.diff(velocity, axis=0, prepend=[[0, 0]]).T).max() <= 20.0 * BIN_S + 1e-9
    assert np.hypot(*path.T).max() <= 0.5 + 1e-9  # never past it
    assert left.position == goal and left.state is GuardState.PASSING
    assert [change["to"] for change in watch.drain()] == ["limiting", "passing"]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Wanted((math.nan, 0.0), (0.0, 0.0), 0.0, ACTIVE), "not finite"),
        (Wanted((0.0, 0.0), (0.0, math.inf), 0.0, ACTIVE), "not finite"),
        (Wanted((1.7e308, 1.7e308), (0.0, 0.0), 0.0, ACTIVE), "beyond anything"),
        (Wanted((0.0, 0.0), (0.0, -1.01e6), 0.0, ACTIVE), "beyond anything"),
        (Wanted((0.0, 0.0), (0.0, 0.0), 0.2, ACTIVE), "older than"),
        (Wanted((0.0, 0.0), (0.0, 0.0), math.nan, ACTIVE), "older than"),
        (Wanted((0.0, 0.0), (0.0, 0.0), 0.0, int(SafetyState.FROZEN)), "does not trust"),
        (Wanted((0.0,), (0.0,), 0.0, ACTIVE), "axes has changed"),
        (Wanted((0.0, 0.0), (0.0,), 0.0, ACTIVE), "different numbers"),
        (Wanted((), (), 0.0, ACTIVE), "different numbers"),
    ],
)
def test_what_cannot_be_believed_stops_it_where_it_is_until_the_stream_is_sound_again(wanted, why):
    watch = started((0.05, 0.02))
    left = watch.judge(wanted)
    assert left.state is GuardState.STOPPED and why in left.why
    assert left.position == (0.05, 0.02) and left.velocity == (0.0, 0.0)
    sound = Wanted((0.05, 0.02), (0.0, 0.0), 0.0, ACTIVE)
    assert [watch.judge(sound).state for _ in range(3)] == [GuardState.STOPPED] * 2 + [GuardState.PASSING]
    changes = watch.drain()
    assert [change["to"] for change in changes] == ["stopped", "passing"] and why in changes[0]["why"]
    assert watch.counts() == {"passed": 2, "limited": 0, "stopped": 3, "withheld": 2}


def test_what_is_far_away_and_can_be_is_followed_within_the_limits():
    watch = started((0.05, 0.02))
    left = watch.judge(Wanted((1e6, -1e6), (0.0, 0.0), 0.0, ACTIVE))
    assert left.state is GuardState.LIMITING and all(map(math.isfinite, (*left.position, *left.velocity)))
    assert math.hypot(*left.velocity) <= 20.0 * BIN_S * (1.0 + 1e-9)


def test_a_missing_heartbeat_stops_it():
    watch = started((0.05,))
    left = watch.missed()
    assert left.state is GuardState.STOPPED and left.velocity == (0.0,) and "no message for 0.1 s" in left.why
    assert watch.missed().position == (0.05,) and len(watch.drain()) == 1


@pytest.mark.parametrize("how", ["guard", "runtime"])
def test_the_operator_stops_it_at_once_and_nothing_starts_it_again(how):
    watch = started()
    watch.judge(Wanted((0.0005, 0.0), (0.1, 0.0), 0.0, ACTIVE))
    stop = Wanted((0.001, 0.0), (0.1, 0.0), 0.0, int(SafetyState.STOPPED))
    left = watch.end() if how == "guard" else watch.judge(stop)
    assert left.state is GuardState.ENDED and left.velocity == (0.0, 0.0) and left.position == (0.0005, 0.0)
    for _ in range(100):
        left = watch.judge(Wanted((0.1, 0.0), (0.1, 0.0), 0.0, ACTIVE))
        assert left.state is GuardState.ENDED and left.position == (0.0005, 0.0) and left.velocity == (0.0, 0.0)
    assert watch.missed().state is GuardState.ENDED and watch.counts()["stopped"] == 102


def test_before_anything_has_left_a_stop_says_nothing():
    watch = guard()
    assert watch.end().position is None
    for _ in range(5):
        assert watch.judge(Wanted((0.1,), (0.0,), 0.0, ACTIVE)).position is None
    assert watch.missed().position is None and watch.counts()["withheld"] == 7


def test_the_limits_hold_one_above_and_one_below():
    step = 1.0 * BIN_S
    watch = started(max_acceleration=1e6)
    assert watch.judge(Wanted((step, 0.0), (1.0, 0.0), 0.0, ACTIVE)).state is GuardState.PASSING
    watch = started(max_acceleration=1e6)
    assert watch.judge(Wanted((step * 1.001, 0.0), (1.0, 0.0), 0.0, ACTIVE)).state is GuardState.LIMITING
    watch = started(max_acceleration=1e6)
    assert watch.judge(Wanted((step, 0.0), (1.001, 0.0), 0.0, ACTIVE)).why == "faster than 1 m/s"
    for slower, state in ((1.0, GuardState.PASSING), (1.01, GuardState.LIMITING)):
        speed = 20.0 * BIN_S * slower
        left = started().judge(Wanted((speed * BIN_S, 0.0), (speed, 0.0), 0.0, ACTIVE))
        assert left.state is state
    left = started().judge(Wanted((0.0, 0.0), (0.2, 0.0), 0.0, ACTIVE))  # the velocity alone jumps
    assert left.state is GuardState.LIMITING and left.why == "more than 20 m/s^2"
    assert left.position == (0.0, 0.0) and left.velocity == (0.0, 0.0)
    assert started().judge(Wanted((0.0, 0.0), (0.0, 0.0), 0.1, ACTIVE)).state is GuardState.PASSING  # age at its limit


def test_the_limits_have_room_for_rounding_and_for_no_more():
    most = 1.0 * (1.0 + 1e-9)
    watch = started(max_acceleration=1e6)
    assert watch.judge(Wanted((0.0, 0.0), (most, 0.0), 0.0, ACTIVE)).state is GuardState.PASSING
    most = 20.0 * BIN_S * (1.0 + 1e-9)
    assert started().judge(Wanted((0.0, 0.0), (most, 0.0), 0.0, ACTIVE)).state is GuardState.PASSING
    assert started().judge(Wanted((1_000_000.5, 0.0), (0.0, 0.0), 0.0, ACTIVE)).state is GuardState.STOPPED


def test_what_leaves_first_is_taken_to_be_at_rest():
    watch = guard()
    for _ in range(2):
        watch.judge(Wanted((0.1, 0.2), (0.5, 0.0), 0.0, ACTIVE))
    left = watch.judge(Wanted((0.1, 0.2), (0.5, 0.0), 0.0, ACTIVE))
    assert left.state is GuardState.LIMITING and left.position == (0.1, 0.2) and left.velocity == (0.0, 0.0)
    assert watch.counts() == {"passed": 0, "limited": 1, "stopped": 0, "withheld": 2}


@pytest.mark.parametrize("how", ["missed", "refused"])
def test_whatever_is_missing_begins_the_counting_anew(how):
    """Waiting and stopped alike: so many sound messages in a row, after a gap or a message that is not sound."""
    watch, sound = guard(), Wanted((0.1,), (0.0,), 0.0, ACTIVE)

    def disturb():
        return watch.missed() if how == "missed" else watch.judge(Wanted((0.1,), (0.0,), 9.0, ACTIVE))

    for _ in range(2):
        watch.judge(sound)
    assert disturb().state is GuardState.WAITING
    assert [watch.judge(sound).state.name for _ in range(3)] == ["WAITING", "WAITING", "PASSING"]
    assert disturb().state is GuardState.STOPPED
    watch.judge(sound)
    disturb()
    assert [watch.judge(sound).state.name for _ in range(3)] == ["STOPPED", "STOPPED", "PASSING"]


@pytest.mark.parametrize("bins", [0, 1, 2, 5, 40])
def test_the_braking_speed_is_that_of_so_many_steps(bins):
    acceleration, dt = 20.0, 0.005
    way = acceleration * dt * dt * bins * (bins + 1) / 2
    assert braking_speed(way, acceleration, dt) == pytest.approx(bins * acceleration * dt, rel=1e-12, abs=1e-15)


def test_a_step_leaves_guarded_or_not_at_all():
    """The record that leaves is the session's but for the cursor; its age is that of its data."""
    record, copy = StepRecord(4, False), StepRecord(4, False)
    watch = guard()
    record.output.safety[0], record.output.trial[0] = ACTIVE, 7
    record.output.cursor[:] = (0.1, -0.2, 0.0, 0.0)
    assert [guarded(watch, record, copy, BIN_S) for _ in range(3)] == [False, False, True]
    assert copy.output_bytes == record.output_bytes
    record.output.cursor[:] = (0.1, -0.1, 0.0, 0.0)
    record.output.trial[0] = 8
    assert guarded(watch, record, copy, BIN_S) and copy.output.trial[0] == 8
    assert copy.output.cursor[0] == 0.1 and -0.2 < copy.output.cursor[1] < -0.199
    record.input.stale[0] = 20  # bins: 0.1 s, the oldest that is let through
    guarded(watch, record, copy, BIN_S)
    assert watch.state is GuardState.LIMITING
    record.input.stale[0] = 21
    assert guarded(watch, record, copy, BIN_S) and watch.state is GuardState.STOPPED
    assert copy.output.cursor[2:].tolist() == [0.0, 0.0]


def test_standing_still_is_never_limited():
    watch = started(max_acceleration=1e6)
    watch.judge(Wanted((0.005, 0.0), (1.0, 0.0), 0.0, ACTIVE))
    watch.config = configuration.GuardConfig(**LIMITS)
    left = watch.judge(Wanted((0.005, 0.0), (0.0, 0.0), 0.0, ACTIVE))
    assert left.state is GuardState.PASSING and left.velocity == (0.0, 0.0)


@pytest.mark.parametrize(("distance", "acceleration", "dt"), [(0.1, 20.0, 0.005), (1e-5, 3.0, 0.05), (0.0, 1.0, 0.01)])
def test_braking_once_per_step_from_that_speed_takes_that_way(distance, acceleration, dt):
    speed, way = braking_speed(distance, acceleration, dt), 0.0
    while speed > 0.0:
        way += speed * dt
        speed -= acceleration * dt
    assert way <= distance + acceleration * dt * dt and way >= distance - acceleration * dt * dt


numbers = st.one_of(
    st.floats(-0.3, 0.3), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 0.0]), st.floats()
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.tuples(numbers, numbers), st.tuples(numbers, numbers), numbers, st.integers(0, 6)),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 60),
)
def test_whatever_arrives_the_two_requirements_hold(messages, stop_at):
    watch = started((0.0, 0.0))
    before, speed_before, ended = (0.0, 0.0), (0.0, 0.0), False
    for number, (position, velocity, age_s, safety) in enumerate(messages):
        left = watch.end() if number == stop_at else watch.judge(Wanted(position, velocity, age_s, safety))
        ended = ended or number == stop_at or safety == SafetyState.STOPPED
        assert left.position is not None and all(map(math.isfinite, (*left.position, *left.velocity)))
        step = math.dist(left.position, before) / BIN_S
        assert step <= 1.0 + 1e-6 and math.hypot(*left.velocity) <= 1.0 + 1e-6
        if any(left.velocity):  # standing still is the one change that is not limited
            assert math.dist(left.velocity, speed_before) <= 20.0 * BIN_S + 1e-6
        if ended:
            assert left.position == before and left.velocity == (0.0, 0.0)
        before, speed_before = left.position, left.velocity


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_recording_of_the_tests_goes_through(path):
    """What a session did within the limits leaves as it was; only what was faster is held back."""
    steps, result = Recording(path).steps(), over_recording(path, configuration.load())
    assert sum(result[name] for name in ("passed", "limited", "stopped", "withheld")) == len(steps)
    limits, bin_s = configuration.load().guard, recorded_config(Recording(path)).bin_s
    velocity = steps["output"]["cursor"][:, steps["output"]["cursor"].shape[1] // 2 :]
    change = np.linalg.norm(np.diff(velocity, axis=0), axis=1)
    fast = np.linalg.norm(velocity, axis=1).max() > limits.max_speed
    sudden = (change[velocity[1:].any(axis=1)] > limits.max_acceleration * bin_s).any()
    assert (result["limited"] > 0) == bool(fast or sudden) and result["stopped"] == 0
    assert result["passed"] > 0
