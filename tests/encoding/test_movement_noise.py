"""What is learned of how a cursor follows the aim, and goals of subjects that are not as they are assumed to be."""

import math

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.intention import movement_noise
from bmi_runtime.intention.inferred_target import InferredTargetIntention
from bmi_runtime.intention.movement_noise import PRIOR_S, WINDOW_S, MovementNoise

BIN_S = 0.05
LEARNED = ("adapter.label_noise='learned'", "adapter.label_gain='learned'")
PLACES = [(0.1 * math.cos(a), 0.1 * math.sin(a)) for a in np.arange(8) * np.pi / 4]


@pytest.mark.parametrize(("gain", "keep", "sd"), [(0.5, 0.0, 0.03), (1.2, 0.8, 0.06)])
def test_gain_noise_and_its_persistence_are_those_of_the_movement(gain, keep, sd, monkeypatch):
    monkeypatch.setattr(movement_noise, "PRIOR_S", 1e-6)
    noise, rng, last = MovementNoise(BIN_S, 2), np.random.default_rng(4), np.zeros(2)
    found = []
    for number in range(8000):
        aim = 0.2 * np.array([math.cos(number / 7.0), math.sin(number / 11.0)])
        last = keep * last + sd * math.sqrt(1.0 - keep**2) * rng.standard_normal(2)
        noise.learn(gain * aim + last, aim)
        if number > 1000:
            found.append((noise.gain, noise.variance, noise.temper))
    mean_gain, variance, temper = np.mean(found, axis=0)
    window = 1.0 - BIN_S / WINDOW_S
    assert mean_gain == pytest.approx(gain, rel=0.03)
    assert variance == pytest.approx(sd**2, rel=0.1)
    assert temper == pytest.approx((1.0 - window * keep) / (1.0 + window * keep), rel=0.25)  # of first-order noise


def test_at_the_start_the_cursor_is_taken_to_move_as_the_aim_says():
    noise = MovementNoise(BIN_S, 2)
    assert (noise.gain, noise.variance) == (1.0, pytest.approx(0.05**2)) and noise.temper == pytest.approx(0.2)
    for _ in range(round(PRIOR_S / BIN_S)):
        noise.learn(np.zeros(2), np.array([0.2, 0.0]))
    assert noise.gain == pytest.approx(0.5, abs=0.05)


def test_a_gain_that_is_not_learned_is_one():
    noise = MovementNoise(BIN_S, 2, learns_gain=False)
    for _ in range(500):
        noise.learn(np.array([0.05, 0.0]), np.array([0.2, 0.0]))
    assert noise.gain == 1.0 and noise.variance == pytest.approx(0.15**2 / 2.0, rel=0.25)


def _reaches(gain, held_bins=0, seed=0, reaches=40):
    """A cursor that starts each reach anew in the middle, held for some bins; return the labels' share and errors."""
    section = configuration.load(None, [f"session.bin_s={BIN_S}", *LEARNED]).adapter
    intention, rng = InferredTargetIntention(section, BIN_S), np.random.default_rng(seed)
    intention.offer(PLACES, 0.2)
    goals, taught, wrong, told = [], 0, 0, 0.0
    for goal in rng.integers(0, 8, reaches):
        position, aim, error = np.zeros(2), np.zeros(2), np.zeros(2)
        for bin_number in range(held_bins + 24):
            velocity = np.zeros(2)
            if bin_number >= held_bins:
                aim = intention.keep * aim + intention.pull * (np.array(PLACES[goal]) - position)
                error = 0.7 * error + 0.03 * math.sqrt(1 - 0.49) * rng.standard_normal(2)
                velocity = gain * aim + error
            position = position + BIN_S * velocity
            intention.infer([*position, *velocity], (9.0, 9.0, 9.0), 0)
            goals.append(goal)
            if found := intention.likeliest():
                taught, told = taught + 1, told + 1.0 - found[1]
                wrong += found[0] != goals[-1 - intention.lag_bins]
    return taught / len(goals), wrong / max(taught, 1), told / max(taught, 1)


@pytest.mark.parametrize("gain", [0.3, 0.6, 1.0])
def test_slow_cursors_that_are_put_back_and_held_teach_rightly(gain):
    """As in centre-out without a way back: what came before a jump says nothing of the goal after it."""
    share, wrong, told = _reaches(gain, held_bins=4)
    assert share > 0.2 and wrong <= told < 0.06


def _after_reaches(misfit):
    """Return an intention after reaches whose noise is then taken to be larger than the movement."""
    section = configuration.load(None, [f"session.bin_s={BIN_S}", *LEARNED, f"adapter.label_misfit='{misfit}'"]).adapter
    intention, rng, position = InferredTargetIntention(section, BIN_S), np.random.default_rng(2), np.zeros(2)
    intention.offer([*PLACES, (0.0, 0.0)], 0.2)
    for number in range(20):
        aim = np.zeros(2)
        goal = np.array(PLACES[rng.integers(0, 8)] if number % 2 == 0 else (0.0, 0.0))
        for _ in range(24):
            aim = intention.keep * aim + intention.pull * (goal - position)
            velocity = aim + 0.02 * rng.standard_normal(2)
            position = position + BIN_S * velocity
            intention.infer([*position, *velocity], (9.0, 9.0, 9.0), 0)
    return intention


def test_noise_of_guessed_goals_that_exceeds_the_movement_does_not_keep_labels_from_teaching():
    for misfit, teaches in (("aim", True), ("noise", False)):
        intention = _after_reaches(misfit)
        assert intention._explains()
        intention.residual = intention.speed2
        assert intention._explains() == teaches, "noise: as in older recordings"
        other = InferredTargetIntention(intention.config, BIN_S)
        other.offer([*PLACES, (0.0, 0.0)], 0.2)
        other.restore(intention.snapshot())
        assert other.misfit == intention.misfit != intention.residual
        before = {key: value for key, value in intention.snapshot().items() if key != "misfit"}
        other.restore(before)
        assert other.misfit == intention.residual, "a snapshot of before has none"


def test_a_held_cursor_says_nothing():
    section = configuration.load(None, [f"session.bin_s={BIN_S}", *LEARNED]).adapter
    intention = InferredTargetIntention(section, BIN_S)
    intention.offer(PLACES, 0.2)
    intention.infer([0.02, 0.0, 0.1, 0.0], (9.0, 9.0, 9.0), 0)
    before = intention.noise.snapshot()
    for _ in range(200):
        intention.infer([0.02, 0.0, 0.0, 0.0], (9.0, 9.0, 9.0), 0)
    assert intention.likeliest() is None
    assert intention.weights == pytest.approx(np.full(8, 1 / 8), abs=0.01)
    assert before["sums"][0] <= intention.noise.sums[0] < 0.01  # the one bin that moved


def test_recordings_from_before_assume_the_subject():
    before = configuration.as_recorded({"adapter": {"label_lag_s": 0.5}})["adapter"]
    assert (before["label_noise"], before["label_gain"], before["label_misfit"]) == ("assumed", "assumed", "noise")
    now = configuration.load(None).adapter
    assert (now.label_noise, now.label_gain, now.label_misfit) == ("learned", "learned", "aim")
