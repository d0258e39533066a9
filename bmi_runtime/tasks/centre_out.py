"""Centre-out-and-back: targets around the centre, in turn or in random order, the centre between them."""

import numpy as np

from bmi_runtime.config import TaskConfig
from bmi_runtime.tasks.base import ReachTask
from bmi_runtime.tasks.places import places


class CentreOut(ReachTask):
    """Centre-out-and-back: the targets in turn, the centre between them."""

    def __init__(self, config: TaskConfig, bin_s: float, rng: np.random.Generator, n_axes: int = 2):
        self.places = places(config.places, config.targets, config.distance_m, n_axes)
        self.centre = (0.0,) * n_axes
        super().__init__(config, bin_s, rng, n_axes)

    @property
    def candidates(self) -> list[tuple[float, ...]]:
        """Where a target may stand, m."""
        return [*self.places, self.centre]

    def next_target(self) -> tuple[float, ...]:
        """Return target number trial/2 on even trials, the centre on odd ones."""
        return self.centre if self.trial % 2 else self.places[self.next_place()]

    def next_place(self) -> int:
        """Return which of the places is next."""
        return (self.trial // 2) % len(self.places)


class RandomCentreOut(CentreOut):
    """The targets in uniformly random order, the centre between them."""

    def next_place(self) -> int:
        """Draw a place."""
        return int(self.rng.integers(len(self.places)))
