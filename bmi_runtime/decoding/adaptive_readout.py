"""The part of a recurrent decoder that learns while it drives: a correction of its read-out, at a calculated rate.

The features are the leading directions of the hidden state, scaled to a mean square of 1 together, and a constant. The
correction starts at nothing, so that the decoder is the frozen one until it is taught. The mathematics of the rate is
in :mod:`bmi_runtime.calibration.readout`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bmi_runtime.calibration.readout import (
    FIT_RATES,
    RATES,
    TRUSTED_GAIN,
    Drift,
    ReadoutPilot,
    best_rate,
    fit_drift,
    steady,
    steady_variance,
)
from bmi_runtime.kernels import readout as kernels

DIRECTIONS = 16  # of the hidden state that the correction reads
TEACH_DELAY_S = 1.0  # that a rate is calculated for


@dataclasses.dataclass(frozen=True)
class Directions:
    """The leading directions of a state.

    Attributes
    ----------
    mean : ndarray, shape (size,)
    basis : ndarray, shape (size, directions)
    power : ndarray, shape (1 + directions,)
        Mean square of the constant and of the projections, in training.
    """

    mean: np.ndarray
    basis: np.ndarray
    power: np.ndarray

    @classmethod
    def of(cls, states: np.ndarray, directions: int = DIRECTIONS) -> Directions:
        """Measure the directions of states (bins, size), most variance first."""
        mean = states.mean(axis=0, dtype=float)
        centred = states - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(states))
        chosen = np.argsort(values)[::-1][: min(directions, len(values))]
        power = np.maximum(values[chosen], 1e-12 * values.max() + 1e-300)
        scale = np.sqrt(len(power) / power.sum())
        signs = np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))] < 0, -1.0, 1.0)[chosen]
        return cls(mean, np.ascontiguousarray(vectors[:, chosen] * signs * scale), np.r_[1.0, power * scale**2])

    def features(self, states: np.ndarray) -> np.ndarray:
        """Return the features of states (bins, size), shape (bins, 1 + directions)."""
        return np.hstack([np.ones((len(states), 1)), (states - self.mean) @ self.basis])


@dataclasses.dataclass(frozen=True)
class ReadoutPlan:
    """What validation said about adapting the read-out, enough to calculate a rate.

    Attributes
    ----------
    pilot : ReadoutPilot
    drift : Drift
    rates, change : ndarray
        Tried along the last fifth of the training part, and how the mean squared error changed.
    features, residual : float32, shape (bins, p) and (bins, outputs), optional
        Of that fifth, for the exact recursion; a residual that is not known is NaN.
    """

    pilot: ReadoutPilot
    drift: Drift
    rates: np.ndarray
    change: np.ndarray
    features: np.ndarray | None = None
    residual: np.ndarray | None = None

    @classmethod
    def measured(
        cls, directions: Directions, states: np.ndarray, residual: np.ndarray, bin_s: float, trained_bins: int
    ) -> ReadoutPlan:
        """Measure features, residuals and drift on a stretch that the network was not trained on.

        Parameters
        ----------
        directions : Directions
            Of the network's states in training.
        states : ndarray, shape (bins, size)
        residual : ndarray, shape (bins, outputs)
            Truth minus what was decoded, in the network's scale; NaN where unknown.
        bin_s : float
        trained_bins : int
            That the read-out was fitted to: no fit is surer than its length allows, so the weights start at least
            ``Z F / bins`` away from the best ones, whatever the short validation says.
        """
        features = directions.features(states)
        pilot = ReadoutPilot.measured(features, residual, bin_s)
        delay = round(TEACH_DELAY_S / bin_s)
        rates = np.array([rate for rate in RATES[FIT_RATES] if steady(pilot, rate).gain.max() <= TRUSTED_GAIN])
        errors = np.array([replayed_error(directions, pilot, features, residual, r, delay) for r in (0.0, *rates)])
        change = errors[1:] - errors[0]
        drift = fit_drift(pilot, rates, change, len(features), delay)
        unsure = pilot.noise * float(steady(pilot, RATES[0]).overdispersion.mean()) / max(trained_bins, 1)
        return cls(
            pilot, Drift(max(drift.start, unsure), drift.walk), rates, change,
            features.astype(np.float32), residual.astype(np.float32),
        )  # fmt: skip

    def rate(self, bins: int, delay: int) -> float:
        """Return the calculated rate for a stretch of `bins`, taught `delay` bins late; 0: better not at all."""
        return best_rate(self.pilot, self.drift, bins, delay)

    def parameters(self) -> dict[str, Any]:
        """Return the numbers that it is made from."""
        numbers = {
            "readout_power": self.pilot.power, "readout_noise": self.pilot.noise, "readout_bin_s": self.pilot.bin_s,
            "readout_correlation": self.pilot.correlation, "readout_bins": self.pilot.bins,
            "readout_strength": self.pilot.strength, "readout_start": self.drift.start,
            "readout_walk": self.drift.walk, "readout_rates": self.rates, "readout_change": self.change,
        }  # fmt: skip
        if self.features is None or self.residual is None:
            return numbers
        known = np.isfinite(self.residual)  # a file holds no NaN
        return numbers | {
            "readout_features": self.features, "readout_residual": np.where(known, self.residual, np.float32(0.0)),
            "readout_known": known.all(axis=1).astype(np.uint8),
        }  # fmt: skip

    @classmethod
    def from_parameters(cls, given: dict[str, Any]) -> ReadoutPlan:
        """Return the plan whose :meth:`parameters` these are."""
        own = {name.removeprefix("readout_"): value for name, value in given.items() if name.startswith("readout_")}
        pilot = ReadoutPilot(
            np.atleast_1d(own["power"]), float(own["noise"]), np.atleast_1d(own["correlation"]),
            float(own["bin_s"]), int(own["bins"]), np.asarray(own.get("strength", 1.0), float),
        )  # fmt: skip
        drift = Drift(float(own["start"]), float(own["walk"]))
        plan = cls(pilot, drift, np.atleast_1d(own["rates"]), np.atleast_1d(own["change"]))
        if "features" not in own:  # of a file from before
            return plan
        residual = np.where(own["known"][:, None] > 0, own["residual"], np.float32(np.nan))
        return dataclasses.replace(plan, features=own["features"], residual=residual)


def steady_covariance(power: np.ndarray, noise: float, rate: float) -> np.ndarray:
    """Return the filter's steady covariance for uncorrelated features of these mean squares."""
    return np.diag(steady_variance(power / noise, rate))


def replayed_error(
    directions: Directions, pilot: ReadoutPilot, features: np.ndarray, residual: np.ndarray, rate: float, delay: int
) -> float:
    """Return the mean squared error of one output along recorded features, taught `delay` bins late."""
    known = np.isfinite(residual).all(axis=1)
    size, outputs = features.shape[1], residual.shape[1]
    return kernels.taught_error(
        np.ascontiguousarray(features), np.ascontiguousarray(np.where(known[:, None], residual, 0.0)), known, 0, delay,
        float(rate), pilot.noise, np.zeros((size, outputs)), steady_covariance(directions.power, pilot.noise, rate),
        np.zeros(size), np.zeros(outputs),
    )  # fmt: skip


class AdaptiveReadout:
    """The correction of a read-out, and the filter that learns it.

    Parameters
    ----------
    directions : Directions
    noise : float
        Z, in the network's scale.
    outputs : int
    rate : float
        Variance per bin of the prior's walk; 0 learns nothing.
    """

    def __init__(self, directions: Directions, noise: float, outputs: int, rate: float = 0.0):
        self.directions, self.noise = directions, float(noise)
        self.features = np.zeros(len(directions.power))
        self._work = np.zeros_like(self.features)
        self.weights = np.zeros((len(self.features), outputs))
        self.use(rate)

    def use(self, rate: float) -> None:
        """Learn at this rate from now on, from the steady covariance of that rate."""
        self.rate = float(rate)
        self.covariance = steady_covariance(self.directions.power, self.noise, self.rate)

    def correct(self, state: np.ndarray, outputs: np.ndarray) -> None:
        """Add the correction for a state (flat, float32) to `outputs`."""
        kernels.project(state, self.directions.mean, self.directions.basis, self.features)
        kernels.read_out(self.features, self.weights, outputs)

    def teach(self, features: np.ndarray, residual: np.ndarray) -> None:
        """Learn from a past bin: its features, and truth minus the network's own read-out."""
        if self.rate > 0.0 and np.isfinite(residual).all():
            kernels.teach(features, residual, self.rate, self.noise, self.weights, self.covariance, self._work)

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what was learned."""
        return {"weights": self.weights.copy(), "covariance": self.covariance.copy(), "rate": self.rate}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by snapshot."""
        self.weights[:], self.covariance[:] = snapshot["weights"], snapshot["covariance"]
        self.rate = float(snapshot["rate"])
