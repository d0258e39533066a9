"""How a subject aims, found in loops that what the units leave over closes as well."""

import numpy as np
import pytest

from bmi_runtime.calibration.aim_fit import ASSUMED, Screen, fit_aim, shaped
from bmi_runtime.intention.infer import aim_gains

BIN_S, BINS, LATE = 0.02, 6000, 5
TRUE = 0.9, LATE * BIN_S


def loop(seed, answer, keep_noise=0.0, own=0.0, axes=2):
    """Return what a sum of units said, and the screen, of a subject who steers by what a decoder makes of that sum.

    Parameters
    ----------
    answer : callable
        What the units make of an intended velocity, (axes,).
    keep_noise, own : float
        What the noise, and the sum itself, keep from bin to bin.
    """
    rng = np.random.default_rng(seed)
    keep, pull = aim_gains(2.0 * np.pi * TRUE[0], BIN_S)
    cursor, target, reading = (np.zeros((BINS, axes)) for _ in range(3))
    place, goal, velocity, decoded, noise = (np.zeros(axes) for _ in range(5))
    said = np.zeros(axes)
    for t in range(BINS):
        if np.linalg.norm(goal - place) < 0.015 or t % 150 == 0:
            goal = rng.uniform(-0.1, 0.1, axes)
        cursor[t], target[t] = place, goal
        velocity = keep * velocity + pull * (goal - cursor[max(t - LATE, 0)])
        noise = keep_noise * noise + rng.standard_normal(axes) * 0.1 * np.sqrt(1.0 - keep_noise**2)
        said = own * said + (1.0 - own) * answer(velocity) + noise
        reading[t] = said
        decoded = 0.8 * decoded + 0.2 * said
        place = np.clip(place + BIN_S * decoded, -0.2, 0.2)
    return reading, Screen(cursor, target, np.ones(BINS, bool))


def uneven(velocity):
    """Units whose preferred directions do not cancel: rates that grow exponentially leave squares over."""
    x, y = velocity[:2]
    return velocity + np.append([4.0 * x * x, 3.0 * x * y], np.zeros(len(velocity) - 2))


@pytest.mark.parametrize(
    ("answer", "keep_noise", "own"),
    [(lambda v: v, 0.0, 0.0), (uneven, 0.0, 0.0), (lambda v: v, 0.9, 0.0), (uneven, 0.9, 0.0), (lambda v: v, 0.0, 0.5)],
    ids=["plain", "uneven", "noise that lasts", "both", "own past"],
)
def test_aims_are_found_within_their_errors(answer, keep_noise, own):
    away = []
    for seed in range(3):
        reading, screen = loop(seed, answer, keep_noise, own)
        aim = fit_aim(reading, screen, BIN_S)
        assert aim.note == ""
        away.append((aim.mean[:2] - TRUE) / np.sqrt(aim.covariance.diagonal()[:2]))
        assert aim.covariance[0, 0] < 0.2**2 and aim.covariance[1, 1] < 0.05**2  # it is known
    assert np.abs(away).max() < 4.0 and np.sqrt(np.mean(np.square(away))) < 2.0, away


def test_shapes_of_one_to_eight_axes():
    rng = np.random.default_rng(1)
    for axes, columns in ((1, 4), (2, 8), (3, 13), (4, 9), (8, 17)):
        velocity = rng.standard_normal((10, axes))
        found = shaped(velocity)
        assert found.shape == (10, columns)
        np.testing.assert_allclose(found[:, :axes], velocity)
        if axes == 2:
            np.testing.assert_allclose(found[:, 5:], velocity[:, [0, 0, 1]] * velocity[:, [0, 1, 1]])
    reading, screen = loop(1, lambda v: v, axes=3)
    assert abs(fit_aim(reading, screen, BIN_S).mean[0] - TRUE[0]) < 0.3


def test_an_aim_is_assumed_where_no_bins_in_a_row_are_known():
    """Every second bin of 5 ms is missing: no stretch of 20 ms is whole, and nothing is left to fit."""
    reading, screen = loop(1, lambda v: v)
    usable = np.arange(BINS) % 2 == 0
    aim = fit_aim(reading[usable], Screen(screen.cursor, screen.target, usable), BIN_S / 4)
    assert "assumed" in aim.note
    np.testing.assert_array_equal(aim.mean, ASSUMED)
