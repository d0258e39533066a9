"""Straight to the target at a steady speed; and an intention that answers nonsense."""

import math

import pydantic

from bmi_runtime import registry
from bmi_runtime.intention.registry import BaseIntention


class Straight(BaseIntention):
    class Options(registry.Options):
        speed_m_s: float = pydantic.Field(0.1, gt=0.0, le=1.0)

    def infer(self, cursor, target, trial_state):
        apart = [target[axis] - cursor[axis] for axis in range(self.n_axes)]
        distance = math.hypot(*apart)
        return [self.options.speed_m_s * value / distance if distance > target[-1] else 0.0 for value in apart]


class Lost(BaseIntention):
    def infer(self, cursor, target, trial_state):
        return [0.0] * (self.n_axes + 1)
