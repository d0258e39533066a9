"""A target that moves."""

import math
from typing import Any

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import TrialState
from bmi_runtime.tasks.base import ReachTask

FREQUENCIES_HZ = (0.11, 0.17, 0.13, 0.19, 0.07, 0.23, 0.15, 0.09)
"""Of each axis; the axes are one radian apart."""


class Pursuit(ReachTask):
    """A target that moves on a smooth path; inside its radius counts as hold, every ``timeout_s`` is one trial."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        if self.waits:
            raise BadInput("task.options.begin_on: pursuit has no pause in which it could wait for an event")

    def next_target(self) -> tuple[float, ...]:
        """Return the target's position at this bin of this trial."""
        t = (self.trial * self.timeout_bins + self.bins_in_trial) * self.bin_s
        d = self.config.distance_m
        return tuple(
            d * math.sin(2 * math.pi * hz * t + 1.0 * axis) for axis, hz in enumerate(FREQUENCIES_HZ[: self.n_axes])
        )

    def advance(self, *position_m: float) -> dict[str, Any] | None:
        """Advance one bin; a trial succeeds when the cursor was inside for at least half of it."""
        self.bins_in_trial += 1
        inside = self.inside(position_m)
        self.bins_held += inside
        self.trial_state = TrialState.HOLD if inside else TrialState.REACH
        event = None
        if self.bins_in_trial >= self.timeout_bins:
            good = self.bins_held * 2 >= self.timeout_bins
            self.successes, self.timeouts = self.successes + good, self.timeouts + (not good)
            event = {
                "name": "trial",
                "trial": self.trial,
                "result": "success" if good else "timeout",
                "time_to_target_s": self.bins_in_trial * self.bin_s,
                "time_inside_s": self.bins_held * self.bin_s,
                "target_m": list(self.place),
            }
            self.trial += 1
            self.bins_in_trial = self.bins_held = 0
        self.position = self.next_target()
        return event
