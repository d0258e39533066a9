"""Period, peak, trough and mean of a rate that has settled on a periodic activity."""

import numpy as np

from bmi_runtime.analysis.numbers import with_error

NUMBERS = ("period", "peak", "trough", "mean")
"""That an oscillation is described by."""


def oscillation(times: np.ndarray, rate: np.ndarray, least: float = 1e-3) -> dict | None:
    """Return ``period``, ``peak``, ``trough`` and ``mean`` of the last cycles, or None where the rate does not
    oscillate; with a peak at a jump also ``sampling``, the spacing that its time is known to.

    Parameters
    ----------
    times, rate : float64 arrays (k,)
        N(t) at increasing times.
    least : float
        Smallest relative swing (peak minus trough over their sum) that counts.

    Notes
    -----
    The peaks are interpolated by parabolas, where the rate is smooth there: a peak at a jump (a delayed coupling has
    them) is the sample itself, since a parabola through a jump overshoots. The last two periods must agree to 2 percent
    and the last two swings to 5 percent: a decaying ripple is not an oscillation.
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
    swing = {"period": float(periods[1]), "peak": float(moments[-1][1]), "trough": float(cycles[1].min()), "mean": mean}
    at_jump = any(when == t[i] for (when, _), i in zip(moments, peaks[-3:], strict=True))
    return swing | ({"sampling": float(np.max(np.diff(t[last])))} if at_jump else {})


def with_errors(fine: dict | None, coarse: dict | None) -> dict | None:
    """Return an oscillation with the ``..._error`` of each number: its difference from that of a coarser run.

    None as an error where the coarser run does not oscillate.
    """
    if fine is None:
        return None
    least = {"period": fine.get("sampling", 0.0)}  # of times that are known to a sample only
    errors = {
        f"{name}_error": None if coarse is None else max(abs(fine[name] - coarse[name]), least.get(name, 0.0))
        for name in NUMBERS
    }
    return fine | errors


def with_first_order_errors(fine: dict | None, double: dict | None, triple: dict | None) -> dict | None:
    """Return an oscillation with the errors that runs of twice and three times the step tell, of a first-order scheme.

    None as an error where either of them does not oscillate.
    """
    near, far = with_errors(fine, double), with_errors(fine, triple)
    if fine is None or near is None or far is None or double is None or triple is None:
        return near and near | {f"{name}_error": None for name in NUMBERS}
    return near | {f"{name}_error": max(2.0 * near[f"{name}_error"], far[f"{name}_error"]) for name in NUMBERS}


def describe(swing: dict) -> str:
    """Return an oscillation with errors for a person."""
    period, trough, peak, mean = (
        with_error(swing[name], swing[f"{name}_error"]) for name in ("period", "trough", "peak", "mean")
    )
    return f"oscillation: period {period}, N from {trough} to {peak}, mean {mean}"


def _vertex(t, n):
    """Return time and height of the vertex of the parabola through three points, or of the middle one at a jump."""
    if max(n[1] - n[0], n[1] - n[2]) > 10.0 * max(min(n[1] - n[0], n[1] - n[2]), 1e-12 * abs(n[1])):
        return t[1], n[1]
    curve = np.polyfit(t - t[1], n, 2)
    at = -curve[1] / (2 * curve[0])
    return t[1] + at, float(np.polyval(curve, at))
