"""What the closed-loop adaptation methods for comparison share: a velocity Kalman filter whose tuning is replaced."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from bmi_runtime.decoding.baselines import fit_kalman
from bmi_runtime.decoding.batch_decoder import DecoderBase, Training, paired_rows
from bmi_runtime.decoding.refit_kalman import intended
from bmi_runtime.kernels import linear


class AdaptingKalman(DecoderBase):
    """Kalman filter of the velocity, ``y[t] = C [1, v[t]] + q``, whose C and covariance of q change under way.

    The dynamics of the velocity, ``v[t] = A v[t-1] + w``, are those of the seed and stay.

    Parameters
    ----------
    transition, drive : ndarray, shape (axes, axes)
        A and the covariance of w.
    bin_s : float
    units : ndarray of int
        Units that are used.
    half_life_s : float, optional
        After which what was known weighs half; by default :data:`HALF_LIFE_S` (our choice).
    """

    HALF_LIFE_S = 120.0

    def __init__(self, transition, drive, bin_s: float, units, half_life_s: float | None = None):
        super().__init__(len(transition))
        self.half_life_s = float(half_life_s or self.HALF_LIFE_S)
        self.transition, self.drive = np.ascontiguousarray(transition), np.ascontiguousarray(drive)
        self.bin_s, self.units = float(bin_s), np.asarray(units)
        self._evidence, self._work = np.empty(self.n_axes), np.empty((self.n_axes, 2 * self.n_axes + 1))
        self.reset()

    @classmethod
    def fit(cls, training: Training, half_life_s: float | None = None) -> Self:
        """Return the decoder with a seed from a calibration; intentions are rotated to its targets where it has any."""
        if training.targets is not None:
            training = intended(training)
        units = np.flatnonzero(np.ptp(training.counts, axis=0) > 0)
        velocity, rows = training.velocity, paired_rows(training.restart, 0)
        dynamics = fit_kalman(training.counts[:, units], velocity, training.trial_start, rows)
        decoder = cls(dynamics.transition, dynamics.transition_covariance, training.bin_s, units, half_life_s)
        known = np.isfinite(velocity).all(axis=1)
        decoder.seed(training.counts[known][:, units], with_one(velocity[known]))
        return decoder

    def seed(self, counts: np.ndarray, regressors: np.ndarray) -> None:
        """Learn from the calibration: counts (bins, units) and regressors (bins, 1 + axes)."""
        raise NotImplementedError

    def adapt(self, counts: np.ndarray, velocity: np.ndarray) -> None:
        """Learn from one bin in control: its counts, and the velocity that was intended."""
        raise NotImplementedError

    def take(self, tuning: np.ndarray, noise: np.ndarray) -> None:
        """Decode with a tuning (units, 1 + axes) and a noise covariance (units, units) from now on."""
        size = len(noise)
        self.tuning, self.noise = tuning, noise
        regular = noise + np.eye(size) * (1e-6 * np.trace(noise) / size + 1e-9)
        self._gain_form = np.ascontiguousarray(np.linalg.solve(regular, tuning[:, 1:]).T)
        self._information = self._gain_form @ tuning[:, 1:]

    def reset(self) -> None:
        """Forget the velocity; keep what was learned."""
        self._velocity, self._covariance = np.zeros(self.n_axes), np.zeros((self.n_axes, self.n_axes))

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return NaN for the positions, then velocities."""
        centred = np.asarray(counts, dtype=float)[self.units] - self.tuning[:, 0]
        linear.advance(self.transition, self.drive, self._velocity, self._covariance, self._work)
        linear.weighted_sums(self._gain_form, centred, self._evidence)
        linear.condition(self._information, self._evidence, self._velocity, self._covariance, self._work)
        self.variance[self.n_axes :] = self._covariance.diagonal()
        return np.concatenate([np.full(self.n_axes, np.nan), self._velocity])


def with_one(velocity: np.ndarray) -> np.ndarray:
    """Return ``[1, velocity]`` of every bin, shape (bins, 1 + axes)."""
    return np.hstack([np.ones((len(velocity), 1)), velocity])


def weight_kept(seconds: float, half_life_s: float) -> float:
    """Return what is left of a weight after some time: ``2 ** (-seconds / half life)``."""
    return float(0.5 ** (seconds / half_life_s))


def moments(counts: np.ndarray, regressors: np.ndarray) -> dict[str, Any]:
    """Return the sums that maximum likelihood needs: ``x x'``, ``y x'``, ``y y'``, and the number of bins."""
    return {
        "xx": regressors.T @ regressors,
        "yx": counts.T @ regressors,
        "yy": counts.T @ counts,
        "bins": float(len(counts)),
    }


def maximum_likelihood(sums: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return tuning (units, 1 + axes) and noise covariance (units, units): ``C = S R^-1``, ``Q = (T - C S') / n``."""
    size = len(sums["xx"])
    ridge = 1e-9 * np.trace(sums["xx"]) / size * np.eye(size)
    tuning = np.linalg.solve(sums["xx"] + ridge, sums["yx"].T).T
    noise = (sums["yy"] - tuning @ sums["yx"].T) / max(sums["bins"], 1.0)
    return tuning, 0.5 * (noise + noise.T)
