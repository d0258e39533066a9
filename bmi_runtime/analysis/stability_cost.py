"""What a change of the array costs: the reference's own units, changed by known amounts, decoded by the old weights.

The reference's model is drawn again with its tuning turned, scaled and replaced, from not at all to altogether. At
every degree the simulated counts give a score (:mod:`.stability`, with the scatter of the real reference blocks) and a
decoding error, so that a score is read as an error, for this array and not in general.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bmi_runtime.analysis.stability import WINDOW_S, Reference, Stability
from bmi_runtime.calibration.closed_form import convergence_bins, information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.model import EncodingModel

DEGREES = np.linspace(0.0, 1.0, 8)
SIMULATED_S = 30.0
PER_DEGREE = 6
LARGEST_HZ, FEWEST_STATES = 300.0, 1000
WIDEN_FROM = 1.05  # expected decoding error over that of the reference
LEAST_KEPT = 0.35  # of the tuning: with less, inferred goals lose their way


@dataclasses.dataclass(frozen=True)
class Cost:
    """What may be expected of the reference's weights today.

    Attributes
    ----------
    error_ratio : float
        Expected decoding error of the unchanged weights over that on the reference days.
    weight_sd : float
        Root mean square change of the weights at such a score (log rate, per dm/s): a value for ``encoding.carry_sd``.
    adapt_s : float or None
        Time in which adaptation at the session's learning rate removes 95 % of the mean error of the weights (the
        slowest mode of the median unit); None without a learning rate.
    """

    error_ratio: float
    weight_sd: float
    adapt_s: float | None


def verdict(found: Stability, cost: Cost | None) -> str:
    """Return ``go-on``, ``widen`` (the covariance, and adapt) or ``recalibrate``."""
    if not found.changed:
        return "go-on"
    if found.kept < LEAST_KEPT:
        return "recalibrate"
    return "go-on" if cost and cost.error_ratio < WIDEN_FROM else "widen"


def expected_cost(
    found: Stability,
    reference: Reference,
    model: EncodingModel,
    velocity_sd_m_s: float,
    velocity_time_constant_s: float,
    learning_rate: float | None,
) -> Cost:
    """Return what today's score means for the decoding error.

    Parameters
    ----------
    found, reference
        Of :mod:`.stability`.
    model : EncodingModel
        Of the reference, its units in the order of the days.
    velocity_sd_m_s, velocity_time_constant_s : float
        The prior of the decoder; simulated movements are drawn from it.
    learning_rate : float or None
    """
    rng = np.random.default_rng(0)  # common random numbers for every array: the mapping is deterministic
    world = _World(model, velocity_sd_m_s * DM_PER_M, velocity_time_constant_s)
    unchanged = np.mean([world.statistics(reference, model.weights, rng)[0] for _ in range(PER_DEGREE)], axis=0)
    drawn = np.empty((len(DEGREES), PER_DEGREE, 3))  # score, error, change
    for row, degree in zip(drawn, DEGREES, strict=True):
        for one in row:
            weights = _changed(model.weights, world.gain_rows, degree, rng)
            statistics, error = world.statistics(reference, weights, rng)
            moved = (statistics - unchanged) + reference.statistics.mean(axis=0)
            change = np.sqrt(np.mean((weights - model.weights)[: 1 + world.axes] ** 2))
            one[:] = reference.score(reference.deviations(moved)), error, change
    # means over draws, made to grow: sorted by their own scores, single draws would read the largest error so far
    score, error, change = np.maximum.accumulate(drawn.mean(axis=1)).T
    error_ratio = float(np.interp(found.score, score, error / error[0])) if found.changed else 1.0
    weight_sd = float(np.interp(found.score, score, change))
    return Cost(max(error_ratio, 1.0), weight_sd if found.changed else 0.0, _adaptation_s(world, model, learning_rate))


def _adaptation_s(world: _World, model: EncodingModel, learning_rate: float | None) -> float | None:
    if not learning_rate:
        return None
    gains = model.weights[[0, *world.gain_rows]].T
    noise = model.noise_variance if model.likelihood == "gaussian" else None
    states = world.movement(20_000, np.random.default_rng(1))
    if world.poisson:  # movements so fast that a unit would have to fire more than any can are not of this array
        states = states[world.expected(model.weights, states).max(axis=1) < LARGEST_HZ * WINDOW_S]
        if len(states) < FEWEST_STATES:
            return None
    told = information(Design(states, gains, model.bin_s, model.likelihood, noise, counts="poisson"))
    return float(np.median(convergence_bins(steady_state(told, learning_rate)).max(axis=1)) * model.bin_s)


def _changed(weights: np.ndarray, rows: list[int], degree: float, rng: np.random.Generator) -> np.ndarray:
    """Return weights whose tuning is turned and scaled, of which some units are replaced by others' copies."""
    out, n = weights.copy(), weights.shape[1]
    size = np.linalg.norm(weights[rows], axis=0)
    turned = weights[rows] + degree * 1.2 * size * rng.standard_normal((len(rows), n))
    turned *= size / np.maximum(np.linalg.norm(turned, axis=0), 1e-12) * np.exp(0.3 * degree * rng.standard_normal(n))
    out[rows] = turned
    out[0] += 0.5 * degree * rng.standard_normal(n) * max(float(np.std(weights[0])), 0.1)
    replaced = np.flatnonzero(rng.random(n) < degree)
    out[:, replaced] = weights[:, rng.permutation(n)[: len(replaced)]]
    return out


class FixedDecoder:
    """A point-process or Kalman filter of unchanging weights on windows of `WINDOW_S`, updated at the prior mean.

    Parameters
    ----------
    model : EncodingModel
        Tuned to velocity.
    speed_sd : float
        Stationary sd of the velocity prior, dm/s.
    time_constant_s : float
    """

    def __init__(self, model: EncodingModel, speed_sd: float, time_constant_s: float):
        self.gain_rows = list(range(*model.regressors.places["velocity"].indices(model.n_regressors)))
        self.axes, self.model = len(self.gain_rows), model
        self.keep, self.sd = math.exp(-WINDOW_S / time_constant_s), speed_sd
        self.per = max(round(WINDOW_S / model.bin_s), 1)
        self.poisson = model.likelihood == "poisson"

    def expected(self, weights: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Return the expected counts (or summed features) of a window at a velocity (..., axes), dm/s."""
        mean = weights[0] + velocity @ weights[self.gain_rows]
        return np.exp(np.clip(mean, -10.0, 6.0)) * WINDOW_S if self.poisson else mean * self.per

    def decode(self, counts: np.ndarray) -> np.ndarray:
        """Return the decoded velocity of every window, (windows, axes), dm/s."""
        gains, noise = self.model.weights[self.gain_rows], self.model.noise_variance
        state: np.ndarray = np.zeros(self.axes)
        covariance: np.ndarray = self.sd**2 * np.eye(self.axes)
        added = (1.0 - self.keep**2) * self.sd**2 * np.eye(self.axes)
        out = np.empty((len(counts), self.axes))
        for step, seen in enumerate(counts):
            state, covariance = self.keep * state, self.keep**2 * covariance + added
            expected = self.expected(self.model.weights, state)
            weight = expected if self.poisson else self.per / noise
            covariance = np.linalg.inv(np.linalg.inv(covariance) + (gains * weight) @ gains.T)
            surprise = (seen - expected) if self.poisson else (seen - expected) / noise
            state = np.clip(state + covariance @ (gains @ surprise), -10.0 * self.sd, 10.0 * self.sd)
            out[step] = state
        return out


class _World(FixedDecoder):
    """Movements from the decoder's prior, and counts of given weights."""

    def movement(self, steps: int, rng: np.random.Generator) -> np.ndarray:
        """Return velocities (steps, axes), dm/s, of a first-order process in windows of `WINDOW_S`."""
        drawn = rng.standard_normal((steps, self.axes)) * self.sd * math.sqrt(1.0 - self.keep**2)
        out = np.empty_like(drawn)
        now = self.sd * rng.standard_normal(self.axes)
        for step in range(steps):
            now = self.keep * now + drawn[step]
            out[step] = now
        return out

    def statistics(self, reference: Reference, weights: np.ndarray, rng: np.random.Generator):
        """Return the units' statistics of simulated counts, and the error of the fixed decoder (dm/s)."""
        velocity = self.movement(round(SIMULATED_S / WINDOW_S), rng)
        expected = self.expected(weights, velocity)
        if self.poisson:
            counts = rng.poisson(expected).astype(float)
        else:
            noise = np.sqrt(self.model.noise_variance * self.per)
            counts = np.asarray(expected + noise * rng.standard_normal(expected.shape), float)
        error = self.decode(counts) - velocity
        return reference.of(counts), float(np.sqrt(np.mean(np.sum(error**2, axis=1))))
