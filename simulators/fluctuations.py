"""What real units do that no movement explains: fluctuations of their own and in common, wandering baselines."""

import numpy as np

from bmi_runtime.config import PopulationConfig


class Fluctuations:
    """First-order fluctuations of every unit's log rate (or feature), partly shared, and a random walk of its baseline.

    A unit's fluctuation has a standard deviation of half to one and a half times ``noise_sd`` and the time constant
    ``noise_time_constant_s``. A share ``noise_shared`` of its variance is a random mixture of ``noise_factors``
    processes that all units have in common. Draws nothing where ``noise_sd`` and the walk are zero.

    Parameters
    ----------
    config : PopulationConfig
    units : int
    bin_s : float
    rng : numpy.random.Generator
        Of the loadings, the fluctuations and the walk.
    """

    def __init__(self, config: PopulationConfig, units: int, bin_s: float, rng: np.random.Generator):
        self.rng, self.units = rng, units
        self.keep = float(np.exp(-bin_s / config.noise_time_constant_s))
        self.step_sd = float(np.sqrt(1.0 - self.keep**2))
        self.walk_sd = config.baseline_walk_per_root_s * float(np.sqrt(bin_s))
        self.active = config.noise_sd > 0.0 or self.walk_sd > 0.0
        if not self.active:
            return
        loadings = rng.standard_normal((config.noise_factors, units))
        loadings[0] = np.abs(loadings[0])  # as on recordings, units rise and fall together more often than apart
        self.loadings = np.sqrt(config.noise_shared) * loadings / np.linalg.norm(loadings, axis=0)
        self.sd = config.noise_sd * rng.uniform(0.5, 1.5, units)
        self.own = float(np.sqrt(1.0 - config.noise_shared))
        self.common = rng.standard_normal(config.noise_factors)
        self.private = rng.standard_normal(units)
        self.walk = np.zeros(units)

    def next(self) -> np.ndarray:
        """Return this bin's addition to every unit's predictor, (units,); its mean is zero."""
        self.common = self.keep * self.common + self.step_sd * self.rng.standard_normal(self.common.size)
        self.private = self.keep * self.private + self.step_sd * self.rng.standard_normal(self.units)
        if self.walk_sd:
            self.walk += self.walk_sd * self.rng.standard_normal(self.units)
        return self.sd * (self.common @ self.loadings + self.own * self.private) + self.walk
