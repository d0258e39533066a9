"""What the subject is taken to want: intended velocity from the cursor that it saw and the target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bmi_runtime.config import AdapterConfig
from bmi_runtime.intention.registry import BaseIntention
from bmi_runtime.messages import TrialState


class OptimalControlIntention:
    """The velocity that an optimal-feedback controller of a double integrator would intend from the cursor it sees.

    The linear-quadratic regulator with position cost omega^4, velocity cost 2 omega^2 and unit control cost has the
    gains omega^2 and 2 omega (critically damped): dv/dt = omega^2 (goal - x) - 2 omega v, for every axis by itself. The
    intended velocity is the controller's own state, integrated with the seen cursor position.

    Parameters
    ----------
    config : AdapterConfig
    bin_s : float
    n_axes : int
    """

    def __init__(self, config: AdapterConfig, bin_s: float, n_axes: int = 2):
        self.keep, self.pull = aim_gains(2.0 * math.pi * config.intention_frequency_hz, bin_s)
        self.velocity = [0.0] * n_axes

    def infer(self, cursor, target, trial_state: int) -> list[float]:
        """Return the intended velocity (m/s) for a cursor (position, velocity) and a target (position, radius), m."""
        self.velocity = aim(self.keep, self.pull, cursor, target, self.velocity)
        return self.velocity

    def snapshot(self) -> list[float]:
        """Return what the next bin depends on."""
        return list(self.velocity)

    def restore(self, snapshot: list[float]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.velocity = list(snapshot)


def aim_gains(omega: float, bin_s: float) -> tuple[float, float]:
    """Return what a bin keeps of the aimed velocity, and the pull of the error (1/s), critically damped at omega (1/s).

    With error e = x - goal and velocity v, v(t) = exp(-w t) (v (1 - w t) - w^2 e t) (standard): exact for a goal that
    is held still within the bin.
    """
    decay = math.exp(-omega * bin_s)
    return decay * (1.0 - omega * bin_s), decay * omega * omega * bin_s


def aim(keep: float, pull: float, cursor, target, velocity) -> list[float]:
    """Return the aimed velocity (m/s, one per axis) one bin on, with the gains of :func:`aim_gains`."""
    aimed = list(velocity)  # a loop over a copy is quicker than a comprehension over three
    for axis, v in enumerate(velocity):
        aimed[axis] = keep * v + pull * (target[axis] - cursor[axis])
    return aimed


def _length(vector: Sequence[float]) -> float:
    squared = 0.0  # not by `sum`, which adds floats in another way from Python 3.12 on
    for component in vector:
        squared += component * component
    return math.sqrt(squared)


class RotatedIntention(BaseIntention):
    """The cursor's speed, pointed at the target; zero inside it (Gilja et al. 2012, the ReFIT training signal)."""

    def infer(self, cursor, target, trial_state: int) -> list[float]:
        """Return the intended velocity (m/s)."""
        n = self.n_axes
        apart = [target[axis] - cursor[axis] for axis in range(n)]
        distance = _length(apart)
        if trial_state == TrialState.HOLD or distance <= target[n]:
            return [0.0] * n
        speed = _length(cursor[n:])
        return [speed * d / distance for d in apart]


def rotated_to_target(kinematics: np.ndarray, targets: np.ndarray, holding: np.ndarray) -> np.ndarray:
    """Return kinematics whose velocities keep their speed and point at the target, and are zero while holding.

    Parameters
    ----------
    kinematics : ndarray, shape (bins, 2 axes)
        The cursor as it was seen, positions, then velocities.
    targets : ndarray, shape (bins, axes)
    holding : ndarray of bool, shape (bins,)
        The cursor is inside of the target.
    """
    n = targets.shape[1]
    toward = targets - kinematics[:, :n]
    distance = np.linalg.norm(toward, axis=1, keepdims=True)
    speed = np.linalg.norm(kinematics[:, n:], axis=1, keepdims=True)
    velocity = np.where(holding[:, None], 0.0, speed * toward / np.maximum(distance, 1e-12))
    return np.hstack([kinematics[:, :n], velocity])
