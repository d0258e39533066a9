"""Samples of a tracked hand or cursor that are not where it was: lost markers, which trackers write as a number.

What they write differs: NaN, zeros, -9999, the largest integer. Three rules find them, all ours. A sample is *far* when
its distance from the median stands apart from all others by a factor of twenty, and it is jumped to or from: movement
passes through every distance on its way, also where an axis is at rest (to rounding) for most of the time. A stretch is
*frozen out* when the position jumps into it, stays at exactly one value and jumps out again; where it is shorter than
three samples it must also come back to where it was. A value *returns* when it stands in several stretches, and is
entered and left by jumps as a rule.
"""

from __future__ import annotations

import itertools

import numpy as np

FAR_RATIO = 20.0  # between neighbours in order of size: no movement jumps so
AT_ONCE = 0.5  # of the distance from the median: one step leads so far into or out of a marker
FAR_SHARE = 0.2  # more than a fifth of all samples is not an exception
FEWEST = 20  # samples from which this can be told
FEWEST_RETURNS = 4  # samples of one same value
JUMP_RATIO = 4.0  # of a step to the usual ones
USUAL_QUANTILE = 0.9  # of the steps that move


def lost_samples(position: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
    """Return which samples of a position are lost markers.

    Parameters
    ----------
    position : ndarray, shape (samples, axes)
        NaN where nothing was recorded, which is not lost again.
    starts : ndarray of bool, shape (samples,), optional
        Where a trial starts: a jump there is none.

    Returns
    -------
    ndarray of bool, shape (samples,)
    """
    lost = far_samples(position)
    rows = np.flatnonzero(np.isfinite(position).all(axis=1) & ~lost)
    if len(rows) < FEWEST:
        return lost
    seams = np.zeros(len(rows), dtype=bool) if starts is None else starts[rows]
    found = _returns(position[rows], seams)
    lost[rows[found]] = True
    rows, seams = rows[~found], seams[~found]
    tracks = [
        position[rows],
        *(position[rows][:, [axis]] for axis in range(position.shape[1]) if position.shape[1] > 1),
    ]
    for track in tracks:
        lost[rows[_frozen_out(track, seams)]] = True
    return lost


def far_samples(values: np.ndarray) -> np.ndarray:
    """Return which samples stand apart from all others by their distance from the median, shape (samples,)."""
    known = np.isfinite(values).all(axis=1)
    far = np.zeros(len(values), dtype=bool)
    for column in values[known].T:
        far[known] |= _jumped_to(_far(column), column)
    return far


def _jumped_to(far: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return those stretches of far samples that are entered or left by half of their distance or more at once."""
    if not far.any():
        return far
    edges = np.flatnonzero(np.diff(np.r_[False, far, False]))
    steps = np.abs(np.diff(column))
    away = np.abs(column - np.median(column))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        largest = away[begin:end].max()
        into = steps[begin - 1] if begin else largest
        out = steps[end - 1] if end < len(column) else largest
        if max(into, out) < AT_ONCE * largest:
            far[begin:end] = False
    return far


def _far(column: np.ndarray) -> np.ndarray:
    away = np.abs(column - np.median(column)) if len(column) else column
    ordered = np.sort(away[away > 0])
    first = max(len(ordered) - int(FAR_SHARE * len(column)), FEWEST)
    if first >= len(ordered):
        return np.zeros(len(column), dtype=bool)
    apart = np.flatnonzero(ordered[first:] > FAR_RATIO * ordered[first - 1 : -1])
    if not len(apart):
        return np.zeros(len(column), dtype=bool)
    return away >= ordered[first + apart[0]]


def _steps(position: np.ndarray, seams: np.ndarray) -> np.ndarray:
    steps = np.linalg.norm(np.diff(position, axis=0), axis=1)
    steps[seams[1:]] = 0.0
    return steps


def _returns(position: np.ndarray, seams: np.ndarray) -> np.ndarray:
    """Return the samples of the most frequent value, where it is entered and left by jumps as a rule."""
    rows, which, number = np.unique(position, axis=0, return_inverse=True, return_counts=True)
    common = int(number.argmax())
    there = which.ravel() == common
    none = np.zeros(len(position), dtype=bool)
    into, away = np.flatnonzero(~there[:-1] & there[1:]), np.flatnonzero(there[:-1] & ~there[1:])
    if number[common] < FEWEST_RETURNS or min(len(into), len(away)) < 2 or len(rows) < FEWEST:
        return none
    steps = _steps(position, seams)
    usual = steps[~there[:-1] & ~there[1:]]
    usual = usual[usual > 0]
    if len(usual) < FEWEST:
        return none
    limit = JUMP_RATIO * np.quantile(usual, USUAL_QUANTILE)
    return there if min(np.median(steps[into]), np.median(steps[away])) > limit else none


def _frozen_out(position: np.ndarray, seams: np.ndarray) -> np.ndarray:
    """Return the samples of stretches at one exact value that are entered and left by a jump."""
    out = np.zeros(len(position), dtype=bool)
    steps = _steps(position, seams) if len(position) >= FEWEST else np.zeros(0)
    moving = steps[steps > 0]
    if len(moving) < FEWEST:
        return out
    jumps = np.flatnonzero(steps > JUMP_RATIO * np.quantile(moving, USUAL_QUANTILE))
    for into, away in itertools.pairwise(jumps):
        inside = position[into + 1 : away + 1]
        back = np.linalg.norm(position[away + 1] - position[into]) < 0.5 * min(steps[into], steps[away])
        if (inside == inside[0]).all() and (back or len(inside) > 2) and not seams[into + 1 : away + 2].any():
            out[into + 1 : away + 1] = True
    return out


def jumps(position, time_s) -> np.ndarray:
    """Return the samples before which the position jumps, judged by the position alone.

    A jump is a step four times as fast as the 90th percentile of the steps that move, and as both of its neighbours
    (ours): speed grows and falls over many samples, where a join or a lost marker takes one.
    """
    rows = np.flatnonzero(np.isfinite(position).all(axis=1))
    steps = np.linalg.norm(np.diff(position[rows], axis=0), axis=1)
    speed = steps / np.maximum(np.diff(np.asarray(time_s)[rows]), 1e-12)
    moving = speed[steps > 0]
    if len(moving) < FEWEST:
        return np.zeros(0, dtype=int)
    beside = np.maximum(np.r_[0.0, speed[:-1]], np.r_[speed[1:], 0.0])
    fast = speed > JUMP_RATIO * np.maximum(float(np.quantile(moving, USUAL_QUANTILE)), beside)
    return rows[1:][fast & (np.diff(rows) == 1)]


def described(lost: np.ndarray, values: np.ndarray, what: str, noun: str = "bin") -> str:
    """Return one sentence about lost samples: how many, the first, and what stands there."""
    first = int(np.flatnonzero(lost)[0])
    number = int(lost.sum())
    shown = ", ".join(f"{value:g}" for value in values[first])
    return (
        f"{number} {noun}{'s' * (number > 1)} of {what} {'are' if number > 1 else 'is'} taken for a lost marker (the "
        f"first is {noun} {first}, with {shown}): neither learned from nor scored"
    )
