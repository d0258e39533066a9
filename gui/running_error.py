"""The error of the decoder over time: running means with gaps where an error means nothing. No Qt here."""

from __future__ import annotations

import numpy as np

RUNNING_S = 2.0  # of the running mean
GAP_S = 0.5  # longer than a pause between trials
SLOW_M_S = 0.02  # below this intended speed a direction means nothing


def window_rows(rows: np.ndarray) -> int:
    """Return how many rows of telemetry `RUNNING_S` are."""
    if len(rows) < 2:
        return 1
    interval_s = float(rows["t_s"][-1] - rows["t_s"][0]) / (len(rows) - 1)
    return max(round(RUNNING_S / max(interval_s, 1e-3)), 1)


def running_errors(rows: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the running root mean square velocity error (m/s) and mean angle (degrees) between decoded and intended.

    Parameters
    ----------
    rows : ndarray of STEP_ROW
    window : int
        Rows to average over.
    """
    if not len(rows):
        return np.zeros(0), np.zeros(0)
    intended = rows["intended"]
    decoded = rows["decoded"][:, intended.shape[1] :]
    squared = np.sum((decoded - intended) ** 2, axis=1)
    squared[rows["still"] != 0] = np.nan
    speed = np.linalg.norm(intended, axis=1)
    speeds = speed * np.linalg.norm(decoded, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.sum(decoded * intended, axis=1) / speeds
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    angle[~(speed > SLOW_M_S) | (rows["still"] != 0)] = np.nan
    error, angle = np.sqrt(_running_mean(squared, window)), _running_mean(angle, window)
    gaps = _long_gaps(rows)
    error[gaps] = angle[gaps] = np.nan
    return error, angle


def _long_gaps(rows: np.ndarray) -> np.ndarray:
    """Return where the cursor has stood still for longer than between trials: there a curve has a gap."""
    times, moving = rows["t_s"], rows["still"] == 0
    last_moved = np.maximum.accumulate(np.where(moving, times, -np.inf))
    return times - last_moved > GAP_S


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the last `window` values at each point, values that are not finite left out."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    first = np.maximum(np.arange(len(values)) + 1 - window, 0)
    here = np.arange(1, len(values) + 1)
    count = counts[here] - counts[first]
    return np.where(count > 0, (sums[here] - sums[first]) / np.maximum(count, 1), np.nan)
