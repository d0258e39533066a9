"""Kinematics that were not recorded in every bin: short gaps are bridged for learning, and never for scoring."""

from __future__ import annotations

import numpy as np

LONGEST_GAP_S = 0.4
"""Between two known values that are farther apart nothing is said to be known (ours: a hand turns in less)."""
HELD_SHARE = 0.5  # of the changes of a held value: more come at the usual interval
FEWEST_CHANGES = 20  # from which an interval can be told


def bridged(table: np.ndarray, starts: np.ndarray, bin_s: float) -> np.ndarray:
    """Return a table whose short gaps are filled by linear interpolation within a trial.

    Parameters
    ----------
    table : ndarray, shape (bins, columns)
        NaN where a value is not known; each column has gaps of its own.
    starts : ndarray of bool, shape (bins,)
        First bins of trials.
    bin_s : float
        Width of a bin, s.
    """
    trial = np.cumsum(starts)
    filled = table.copy()
    for column in filled.T:
        rows = np.flatnonzero(np.isfinite(column))
        if len(rows) < 2 or len(rows) == len(column):
            continue
        after = np.searchsorted(rows, np.arange(len(column)))
        inside = (after > 0) & (after < len(rows)) & ~np.isfinite(column)
        left, right = rows[after[inside] - 1], rows[after[inside]]
        near = ((right - left) * bin_s <= LONGEST_GAP_S + 1e-9) & (trial[left] == trial[right])
        gaps = np.flatnonzero(inside)[near]
        column[gaps] = np.interp(gaps, rows, column[rows])
    return filled


def difference(position: np.ndarray, trial_start: np.ndarray, bin_s: float) -> np.ndarray:
    """Return the velocity as the backward difference of the position, forward at the first bin of a trial.

    Over a short gap it is the mean velocity since the last known position; a trial of one bin has none (NaN).

    Parameters
    ----------
    position : ndarray, shape (bins, axes)
    trial_start : ndarray of bool, shape (bins,)
    bin_s : float
    """
    trial = np.cumsum(trial_start)
    rows = np.flatnonzero(np.isfinite(position).all(axis=1))
    velocity = np.full(position.shape, np.nan)
    if len(rows) < 2:
        return velocity
    apart = np.diff(rows)
    follows = (trial[rows[1:]] == trial[rows[:-1]]) & ((apart == 1) | (apart * bin_s <= LONGEST_GAP_S + 1e-9))
    step = np.diff(position[rows], axis=0) / (apart * bin_s)[:, None]
    velocity[rows[1:][follows]] = step[follows]
    first = np.flatnonzero(~np.r_[False, follows][:-1] & follows)
    velocity[rows[first]] = step[first]
    return velocity


def held_every(position: np.ndarray) -> int:
    """Return how many bins a position is held for when it is sampled slower than the bins; 1 where it is not.

    Held means that it changes in every k-th bin and hardly ever in two bins in a row.
    """
    known = position[np.isfinite(position).all(axis=1)]
    changes = np.flatnonzero((np.diff(known, axis=0) != 0).any(axis=1))
    apart = np.diff(changes)
    if len(apart) < FEWEST_CHANGES:
        return 1
    usual = int(np.median(apart))
    regular = (np.abs(apart - usual) <= (usual > 2)).mean() > HELD_SHARE and (apart == 1).mean() < 0.02
    return usual if usual > 1 and regular else 1


def without_held(position: np.ndarray) -> np.ndarray:
    """Return a position with NaN where it only repeats the bin before: the samples that were really taken."""
    repeated = np.r_[False, (np.diff(position, axis=0) == 0).all(axis=1)]
    return np.where(repeated[:, None], np.nan, position)
