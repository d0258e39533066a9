"""Simulated units: log-linear Poisson or linear-Gaussian in velocity, with the ways in which real units misbehave."""

import numpy as np

from bmi_runtime.config import PopulationConfig
from bmi_runtime.encoding.model import DM_PER_M

WALK_EVERY_S = 0.1  # preferred directions random-walk in steps of this


def directions(rng: np.random.Generator, n_units: int, n_axes: int) -> np.ndarray:
    """Return uniformly random unit vectors, (axes, units)."""
    if n_axes == 2:
        angle = rng.uniform(0.0, 2.0 * np.pi, n_units)
        return np.stack([np.cos(angle), np.sin(angle)])
    drawn = rng.standard_normal((n_axes, n_units))
    return drawn / np.linalg.norm(drawn, axis=0)


def turned(gains: np.ndarray, sd_rad: float, rng: np.random.Generator) -> np.ndarray:
    """Return gains (axes, units) turned by a random angle of this standard deviation in a random plane through each.

    On a line there is nothing to turn to: gains stay.
    """
    n_axes, n_units = gains.shape
    if n_axes == 1:
        return gains
    angle = sd_rad * rng.standard_normal(n_units)
    if n_axes == 2:
        gx, gy = gains
        return np.stack([np.cos(angle) * gx - np.sin(angle) * gy, np.sin(angle) * gx + np.cos(angle) * gy])
    length = np.linalg.norm(gains, axis=0)
    along = np.divide(gains, length, out=np.zeros_like(gains), where=length > 0)
    aside = rng.standard_normal(gains.shape)
    aside -= along * (aside * along).sum(axis=0)
    aside /= np.linalg.norm(aside, axis=0)
    return length * (np.cos(angle) * along + np.sin(angle) * aside)


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
    n_axes : int
        Of the velocity that they encode; preferred directions are uniform on its sphere.
    """

    def __init__(
        self,
        config: PopulationConfig,
        n_units: int,
        likelihood: str,
        bin_s: float,
        rng: np.random.Generator,
        n_axes: int = 2,
    ):
        self.config, self.bin_s, self.rng = config, bin_s, rng
        self.poisson = likelihood == "poisson"
        self.bin_index = 0
        direction = directions(rng, n_units, n_axes)
        depth = rng.uniform(*config.depth, n_units)
        self.tuned = np.arange(n_units) >= round(config.untuned_fraction * n_units)
        self.weights = np.empty((1 + n_axes, n_units))
        self.weights[0] = (
            np.log(rng.uniform(*config.baseline_hz, n_units))
            if self.poisson
            else rng.uniform(*config.gaussian_baseline, n_units)
        )
        self.weights[1:] = depth * direction * self.tuned
        order = rng.permutation(np.flatnonzero(self.tuned))
        n_dying, n_step = (round(f * order.size) for f in (config.dying_fraction, config.step_fraction))
        self.dying, self.stepping = order[:n_dying], order[n_dying : n_dying + n_step]
        self.alive = np.ones(n_units)
        self._u = np.ones(1 + n_axes)

    def emit(self, *velocity_m_s: float) -> np.ndarray:
        """Return one bin of counts (Poisson) or features (Gaussian), (units,), for an intended velocity in m/s."""
        self._misbehave()
        self.bin_index += 1
        for axis, component in enumerate(velocity_m_s):
            self._u[1 + axis] = DM_PER_M * component
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
            self.weights[1:] = turned(self.weights[1:], sd, self.rng)
        if self.dying.size and t == round(config.dying_at_s / self.bin_s):
            self.alive[self.dying] = 0.0
        if self.stepping.size and t == round(config.step_at_s / self.bin_s):
            signs = self.rng.choice([-1.0, 1.0], self.stepping.size)
            self.weights[0, self.stepping] += signs * config.step_log_rate
