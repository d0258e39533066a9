"""Bins in which all units fire at once, in a session and in what is fitted to recordings: one rule."""

from __future__ import annotations

import numpy as np

from bmi_runtime.kernels.soundness import find_artifacts

USUAL_SD = 10.0  # as `safety.artifact_sd`
TIMES = 3.0  # the usual sum of counts: in five recordings the largest sum of a bin is 1.6 to 2.6 times the mean
MEMORY_S = 30.0  # of what is usual
AFTER_S, AFTER_BINS = 2.0, 20  # before, nothing is known of what is usual
AT_MOST_S = 0.5  # what lasts longer is how the units are now


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


def artifact_bins(counts: np.ndarray, bin_s: float, fresh: np.ndarray | None = None) -> np.ndarray:
    """Return which bins of a recording a session would take for artifacts, shape (bins,).

    Parameters
    ----------
    counts : ndarray, shape (bins, units)
    bin_s : float
    fresh : ndarray of bool, shape (bins,), optional
        Whether every count of a bin came; by default all that are finite.
    """
    counts = np.asarray(counts, float)
    totals = counts.sum(axis=1) - counts.max(axis=1, initial=0.0)
    fresh = np.isfinite(totals) if fresh is None else fresh & np.isfinite(totals)
    found = np.zeros(len(totals), bool)
    find_artifacts(totals, fresh, artifact_limits(bin_s, USUAL_SD), found)
    return found
