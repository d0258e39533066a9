"""The fitted world in action: a subject and units like those of a pilot, closed through the cursor, bin by bin."""

from __future__ import annotations

import collections
import copy
import math
from typing import Any, Protocol

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.intention.infer import aim, aim_gains
from bmi_runtime.kernels.rehearsal import emit_counts
from bmi_runtime.rehearsal.world import FittedWorld

BLOCK = 512  # bins whose noise is drawn at once
WALK_EVERY_S = 0.5  # weights random-walk in steps of this


class Steers(Protocol):
    """Who intends a velocity: the fitted subject, or a person."""

    def intend(self, cursor, target) -> list[float]:
        """Return the intended velocity (m/s, one per axis) for what is on the screen."""


class FittedSubjectAction:
    """The controller of `simulators.subject`, which also answers to a new target after a reaction time.

    Parameters
    ----------
    parameters : ndarray, (4,)
        See `bmi_runtime.rehearsal.world.SUBJECT_PARAMETERS`.
    """

    def __init__(self, parameters: np.ndarray, max_speed_m_s: float, bin_s: float, rng, n_axes: int):
        frequency_hz, delay_s, reaction_s, self.noise = parameters.tolist()
        self._keep, self._pull = aim_gains(2.0 * math.pi * frequency_hz, bin_s)
        self._seen: collections.deque = collections.deque(maxlen=round(delay_s / bin_s) + 1)
        self._targets: collections.deque = collections.deque(maxlen=round(reaction_s / bin_s) + 1)
        self.velocity, self.max_speed_m_s, self.rng = [0.0] * n_axes, max_speed_m_s, rng

    def intend(self, cursor, target) -> list[float]:
        """Return the intended velocity (m/s, one per axis), given the newest cursor and target (positions first)."""
        n = len(self.velocity)
        self._seen.append([float(x) for x in cursor[:n]])
        self._targets.append([float(x) for x in target[:n]])
        velocity = aim(self._keep, self._pull, self._seen[0], self._targets[0], self.velocity)
        speed = math.hypot(*velocity)
        if speed > self.max_speed_m_s:
            velocity = [v * (self.max_speed_m_s / speed) for v in velocity]
        self.velocity = velocity
        sd = self.noise * speed
        if not sd:
            return velocity
        return [v + sd * e for v, e in zip(velocity, self.rng.standard_normal(n).tolist(), strict=True)]


class EmittingUnits:
    """Counts or features like those of the pilot.

    Parameters
    ----------
    world : FittedWorld
    rng : numpy.random.Generator
        Everything random is drawn in blocks of bins, whatever happens meanwhile: two sessions of one seed meet the
        same noise.
    """

    def __init__(self, world: FittedWorld, rng: np.random.Generator):
        self.world, self.units, self._walk_rng = world, world.population, np.random.default_rng(rng.integers(2**63))
        self._rng, self.bins, self.held = rng, 0, 0
        units = world.population
        self.weights, n = units.weights.copy(), world.units
        lags = units.coupling.shape[2]
        self._filters = np.ascontiguousarray(units.coupling.transpose(1, 2, 0)) if lags else np.zeros((0, 0, n))
        self._pending = np.zeros((lags + 1, n))
        self._log_rate, self._counts = np.zeros(n), np.zeros(n)
        self._u = np.ones(1 + len(units.regressors))
        self._past = np.zeros((max(units.lags, default=0) + 1, 1 + 2 * world.axes))
        self._columns = [_column(name, world.axes) for name in units.regressors]
        self._shared, self._step = np.zeros(len(units.keep)), np.sqrt(1.0 - units.keep**2)
        self._private = np.zeros(n)
        own = units.wander**2 if world.poisson else units.dispersion
        self._private_step = np.sqrt(own * (1.0 - units.private_keep**2))
        self._wander_rng = np.random.default_rng(self._walk_rng.integers(2**63)) if units.wander.any() else None
        self._every = max(round(WALK_EVERY_S / world.bin_s), 1)
        variance = units.walk * self._every * world.bin_s
        self._walk_sd = np.sqrt(variance)
        spread = np.maximum((self.weights**2).mean(axis=1, keepdims=True), 1e-12)
        spread[0] = np.inf  # baselines walk freely; of gains as many grow as shrink, so that tuning keeps its spread
        self._walk_keep = np.sqrt(1.0 - np.minimum(variance / spread, 1.0))

    def centre(self, bins: int) -> None:
        """Move where the weights' walk starts, so that over so many bins their mean is that of the world."""
        rng, weights, total = copy.deepcopy(self._walk_rng), self.weights.copy(), self.weights.copy()
        steps = bins // self._every
        for _ in range(steps):
            weights = self._walk_keep * weights + self._walk_sd * rng.standard_normal(weights.shape)
            total += weights
        self.weights += self.weights - total / (steps + 1)

    def emit(self, velocity_m_s, cursor) -> np.ndarray:
        """Return one bin for an intended velocity (m/s) and the cursor seen (m); the units' own array."""
        world, units, row = self.world, self.units, self.bins % BLOCK
        if row == 0:
            self._draw()
        if self._walk_sd.any() and self.bins and self.bins % self._every == 0:
            self.weights *= self._walk_keep
            self.weights += self._walk_sd * self._walk_rng.standard_normal(self.weights.shape)
        self._see(velocity_m_s, cursor)
        if self._shared.size:
            self._shared = units.keep * self._shared + self._step * self._common[row]
        self.bins += 1
        if not world.poisson:
            self._private = units.private_keep * self._private + self._private_step * self._own[row]
            return self._u @ self.weights + self._shared @ units.loadings + self._private
        if self._wander_rng is not None:
            self._private = units.private_keep * self._private + self._private_step * self._wandering[row]
        self.held += emit_counts(
            self.weights, self._u, units.loadings, self._shared, self._private, self._pending,
            self.bins % len(self._pending), self._filters, units.past_range, units.dispersion, units.ceiling,
            self._own[row], self._log_rate, self._counts,
        )  # fmt: skip
        return self._counts

    def _draw(self) -> None:
        draw = self._rng.random if self.world.poisson else self._rng.standard_normal
        self._own = draw((BLOCK, self.world.units))
        self._common = self._rng.standard_normal((BLOCK, len(self.units.keep)))
        if self._wander_rng is not None:
            self._wandering = self._wander_rng.standard_normal((BLOCK, self.world.units))

    def _see(self, velocity_m_s, cursor) -> None:
        """Set the regressors of this bin."""
        n = self.world.axes
        past = self._past
        here = self.bins % len(past)
        velocity = [DM_PER_M * v for v in velocity_m_s]
        past[here, :n], past[here, n] = velocity, math.hypot(*velocity)
        past[here, n + 1 :] = [DM_PER_M * x for x in cursor[:n]]
        for k, (column, lag) in enumerate(zip(self._columns, self.units.lags, strict=True), 1):
            self._u[k] = past[here - lag, column]


def _column(name: str, axes: int) -> int:
    """Return where a regressor stands among velocity, speed, position."""
    if name == "speed":
        return axes
    return int(name[1:]) + (axes + 1 if name[0] == "p" else 0)


class RehearsedWorld:
    """Subject and units of a fitted world, in the place of `simulators.world.World`.

    Parameters
    ----------
    config : Config
    world : FittedWorld
        Already drawn, where what the pilot leaves open is to vary from seed to seed.
    """

    def __init__(self, config: Config, world: FittedWorld):
        seeds = np.random.SeedSequence([config.session.seed, 3]).spawn(3)
        subject_rng, units_rng, self._start_rng = (np.random.default_rng(seed) for seed in seeds)
        self.config, self.fitted = config, world
        self.subject: Steers = FittedSubjectAction(
            world.subject.mean, world.subject.max_speed_m_s, config.bin_s, subject_rng, world.axes
        )
        self.population = EmittingUnits(world, units_rng)
        self.intended = [0.0] * world.axes

    def counts(self, cursor, target) -> np.ndarray:
        """Return the next bin, given the cursor and target (positions first) on the screen."""
        self.intended = self.subject.intend(cursor, target)
        return self.population.emit(self.intended, cursor)

    def initial_model(self) -> EncodingModel:
        """Return the model that a session starts with: nothing known but baselines, or the truth."""
        config, n, kinds = self.config, self.fitted.units, Regressors.of(self.config)
        truth, poisson = self.fitted.encoding_weights(kinds), self.fitted.poisson
        known = config.encoding.noise_variance
        noise = np.full(n, known or 1.0) if known or poisson else self.fitted.population.dispersion.copy()
        likelihood, sd = config.session.likelihood, config.encoding.initial_sd
        if config.encoding.initial == "truth":
            model = EncodingModel.untrained(np.ones(n), likelihood, config.bin_s, 1e-3, noise, regressors=kinds)
            model.weights[:] = truth
            return model
        factor = np.log(config.encoding.baseline_error)
        error = self._start_rng.uniform(-factor, factor, n)
        baselines = np.exp(truth[0] + error) if poisson else truth[0] + error
        return EncodingModel.untrained(baselines, likelihood, config.bin_s, sd, noise, regressors=kinds)

    def truth(self) -> np.ndarray:
        """Return the units' weights as the session's model has them, (regressors, units), as they are now."""
        return self.fitted.encoding_weights(Regressors.of(self.config), self.population.weights)


def adopted(config: Config, world: FittedWorld) -> Config:
    """Return the configuration with what a fitted world decides: units, likelihood, bin, axes.

    Raises
    ------
    BadInput
        When the configuration says otherwise in so many words.
    """
    from bmi_runtime import config as configuration
    from bmi_runtime.errors import BadInput

    decided: dict[str, Any] = {"units": world.units, "likelihood": world.likelihood, "bin_s": world.bin_s}
    said = config.session.model_dump(exclude_unset=True)
    for key, value in decided.items():
        if said.get(key) is not None and said[key] != value and not _close(said[key], value):
            raise BadInput(f"session.{key} is {said[key]}, the world fitted to {world.name} has {value}; leave it out")
    data = config.model_dump()
    data["session"] |= decided
    if len(data["state"]["axes"]) != world.axes:
        raise BadInput(
            f"the world fitted to {world.name} has {world.axes} axes, state.axes has {len(config.state.axes)}: give "
            f"state.axes = {list('xyzabcde'[: world.axes])}"
        )
    return configuration.from_dict(data, f"the configuration of a rehearsal of {world.name}")


def _close(a: Any, b: Any) -> bool:
    return isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-6)
