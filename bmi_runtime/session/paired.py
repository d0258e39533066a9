"""Two settings on the same spikes, bin by bin: their errors, the paired difference, and where it arises."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import stdtrit

BATCHES = 20  # consecutive ones, whose means are taken as independent
LEAST_BATCH_S = 1.0  # errors of a smoothed velocity repeat themselves for some tenths of a second
CONFIDENCE = 0.95
PARTS = 10  # of the session, for the question where a difference arises
NOTABLE_SHARE = 0.3  # of a difference, that one part holds before it is named
HARDLY = 0.8  # of the intention's root mean square


def paired_errors(
    meant: np.ndarray, first: np.ndarray, second: np.ndarray, bin_s: float = 0.005, start_s: float = 0.0
) -> dict[str, Any]:
    """Compare two decoded velocities with one intention.

    The measure is the root mean square distance from the intention. The interval of the paired difference is that of
    batch means: bins are grouped into `BATCHES` consecutive batches of a second or more, so that neighbouring bins,
    which err alike, are not counted as independent; the difference's influence function is averaged in each, and
    Student's t taken over the batches.

    Parameters
    ----------
    meant, first, second : ndarray, (bins, dimensions)
        Intended and decoded velocities (m/s); bins where one is not finite are left out.
    bin_s : float
    start_s : float
        Session time of the first bin.

    Returns
    -------
    dict
        ``errors_m_s`` and ``errors_last_half_m_s``, two floats each; ``changed_m_s``, the root mean square of first
        minus second; ``difference_m_s``, second minus first, and ``interval_m_s``, its 95 % interval (None with less
        than two batches); ``parts``, a list of ``start_s, stop_s, errors_m_s`` over tenths of the session. None, or an
        empty list, where no bin has all of them.
    """
    squares = np.stack([np.sum((velocity - meant) ** 2, axis=1) for velocity in (first, second)])
    apart = np.sum((second - first) ** 2, axis=1)
    known = np.isfinite(squares).all(axis=0)
    where = np.flatnonzero(known)
    half = where[where >= len(known) // 2]
    found: dict[str, Any] = {
        "errors_m_s": _roots(squares[:, where]),
        "errors_last_half_m_s": _roots(squares[:, half]),
        "changed_m_s": float(np.sqrt(apart[where].mean())) if where.size else None,
        "difference_m_s": None,
        "interval_m_s": None,
        "parts": [],
    }
    if not where.size:
        return found
    before, after = found["errors_m_s"]
    found["difference_m_s"] = after - before
    found["interval_m_s"] = _interval(squares[:, where], bin_s)
    for part in np.array_split(np.arange(len(known)), min(PARTS, len(known))):
        chosen = part[known[part]]
        times = {"start_s": start_s + part[0] * bin_s, "stop_s": start_s + (part[-1] + 1) * bin_s}
        found["parts"].append(times | {"errors_m_s": _roots(squares[:, chosen])})
    return found


def _roots(squares: np.ndarray) -> list[float | None]:
    if not squares.shape[1]:
        return [None] * len(squares)
    return np.sqrt(squares.mean(axis=1)).tolist()


def _interval(squares: np.ndarray, bin_s: float) -> list[float] | None:
    """Return the 95 % interval of the difference of the two root mean squares, by batch means."""
    bins = squares.shape[1]
    batches = min(BATCHES, int(bins * bin_s / LEAST_BATCH_S))
    if batches < 2:
        return None
    roots = np.sqrt(squares.mean(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(roots[:, None] > 0.0, (squares - squares.mean(axis=1)[:, None]) / (2.0 * roots[:, None]), 0.0)
    influence = scaled[1] - scaled[0]
    means = np.array([batch.mean() for batch in np.array_split(influence, batches)])
    half = float(stdtrit(batches - 1, 0.5 + CONFIDENCE / 2) * means.std(ddof=1) / np.sqrt(batches))
    difference = float(roots[1] - roots[0])
    return [difference - half, difference + half]


def compared(recorded: np.ndarray, velocity_m_s: np.ndarray) -> dict[str, float | None]:
    """Return what another setting decoded from the same spikes, beside what was decoded in the session.

    Parameters
    ----------
    recorded : structured ndarray, (bins,)
        Outputs of the session.
    velocity_m_s : ndarray, (bins, dimensions)
        Decoded with the other setting; not a number where nothing was.

    Returns
    -------
    dict
        ``error_recorded_m_s`` and ``error_replayed_m_s``, root mean square distances from the recorded intention; the
        same of the last half as ``..._last_half_m_s``; ``difference_m_s``, replayed minus recorded; ``changed_m_s``,
        the root mean square of the difference of the velocities. None where no bin has all of them.
    """
    was = recorded["decoded"][:, -velocity_m_s.shape[1] :]
    found = paired_errors(recorded["intended"], was, velocity_m_s)
    answer: dict[str, float | None] = {}
    for part in ("", "_last_half"):
        for name, value in zip(("recorded", "replayed"), found[f"errors{part}_m_s"], strict=True):
            answer[f"error_{name}{part}_m_s"] = value
    return answer | {name: found[name] for name in ("difference_m_s", "changed_m_s")}


def hardly_follows(meant: np.ndarray, error_m_s: float | None) -> bool:
    """Return whether what was decoded errs by nearly as much as a cursor at rest: with it the subject would have seen,
    and done, something else than was recorded.
    """
    known = meant[np.isfinite(meant).all(axis=1)]
    if error_m_s is None or not known.size:
        return False
    return bool(error_m_s > HARDLY * float(np.sqrt((known**2).sum(axis=1).mean())))


def where_it_arises(parts: list[dict[str, Any]]) -> str | None:
    """Return in one sentence in which part of the session two settings differ most, or None where they do not."""
    known = [part for part in parts if None not in part["errors_m_s"]]
    squares = np.array([np.diff(np.square(part["errors_m_s"]))[0] for part in known])
    total = float(np.abs(squares).sum())
    if not total > 0.0:
        return None
    most = int(np.argmax(np.abs(squares)))
    share = float(abs(squares[most])) / total
    if share < NOTABLE_SHARE:
        return "the difference is spread over the whole session"
    part = known[most]
    return (
        f"{100 * share:.0f} % of the difference in squared error arises from {part['start_s']:.0f} to "
        f"{part['stop_s']:.0f} s"
    )
