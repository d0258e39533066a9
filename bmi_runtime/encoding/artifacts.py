"""Bins in which all units fire at once, in a session and in what is fitted to recordings: one rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bmi_runtime.kernels.soundness import find_artifacts
from bmi_runtime.messages import known_counts

USUAL_SD = 10.0  # as `safety.artifact_sd`
TIMES = 3.0  # the usual sum of counts: in five recordings the largest sum of a bin is 1.6 to 2.6 times the mean
MEMORY_S = 30.0  # of what is usual
AFTER_S, AFTER_BINS = 2.0, 20  # before, nothing is known of what is usual
AT_MOST_S = 0.5  # what lasts longer is how the units are now
MOST_MISSING = 0.5  # of the bins, without a unit that is still taken to be there


def artifact_limits(bin_s: float, sd: float) -> np.ndarray:
    """Return the limits of :func:`bmi_runtime.kernels.soundness.is_artifact`.

    Parameters
    ----------
    bin_s : float
    sd : float
        Standard deviations above the usual sum of counts; 0: nothing is an artifact.
    """
    memory, at_most = (max(round(seconds / bin_s), 1) for seconds in (MEMORY_S, AT_MOST_S))
    return np.array([sd, TIMES, 1.0 / memory, max(round(AFTER_S / bin_s), AFTER_BINS), at_most])


def artifact_bins(
    counts: np.ndarray,
    bin_s: float,
    fresh: np.ndarray | None = None,
    sd: float = USUAL_SD,
    left_out: Iterable[int] = (),
) -> np.ndarray:
    """Return which bins of a recording a session would take for artifacts, shape (bins,).

    Parameters
    ----------
    counts : ndarray, shape (bins, units)
    bin_s : float
    fresh : ndarray of bool, shape (bins,), optional
        Whether every count of a bin came; by default all that are finite.
    sd : float
        Standard deviations above the usual sum of counts; 0: nothing is an artifact.
    left_out : iterable of int
        Units that have no part in the sum, and may be missing.
    """
    found = np.zeros(len(counts), bool)
    if sd <= 0.0:
        return found
    summed = np.delete(np.asarray(counts, float), np.array(list(left_out), np.int64), axis=1)
    totals = summed.sum(axis=1) - summed.max(axis=1, initial=0.0)
    fresh = np.isfinite(totals) if fresh is None else fresh & np.isfinite(totals)
    find_artifacts(totals, fresh, artifact_limits(bin_s, sd), found)
    return found


def mostly_missing(counts: np.ndarray) -> np.ndarray:
    """Return the units whose counts or features (bins, units) are missing (NaN) in more than half of the bins."""
    return np.flatnonzero(np.isnan(counts).mean(axis=0) > MOST_MISSING) if len(counts) else np.zeros(0, np.int64)


def recorded_artifacts(recorded: np.ndarray, bin_s: float, fresh: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """Return the artifacts in a session's counts, by its own limit and without the units that it leaves out.

    Where the session's configuration says nothing of a limit, the usual one.

    Parameters
    ----------
    recorded : ndarray, shape (bins, units)
        Whole numbers, as recorded; features, of another type, have no artifacts. A unit that is mostly missing has no
        part in the sum.
    bin_s : float
    fresh : ndarray of bool, shape (bins,)
    config : dict
        As its header has it.

    Returns
    -------
    ndarray of bool, shape (bins,)
    """
    session, safety = config.get("session") or {}, config.get("safety") or {}
    if recorded.dtype.kind not in "iu":
        return np.zeros(len(recorded), bool)
    counts = known_counts(recorded)
    aside = {*session.get("left_out", ()), *mostly_missing(counts[fresh]).tolist()}
    return artifact_bins(counts, bin_s, fresh, safety.get("artifact_sd", USUAL_SD), sorted(aside))
