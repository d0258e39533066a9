"""A target that moves."""

import math
from typing import Any

from bmi_runtime.messages import TrialState
from bmi_runtime.tasks.base import ReachTask


class Pursuit(ReachTask):
    """A target that moves on a smooth path; inside its radius counts as hold, every ``timeout_s`` is one trial."""

    def next_target(self) -> tuple[float, float]:
        """Return the target's position at this bin of this trial."""
        t = (self.trial * self.timeout_bins + self.bins_in_trial) * self.bin_s
        d = self.config.distance_m
        return d * math.sin(2 * math.pi * 0.11 * t), d * math.sin(2 * math.pi * 0.17 * t + 1.0)

    def advance(self, x_m: float, y_m: float) -> dict[str, Any] | None:
        """Advance one bin; a trial succeeds when the cursor was inside for at least half of it."""
        self.bins_in_trial += 1
        inside = (x_m - self.x) ** 2 + (y_m - self.y) ** 2 <= self.config.target_radius_m**2
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
                "target_m": [self.x, self.y],
            }
            self.trial += 1
            self.bins_in_trial = self.bins_held = 0
        self.x, self.y = self.next_target()
        return event
