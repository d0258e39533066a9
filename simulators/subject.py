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
    """

    def __init__(self, config: SubjectConfig, bin_s: float, rng: np.random.Generator):
        self.config, self.bin_s, self.rng = config, bin_s, rng
        self._keep, self._pull = aim_gains(2.0 * math.pi * config.natural_frequency_hz, bin_s)
        delay = round(config.feedback_delay_s / bin_s)
        self._seen: collections.deque = collections.deque(maxlen=delay + 1)
        self.vx = self.vy = 0.0

    def intend(self, cursor, target) -> tuple[float, float]:
        """Return the velocity (m/s) that the subject intends, given the newest cursor (x, y, ...) and target (x, y,
        ...).

        The cursor is seen ``feedback_delay_s`` late. The noise is signal dependent: its standard deviation is
        ``intention_noise`` times the intended speed, fresh in every bin.
        """
        self._seen.append((float(cursor[0]), float(cursor[1])))
        self.vx, self.vy = aim(self._keep, self._pull, self._seen[0], target, self.vx, self.vy)
        speed = math.hypot(self.vx, self.vy)
        if speed > self.config.max_speed_m_s:
            self.vx *= self.config.max_speed_m_s / speed
            self.vy *= self.config.max_speed_m_s / speed
        if not self.config.intention_noise:
            return self.vx, self.vy
        sd = self.config.intention_noise * speed
        return self.vx + sd * self.rng.standard_normal(), self.vy + sd * self.rng.standard_normal()
