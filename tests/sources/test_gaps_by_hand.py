"""Gaps in kinematics, bin by bin: what is bridged, what velocity is known, how often a position is really sampled."""

import itertools
import math

import numpy as np
import pytest

from bmi_runtime.sources.gaps import LONGEST_GAP_S, bridged, difference, held_every, without_held


def broken(seed, axes=2):
    """Return positions with gaps, trial starts, and a width of bins."""
    rng = np.random.default_rng(seed)
    bins, bin_s = int(rng.integers(3, 60)), rng.choice([0.01, 0.05, 0.1, 0.3])
    position = np.cumsum(rng.normal(size=(bins, axes)), axis=0)
    for _ in range(rng.integers(0, 5)):
        begin = rng.integers(0, bins)
        position[begin : begin + rng.integers(1, 8)] = np.nan
    starts = rng.random(bins) < 0.1
    starts[0] = True
    return position, starts, float(bin_s)


def near(bins, bin_s):
    return bins * bin_s <= LONGEST_GAP_S + 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_short_gaps_are_bridged_by_a_line_within_a_trial_and_no_other(seed):
    position, starts, bin_s = broken(seed)
    trial, wanted = np.cumsum(starts), position.copy()
    for axis in range(position.shape[1]):
        known = [k for k in range(len(position)) if math.isfinite(position[k, axis])]
        for left, right in itertools.pairwise(known):
            if right - left > 1 and near(right - left, bin_s) and trial[left] == trial[right]:
                for k in range(left + 1, right):
                    share = (k - left) / (right - left)
                    wanted[k, axis] = (1.0 - share) * position[left, axis] + share * position[right, axis]
    np.testing.assert_allclose(bridged(position, starts, bin_s), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_a_velocity_is_what_was_moved_since_the_last_known_place_of_the_trial(seed):
    position, starts, bin_s = broken(seed)
    trial, wanted, last, fresh = np.cumsum(starts), np.full(position.shape, np.nan), None, True
    for k in range(len(position)):
        if not np.isfinite(position[k]).all():
            continue
        follows = last is not None and trial[k] == trial[last] and (k - last == 1 or near(k - last, bin_s))
        if follows:
            wanted[k] = (position[k] - position[last]) / ((k - last) * bin_s)
            if fresh:
                wanted[last] = wanted[k]
        last, fresh = k, not follows
    np.testing.assert_allclose(difference(position, starts, bin_s), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("every", [1, 2, 3, 5, 12])
def test_a_position_that_is_sampled_slower_than_the_bins_is_known(every):
    rng = np.random.default_rng(every)
    samples = np.cumsum(rng.normal(size=(60, 2)), axis=0)
    held = np.repeat(samples, every, axis=0)
    held[: 3 * every] = np.nan  # the tracker had not begun
    assert held_every(held) == every
    taken = without_held(held)
    known = np.isfinite(taken).all(axis=1)
    assert known.sum() == 57 and set(np.diff(np.flatnonzero(known))) == {every}
    np.testing.assert_array_equal(taken[known], held[known])


def test_a_hand_at_rest_is_not_sampled_slowly():
    rng = np.random.default_rng(0)
    parts = [np.cumsum(rng.normal(size=(int(rng.integers(5, 40)), 2)), axis=0) for _ in range(10)]
    resting = [np.concatenate([part, np.repeat(part[-1:], rng.integers(5, 40), axis=0)]) for part in parts]
    assert held_every(np.concatenate(resting)) == 1
