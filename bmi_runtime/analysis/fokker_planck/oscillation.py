"""Period, peak, trough and mean of a rate that has settled on a periodic activity."""

import numpy as np


def oscillation(times: np.ndarray, rate: np.ndarray, least: float = 1e-3) -> dict | None:
    """Return ``period``, ``peak``, ``trough`` and ``mean`` of the last cycles, or None where the rate does not
    oscillate.

    Parameters
    ----------
    times, rate : float64 arrays (k,)
        N(t) at increasing times.
    least : float
        Smallest relative swing (peak minus trough over their sum) that counts.

    Notes
    -----
    The peaks are interpolated by parabolas. The last two periods must agree to 2 percent and the last two swings to 5
    percent: a decaying ripple is not an oscillation.
    """
    half = times >= 0.4 * times[-1]
    t, n = times[half], rate[half]
    if t.size < 9 or n.max() - n.min() < least * (n.max() + n.min()):
        return None
    middle = 0.5 * (n.max() + n.min())
    inner = np.flatnonzero((n[1:-1] >= n[:-2]) & (n[1:-1] > n[2:]) & (n[1:-1] > middle)) + 1
    peaks = [i for k, i in enumerate(inner) if k == 0 or n[inner[k - 1] : i].min() < middle]
    if len(peaks) < 3:
        return None
    moments = [_vertex(t[i - 1 : i + 2], n[i - 1 : i + 2]) for i in peaks[-3:]]
    periods = np.diff([when for when, _ in moments])
    cycles = [n[peaks[-3] : peaks[-2] + 1], n[peaks[-2] : peaks[-1] + 1]]
    swings = [np.ptp(cycle) for cycle in cycles]
    if abs(periods[1] / periods[0] - 1) > 0.02 or abs(swings[1] / swings[0] - 1) > 0.05:
        return None
    last = slice(peaks[-2], peaks[-1] + 1)
    mean = float(np.sum(0.5 * (n[last][1:] + n[last][:-1]) * np.diff(t[last])) / (t[last][-1] - t[last][0]))
    return {"period": float(periods[1]), "peak": float(moments[-1][1]), "trough": float(cycles[1].min()), "mean": mean}


def _vertex(t, n):
    """Return time and height of the vertex of the parabola through three points."""
    curve = np.polyfit(t - t[1], n, 2)
    at = -curve[1] / (2 * curve[0])
    return t[1] + at, float(np.polyval(curve, at))
