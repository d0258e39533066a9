"""The velocity that an aiming subject intends along a whole recording, whatever it saw late."""

from __future__ import annotations

import numpy as np

from bmi_runtime.intention.infer import aim_gains
from bmi_runtime.kernels.aim_path import follow


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
    frequency_hz, delay_s, reaction_s = (float(value) for value in parameters[:3])
    keep, pull = aim_gains(2.0 * np.pi * frequency_hz, bin_s)
    out = np.empty(seen.shape)
    follow(
        np.ascontiguousarray(seen, dtype=np.float64), np.ascontiguousarray(target, dtype=np.float64),
        delay_s / bin_s, reaction_s / bin_s, keep, pull, out,
    )  # fmt: skip
    return out
