"""What the subject is taken to want: one class per way of inferring intended velocity, one table."""

from __future__ import annotations

import math

from bmi_runtime.config import AdapterConfig
from bmi_runtime.messages import TrialState


class OptimalControlIntention:
    """The velocity that an optimal-feedback controller of a double integrator would intend from the cursor it sees.

    The linear-quadratic regulator with position cost omega^4, velocity cost 2 omega^2 and unit control cost has the
    gains omega^2 and 2 omega (critically damped): dv/dt = omega^2 (goal - x) - 2 omega v. The intended velocity is the
    controller's own state, integrated with the seen cursor position.
    """

    def __init__(self, config: AdapterConfig, bin_s: float):
        self.keep, self.pull = aim_gains(2.0 * math.pi * config.intention_frequency_hz, bin_s)
        self.vx = self.vy = 0.0

    def infer(self, cursor, target, trial_state: int) -> tuple[float, float]:
        """Return the intended velocity (m/s) for a cursor (x, y, vx, vy) and a target (x, y, radius), in m."""
        self.vx, self.vy = aim(self.keep, self.pull, cursor, target, self.vx, self.vy)
        return self.vx, self.vy

    def snapshot(self) -> list[float]:
        """Return what the next bin depends on."""
        return [self.vx, self.vy]

    def restore(self, snapshot: list[float]) -> None:
        """Put a :meth:`snapshot` back."""
        self.vx, self.vy = snapshot


def aim_gains(omega: float, bin_s: float) -> tuple[float, float]:
    """Return what a bin keeps of the aimed velocity, and the pull of the error (1/s), critically damped at omega (1/s).

    With error e = x - goal and velocity v, v(t) = exp(-w t) (v (1 - w t) - w^2 e t) (standard): exact for a goal that
    is held still within the bin.
    """
    decay = math.exp(-omega * bin_s)
    return decay * (1.0 - omega * bin_s), decay * omega * omega * bin_s


def aim(keep: float, pull: float, cursor, target, vx: float, vy: float) -> tuple[float, float]:
    """Return the aimed velocity (m/s) one bin on, with the gains of :func:`aim_gains`."""
    return keep * vx + pull * (target[0] - cursor[0]), keep * vy + pull * (target[1] - cursor[1])


class RotatedIntention:
    """The cursor's speed, pointed at the target; zero inside it (Gilja et al. 2012, the ReFIT training signal)."""

    def __init__(self, config: AdapterConfig, bin_s: float):
        self.bin_s = bin_s

    def infer(self, cursor, target, trial_state: int) -> tuple[float, float]:
        """Return the intended velocity (m/s)."""
        dx, dy = target[0] - cursor[0], target[1] - cursor[1]
        distance = math.sqrt(dx * dx + dy * dy)
        if trial_state == TrialState.HOLD or distance <= target[2]:
            return 0.0, 0.0
        speed = math.sqrt(cursor[2] * cursor[2] + cursor[3] * cursor[3])
        return speed * dx / distance, speed * dy / distance

    def snapshot(self) -> list[float]:
        """Return what the next bin depends on: nothing."""
        return []

    def restore(self, snapshot: list[float]) -> None:
        """Put a :meth:`snapshot` back."""


INTENTIONS = {"optimal-control": OptimalControlIntention, "rotated": RotatedIntention}
"""Ways to infer intention; ``recorded`` needs none, it reads the kinematics of the bin."""
