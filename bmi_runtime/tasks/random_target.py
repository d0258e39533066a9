"""Targets drawn uniformly from a square."""

from bmi_runtime.tasks.base import ReachTask


class RandomTarget(ReachTask):
    """Targets drawn uniformly from a square of half-width ``distance_m``."""

    def next_target(self) -> tuple[float, float]:
        """Draw a position."""
        x, y = self.rng.uniform(-self.config.distance_m, self.config.distance_m, 2)
        return float(x), float(y)
