"""Regressions on the history of counts: Wiener filter, ridge, and the cascade of a filter and a polynomial.

References
----------
Wessberg et al. (2000) Nature 408:361; Carmena et al. (2003) PLoS Biology 1:e42 (Wiener filter, ten bins).
Collinger et al. (2013) Lancet 381:557 (ridge in use).
Pohlmeyer, Solla, Perreault, Miller (2007) J. Neural Eng. 4:369 (cascade with a static polynomial).
"""

from __future__ import annotations

from typing import Self

import numpy as np

from bmi_runtime.decoding.baselines import HISTORY_BINS, PENALTIES, count_history, mean_r2, ridge_path, with_intercept
from bmi_runtime.decoding.batch_decoder import DecoderBase, Training, axes_of
from bmi_runtime.kernels import linear

LEAST_SQUARES = 1e-9  # relative; makes silent and duplicate units harmless and changes nothing else
POLYNOMIAL_ORDER = 3


class WienerDecoder(DecoderBase):
    """Least squares from the last ten bins of counts to position and velocity.

    Parameters
    ----------
    weights : ndarray, shape (bins x units + 1, dims)
        Newest bin first; the intercept last.
    columns : ndarray of int
        Which of the positions and velocities are decoded; all velocities are.
    """

    penalties: tuple[float, ...] = (LEAST_SQUARES,)
    PARAMETERS: tuple[str, ...] = ("weights", "columns")
    STATE = ("_history",)

    def __init__(self, weights: np.ndarray, columns: np.ndarray):
        super().__init__(axes_of(columns))
        self.weights, self.columns = weights, np.asarray(columns)
        self._decoded = np.empty(len(self.columns))
        self.units = (len(weights) - 1) // HISTORY_BINS
        self._transposed = np.ascontiguousarray(weights[:-1].T)
        self.reset()

    @classmethod
    def fit(cls, training: Training) -> Self:
        """Return the fitted decoder; the penalty, where there is a choice, is the one that validates best."""
        penalty = cls.penalties[0] if len(cls.penalties) == 1 else cls._choose(training)
        features, target = cls._table(training)
        ((_, weights),) = ridge_path(features, target, [penalty])
        return cls(weights, training.columns)

    @staticmethod
    def _table(training):
        target = training.kinematics[:, training.columns]
        rows = np.isfinite(target).all(axis=1)
        return count_history(training.counts, training.restart)[rows], target[rows]

    @classmethod
    def _choose(cls, training):
        inner, outer = training.validation()
        features, target = cls._table(outer)
        learned, learned_target = cls._table(inner)
        moving = training.columns >= training.n_axes
        best, chosen = -np.inf, cls.penalties[-1]
        for penalty, weights in ridge_path(learned, learned_target, cls.penalties):
            score = mean_r2(target[:, moving], (with_intercept(features) @ weights)[:, moving])
            if score > best:
                best, chosen = score, penalty
        return chosen

    def reset(self) -> None:
        """Forget the counts before."""
        self._history = np.zeros((HISTORY_BINS, self.units))

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities."""
        self._history[1:] = self._history[:-1].copy()
        self._history[0] = counts
        state = np.full(2 * self.n_axes, np.nan)
        linear.weighted_sums(self._transposed, self._history.ravel(), self._decoded)
        state[self.columns] = self._decoded + self.weights[-1]
        return state


class RidgeDecoder(WienerDecoder):
    """The Wiener filter with the ridge penalty that validates best."""

    penalties = tuple(PENALTIES)


class WienerCascadeDecoder(RidgeDecoder):
    """A ridge regression whose outputs go through a cubic polynomial each, fitted to the training part."""

    PARAMETERS = ("weights", "columns", "polynomials", "range_")

    def __init__(self, weights: np.ndarray, columns: np.ndarray, polynomials: np.ndarray, range_):
        super().__init__(weights, columns)
        self.polynomials, self.range_ = polynomials, range_

    @classmethod
    def fit(cls, training: Training) -> Self:
        """Return the fitted decoder.

        Beyond the range of the linear outputs in training the polynomial goes on from the end of that range.
        """
        linear = RidgeDecoder.fit(training)
        features, target = cls._table(training)
        outputs = with_intercept(features) @ linear.weights
        polynomials = [np.polyfit(x, y, POLYNOMIAL_ORDER) for x, y in zip(outputs.T, target.T, strict=True)]
        range_ = np.array([outputs.min(axis=0), outputs.max(axis=0)])
        return cls(linear.weights, linear.columns, np.array(polynomials), range_)

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities."""
        state = super().predict(counts)
        inside = np.clip(state[self.columns], *self.range_)
        state[self.columns] = [np.polyval(p, x) for p, x in zip(self.polynomials, inside, strict=True)]
        return state
