"""Decoders that invert cosine tuning within a window of counts: population vector and optimal linear estimator.

References
----------
Georgopoulos, Schwartz, Kettner (1986) Science 233:1416 (population vector).
Salinas, Abbott (1994) J. Comput. Neurosci. 1:89 (optimal linear estimator).
Koyama, Chase, Whitford, Velliste, Schwartz, Kass (2010) J. Comput. Neurosci. 29:73 (both, in closed loop).
"""

from __future__ import annotations

from typing import Self

import numpy as np

from bmi_runtime.decoding.batch_decoder import DecoderBase, Training, best_of
from bmi_runtime.kernels import linear

WINDOWS_BINS = (1, 3, 5, 8, 12)  # that are validated


def boxcar(counts: np.ndarray, restart: np.ndarray, window: int) -> np.ndarray:
    """Return the mean count of the last `window` bins since a restart, shape (bins, units)."""
    index = np.arange(len(counts))
    first = np.maximum(np.maximum.accumulate(np.where(restart, index, 0)), index - window + 1)
    total = np.vstack([np.zeros(counts.shape[1]), np.cumsum(counts, axis=0)])
    return (total[index + 1] - total[first]) / (index + 1 - first)[:, None]


class LinearEstimator(DecoderBase):
    """``v = offset + weights (mean count of the last bins)``.

    Parameters
    ----------
    offset : ndarray, shape (axes,)
    weights : ndarray, shape (axes, units)
    window : int
        Bins.
    """

    PARAMETERS = ("offset", "weights", "window")
    STATE = ("_ring", "_seen")

    def __init__(self, offset, weights, window: int):
        super().__init__(len(weights))
        self.offset, self.weights, self.window = np.asarray(offset), np.ascontiguousarray(weights), int(window)
        self._decoded = np.empty(self.n_axes)
        self.reset()

    @classmethod
    def fit(cls, training: Training) -> Self:
        """Return the decoder with the window (1 to 12 bins) that validates best."""
        return cls.with_window(training, best_of(WINDOWS_BINS, cls.with_window, training))

    @classmethod
    def with_window(cls, training: Training, window: int) -> Self:
        """Return the decoder with a given window."""
        rows = np.isfinite(training.velocity).all(axis=1)
        velocity = training.velocity[rows]
        means = boxcar(training.counts, training.restart, window)[rows]
        regressors = np.hstack([np.ones((len(velocity), 1)), velocity])
        tuning = np.linalg.lstsq(regressors, means, rcond=None)[0]
        residual = means - regressors @ tuning
        weights = cls._weights(tuning[1:], residual.T @ residual / len(residual))
        raw = (means - tuning[0]) @ weights.T
        scale = cls._scale(raw, velocity)
        return cls(-scale * weights @ tuning[0], scale * weights, window)

    @staticmethod
    def _weights(directions, noise):
        """Return weights (axes, units) from tuning (axes, units) and noise covariance."""
        raise NotImplementedError

    @staticmethod
    def _scale(raw, velocity):
        return 1.0

    def reset(self) -> None:
        """Forget the counts of the window."""
        self._ring = np.zeros((self.window, self.weights.shape[1]))
        self._seen = 0

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return NaN for the positions, then velocities."""
        self._ring[self._seen % self.window] = counts
        self._seen += 1
        mean = self._ring[: min(self._seen, self.window)].mean(axis=0)
        linear.weighted_sums(self.weights, mean, self._decoded)
        return np.concatenate([np.full(self.n_axes, np.nan), self.offset + self._decoded])


class OptimalLinearEstimator(LinearEstimator):
    """Generalised least squares inverse of the tuning: ``(B R^-1 B')^-1 B R^-1`` with the full noise covariance R."""

    @staticmethod
    def _weights(directions, noise):
        size = len(noise)
        noise = noise + np.eye(size) * (1e-3 * np.trace(noise) / size + 1e-12)
        gain = np.linalg.solve(noise, directions.T).T
        return np.linalg.solve(gain @ directions.T + 1e-12 * np.trace(gain @ directions.T) * np.eye(len(gain)), gain)


class PopulationVector(LinearEstimator):
    """Sum of preferred directions weighted by the normalised rates, ``sum_i (y_i - b_i) / m_i * d_i``.

    b is the baseline, m the modulation depth, d the preferred direction; one factor, by least squares on the training
    part, turns it into a velocity. Units without tuning are left out.
    """

    @staticmethod
    def _weights(directions, noise):
        depth = np.linalg.norm(directions, axis=0)
        tuned = depth > 0.05 * depth.max(initial=0.0)
        return np.where(tuned, directions / np.where(tuned, depth, 1.0) ** 2, 0.0)

    @staticmethod
    def _scale(raw, velocity):
        return float((raw * velocity).sum() / max((raw**2).sum(), 1e-300))
