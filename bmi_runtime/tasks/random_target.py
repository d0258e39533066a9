"""Targets drawn uniformly from a square (an interval, a cube)."""

from bmi_runtime.tasks.base import ReachTask


class RandomTarget(ReachTask):
    """Targets drawn uniformly from a square of half-width ``distance_m``."""

    def next_target(self) -> tuple[float, ...]:
        """Draw a position."""
        return tuple(self.rng.uniform(-self.config.distance_m, self.config.distance_m, self.n_axes).tolist())
