"""A fixed decoder of latent activity, kept in place by turning today's subspace onto that of the calibration.

Factor analysis gives a few latents; the decoder is fitted to them once. Later the analysis is repeated without labels,
and its loadings are turned (Procrustes) onto the first ones over the units whose loadings agree best, so that the same
decoder reads the same latents. Written for the comparison over days, from the description of the method.

References
----------
Degenhart AD, Bishop WE, Oby ER, et al. (2020) Stabilization of a brain-computer interface via the alignment of
low-dimensional spaces of neural activity. Nature Biomedical Engineering 4:672-685.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np

from bmi_runtime.decoding.batch_decoder import DecoderBase, Training
from bmi_runtime.decoding.kalman import VelocityKalmanDecoder

LATENTS = 10  # dimensions of the subspace
SMOOTHING_S = 0.1  # time constant of the counts' smoothing
STABLE_FRACTION = 0.5
"""Of the units: those that the turn is found from."""
ITERATIONS = 60  # of the alignment


@dataclasses.dataclass(frozen=True)
class Factors:
    """A factor analysis: counts = mean + loadings z + noise.

    Attributes
    ----------
    mean, noise : ndarray, (units,)
    loadings : ndarray, (units, latents)
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray

    @classmethod
    def fit(cls, activity: np.ndarray, latents: int) -> Self:
        """Fit to activity (bins, units) by expectation-maximisation from the leading eigenvectors."""
        mean, units = activity.mean(axis=0), activity.shape[1]
        covariance = np.cov(activity.T) + 1e-9 * np.eye(units)
        floor = 1e-3 * max(float(np.trace(covariance)) / units, 1e-12)
        values, vectors = np.linalg.eigh(covariance)
        loadings = vectors[:, -latents:] * np.sqrt(np.maximum(values[-latents:], 0.0))
        noise = np.maximum(covariance.diagonal() - (loadings**2).sum(axis=1), floor)
        for _ in range(ITERATIONS):
            to_latents = cls(mean, loadings, noise).to_latents
            cross = covariance @ to_latents.T
            second = np.eye(latents) - to_latents @ loadings + to_latents @ cross
            loadings = np.linalg.solve(second, cross.T).T
            noise = np.maximum(covariance.diagonal() - (loadings * cross).sum(axis=1), floor)
        return cls(mean, loadings, noise)

    @property
    def to_latents(self) -> np.ndarray:
        """The map from counts about the mean to the latents' posterior mean, (latents, units)."""
        weighted = self.loadings / self.noise[:, None]
        return np.linalg.solve(np.eye(self.loadings.shape[1]) + self.loadings.T @ weighted, weighted.T)

    def turned_onto(self, first: Factors, stable: int) -> Factors:
        """Return the same analysis with its latents turned onto another's, over the units that agree best."""
        kept = np.flatnonzero((np.abs(self.loadings).sum(axis=1) > 0) & (np.abs(first.loadings).sum(axis=1) > 0))
        turn = _turn(self.loadings[kept], first.loadings[kept])
        while len(kept) > max(stable, self.loadings.shape[1]):
            apart = np.linalg.norm(self.loadings[kept] @ turn - first.loadings[kept], axis=1)
            kept = np.delete(kept, np.argmax(apart))
            turn = _turn(self.loadings[kept], first.loadings[kept])
        return dataclasses.replace(self, loadings=self.loadings @ turn)


def _turn(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the orthogonal matrix that brings `one` closest to `other` (orthogonal Procrustes; Schoenemann 1966)."""
    left, _, right = np.linalg.svd(one.T @ other)
    return left @ right


class SubspaceStabiliser(DecoderBase):
    """Factor analysis, a fixed velocity Kalman filter on its latents, and a turn that keeps both together.

    Parameters
    ----------
    first : Factors
        Of the calibration.
    decoder : VelocityKalmanDecoder
        Fitted to its latents.
    bin_s : float
    """

    def __init__(self, first: Factors, decoder: VelocityKalmanDecoder, bin_s: float):
        super().__init__(decoder.n_axes)
        self.first, self.decoder, self.bin_s = first, decoder, bin_s
        self._use(first)
        self.reset()

    def _use(self, factors: Factors) -> None:
        self.factors, self._map = factors, factors.to_latents

    @classmethod
    def fit(cls, training: Training, latents: int = LATENTS) -> Self:
        """Return the decoder fitted to a calibration."""
        activity = smoothed(training.counts, training.bin_s)
        first = Factors.fit(activity, latents)
        states = (activity - first.mean) @ first.to_latents.T
        return cls(first, VelocityKalmanDecoder.fit(dataclasses.replace(training, counts=states)), training.bin_s)

    def stabilise(self, counts: np.ndarray) -> None:
        """Turn the subspace of these counts (bins, units) onto that of the calibration, and use it from now on."""
        found = Factors.fit(smoothed(counts, self.bin_s), self.first.loadings.shape[1])
        self._use(found.turned_onto(self.first, round(STABLE_FRACTION * counts.shape[1])))

    def reset(self) -> None:
        """Forget the state; keep the parameters."""
        self.decoder.reset()
        self._smooth = self.factors.mean.copy()

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities."""
        self._smooth += _share(self.bin_s) * (counts - self._smooth)
        return self.decoder.predict(self._map @ (self._smooth - self.factors.mean))


def _share(bin_s: float) -> float:
    return -float(np.expm1(-bin_s / SMOOTHING_S))


def smoothed(counts: np.ndarray, bin_s: float) -> np.ndarray:
    """Return counts (bins, units) behind a causal exponential filter."""
    from scipy.signal import lfilter

    share = _share(bin_s)
    begin = (1.0 - share) * counts[:1].mean(axis=0)[None]
    return np.asarray(lfilter([share], [1.0, share - 1.0], counts.astype(float), axis=0, zi=begin)[0])
