"""Labels that follow from the decoder's own errors, with goals anywhere in any number of axes: how long they hold.

Goals u are places of length one in d axes, held for a run of L bins; the label h of a run is the goal that the current
weights make likeliest. With gains w (true, mean square s along every axis), noise variance Z, N Gaussian units and
weights ``A' w + e`` (A what all units share, d x d; e private to each unit, covariance S), a run of u shows (derived)::

    x = A'(u + zeta) + xi,   var zeta = Z / (L N s),   var xi = S Z / (L N s^2),   h = argmax_k u_k' x

and then learns L times, with the Kalman filter's gain g at covariance P (the same for all units)::

    A <- A + (u + zeta_t - A h) g',   S <- (I - g h') S (I - g h')' + Z g g',   zeta the mean of the zeta_t,

so N units are d x d numbers, whatever N is. From A = I the decoder is lost when most of the goals are taken for others:
along one axis when it has turned round (:mod:`.label_feedback` solves that case), in a plane also when it has turned by
half of the angle between two goals. Labels that are places bring a smaller turn back; labels without places would not.
The mean life is measured on lives of this reduced loop.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bmi_runtime.calibration.label_feedback import check_rate
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.goal_feedback import hold

LIVES = 192  # simulated at once
LOWEST_RATE = 1e-12  # where a search for the largest begins
CLOSE = 1.02  # of the bisection


@dataclasses.dataclass(frozen=True)
class GoalLoop:
    """Gaussian units that adapt to goals read from their own decoder.

    Attributes
    ----------
    goals : ndarray, (goals, axes)
        Directions; they are made to have length one.
    units : int
    gain_variance : float
        Mean square gain of a unit along an axis, for goals of length one.
    noise_variance : float
    run_bins : int
        How long a goal is held.
    """

    goals: np.ndarray
    units: int
    gain_variance: float
    noise_variance: float
    run_bins: int

    def __post_init__(self):
        """Refuse what cannot be."""
        goals = np.asarray(self.goals, float)
        if goals.ndim != 2 or len(goals) < 2 or not np.isfinite(goals).all() or not (goals**2).sum(axis=1).all():
            raise BadInput("a loop of goals needs at least two goals that are directions: an array (goals, axes)")
        if min(self.units, self.run_bins) < 1 or min(self.gain_variance, self.noise_variance) <= 0:
            raise BadInput("a loop of goals needs units, bins, and variances above zero")
        object.__setattr__(self, "goals", goals / np.linalg.norm(goals, axis=1)[:, None])

    def lives(self, rate: float, most_bins: float, lives: int = LIVES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return after how many bins lives have ended (lives,), and whether they have, before `most_bins`.

        Raises
        ------
        BadInput
            When the rate is not above zero.
        """
        check_rate(rate)
        rng, axes = np.random.default_rng(seed), self.goals.shape[1]
        shared, spread = np.tile(np.eye(axes), (lives, 1, 1)), np.zeros((lives, axes, axes))
        known = np.tile(self._steady(rate) * np.eye(axes), (lives, 1, 1))
        ended, alive = np.full(lives, float(most_bins)), np.ones(lives, bool)
        for run in range(math.ceil(most_bins / self.run_bins)):
            self._run(rate, rng, shared, known, spread)
            lost = alive & (self._mistaken(shared) > 0.5)
            ended[lost] = (run + 1) * self.run_bins
            alive &= ~lost
            if not alive.any():
                break
        return ended, ~alive

    def _steady(self, rate: float) -> float:
        """Return the filter's steady variance per axis, of labels that are evenly spread."""
        share, z = 1.0 / self.goals.shape[1], self.noise_variance
        return (rate + math.sqrt(rate * rate + 4.0 * share * rate * z)) / (2.0 * share)

    def _run(self, rate: float, rng, shared, known, spread) -> None:
        """Let one goal be held by every life; everything is changed in place."""
        goals, bins, noise = self.goals, self.run_bins, self.noise_variance
        lives, axes = len(shared), goals.shape[1]
        told = self.units * self.gain_variance
        seen = math.sqrt(noise / told) * rng.standard_normal((lives, bins, axes))
        seen += goals[rng.integers(len(goals), size=lives)][:, None, :]
        root = np.linalg.cholesky(spread + 1e-15 * np.eye(axes))
        private = np.einsum("rij,rj->ri", root, rng.standard_normal((lives, axes)))
        read = np.einsum("rji,rj->ri", shared, seen.mean(axis=1))
        read = read + math.sqrt(noise / (bins * self.gain_variance * told)) * private
        label = goals[np.argmax(read @ goals.T, axis=1)]
        hold(shared, known, spread, label, seen, rate, noise, np.empty(axes), np.empty(axes), np.empty((axes, axes)))

    def _mistaken(self, shared: np.ndarray) -> np.ndarray:
        """Return the share of goals that each decoder takes for others, without noise, (lives,)."""
        read = np.einsum("rji,kj->rki", shared, self.goals) @ self.goals.T
        return (read.argmax(axis=2) != np.arange(len(self.goals))).mean(axis=1)

    def lifetime_bins(self, rate: float, session_bins: float) -> float:
        """Return the mean life, from lives that are watched for a session (the estimate for an exponential one)."""
        ended, lost = self.lives(rate, session_bins)
        return float(ended.sum() / max(lost.sum(), 0.5))

    def largest_rate(self, session_bins: float) -> float:
        """Return the largest rate whose mean life is at least a session's length; 0 where there is none."""
        low, high = LOWEST_RATE, 1.0
        if self.lifetime_bins(low, session_bins) < session_bins:
            return 0.0
        while high / low > CLOSE:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.lifetime_bins(middle, session_bins) >= session_bins else (low, middle)
        return low
