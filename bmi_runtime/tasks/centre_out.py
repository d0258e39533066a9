"""Centre-out-and-back: a ring of targets, in turn or in random order, the centre between them."""

import math

from bmi_runtime.tasks.base import ReachTask


class CentreOut(ReachTask):
    """Centre-out-and-back: the targets of a ring in turn, the centre between them."""

    def next_target(self) -> tuple[float, float]:
        """Return ring target number trial/2 on even trials, the centre on odd ones."""
        if self.trial % 2:
            return 0.0, 0.0
        angle = 2.0 * math.pi * ((self.trial // 2) % self.config.targets) / self.config.targets
        return self.config.distance_m * math.cos(angle), self.config.distance_m * math.sin(angle)


class RandomCentreOut(ReachTask):
    """Ring targets in uniformly random order, the centre between them."""

    def next_target(self) -> tuple[float, float]:
        """Draw a ring target on even trials, return the centre on odd ones."""
        if self.trial % 2:
            return 0.0, 0.0
        angle = 2.0 * math.pi * int(self.rng.integers(self.config.targets)) / self.config.targets
        return self.config.distance_m * math.cos(angle), self.config.distance_m * math.sin(angle)
