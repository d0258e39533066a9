"""The velocity that an aiming subject intends along a whole recording, whatever it saw late."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_banded

from bmi_runtime.intention.infer import aim_gains


def intended_path(parameters, seen: np.ndarray, target: np.ndarray, bin_s: float) -> np.ndarray:
    """Return the velocity (m/s) that a controller intends in every bin, (bins, axes).

    Parameters
    ----------
    parameters : sequence of float
        Frequency (Hz), delay and reaction (s); delays between bins are interpolated.
    seen, target : ndarray, (bins, axes)
        Positions (m).
    bin_s : float
    """
    frequency_hz, delay_s, reaction_s = parameters[:3]
    keep, pull = aim_gains(2.0 * np.pi * frequency_hz, bin_s)
    error = _delayed(target, reaction_s / bin_s) - _delayed(seen, delay_s / bin_s)
    steps = np.ones((2, len(error)))  # v(t) - keep v(t - 1) = pull error(t); scipy.signal takes seconds to import
    steps[1] = -keep
    return solve_banded((1, 0), steps, pull * error, check_finite=False)


def _delayed(rows: np.ndarray, bins: float) -> np.ndarray:
    whole, part = int(bins), bins - int(bins)
    return (1.0 - part) * _shifted(rows, whole) + (part * _shifted(rows, whole + 1) if part else 0.0)


def _shifted(rows: np.ndarray, bins: int) -> np.ndarray:
    if not bins:
        return rows
    bins = min(bins, len(rows) - 1)
    return np.vstack([np.repeat(rows[:1], bins, axis=0), rows[:-bins]])
