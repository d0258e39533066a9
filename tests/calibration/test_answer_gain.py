"""The gain of any decoder from what it answered: slope, lag; small answers want more gain, and noisy ones less."""

import numpy as np
import pytest
from scipy.signal import lfilter

from bmi_runtime import config as configuration
from bmi_runtime.calibration.aim_fit import Screen, filtered
from bmi_runtime.calibration.answer_gain import GAINS, gain_of_answers
from bmi_runtime.intention.infer import aim_gains
from bmi_runtime.intention.paths import intended_path

CONFIG = configuration.load(None, ["session.bin_s=0.02"])
BINS = 3000


def steered(slope, noise_m_s, lag=0, seed=0):
    """Steer to targets on a ring through answers that are `slope` of the intention, late by `lag` bins, and noisy."""
    rng = np.random.default_rng(seed)
    keep, pull = aim_gains(6.0, 0.02)
    tuning = 6.0 * rng.standard_normal((2, 30))
    cursor, meant, goal = np.zeros(2), np.zeros(2), np.array([0.1, 0.0])
    seen, goals, intended, answers = (np.zeros((BINS, 2)) for _ in range(4))
    counts = np.zeros((BINS, 30))
    for t in range(BINS):
        if t % 60 == 0:
            angle = rng.integers(8) * np.pi / 4
            goal = 0.1 * np.array([np.cos(angle), np.sin(angle)]) * (t % 120 == 0)
        seen[t], goals[t] = cursor, goal
        meant = keep * meant + pull * (goal - cursor)
        intended[t] = meant
        counts[t] = rng.poisson(0.4 * np.exp(np.clip(meant @ tuning, -3.0, 3.0)))
        answers[t] = slope * intended[max(t - lag, 0)] + noise_m_s * rng.standard_normal(2)
        cursor = cursor + 0.02 * answers[t]
    return answers, counts, Screen(seen, goals, np.ones(BINS, bool)), CONFIG


def test_slope_and_lag_are_found():
    found = gain_of_answers(*steered(0.6, 0.05, lag=3))
    assert found.slope == pytest.approx(0.6, abs=0.1)
    assert 0.0 <= found.lag_s + found.aim.mean[1] <= 0.14  # a late answer, or late eyes: the loop is late by both
    assert not found.aim.note and len(found.hits_per_minute) == len(GAINS)


def test_small_answers_want_more_gain_and_noise_costs_gain_and_hits():
    whole, small, loud = (gain_of_answers(*steered(*given)) for given in ((1.0, 0.02), (0.5, 0.02), (1.0, 0.4)))
    assert small.gain > 1.5 * whole.gain and loud.gain < whole.gain
    assert loud.hits_per_minute.max() < 0.9 * whole.hits_per_minute.max()


def test_the_filter_of_the_aim_is_that_of_the_textbook():
    rng = np.random.default_rng(4)
    rows, coefficients = rng.normal(size=(30, 2)), rng.normal(size=5)
    np.testing.assert_allclose(filtered(coefficients, rows), lfilter(coefficients, [1.0], rows, axis=0), rtol=1e-12)
    assert (filtered(np.ones(1), rows) == rows).all()


def test_the_intended_path_is_a_first_order_filter_of_the_error():
    seen, target = np.random.default_rng(5).normal(size=(2, 400, 3))
    keep, pull = aim_gains(2 * np.pi * 0.9, 0.02)
    expected = lfilter([pull], [1.0, -keep], target - seen, axis=0)
    np.testing.assert_allclose(intended_path([0.9, 0.0, 0.0], seen, target, 0.02), expected, rtol=1e-9, atol=1e-12)
