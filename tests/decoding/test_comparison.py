"""Cross-validated comparison: no leakage, intervals that pair the decoders, measures of the definition."""

import dataclasses

import numpy as np
import pytest
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
    decoded[3, 0] = np.nan
    sums = comparison.segment_sums(true, decoded, np.arange(90) // 20)
    known = np.arange(90) != 3
    assert comparison.r2_of(sums.sum(axis=0)) == pytest.approx(r2_score(true[known], decoded[known]))


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
