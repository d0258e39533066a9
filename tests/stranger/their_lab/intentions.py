"""Straight to the target at a steady speed; and an intention that answers nonsense."""

import math

from bmi_runtime.intention.registry import BaseIntention


class Straight(BaseIntention):
    def infer(self, cursor, target, trial_state):
        apart = [target[axis] - cursor[axis] for axis in range(self.n_axes)]
        distance = math.hypot(*apart)
        return [0.1 * value / distance if distance > target[-1] else 0.0 for value in apart]


class Lost(BaseIntention):
    def infer(self, cursor, target, trial_state):
        return [0.0] * (self.n_axes + 1)
