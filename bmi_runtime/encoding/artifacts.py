"""Bins in which all units fire at once, in a session and in what is fitted to recordings: one rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bmi_runtime.config import SafetyConfig
from bmi_runtime.kernels.artifacts import find_artifacts
from bmi_runtime.messages import known_counts

USUAL_SD = 10.0  # as `safety.artifact_sd`
TIMES = 3.0  # the usual sum of counts: in five recordings the largest sum of a bin is 1.6 to 2.6 times the mean
MEMORY_S = 30.0  # of what is usual
AFTER_S, AFTER_BINS = 2.0, 20  # before, nothing is known of what is usual
FEATURES_AFTER_S = 10.0  # features are smooth: two seconds say little of how far they go
AT_MOST_S = 0.5  # what lasts longer is how the units are now
MOST_MISSING = 0.5  # of the bins, without a unit that is still taken to be there


def artifact_limits(bin_s: float, sd: float, after_s: float = AFTER_S) -> np.ndarray:
    """Return the limits of :func:`bmi_runtime.kernels.artifacts.count_artifact`.

    Parameters
    ----------
    bin_s : float
    sd : float
        Standard deviations above the usual sum of counts; 0: nothing is an artifact.
    after_s : float
        Before, nothing is judged.
    """
    memory, at_most = (max(round(seconds / bin_s), 1) for seconds in (MEMORY_S, AT_MOST_S))
    return np.array([sd, TIMES, 1.0 / memory, max(round(after_s / bin_s), AFTER_BINS), at_most])


class ArtifactGate:
    """What one block of units, or of features, was like lately, and what an artifact exceeds.

    Parameters
    ----------
    n : int
        Units, or features.
    bin_s : float
        How often they come.
    safety : SafetyConfig
    features : bool

    Attributes
    ----------
    arguments : tuple of ndarray
        Limits, what was lately, what is usual of each: the last three of `soundness.take_counts` and `take_features`.
    """

    def __init__(self, n: int, bin_s: float, safety: SafetyConfig, features: bool):
        self.present = safety.artifact_rule == "present"
        judged = self.present or not features
        limits = artifact_limits(bin_s, judged * safety.artifact_sd, FEATURES_AFTER_S if features else AFTER_S)
        self.lately, self.usual = np.zeros(4), np.zeros(((4 if features else 2) * self.present, n))
        self.arguments = (limits, self.lately, self.usual)
        self.on = limits[0] > 0.0

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        if not self.on:
            return {}
        return {"lately": self.lately.copy()} | ({"usual": self.usual.copy()} if self.present else {})

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore what :meth:`snapshot` returned; nothing of a session that had no gate."""
        if "lately" in snapshot:
            self.lately[:] = snapshot["lately"]
        if "usual" in snapshot:
            self.usual[:] = snapshot["usual"]


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
        Not finite where one is missing.
    bin_s : float
    fresh : ndarray of bool, shape (bins,), optional
        Whether anything came in a bin; by default in all.
    sd : float
        Standard deviations above the usual sum of counts; 0: nothing is an artifact.
    left_out : iterable of int
        Units that have no part in the sum.
    """
    counts = np.delete(np.asarray(counts, float), np.array(list(left_out), np.int64), axis=1)
    valid, found = np.isfinite(counts), np.zeros(len(counts), bool)
    fresh = np.ones(len(counts), bool) if fresh is None else np.asarray(fresh, bool)
    if sd > 0.0:
        find_artifacts(np.where(valid, counts, 0.0), valid.astype(float), fresh, artifact_limits(bin_s, sd), found)
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
        Whole numbers, as recorded; of features, of another type, none is judged afterwards.
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
    sd = safety.get("artifact_sd", USUAL_SD)
    return artifact_bins(known_counts(recorded), bin_s, fresh, sd, session.get("left_out", ()))
