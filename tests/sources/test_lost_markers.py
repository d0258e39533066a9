"""Lost markers in tracked kinematics: real movement is never taken for one, and what trackers write is found."""

import numpy as np
import pytest

from bmi_runtime.sources.lost_samples import jumps, lost_samples


def hand(rng, rate_hz, axes=2, seconds=60.0, resolution=1e-4):
    """Return minimum-jerk reaches between random places with rests, as a tracker of this resolution (m) gives them."""
    pieces, here = [], rng.normal(0.0, 0.1, axes)
    while sum(map(len, pieces)) < seconds * rate_hz:
        there = rng.normal(0.0, 0.1, axes)
        tau = np.linspace(0.0, 1.0, max(round(rng.uniform(0.3, 1.0) * rate_hz), 2))[:, None]
        pieces.append(here + (there - here) * (10 * tau**3 - 15 * tau**4 + 6 * tau**5))
        pieces.append(np.repeat(there[None], round(rng.uniform(0.0, 1.0) * rate_hz), axis=0))
        here = there
    path = np.concatenate(pieces)
    tremor = rng.normal(0.0, 3e-4, path.shape) * rng.choice([0.0, 1.0])
    return np.round((path + tremor) / resolution) * resolution + rng.normal(0.0, 0.5, axes)


@pytest.mark.parametrize("seed", range(24))
def test_movement_and_rest_are_no_lost_markers_whatever_the_rate_scale_and_resolution(seed):
    rng = np.random.default_rng(seed)
    rate_hz = rng.choice([20.0, 100.0, 1000.0])
    position = hand(rng, rate_hz, axes=int(rng.integers(1, 4)), resolution=rng.choice([1e-6, 1e-4, 1e-3]))
    position *= rng.choice([1.0, 100.0, 1000.0])  # m, cm, mm
    assert not lost_samples(position).any()
    assert len(jumps(position, np.arange(len(position)) / rate_hz)) == 0


@pytest.mark.parametrize("seed", range(24))
def test_what_trackers_write_for_a_lost_marker_is_found_and_hardly_anything_else(seed):
    rng = np.random.default_rng(100 + seed)
    position = hand(rng, rng.choice([20.0, 100.0]))
    sentinel = [-9999.0, 0.0, 1e6, float(2**31 - 1)][seed % 4]
    if sentinel == 0.0:
        position += 1.5 - position.min()  # a zero within reach of the hand is a place, not a sign
    planted = np.zeros(len(position), dtype=bool)
    for start in rng.choice(np.arange(50, len(position) - 80), 6, replace=False):
        planted[start : start + rng.integers(1, 30)] = True
    given = np.where(planted[:, None], sentinel, position)
    found = lost_samples(given)
    assert found[planted].all()
    assert np.sum(found & ~planted) <= 2  # of a movement between two losses


@pytest.mark.parametrize("seed", range(6))
def test_trials_that_start_elsewhere_are_no_lost_markers(seed):
    rng = np.random.default_rng(200 + seed)
    parts = [hand(rng, 50.0, seconds=4.0) for _ in range(12)]
    starts = np.zeros(sum(map(len, parts)), dtype=bool)
    starts[np.cumsum([0, *map(len, parts[:-1])])] = True
    assert not lost_samples(np.concatenate(parts), starts).any()
