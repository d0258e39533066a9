"""What the units of a recorded session are taken to depend on, bin by bin: the regressors of its own model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.artifacts import recorded_artifacts
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import known_counts

if TYPE_CHECKING:
    from bmi_runtime.recording.reader import Recording


@dataclass(frozen=True)
class Recorded:
    """One block of units of a session.

    Attributes
    ----------
    counts : ndarray, (bins, units)
        Counts or features.
    velocity, position : ndarray, (bins, axes)
        Encoded, in dm/s and dm; NaN where nothing was intended or delivered.
    click : ndarray, (bins, 1) or (bins, 0)
    own : ndarray, (bins, histories, units), or None
        Each unit's recent counts, as a `History` has them before the bin.
    kinds : Regressors
    bin_s : float
    artifacts : ndarray of bool, (bins,), or None
        Bins in which all units fired at once, by the session's own limit.
    """

    counts: np.ndarray
    velocity: np.ndarray
    position: np.ndarray
    click: np.ndarray
    own: np.ndarray | None
    kinds: Regressors
    bin_s: float
    artifacts: np.ndarray | None = None

    def states(self, velocity: np.ndarray) -> np.ndarray:
        """Return the common regressors but the 1, (bins, dims), with this velocity (dm/s) for the recorded one."""
        speed = np.linalg.norm(velocity, axis=1, keepdims=True)
        columns = {"velocity": velocity, "position": self.position, "speed": speed, "click": self.click}
        return np.hstack([columns[name] for name in self.kinds.places if name in columns])


def recorded_units(recording: Recording, config: dict[str, Any], bin_s: float, velocity_scale: float) -> Recorded:
    """Return the units of a session: its only block, or the spiking one beside features.

    Parameters
    ----------
    recording : Recording
    config : dict
        As its header has it.
    bin_s, velocity_scale : float
        Width of a bin, and what the recorded m/s are multiplied by.
    """
    velocity, position = _encoded(recording, config, velocity_scale)
    encoding = config.get("encoding") or {}
    click = ("click",) if (config.get("state") or {}).get("click") else ()
    names = (*encoding.get("regressors", ("velocity",)), *click)
    kinds = Regressors(velocity.shape[1], names, tuple(encoding.get("history_s") or ()))
    given = recording.column("input", "counts")
    counts = known_counts(given)
    fresh = recording.column("input", "stale") == 0
    clicks = recording.column("output", "intended_click")[:, None] if click else np.zeros((len(counts), 0))
    fades_s = kinds.history_s[: kinds.n_history]
    artifacts = recorded_artifacts(given, bin_s, fresh, config)
    own = past_counts(np.where(artifacts[:, None], 0.0, counts), fades_s, bin_s) if kinds.n_history else None
    return Recorded(counts, velocity, position, clicks, own, kinds, bin_s, artifacts)


def recorded_features(recording: Recording, config: dict[str, Any], bin_s: float, velocity_scale: float) -> Recorded:
    """Return the features of a mixed session in bins of their own, taught with the mean intention of each.

    Raises
    ------
    BadInput
        If the session has no features beside its units.
    """
    session, encoding = config.get("session") or {}, config.get("encoding") or {}
    if not (session.get("features") and session.get("units")):
        raise BadInput(f"{recording.path.name} has no features beside its units; leave --features out")
    velocity, position = _encoded(recording, config, velocity_scale)
    features = recording.column("input", "features").astype(np.float64)
    came = np.flatnonzero(np.isfinite(features).any(axis=1))
    if came.size < 2:
        raise BadInput(f"{recording.path.name}: no feature came in the whole session")
    began = np.concatenate([[0], came[:-1] + 1])
    velocity, position = (_means(values, began, came) for values in (velocity, position))
    names = tuple(name for name in encoding.get("regressors", ("velocity",)) if name != "history")
    kinds = Regressors(velocity.shape[1], names)
    width_s = float(session.get("feature_bin_s") or bin_s)
    return Recorded(features[came], velocity, position, np.zeros((len(came), 0)), None, kinds, width_s)


def _encoded(recording: Recording, config: dict[str, Any], scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the velocity (dm/s) and position (dm) that the units are taken to have encoded, (bins, axes) each."""
    velocity = scale * recording.column("output", "intended").astype(np.float64)
    axes = velocity.shape[1]
    if (config.get("adapter") or {}).get("intention") == "recorded":
        position = recording.column("input", "kinematics")[:, :axes]
    else:  # the cursor that was seen meanwhile is that of the bin before
        cursor = recording.column("output", "cursor")[:, :axes]
        position = np.vstack([np.zeros((1, axes)), cursor[:-1]])
    velocity[recording.column("input", "stale") > 0] = np.nan
    return velocity, DM_PER_M * position.astype(np.float64)


def _means(values: np.ndarray, began: np.ndarray, came: np.ndarray) -> np.ndarray:
    """Return the mean of the known rows from each `began` to each `came`, both included, NaN where none is known."""
    known = np.isfinite(values).all(axis=1)
    rows = np.where(known[:, None], values, 0.0)
    sums = np.vstack([np.zeros(values.shape[1] + 1), np.cumsum(np.column_stack([rows, known]), axis=0)])
    total = sums[came + 1] - sums[began]
    return np.where(total[:, -1:] > 0, total[:, :-1] / np.maximum(total[:, -1:], 1.0), np.nan)


def past_counts(counts: np.ndarray, fades_s: Sequence[float], bin_s: float) -> np.ndarray:
    """Return what a `History` with these time constants holds before each bin, (bins, histories, units)."""
    kept = np.exp(-bin_s / np.array(fades_s, float))[:, None]
    past, now = np.empty((len(counts), len(kept), counts.shape[1])), np.zeros((len(kept), counts.shape[1]))
    for row, given in zip(past, np.where(np.isfinite(counts), counts, 0.0), strict=True):
        row[:] = now
        now = kept * (now + given)
    return past
