"""Cross-validated comparison: no leakage, intervals that pair the decoders, measures of the definition."""

import dataclasses

import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.metrics import r2_score

from bmi_runtime.decoding import comparison, fitting
from bmi_runtime.decoding.history import HistoryDecoder
from bmi_runtime.decoding.offline_session import OpenLoopSession, open_loop_config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import recording_from_arrays


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(5)
    velocity = np.zeros((1200, 2))
    for index in range(1, 1200):
        velocity[index] = 0.9 * velocity[index - 1] + 0.4 * rng.normal(size=2)
    counts = rng.poisson(np.exp(0.3 + 0.5 * velocity @ rng.normal(size=(2, 8))))
    return recording_from_arrays("made", counts, 0.05, velocity)


def test_training_never_touches_a_block_or_its_edges(recording):
    data = comparison.training_of(recording)
    seen = []
    for train, test in comparison.blocks(data, 5):
        assert np.abs(train[:, None] - test[None, :]).min() > comparison.PURGE_S / 0.05
        part = data.part(train)
        assert part.restart.sum() == 1 + (test[0] > 0 and test[-1] < 1199)
        seen.append(test)
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(1200))


def test_a_block_is_decoded_the_same_whatever_its_own_kinematics_were(recording):
    """The strongest test of leakage: the truth of the held-out block is replaced by noise and nothing changes."""
    data = comparison.training_of(recording)
    _, test = comparison.blocks(data, 4)[1]
    spoiled = data.kinematics.copy()
    spoiled[test] = np.random.default_rng(1).normal(size=(len(test), 4)) * 100.0
    spoiled[:, :2] = np.nan
    other = dataclasses.replace(data, kinematics=spoiled)
    for name in ("kalman-velocity", "ridge", "ole", "point-process"):
        states = [comparison.held_out_states(d, [name], 4)[name][test] for d in (data, other)]
        np.testing.assert_array_equal(*states)


def test_r2_of_summed_segments_is_scikit_learns():
    rng = np.random.default_rng(8)
    true, decoded = rng.normal(size=(2, 90, 2))
    decoded[3, 0] = true[5, 1] = np.nan
    sums = comparison.segment_sums(true, decoded, np.arange(90) // 20)
    known = [np.flatnonzero((np.arange(90) != 5) & np.isfinite(column)) for column in decoded.T]
    each = [r2_score(true[rows, axis], decoded[rows, axis]) for axis, rows in enumerate(known)]
    assert [len(rows) for rows in known] == [88, 89]  # of an axis that was not decoded the others lose nothing
    assert comparison.r2_of(sums.sum(axis=0)) == pytest.approx(np.mean(each))


class Noisy:
    def __init__(self, sd):
        self.sd, self.rng = sd, np.random.default_rng(3)

    def reset(self):
        self.index = 0

    def predict(self, counts):
        return np.concatenate([[np.nan, np.nan], counts + self.sd * self.rng.normal(size=2)])

    def on_done(self):
        pass


def test_intervals_pair_the_decoders(monkeypatch):
    """A decoder that is hardly worse on every segment is surely worse, though the two intervals overlap by far."""
    rng = np.random.default_rng(6)
    velocity = rng.normal(size=(2000, 2)) * np.repeat(rng.uniform(0.3, 3.0, 10), 200)[:, None]
    recording = recording_from_arrays("made", velocity + 0.5, 0.05, velocity)
    monkeypatch.setattr(comparison, "fit_decoder", lambda name, training: Noisy(float(name)))
    best, worse = comparison.compare_decoders(recording, ["0.60", "0.50"])
    assert (best["decoder"], worse["decoder"]) == ("0.50", "0.60")
    assert best["interval"][0] < worse["r2"] < best["interval"][1]
    assert worse["behind_best_interval"][0] > 0
    assert best["behind_best_interval"] == [0.0, 0.0]
    assert worse["r2_position"] is None


def test_too_many_folds_are_refused(recording):
    for folds, words in ((1, "1 folds cannot"), (1000, "leave")):
        with pytest.raises(BadInput, match=words):
            comparison.compare_decoders(recording, ["ridge"], folds)


def test_history_decoder_goes_on_as_a_session_does(recording):
    """`bmi decode` starts the test part from the last known kinematics, a fold starts blank: the rest is the same."""
    data = comparison.training_of(recording)
    decoder = fitting.fit_decoder("history", data.part(slice(0, 900)))
    states = comparison.decode_all(decoder, data.part(slice(900, None)))
    np.testing.assert_allclose(states, comparison.decode_all(decoder, data.part(slice(900, None))))
    live = HistoryDecoder(8, 0.05, has_position=False)
    session = OpenLoopSession(open_loop_config(recording), live, recording.trial_start, recording.restart, 900)
    for counts, kinematics in zip(recording.counts, recording.kinematics, strict=True):
        session.advance(counts, kinematics)
    np.testing.assert_allclose(states[100:], session.states[1000:], atol=1e-3)


def test_an_axis_that_rests_where_a_fold_learns_is_not_decoded_there_and_the_others_are():
    """Blocks in which one axis is moved after the other, as in FALCON's H1, were refused."""
    rng = np.random.default_rng(11)
    velocity = 0.3 * lfilter([0.2], [1.0, -0.8], rng.normal(size=(2000, 3)), axis=0)
    velocity[:1000, 1] = 0.0
    velocity[500:, 2] = 0.0
    counts = rng.poisson(np.exp(-1.0 + velocity @ rng.normal(0.0, 4.0, (3, 20))).clip(max=8.0)).astype(float)
    recording = recording_from_arrays("r", counts, 0.02, velocity)
    rests: dict[int, list[int]] = {}
    (row,) = comparison.compare_decoders(recording, ["ridge"], 4, rests=rests)
    assert rests == {2: [1]}  # what moves in the first block alone is not known to who learns from the rest
    plane = recording_from_arrays("r", counts, 0.02, velocity[:, :2])
    alone = comparison.held_out_states(comparison.training_of(plane), ["ridge"], 4)["ridge"]
    whole = comparison.held_out_states(comparison.training_of(recording), ["ridge"], 4)["ridge"]
    np.testing.assert_allclose(whole[:500, 3:5], alone[:500, 2:])  # as if the file held the others alone
    assert np.isnan(whole[:500, 5]).all() and np.isfinite(whole[500:, 3:]).all()
    assert row["r2_velocity"][2] is None and min(row["r2_velocity"][:2]) > 0.2
    assert row["r2"] == pytest.approx(np.mean(row["r2_velocity"][:2])) and row["interval"][0] < row["r2"]


def test_an_axis_that_rests_in_the_training_part_is_left_out_of_what_is_decoded():
    velocity = np.random.default_rng(12).normal(size=(400, 3))
    velocity[:320, 1] = 0.0
    recording = recording_from_arrays("r", np.ones((400, 2)) * np.arange(2), 0.02, velocity)
    moving, rests = recording.moving_in(320)
    assert (moving.axes, moving.given_axes, rests) == (("x", "z"), ("x", "y", "z"), ["y"])
    np.testing.assert_array_equal(moving.velocity, velocity[:, [0, 2]])
    assert recording.moving_in(400) == (recording, [])
