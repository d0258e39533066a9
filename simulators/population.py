"""Simulated units: log-linear Poisson or linear-Gaussian in velocity, with the ways in which real units misbehave."""

from collections.abc import Sequence

import numpy as np

from bmi_runtime.config import PopulationConfig
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.regressors import History, Regressors
from simulators.fluctuations import Fluctuations

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
    history_s : sequence of float
        Time constants of their own past, where ``population.history_gain`` has it matter.
    click : bool
        Whether they change their rates while a click is intended.

    Attributes
    ----------
    regressors : Regressors
        What their rates depend on: velocity, and what the configuration gives a depth.
    weights : ndarray, (regressors, units)
    """

    def __init__(
        self,
        config: PopulationConfig,
        n_units: int,
        likelihood: str,
        bin_s: float,
        rng: np.random.Generator,
        n_axes: int = 2,
        history_s: Sequence[float] = (),
        click: bool = False,
    ):
        self.config, self.bin_s, self.rng = config, bin_s, rng
        self.poisson = likelihood == "poisson"
        self.bin_index = 0
        direction = directions(rng, n_units, n_axes)
        depth = rng.uniform(*config.depth, n_units)
        self.tuned = np.arange(n_units) >= round(config.untuned_fraction * n_units)
        extra = {"position": config.position_depth, "speed": config.speed_depth, "history": config.history_gain}
        used = [name for name, ends in extra.items() if ends != (0.0, 0.0) and (name != "history" or self.poisson)]
        extra["click"] = config.click_depth
        used += ["click"] if click else []
        self.regressors = Regressors(n_axes, ("velocity", *used), tuple(history_s) if "history" in used else ())
        self.weights = np.zeros((self.regressors.size, n_units))
        self._velocity = slice(1, 1 + n_axes)
        self.weights[0] = (
            np.log(rng.uniform(*config.baseline_hz, n_units))
            if self.poisson
            else rng.uniform(*config.gaussian_baseline, n_units)
        )
        self.weights[self._velocity] = depth * direction * self.tuned
        order = rng.permutation(np.flatnonzero(self.tuned))
        n_dying, n_step = (round(f * order.size) for f in (config.dying_fraction, config.step_fraction))
        self.dying, self.stepping = order[:n_dying], order[n_dying : n_dying + n_step]
        self.alive = np.ones(n_units)
        for name, place in self.regressors.places.items():
            if name != "velocity":
                drawn = rng.uniform(*extra[name], (place.stop - place.start if name == "history" else 1, n_units))
                around = directions(rng, n_units, n_axes) if name == "position" else 1.0
                around = rng.choice([-1.0, 1.0], n_units) if name == "click" else around
                self.weights[place] = drawn * around * self.tuned
        self._u = np.ones(self.regressors.n_common)
        self.fluctuations = Fluctuations(config, n_units, bin_s, rng)
        self._history = History(self.regressors, n_units, bin_s)

    def emit(self, *velocity_m_s: float, position_m: Sequence[float] = (), click: float = 0.0) -> np.ndarray:
        """Return one bin of counts (Poisson) or features (Gaussian), (units,), for an intended velocity in m/s."""
        self._misbehave()
        self.bin_index += 1
        position = position_m or (0.0,) * len(velocity_m_s)
        self.regressors.fill(self._u, [DM_PER_M * v for v in velocity_m_s], [DM_PER_M * x for x in position], click)
        predictor = self._u @ self.weights[: self._u.size]
        if self.regressors.n_history:
            predictor += (self.weights[self._u.size :] * self._history.traces).sum(axis=0)
        if self.fluctuations.active:
            predictor = predictor + self.fluctuations.next()
            if self.poisson:
                predictor -= 0.5 * self.fluctuations.sd**2  # so that the mean rate stays that of the tuning
        if not self.poisson:
            noise = self.rng.standard_normal(predictor.size) * np.sqrt(self.config.noise_variance)
            return predictor * self.alive + noise
        expected = np.exp(np.minimum(predictor, 7.0)) * self.alive * self.bin_s
        if self.config.burst_extra > 0.0:
            counts = self._bursts(expected)
        else:
            counts = self.rng.poisson(expected)
        if self.regressors.n_history:
            self._history.take(counts)
        return counts

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
            self.weights[self._velocity] = turned(self.weights[self._velocity], sd, self.rng)
        if self.dying.size and t == round(config.dying_at_s / self.bin_s):
            self.alive[self.dying] = 0.0
        if self.stepping.size and t == round(config.step_at_s / self.bin_s):
            signs = self.rng.choice([-1.0, 1.0], self.stepping.size)
            self.weights[0, self.stepping] += signs * config.step_log_rate
