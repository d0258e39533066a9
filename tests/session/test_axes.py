"""Sessions of other brain states than x and y reach their targets, replay to the bit, and refuse what cannot be."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import MISSING, Bin, StateSpace, output_dtype, places_in, step_dtype, struct_of
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.core import Session
from bmi_runtime.session.launch import run
from bmi_runtime.session.replay import Replay
from simulators.source import SimulatedSource

NAMES = ("x", "y", "z", "pitch", "yaw", "roll", "grasp")
SPACES = [StateSpace(NAMES[:n]) for n in (1, 2, 3, 7)]


def session_of(tmp_path, duration_s, *overrides):
    path = tmp_path / "a.mcap"
    config = configuration.load(None, [*overrides, f"recording.path='{path}'", "telemetry.enabled=false"])
    loop = assemble(config, "max")
    run(loop, round(duration_s / config.bin_s))
    return loop, Recording(path)


@pytest.mark.parametrize(
    "overrides",
    [
        *(["state.axes=" + str(list(space.axes)), "session.units=64"] for space in SPACES if space.n_axes != 2),
        ["session.units=24", "session.features=24"],
        ["session.units=0", "session.features=48", "state.axes=['x']"],
        [
            *("encoding.regressors=['velocity','position','speed','history']", "population.position_depth=[0.1,0.4]"),
            *("population.speed_depth=[0.1,0.3]", "population.history_gain=[-0.5,-0.2]"),
        ],
        ["state.axes=['x','y','z']", "session.units=32", "session.features=16", "task.kind=random-target"],
        ["state.axes=['x','y','z']", "task.kind=pursuit", "adapter.intention=rotated", "adapter.schedule=floor"],
    ],
    ids=lambda overrides: " ".join(overrides)[:60],
)
def test_a_session_reaches_its_targets_and_replays_to_the_bit(tmp_path, overrides):
    loop, recording = session_of(tmp_path, 12.0, *overrides)
    assert recording.space == loop.session.space and recording.n_features == loop.session.config.session.features
    if "task.kind=pursuit" not in overrides:
        assert loop.session.task.successes >= 5
    result = Replay(recording).run()
    assert result["identical"] and result["output_digest"] == loop.tally.digest.hexdigest()


def test_a_layout_is_made_from_the_axes_and_the_plane_has_the_one_of_always():
    assert output_dtype(StateSpace()).itemsize == 21 * 8 + 8 + 3 * 4 + 4 + 4
    for space in SPACES:
        layout = output_dtype(space)
        assert struct_of(layout).size == layout.itemsize
        record = np.zeros(1, layout)
        numbers = list(range(len(struct_of(layout).unpack(record.tobytes()))))
        struct_of(layout).pack_into(record.view(np.uint8), 0, *numbers)
        for name, place in places_in(layout).items():
            assert np.array_equal(np.atleast_1d(record[0][name]), numbers[place])
    assert step_dtype(3, False, SPACES[2], 5)["input"]["features"].shape == (5,)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("state.axes=[]", "1 to 8 axes"),
        ("state.axes=['a','b','c','d','e','f','g','h','i']", "1 to 8 axes, here are 9"),
        ("state.axes=['x','x']", "'x' is there twice"),
        ("state.axes=['x','vx']", "'vx' is there twice"),
        ("state.axes=['x y']", "an axis is named by"),
        ("state.axes=['radius']", "cannot be named 'radius'"),
        ("state.units=['m']", "1 units for 2 axes"),
        ("session.units=0", "without units decodes nothing"),
        ("session.features=-1", "greater than or equal to 0"),
        ("encoding.regressors=['speed']", "velocity or position"),
        ("encoding.regressors=['speeed']", "speed"),
        ("encoding.regressors=['velocity','velocity']", "twice"),
    ],
)
def test_what_is_no_brain_state_is_refused_in_a_sentence(override, said):
    with pytest.raises(BadInput) as caught:
        configuration.load(None, [override])
    assert said in str(caught.value)


def test_features_that_come_at_no_whole_number_of_bins_are_refused():
    with pytest.raises(BadInput, match="whole number of bins"):
        configuration.load(None, ["session.features=4", "session.feature_bin_s=0.012"])
    with pytest.raises(BadInput, match="stand beside spiking units"):
        configuration.load(None, ["session.features=4", "session.likelihood=gaussian"])


def mixed_session(**more):
    config = configuration.load(None, ["session.units=16", "session.features=8", *more.get("overrides", ())])
    source = SimulatedSource(config)
    return Session(config, source.world.initial_model()), source, Bin(*config.layout)


def steps(session, source, given, bins, spoil):
    for _ in range(bins):
        source.next_bin(given, session.cursor, session.task.target)
        spoil(given.fields)
        session.step(given.bytes)


def test_units_that_are_missing_leave_the_features_at_work():
    session, source, given = mixed_session()
    steps(session, source, given, 2000, lambda fields: None)
    before, features = session.model.weights.copy(), session.learning.features.model.weights.copy()

    def silence(fields):
        fields.counts[:] = MISSING

    steps(session, source, given, 1000, silence)
    assert np.array_equal(session.model.weights, before)
    assert not np.array_equal(session.learning.features.model.weights, features)
    assert not [event for event in session.events if event["name"] == "refused-counts"]


def test_features_that_are_missing_leave_the_units_at_work():
    session, source, given = mixed_session()
    steps(session, source, given, 500, lambda fields: None)
    features, before = session.learning.features.model.weights.copy(), session.model.weights.copy()

    def silence(fields):
        fields.features[:] = np.nan

    steps(session, source, given, 500, silence)
    assert np.array_equal(session.learning.features.model.weights, features)
    assert not np.array_equal(session.model.weights, before)


def test_half_of_the_units_missing_is_not_the_end_of_the_bin():
    session, source, given = mixed_session()

    def half(fields):
        fields.counts[:8] = MISSING

    before = session.model.weights.copy()
    steps(session, source, given, 500, half)
    assert np.array_equal(session.model.weights[:, :8], before[:, :8])
    assert not np.array_equal(session.model.weights[:, 8:], before[:, 8:])
    assert session.record.output.adapting[0] == 1


@pytest.mark.parametrize(("missing_axis", "learns"), [("rest", True), ("skip", False)])
def test_one_axis_of_recorded_kinematics_that_is_missing(missing_axis, learns):
    overrides = ["adapter.intention=recorded", f"adapter.missing_axis={missing_axis}"]
    session, source, given = mixed_session(overrides=overrides)
    before = session.model.weights.copy()

    def lose_y(fields):
        fields.kinematics[:] = [0.0, np.nan, 0.1, np.nan]

    steps(session, source, given, 200, lose_y)
    assert np.isfinite(session.model.weights).all()
    assert (not np.array_equal(session.model.weights, before)) == learns
