"""The last bins of the filter over candidate targets, weighed once it is known what came after them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bmi_runtime.kernels import targets


class Past:
    """The last bins of the filter over candidates: the oldest of them is weighed by all that came after it.

    Parameters
    ----------
    bins, candidates, axes : int
    """

    ARRAYS = ("forward", "shares", "aims", "smooth", "hazards")
    LATER = ("velocities", "steady", "changes")  # recordings of the time before have none

    def __init__(self, bins: int, candidates: int, axes: int):
        self.forward, self.shares = np.ones((bins, candidates)), np.ones((bins, candidates))
        self.aims, self.smooth = np.zeros((bins, candidates, axes)), np.zeros((bins, axes))
        self.velocities, self.changes = np.full((bins, axes), math.nan), np.zeros(bins)
        self.steady, self.steadily = np.ones((bins, candidates)), np.full(candidates, 1.0 / candidates)
        self.hazards, self.smoothed = np.zeros(bins), np.full(candidates, 1.0 / candidates)
        self.seen = 0

    def keep(self, weights: np.ndarray, shares: np.ndarray, aims: np.ndarray, smooth: np.ndarray, hazard: float):
        """Keep a bin in place of the oldest one."""
        at = self.seen % len(self.hazards)
        self.forward[at], self.shares[at], self.aims[at], self.smooth[at] = weights, shares, aims, smooth
        self.hazards[at] = hazard
        self.seen += 1

    def keep_steady(self, steady: np.ndarray, velocity: np.ndarray, change: float) -> None:
        """Take in, before :meth:`keep`, what noise is learned from: a posterior that dwelling does not widen."""
        at = self.seen % len(self.hazards)
        self.steady[at], self.velocities[at], self.changes[at] = steady, velocity, change

    def goal_of_noise(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the velocity that was seen in the oldest bin (NaN: none), and the aim at its likeliest goal."""
        at, newest = self.seen % len(self.hazards), (self.seen - 1) % len(self.hazards)
        targets.smooth(self.steady, self.shares, self.changes, newest, self.steadily)
        return self.velocities[at], self.aims[at, int(np.argmax(self.steadily))]

    def weigh(self) -> bool:
        """Weigh the candidates of the oldest bin; return whether there is one."""
        if self.seen < len(self.hazards):
            return False
        newest = (self.seen - 1) % len(self.hazards)
        targets.smooth(self.forward, self.shares, self.hazards, newest, self.smoothed)
        return True

    @property
    def oldest(self) -> tuple[np.ndarray, np.ndarray]:
        """Aims of the oldest bin, and the velocity, smoothed, that was seen then."""
        at = self.seen % len(self.hazards)
        return self.aims[at], self.smooth[at]

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        return {name: array.copy() for name, array in self.arrays().items()} | {"seen": self.seen}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that the next bin depends on, by name."""
        return {name: getattr(self, name) for name in (*self.ARRAYS, *self.LATER, "smoothed")}
