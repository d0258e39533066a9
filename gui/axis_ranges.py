"""Limits and ticks in round numbers."""

from __future__ import annotations

import math

import numpy as np

STEPS, MARGIN = 0.2, 0.02  # of a range that is shown in round steps: at least five; and free room at its ends


def round_range(low: float, high: float, held: tuple[float, float] | None = None) -> tuple[float, float]:
    """Return limits around values in round steps; those `held` before while they fit and are not far too wide.

    Parameters
    ----------
    low, high : float
        Extremes of what is shown; where they are not finite, (0, 1) is returned.
    held : (float, float), optional
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return held or (0.0, 1.0)
    span = max(high - low, 1e-9, 1e-4 * max(abs(low), abs(high)))
    if held and held[0] <= low and high <= held[1] and held[1] - held[0] <= 2.0 * span:
        return held
    step = round_step(STEPS * span)
    room = MARGIN * span
    return step * math.floor((low - room * (low != 0.0)) / step), step * math.ceil((high + room) / step)


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least `least`, which is positive."""
    decade = 10.0 ** math.floor(math.log10(least))
    return decade * next(multiple for multiple in (1.0, 2.0, 5.0, 10.0) if multiple * decade >= least * (1 - 1e-9))


def multiples(step: float, low: float, high: float) -> np.ndarray:
    """Return the multiples of a step from `low` to `high`."""
    return step * np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)


def extremes(*values) -> tuple[float, float]:
    """Return the least and the greatest finite value of some arrays; not-a-number twice when there is none."""
    finite = [array[np.isfinite(array)] for array in map(np.asarray, values)]
    finite = [array for array in finite if array.size]
    if not finite:
        return math.nan, math.nan
    return float(min(array.min() for array in finite)), float(max(array.max() for array in finite))
