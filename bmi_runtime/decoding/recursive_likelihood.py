"""Recursive maximum likelihood: the tuning of a Kalman filter renewed in every bin.

References
----------
Dangi, Gowda, Moorman, Orsborn, So, Shanechi, Carmena (2014) Neural Computation 26:1811.
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.decoding.adapting_kalman import AdaptingKalman, maximum_likelihood, moments, weight_kept


class RecursiveLikelihood(AdaptingKalman):
    """Exponentially weighted sufficient statistics of the intended velocities and counts, and their optimum.

    ``R <- k R + x x'``, ``S <- k S + y x'``, ``T <- k T + y y'``, ``n <- k n + 1`` with ``k = 2 ** (-bin / half
    life)``; then ``C = S R^-1`` and ``Q = (T - C S') / n``, the maximum-likelihood estimate with weights that halve in
    every half life. The calibration goes through the same recursion first.
    """

    def seed(self, counts: np.ndarray, regressors: np.ndarray) -> None:
        """Take the calibration in, its last bin with weight one."""
        age = np.arange(len(counts))[::-1]
        root = np.sqrt(weight_kept(self.bin_s, self.half_life_s) ** age)[:, None]
        self._sums = moments(root * counts, root * regressors)
        self._sums["bins"] = float((root**2).sum())
        self.take(*maximum_likelihood(self._sums))

    def adapt(self, counts: np.ndarray, velocity: np.ndarray) -> None:
        """Process one bin, and decode the next with the new optimum."""
        y, x = np.asarray(counts, dtype=float)[self.units], np.array([1.0, velocity[0], velocity[1]])
        kept = weight_kept(self.bin_s, self.half_life_s)
        newest = moments(y[None], x[None])
        for name, value in newest.items():
            self._sums[name] = kept * self._sums[name] + value
        self.take(*maximum_likelihood(self._sums))
