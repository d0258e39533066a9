"""The simulated subject: aims from the cursor it sees, as an optimal feedback controller does."""

import collections
import math

import numpy as np

from bmi_runtime.config import SubjectConfig
from bmi_runtime.intention.infer import aim, aim_gains


class Subject:
    """A linear-quadratic controller of a double integrator, with visual delay and noise on what it intends.

    Parameters
    ----------
    config : SubjectConfig
    bin_s : float
    rng : numpy.random.Generator
        Of the intention noise.
    n_axes : int
    """

    def __init__(self, config: SubjectConfig, bin_s: float, rng: np.random.Generator, n_axes: int = 2):
        self.config, self.bin_s, self.rng = config, bin_s, rng
        self._keep, self._pull = aim_gains(2.0 * math.pi * config.natural_frequency_hz, bin_s)
        delay = round(config.feedback_delay_s / bin_s)
        self._seen: collections.deque = collections.deque(maxlen=delay + 1)
        self.velocity = [0.0] * n_axes

    def clicks(self, target) -> bool:
        """Return whether the subject intends a click: it sees the cursor inside the target."""
        n = len(self.velocity)
        return math.dist(self._seen[0], target[:n]) <= target[n]

    def intend(self, cursor, target) -> list[float]:
        """Return the velocity (m/s, one per axis) intended, given the newest cursor and target (positions first).

        The cursor is seen ``feedback_delay_s`` late. The noise is signal dependent: its standard deviation is
        ``intention_noise`` times the intended speed, fresh in every bin.
        """
        n = len(self.velocity)
        self._seen.append(tuple(float(x) for x in cursor[:n]))
        self.velocity = aim(self._keep, self._pull, self._seen[0], target, self.velocity)
        speed = math.hypot(*self.velocity)
        if speed > self.config.max_speed_m_s:
            self.velocity = [v * (self.config.max_speed_m_s / speed) for v in self.velocity]
        if not self.config.intention_noise:
            return self.velocity
        sd = self.config.intention_noise * speed
        return [v + sd * self.rng.standard_normal() for v in self.velocity]
