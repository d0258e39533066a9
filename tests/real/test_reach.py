"""Monkeys' reaches from motor-cortex counts: the adaptive decoder against published data and against its baselines."""

import numpy as np
import pytest

from bmi_runtime.decoding import baselines
from bmi_runtime.decoding.history import HistoryDecoder
from bmi_runtime.decoding.offline_session import OpenLoopSession, open_loop_config, scores
from bmi_runtime.sources.datafile import load_recording


def decode(path):
    recording = load_recording(path)
    train = recording.split(0.8)
    decoder = HistoryDecoder(recording.n_units, recording.bin_s)
    config = open_loop_config(recording)
    session = OpenLoopSession(config, decoder, recording.trial_start, recording.restart, train)
    for counts, kinematics in zip(recording.counts, recording.kinematics, strict=True):
        session.advance(counts, kinematics)
    answers = {"ours": scores(recording, session.states, train)}
    for name, function in (("ridge", baselines.ridge_states), ("kalman", baselines.kalman_states)):
        answers[name] = scores(recording, function(recording, train), train)
    return {name: np.array([*a["r2_velocity"], *a["r2_position"]]) for name, a in answers.items()}


def test_tracking_monkey(recordings):
    answers = decode(recordings / "reach" / "wu_midterm_train.mat")
    assert np.all(answers["ours"][:2] >= [0.66, 0.82])
    assert np.all(answers["ours"] > answers["ridge"])
    assert np.all(answers["ours"] > answers["kalman"])
    np.testing.assert_allclose(answers["ridge"][:2], [0.65, 0.81], atol=0.02)


@pytest.mark.slow
def test_centre_out_monkey(recordings):
    answers = decode(recordings / "reach" / "m1_stevenson_2011.mat")
    assert np.all(answers["ours"][:2] >= [0.845, 0.73])
    assert np.all(answers["ours"] > answers["ridge"])
    assert np.all(answers["ours"] > answers["kalman"])
    np.testing.assert_allclose(answers["ridge"][:2], [0.84, 0.73], atol=0.01)
