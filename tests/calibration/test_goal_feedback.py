"""How long goals that are read from the decoder itself hold up, against decoders run until they were lost."""

import itertools

import numpy as np
import pytest

from bmi_runtime.calibration.goal_feedback import GoalLoop
from bmi_runtime.calibration.label_feedback import LabelLoop
from bmi_runtime.errors import BadInput
from tests.calibration.lives import mean_life

ANGLES = np.arange(8) * np.pi / 4
RING, LINE = np.c_[np.cos(ANGLES), np.sin(ANGLES)], np.array([[1.0], [-1.0]])
CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
LOOPS = [
    GoalLoop(LINE, 60, 0.1, 2.0, 5),
    GoalLoop(RING[::2], 60, 0.1, 1.0, 10),
    GoalLoop(RING, 150, 0.2, 1.0, 20),
    GoalLoop(CORNERS, 100, 0.1, 1.0, 10),
]


def lived(loop, rate, most_bins, seed):
    """Return after how many bins a decoder of real units that teaches itself was lost, and whether it was."""
    rng, axes = np.random.default_rng(seed), loop.goals.shape[1]
    gains = np.linalg.qr(rng.standard_normal((loop.units, axes)))[0] * np.sqrt(loop.gain_variance * loop.units)
    weights, known = gains.copy(), loop._steady(rate) * np.eye(axes)
    for run in range(int(most_bins) // loop.run_bins):
        goal = loop.goals[rng.integers(len(loop.goals))]
        seen = gains @ goal + np.sqrt(loop.noise_variance) * rng.standard_normal((loop.run_bins, loop.units))
        label = loop.goals[np.argmax(loop.goals @ (weights.T @ seen.mean(axis=0)))]
        for row in seen:  # the Kalman filter, bin by bin; all units have one covariance
            known = known + rate * np.eye(axes)
            gain = known @ label / (loop.noise_variance + label @ known @ label)
            weights = weights + np.outer(row - weights @ label, gain)
            known = known - np.outer(gain, known @ label)
        read = loop.goals @ (weights.T @ gains) @ loop.goals.T  # of every goal, what each candidate is worth
        if (read.argmax(axis=0) != np.arange(len(loop.goals))).mean() > 0.5:
            return (run + 1) * loop.run_bins, True
    return most_bins, False


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS, ids=["line", "four on a ring", "eight on a ring", "corners of a cube"])
def test_the_largest_rate_is_right_within_a_factor_of_one_and_a_half(loop):
    session = 3000
    rate = loop.largest_rate(session)
    assert mean_life(lived, loop, rate / 1.5, 4 * session, 12) > session
    assert mean_life(lived, loop, rate * 1.5, 4 * session, 12) < session


def test_along_one_axis_it_is_the_chain_that_is_solved():
    chain, loop = LabelLoop(60, 0.1, 2.0, 5), LOOPS[0]
    assert loop.largest_rate(1000) == pytest.approx(chain.largest_rate(1000), rel=0.35)


def test_goals_closer_together_and_fewer_units_are_lost_sooner():
    four, eight = LOOPS[1].largest_rate(1000), GoalLoop(RING, 60, 0.1, 1.0, 10).largest_rate(1000)
    assert eight < four
    assert GoalLoop(RING[::2], 30, 0.1, 1.0, 10).largest_rate(1000) < four


def test_a_turn_by_less_than_half_the_angle_between_goals_comes_back():
    loop = GoalLoop(RING, 400, 0.5, 1.0, 10)
    for degrees, comes_back in ((15.0, True), (40.0, False)):
        turn = np.radians(degrees)
        shared = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])[None].copy()
        known, spread = loop._steady(1e-5) * np.eye(2)[None].copy(), np.zeros((1, 2, 2))
        rng = np.random.default_rng(0)
        for _ in range(400):
            loop._run(1e-5, rng, shared, known, spread)
        assert (loop._mistaken(shared)[0] == 0.0) == comes_back


def test_what_cannot_be_is_refused():
    with pytest.raises(BadInput, match="two goals"):
        GoalLoop(np.zeros((3, 2)), 5, 1.0, 1.0, 3)
    with pytest.raises(BadInput, match="variances above zero"):
        GoalLoop(RING, 5, 0.0, 1.0, 3)
    with pytest.raises(BadInput, match="above zero"):
        LOOPS[1].lives(0.0, 100)
