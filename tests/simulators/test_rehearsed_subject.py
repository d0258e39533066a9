"""The subject of a fitted world: late in what it sees, later in what it is told, and never faster than its pilot."""

import math

import numpy as np
import pytest

from simulators.rehearsed import FittedSubjectAction

BIN_S = 0.01


def subject(axes, frequency_hz=1.0, delay_s=0.0, reaction_s=0.0, noise=0.0, fastest_m_s=9.0, seed=1):
    parameters = np.array([frequency_hz, delay_s, reaction_s, noise])
    return FittedSubjectAction(parameters, fastest_m_s, BIN_S, np.random.default_rng(seed), axes)


@pytest.mark.parametrize("axes", [1, 2, 3, 7])
def test_it_goes_straight_to_the_target_without_overshoot(axes):
    made, target = subject(axes), np.r_[np.linspace(0.1, -0.06, axes), 0.02]
    cursor, path = np.zeros(axes), []
    for _ in range(300):
        cursor = cursor + BIN_S * np.array(made.intend(cursor, target))
        path.append(cursor)
    along = np.array(path) @ target[:axes] / (target[:axes] @ target[:axes])
    np.testing.assert_allclose(path, along[:, None] * target[:axes], atol=1e-12)  # on the line
    assert (np.diff(along) > -1e-12).all() and along[-1] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("reaction_s", [0.0, 0.2])
@pytest.mark.parametrize("delay_s", [0.0, 0.1])
def test_a_new_target_moves_it_after_its_reaction_and_a_cursor_after_its_delay(delay_s, reaction_s):
    made, still, place = subject(2, delay_s=delay_s, reaction_s=reaction_s), (0.0, 0.0), (0.1, 0.0, 0.02)
    for _ in range(60):
        assert made.intend(still, (0.0, 0.0, 0.02)) == [0.0, 0.0]
    moved = [made.intend(still, place)[0] > 0.0 for _ in range(60)]
    assert moved.index(True) == round(reaction_s / BIN_S)
    for _ in range(200):  # pushed away from where it rests
        made.intend(place[:2], place)
    before = made.intend(place[:2], place)[0]
    pushed = [abs(made.intend((0.12, 0.0), place)[0] - before) > 1e-6 for _ in range(60)]
    assert pushed.index(True) == round(delay_s / BIN_S)


@pytest.mark.parametrize("axes", [1, 3])
def test_its_speed_is_limited_in_the_same_direction(axes):
    slow, fast = subject(axes, fastest_m_s=0.05), subject(axes)
    target = np.r_[np.full(axes, 0.5), 0.02]
    for _ in range(20):
        limited, free = slow.intend(np.zeros(axes), target), fast.intend(np.zeros(axes), target)
        assert math.hypot(*limited) <= 0.05 + 1e-12
        if math.hypot(*free) > 0.0 and math.hypot(*limited) > 0.0:
            np.testing.assert_allclose(np.array(limited) / math.hypot(*limited), np.array(free) / math.hypot(*free))
    assert math.hypot(*limited) == pytest.approx(0.05)


def test_its_noise_grows_with_its_speed_and_is_that_of_the_seed():
    noisy, same, clean = subject(2, noise=0.3, seed=4), subject(2, noise=0.3, seed=4), subject(2)
    target, ratios = (0.1, 0.05, 0.02), []
    for _ in range(4000):
        told, plain = noisy.intend((0.0, 0.0), target), clean.intend((0.0, 0.0), target)
        assert same.intend((0.0, 0.0), target) == told
        ratios += [(a - b) / math.hypot(*plain) for a, b in zip(told, plain, strict=True)]
    assert np.mean(ratios) == pytest.approx(0.0, abs=0.02) and np.std(ratios) == pytest.approx(0.3, rel=0.05)
    resting = subject(2, noise=0.3)
    assert resting.intend((0.1, 0.0), (0.1, 0.0, 0.02)) == [0.0, 0.0]  # at rest there is none
