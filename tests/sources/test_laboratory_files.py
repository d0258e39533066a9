"""Files as laboratories write them: far origins, lost markers, gaps, tables that are turned, sparse or of one cell."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from bmi_runtime.decoding.comparison import compare_decoders
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording
from bmi_runtime.sources.from_arrays import recording_from_arrays
from bmi_runtime.sources.gaps import bridged, difference, held_every
from bmi_runtime.sources.lost_samples import lost_samples
from bmi_runtime.sources.oddities import of_bins

BIN_S = 0.05


def session(bins=1200, units=12, seed=1):
    """Return counts of velocity-tuned units, velocity (m/s), position (m)."""
    rng = np.random.default_rng(seed)
    kernel = np.exp(-0.5 * (np.arange(-24, 25) / 6) ** 2)
    velocity = np.column_stack([np.convolve(x, kernel / kernel.sum(), "same") for x in rng.normal(size=(2, bins))])
    velocity *= 0.15 / velocity.std()
    counts = rng.poisson(np.clip(np.exp(-0.5 + velocity @ (5 * rng.normal(size=(2, units)))), 0, 8))
    return counts, velocity, np.cumsum(velocity, axis=0) * BIN_S


@pytest.mark.parametrize("origin", [0.0, 1.0, 1e4, 2.0**23, -1e7])
def test_decoders_are_as_good_wherever_the_origin_is(origin):
    counts, _, position = session()
    rows = [
        compare_decoders(recording_from_arrays("r", counts, BIN_S, None, np.round(1000 * position) + at), NAMES, 3)
        for at in (0.0, origin)
    ]
    near, far = ({row["decoder"]: row for row in table} for table in rows)
    for name in NAMES:
        assert far[name]["r2_velocity"] == pytest.approx(near[name]["r2_velocity"], abs=1e-3)
        assert (far[name]["r2_position"] or 0) == pytest.approx(near[name]["r2_position"] or 0, abs=1e-3)


NAMES = ["kalman", "ridge"]


@pytest.mark.parametrize("value", [-9999.0, 0.0, 1e6, 32767.0])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_lost_marker_is_left_out_whatever_stands_there(value, length):
    counts, _, position = session()
    position = position + 0.6
    position[500 : 500 + length] = value
    position[800] = value
    recording = recording_from_arrays("r", counts, BIN_S, None, position)
    lost = np.flatnonzero(np.isnan(recording.position).all(axis=1))
    assert lost.tolist() == [*range(500, 500 + length), 800]
    assert np.abs(recording.velocity[np.isfinite(recording.velocity)]).max() < 1.0
    assert any("lost marker" in sentence for sentence in of_bins(recording))


def test_a_lost_marker_of_one_axis_or_of_half_a_minute_or_often(session_position):
    position = session_position
    rng = np.random.default_rng(3)
    one_axis, long, often = position.copy(), position.copy(), position.copy()
    one_axis[400:405, 1] = 0.0
    long[200:800] = 0.0
    scattered = np.sort(rng.choice(1200, 180, replace=False))
    often[scattered] = 0.0
    for values, rows in ((one_axis, range(400, 405)), (long, range(200, 800)), (often, scattered.tolist())):
        assert np.flatnonzero(lost_samples(values)).tolist() == list(rows)


@pytest.fixture
def session_position():
    return session()[2] + 0.6


def test_where_the_position_jumps_a_trial_starts(session_position):
    counts, position = session()[0], session_position
    position[700:] += 3.0
    recording = recording_from_arrays("r", counts, BIN_S, None, position)
    assert np.flatnonzero(recording.trial_start).tolist() == [0, 700]
    assert np.abs(recording.velocity).max() < 1.0
    assert any("jumps before 1 bins (700): taken for starts" in sentence for sentence in recording.odd)


def test_what_moves_is_not_taken_for_a_lost_marker():
    _counts, velocity, position = session()
    centre_out = position.copy()
    centre_out[300:330] = 0.0  # back at the start, and held there, until the next trial
    centre_out[330:] -= centre_out[330]
    saccades = np.repeat(np.random.default_rng(1).normal(size=(60, 2)), 20, axis=0)
    saccades += 0.01 * np.random.default_rng(2).normal(size=saccades.shape)
    resting = np.where((np.arange(1200) % 100 < 20)[:, None], position, 0.0)
    for values in (position, np.round(position, 3), centre_out, saccades, np.cumsum(velocity, axis=0)):
        assert not lost_samples(values).any()
    assert not lost_samples(resting, np.arange(1200) % 20 == 0).any()


def test_kinematics_of_every_other_bin_teach_as_all_do_and_only_they_are_scored():
    counts, velocity, _ = session()
    half = velocity.copy()
    half[1::2] = np.nan
    recording = recording_from_arrays("r", counts, BIN_S, half)
    ready = recording.to_learn(900)
    assert np.isfinite(ready.velocity[:899]).all()
    assert np.isnan(ready.velocity[901::2]).all()
    np.testing.assert_allclose(ready.velocity[1:898:2], 0.5 * (half[0:897:2] + half[2:899:2]))
    (row,) = compare_decoders(recording, ["ridge"], 3)
    assert row["r2"] > 0.6


def test_positions_slower_than_the_bins_give_the_velocity_between_samples():
    counts, _velocity, position = session()
    for slow in (np.repeat(position[::4], 4, axis=0), np.where(np.arange(1200)[:, None] % 4, np.nan, position)):
        recording = recording_from_arrays("r", counts, BIN_S, None, slow)
        known = np.flatnonzero(np.isfinite(recording.velocity).all(axis=1))[1:]
        np.testing.assert_allclose(recording.velocity[known], (position[known] - position[known - 4]) / (4 * BIN_S))
        assert set(known % 4) == {0}
    assert held_every(np.repeat(position[::4], 4, axis=0)) == 4
    assert held_every(position) == held_every(np.round(position, 2)) == 1
    assert held_every(np.where(np.arange(1200)[:, None] % 3, np.nan, position)) == 1


def test_gaps_are_bridged_within_a_trial_and_only_where_they_are_short():
    table = np.arange(40.0)[:, None] * [1.0, -2.0]
    holed = table.copy()
    holed[[3, 4, 10, 11, 25, 26, 27, 28, 29, 30, 31, 32, 33]] = np.nan
    starts = np.zeros(40, dtype=bool)
    starts[[0, 11]] = True
    filled = bridged(holed, starts, BIN_S)
    np.testing.assert_allclose(filled[:10], table[:10])
    assert np.isnan(filled[[10, 11, 25, 33]]).all()
    assert np.isnan(difference(table[:3], np.array([True, True, True]), BIN_S)).all()


def test_what_cannot_be_scored_is_said():
    counts, velocity, _ = session()
    velocity[900:] = np.nan
    with pytest.raises(BadInput, match="nothing can be scored"):
        recording_from_arrays("r", counts, BIN_S, velocity).to_learn(900)


@pytest.mark.parametrize(
    ("turn_counts", "turn_velocity", "words"),
    [(True, False, "counts must be"), (False, True, "velocity must be"), (True, True, "counts and velocity must be")],
)
def test_turned_tables_are_named(turn_counts, turn_velocity, words):
    counts, velocity, _ = session(units=50)
    arrays = counts.T if turn_counts else counts, velocity.T if turn_velocity else velocity
    with pytest.raises(BadInput, match=f"{words} transposed"):
        recording_from_arrays("r", arrays[0], BIN_S, arrays[1])


@pytest.mark.parametrize("bin_s", [10, 50.0, np.array([[20]])])
def test_milliseconds_are_named(bin_s):
    counts, velocity, _ = session()
    with pytest.raises(BadInput, match=r"if these are milliseconds, save 0\.0"):
        recording_from_arrays("r", counts, bin_s, velocity)


def test_arrays_that_are_not_used_may_hold_anything(tmp_path):
    counts, velocity, _ = session()
    meta = np.array({"subject": "A"}, dtype=object)
    np.savez(tmp_path / "a.npz", counts=counts, bin_s=BIN_S, velocity=velocity, meta=meta)
    assert load_recording(tmp_path / "a.npz").n_bins == 1200
    np.savez(tmp_path / "b.npz", counts=counts.astype(object), bin_s=BIN_S, velocity=velocity)
    with pytest.raises(BadInput, match="'counts' holds Python objects"):
        load_recording(tmp_path / "b.npz")


def cells(items):
    out = np.empty((1, len(items)), dtype=object)
    for index, item in enumerate(items):
        out[0, index] = item
    return out


def write_mat(folder, form, counts, velocity):
    """Write one of the ways in which the same session is kept; return the file with its mapping beside it."""
    cuts = np.split(np.arange(len(counts)), [1, 2, 400, 401, 900])
    order = "units x bins" if form in ("trials", "empty trials") else "bins x units"
    content, paths = {
        "plain": ({"counts": counts, "vel": velocity}, ("counts", "vel")),
        "sparse": ({"counts": scipy.sparse.csc_matrix(counts.astype(float)), "vel": velocity}, ("counts", "vel")),
        "one cell": ({"counts": cells([counts]), "vel": cells([velocity])}, ("counts[*]", "vel[*]")),
        "struct": ({"D": {"spikes": counts, "hand": {"vel": velocity}}}, ("D.spikes", "D.hand.vel")),
        "trials": (
            {"c": cells([counts[c].T for c in cuts]), "v": cells([velocity[c].T for c in cuts])},
            ("c[*]", "v[*]"),
        ),
        "empty trials": (
            {
                "c": cells([np.zeros((0, 0)), *(counts[c].T for c in cuts), np.zeros((0, 0))]),
                "v": cells([np.zeros((0, 0)), *(velocity[c].T for c in cuts), np.zeros((0, 0))]),
            },
            ("c[*]", "v[*]"),
        ),
    }[form]
    scipy.io.savemat(folder / "s.mat", content)
    (folder / "s.mat.toml").write_text(
        f'name="t"\n[counts]\nvariable="{paths[0]}"\norder="{order}"\n[bin]\nwidth_s=0.05\n'
        f'[velocity]\nvariable="{paths[1]}"\nunit="m/s"\n'
    )
    return folder / "s.mat"


@pytest.mark.parametrize("units", [1, 12])
@pytest.mark.parametrize("form", ["plain", "sparse", "one cell", "struct", "trials", "empty trials"])
def test_every_way_of_keeping_a_session_in_matlab_is_the_same_session(tmp_path, form, units):
    counts, velocity, _ = session(units=units)
    recording = load_recording(write_mat(tmp_path, form, counts, velocity))
    np.testing.assert_array_equal(recording.counts, counts)
    np.testing.assert_array_equal(recording.velocity, velocity)


def test_a_decoder_that_cannot_be_fitted_leaves_the_others_in_the_table(monkeypatch):
    from bmi_runtime.decoding import comparison

    counts, velocity, _ = session()
    fit = comparison.fit_decoder

    def failing(name, training):
        if name == "kalman":
            raise np.linalg.LinAlgError("singular matrix")
        return fit(name, training)

    monkeypatch.setattr(comparison, "fit_decoder", failing)
    rows = compare_decoders(recording_from_arrays("r", counts, BIN_S, velocity), ["kalman", "ridge"], 3)
    assert [row["decoder"] for row in rows] == ["ridge", "kalman"]
    assert rows[0]["r2"] > 0.6
    assert "singular matrix" in rows[1]["failed"]
    with pytest.raises(BadInput, match="singular matrix"):
        compare_decoders(recording_from_arrays("r", counts, BIN_S, velocity), ["kalman"], 3)


def test_an_axis_that_rests_most_of_the_time_loses_no_movement():
    """Rest to rounding (1e-17), a movement now and then: every sample of movement stood apart, and was left out."""
    from bmi_runtime.sources.lost_samples import far_samples

    rng, movement = np.random.default_rng(0), 0.25 * np.sin(np.linspace(0, 2 * np.pi, 250))
    velocity = np.column_stack([np.zeros(5000), rng.standard_normal(5000)])
    for begin in (0, 1750, 3500):
        velocity[begin : begin + 250, 0] = movement
    assert 0 < np.abs(movement[-1]) < 1e-15 and not far_samples(velocity).any()
    velocity[100:110, 1], velocity[3000, 1], velocity[0, 1], velocity[4990:, 0] = -9999.0, 1e30, 5e5, 1e9
    assert np.flatnonzero(far_samples(velocity)).tolist() == [0, *range(100, 110), 3000, *range(4990, 5000)]
