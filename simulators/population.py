"""Simulated units: log-linear Poisson or linear-Gaussian in velocity, with the ways in which real units misbehave."""

import numpy as np

from bmi_runtime.config import PopulationConfig
from bmi_runtime.encoding.model import DM_PER_M

WALK_EVERY_S = 0.1  # preferred directions random-walk in steps of this


class Population:
    """Tuned units with a baseline, a preferred direction and a modulation depth (per dm/s).

    Parameters
    ----------
    config : PopulationConfig
    n_units : int
    likelihood : {"poisson", "gaussian"}
    bin_s : float
    rng : numpy.random.Generator
        One for everything: the draw of the units, their noise, their drift.
    """

    def __init__(self, config: PopulationConfig, n_units: int, likelihood: str, bin_s: float, rng: np.random.Generator):
        self.config, self.bin_s, self.rng = config, bin_s, rng
        self.poisson = likelihood == "poisson"
        self.bin_index = 0
        direction = rng.uniform(0.0, 2.0 * np.pi, n_units)
        depth = rng.uniform(*config.depth, n_units)
        self.tuned = np.arange(n_units) >= round(config.untuned_fraction * n_units)
        self.weights = np.empty((3, n_units))
        self.weights[0] = (
            np.log(rng.uniform(*config.baseline_hz, n_units))
            if self.poisson
            else rng.uniform(*config.gaussian_baseline, n_units)
        )
        self.weights[1] = depth * np.cos(direction) * self.tuned
        self.weights[2] = depth * np.sin(direction) * self.tuned
        order = rng.permutation(np.flatnonzero(self.tuned))
        n_dying, n_step = (round(f * order.size) for f in (config.dying_fraction, config.step_fraction))
        self.dying, self.stepping = order[:n_dying], order[n_dying : n_dying + n_step]
        self.alive = np.ones(n_units)
        self._u = np.ones(3)

    def emit(self, vx_m_s: float, vy_m_s: float) -> np.ndarray:
        """Return one bin of counts (Poisson) or features (Gaussian), (units,), for an intended velocity in m/s."""
        self._misbehave()
        self.bin_index += 1
        self._u[1], self._u[2] = DM_PER_M * vx_m_s, DM_PER_M * vy_m_s
        predictor = self._u @ self.weights
        if not self.poisson:
            noise = self.rng.standard_normal(predictor.size) * np.sqrt(self.config.noise_variance)
            return predictor * self.alive + noise
        expected = np.exp(np.minimum(predictor, 7.0)) * self.alive * self.bin_s
        if self.config.burst_extra > 0.0:
            return self._bursts(expected)
        return self.rng.poisson(expected)

    def _bursts(self, expected: np.ndarray) -> np.ndarray:
        """Return counts of the same mean in which every spike brings a geometric number of others."""
        extra = self.config.burst_extra
        starts = self.rng.poisson(expected / (1.0 + extra))
        counts = starts.copy()
        fired = np.flatnonzero(starts)
        if fired.size:
            counts[fired] += self.rng.negative_binomial(starts[fired], 1.0 / (1.0 + extra))
        return counts

    def _misbehave(self) -> None:
        config, t = self.config, self.bin_index
        every = max(round(WALK_EVERY_S / self.bin_s), 1)
        if config.direction_walk_rad_per_root_s and t and t % every == 0:
            sd = config.direction_walk_rad_per_root_s * np.sqrt(every * self.bin_s)
            angle = sd * self.rng.standard_normal(self.weights.shape[1])
            gx, gy = self.weights[1].copy(), self.weights[2].copy()
            self.weights[1] = np.cos(angle) * gx - np.sin(angle) * gy
            self.weights[2] = np.sin(angle) * gx + np.cos(angle) * gy
        if self.dying.size and t == round(config.dying_at_s / self.bin_s):
            self.alive[self.dying] = 0.0
        if self.stepping.size and t == round(config.step_at_s / self.bin_s):
            signs = self.rng.choice([-1.0, 1.0], self.stepping.size)
            self.weights[0, self.stepping] += signs * config.step_log_rate
