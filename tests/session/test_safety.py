"""The safety states: the whole table (state x what happened), and what each state does to cursor and weights."""

import itertools

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import SAID
from bmi_runtime.messages import Bin, SafetyState
from bmi_runtime.session.core import Session
from bmi_runtime.session.safety import ADAPTS, MOVES, TABLE, Safety, SafetyEvent
from simulators.world import World

S, H = SafetyState, SafetyEvent
EXPECTED = {  # written out again, by state, so that a slip in the table shows
    S.STARTING: {H.FIRST_USABLE_BIN: S.CALIBRATING, H.STOP: S.STOPPED},
    S.CALIBRATING: {
        H.CALIBRATED: S.ACTIVE,
        H.TROUBLE: S.DEGRADED,
        H.SILENCE: S.FROZEN,
        H.FAULT: S.FROZEN,
        H.STOP: S.STOPPED,
    },
    S.ACTIVE: {H.TROUBLE: S.DEGRADED, H.SILENCE: S.FROZEN, H.FAULT: S.FROZEN, H.STOP: S.STOPPED},
    S.DEGRADED: {H.SILENCE: S.FROZEN, H.FAULT: S.FROZEN, H.RECOVERED: S.ACTIVE, H.STOP: S.STOPPED},
    S.FROZEN: {H.RECOVERED: S.ACTIVE, H.STOP: S.STOPPED},
    S.STOPPED: {},
}


@pytest.mark.parametrize(("state", "what"), list(itertools.product(S, H)), ids=str)
def test_every_cell_of_the_table(state, what):
    safety = Safety(configuration.load().safety, 0.005)
    safety.state = state
    safety.handle(what)
    expected = EXPECTED[state].get(what, state)
    assert safety.state is expected
    assert bool(safety.drain()) == (expected is not state), "a change of state is an event, and nothing else is"
    assert (state, what) in TABLE or expected is state


def test_nothing_leaves_stopped_and_frozen_moves_nothing():
    assert not any(state is S.STOPPED for state, _ in TABLE)
    assert {S.STARTING, S.FROZEN, S.STOPPED}.isdisjoint(MOVES | ADAPTS)


@pytest.mark.parametrize("state", S, ids=str)
def test_what_a_state_allows_is_what_its_table_says(state):
    safety = Safety(configuration.load().safety, 0.005)
    safety.state = state
    assert (safety.moves, safety.adapts) == (state in MOVES, state in ADAPTS)


def test_a_velocity_is_plausible_up_to_the_limit_and_where_it_is_finite():
    section = configuration.load(None, ["safety.max_speed=0.5"]).safety
    safety = Safety(section, 0.005)
    assert safety.plausible([0.3, 0.4]) and safety.plausible([0.0, -0.5]) and safety.plausible([0.0, 0.0])
    assert not safety.plausible([0.3, 0.4001]) and not safety.plausible([0.0, float("nan")])


def driven(bins, **limits):
    """Return the state after each bin, one letter each: good, stale, x for a rate that explodes, broken, operator."""
    section = configuration.load(None, [f"safety.{name}={value}" for name, value in limits.items()]).safety
    safety, states = Safety(section, 0.005), ""
    for what in bins:
        if what == "o":
            safety.handle(H.STOP)
        safety.before_decoding(what != "s")
        safety.after_decoding(what == "x", what == "b")
        states += {S.STARTING: "_", S.CALIBRATING: "C", S.ACTIVE: "A", S.DEGRADED: "D", S.FROZEN: "F", S.STOPPED: "O"}[
            safety.state
        ]
    return states


LIMITS = {"frozen_after_s": 0.02, "degraded_after_bins": 2, "recover_after_bins": 3, "calibrating_s": 0.01}


@pytest.mark.parametrize(
    ("bins", "states"),
    [
        ("ssggggg", "__CCAAA"),  # the bins before the first usable one are not counted
        ("gggsgsggg", "CCAAAAAAA"),  # one stale bin alone is nothing
        ("gggssssssg", "CCAADDFFFF"),
        ("gggssgggg", "CCAADDDAA"),
        ("gggxgxgggg", "CCAAAAAAAA"),  # nor is one explosion
        ("gggxxgggg", "CCAADDDAA"),  # three good bins after it, not at once
        ("gggxxxxgggg", "CCAADDDDDAA"),
        ("gggbgggg", "CCAFFFAA"),  # the broken bin is none of the good ones
        ("ggbgggg", "CCFFFAA"),
        ("gggggogggg", "CCAAAOOOOO"),
        ("gssg", "CCDD"),
        ("gssssgggg", "CCDDFFFAA"),
    ],
)
def test_bin_by_bin(bins, states):
    assert driven(bins, **LIMITS) == states


def test_the_least_that_the_limits_can_be_is_one_bin():
    assert driven("gggsggg", **LIMITS | {"frozen_after_s": 0.001}) == "CCAFFFA"
    assert driven("gg", **LIMITS | {"calibrating_s": 0.0}) == "AA"


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no\x1b[31m"), "ValueError: no"), ("a sentence\n", "a sentence"), ("x" * 5000, "x" * SAID)],
)
def test_a_part_that_failed_freezes_the_output_and_is_named(error, said):
    safety = Safety(configuration.load().safety, 0.005)
    safety.state = S.ACTIVE
    event = safety.part_failed("decoder", "theirs", error, "point-process")
    assert event.pop("error").startswith(said) and len(said) <= SAID
    assert event == {"name": "decoder-failed", "kind": "theirs", "goes_on_with": "point-process"}
    assert safety.state is S.FROZEN and [change["to"] for change in safety.drain()] == ["frozen"]
    assert not safety.drain()


OVERRIDES = ["session.units=40", "safety.frozen_after_s=0.1", "safety.recover_after_bins=10", "encoding.initial=truth"]


@pytest.fixture
def rig():
    """A session under way, and a function that steps it: ``step(stale=0, behind=0, spoil=None)``."""
    config = configuration.load(None, OVERRIDES)
    world = World(config)
    session, given = Session(config, world.initial_model()), Bin(config.session.units, False)

    def step(bins=1, stale=0, behind=0, spoil=None):
        rows = []
        for _ in range(bins):
            given.fields.counts[:] = world.counts(session.cursor, session.task.target)
            given.fields.stale[0], given.fields.behind[0] = stale, behind
            if spoil is not None:
                given.fields.counts[spoil] = 60000  # 65535 says that a count is missing
            rows.append(session.step(given.bytes).array["output"][0].copy())
        return np.array(rows)

    assert S(step(200)["safety"][-1]) is S.ACTIVE
    return session, step


def test_it_starts_with_the_first_usable_bin_and_not_before():
    config = configuration.load(None, OVERRIDES)
    session, given = Session(config, World(config).initial_model()), Bin(40, False)
    given.fields.stale[0] = 1
    for _ in range(50):
        out = session.step(given.bytes).output
        assert S(out.safety[0]) is S.STARTING
        assert not out.cursor.any()
    given.fields.stale[0] = 0
    assert S(session.step(given.bytes).output.safety[0]) is S.ACTIVE


def test_calibration_time_counts_usable_bins():
    config = configuration.load(None, [*OVERRIDES, "safety.calibrating_s=0.5"])
    session, given = Session(config, World(config).initial_model()), Bin(40, False)
    states = [S(session.step(given.bytes).output.safety[0]) for _ in range(102)]
    assert states == [S.CALIBRATING] * 100 + [S.ACTIVE] * 2


def test_nothing_is_stimulated_from_the_bin_on_in_which_the_output_freezes(rig):
    class EveryBin:
        """A schedule with an onset in every bin."""

        def events_between(self, start_s, stop_s):
            return [{"units": [0], "at_s": start_s}]

    session, step = rig
    session.stimulation = EveryBin()
    assert step(50)["stimulated"].all()
    step(-session.bins % session._check_every)
    session.model.covariance[0, 0] = np.nan  # found by the check in the next bin
    after = step()
    assert S(after["safety"][0]) is S.FROZEN and not after["stimulated"][0]


def test_stale_input_degrades_then_freezes_before_it_moves_the_cursor(rig):
    session, step = rig
    rows = step(40, stale=1)
    states = [S(value) for value in rows["safety"]]
    assert states[:2] == [S.ACTIVE] * 2
    assert states[2:19] == [S.DEGRADED] * 17
    assert states[19:] == [S.FROZEN] * 21
    assert not rows["adapting"].any()
    assert (rows["model_checksum"] == rows["model_checksum"][0]).all()
    assert (rows["cursor"][19:, :2] == rows["cursor"][19, :2]).all()
    assert [event["to"] for event in session.events if event["name"] == "safety"][-2:] == ["degraded", "frozen"]
    back = step(12)
    assert [S(value) for value in back["safety"]] == [S.FROZEN] * 9 + [S.ACTIVE] * 3


def test_most_units_refused_makes_a_bin_unusable(rig):
    _, step = rig
    assert step(1, spoil=slice(0, 19))["adapting"][0]
    assert not step(1, spoil=slice(0, 21))["adapting"][0]


def test_a_decoder_that_breaks_is_frozen_said_and_recovers(rig):
    session, step = rig
    session.decoder.state[2] = np.nan
    rows = step(1)
    assert S(rows["safety"][0]) is S.FROZEN
    assert np.isfinite(rows["decoded"]).all()
    assert np.isfinite(rows["cursor"]).all()
    assert "decoder-not-finite" in [event["name"] for event in session.events]
    assert S(step(12)["safety"][-1]) is S.ACTIVE


def test_a_lost_covariance_is_started_again_and_said(rig):
    session, step = rig
    session.model.covariance[:, 7] = np.nan
    session.model.covariance[2, 9] = -1.0
    step(200)
    assert {"name": "covariance-lost", "units": 2} in session.events
    assert np.isfinite(session.model.covariance).all()
    assert np.isfinite(session.model.weights).all()
    assert np.linalg.eigvalsh(session.model.dense_covariance()).min() > 0


def test_exploding_rates_degrade(rig):
    session, step = rig
    session.model.weights[0, 3] = 12.0
    session.adapting = False
    assert S(step(3)["safety"][-1]) is S.DEGRADED
    session.model.weights[0, 3] = 2.0
    assert S(step(10)["safety"][-1]) is S.ACTIVE


def test_operator_stop_is_final(rig):
    session, step = rig
    session.apply({"set": "session.stopped", "value": True})
    rows = step(50)
    assert {S(value) for value in rows["safety"]} == {S.STOPPED}
    assert (rows["cursor"][:, :2] == rows["cursor"][0, :2]).all()
    assert not rows["adapting"].any()


@pytest.mark.parametrize("policy", ["skip-adaptation", "coast", "hold"])
def test_a_missed_deadline_is_answered_by_policy(policy):
    config = configuration.load(None, [*OVERRIDES, f"realtime.miss_policy={policy}"])
    world = World(config)
    session, given = Session(config, world.initial_model()), Bin(40, False)
    for k in range(300):
        given.fields.counts[:] = world.counts(session.cursor, session.task.target)
        given.fields.behind[0] = k == 250
        before, place = session.model.weights.copy(), session.cursor[:2]
        session.step(given.bytes)
        if k == 250:
            assert np.array_equal(session.model.weights, before)
            assert (session.cursor[:2] == place) == (policy == "hold")


def test_a_snapshot_carries_the_state(rig):
    session, step = rig
    step(5, stale=1)
    twin = Session(session.config, session.model.copy())
    twin.restore(session.snapshot())
    assert twin.safety.snapshot() == session.safety.snapshot()
    assert twin.safety.state is S.DEGRADED


def test_a_snapshot_of_another_length_is_not_restored():
    safety = Safety(configuration.load().safety, 0.005)
    with pytest.raises(ValueError, match="zip"):
        safety.restore(safety.snapshot()[:-2])


def test_a_snapshot_of_before_has_no_count_of_troubled_bins():
    safety = Safety(configuration.load().safety, 0.005)
    safety.restore([int(S.DEGRADED), 1, 2, 3, 4])
    assert safety.state is S.DEGRADED and safety.snapshot() == [int(S.DEGRADED), 1, 2, 3, 4, 0]
