"""What an adaptive read-out costs along given features: the exact recursion, in place of averages over the features.

The filter of :mod:`bmi_runtime.calibration.readout` has the gain ``k_t = P_t g_t / (Z + g_t' P_t g_t)``, which depends
on the features alone. With the error ``e = w - w*`` of its weights and the residual z of the best fixed read-out,

    e_(t+1) = (I - k_t g_t') e_t + k_t z_t,    z_(t+1) = a_1 z_t + ... + a_p z_(t+1-p) + noise,

so that the covariance of (e, z_t, ..., z_(t-p+1)) obeys a linear recursion and the excess error of a bin is
``g_t' E[e e'] g_t``. The residual is taken as autoregressive with its measured autocovariance (Yule and Walker), as
independent of the features, and the truth as standing still.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg

MOST_LAGS = 12  # of the autocovariance that the recursion takes in


@dataclasses.dataclass(frozen=True)
class Residual:
    """A residual as an autoregression.

    Attributes
    ----------
    weights : ndarray, shape (lags,)
        a_1 to a_p.
    covariance : ndarray, shape (lags, lags)
        Of (z_t, ..., z_(t-p+1)).
    innovation : float
        Variance of the noise that drives it.
    """

    weights: np.ndarray
    covariance: np.ndarray
    innovation: float

    @classmethod
    def measured(cls, residual: np.ndarray, lags: int = MOST_LAGS) -> Residual:
        """Fit a residual (bins, outputs), mean of its outputs; bins that are not finite are left out.

        Raises
        ------
        ValueError
            When there are too few bins for so many lags.
        """
        known = np.isfinite(residual).all(axis=1)
        if known.sum() < 10 * (lags + 1):
            raise ValueError(f"{int(known.sum())} bins are too few for the autocovariance of {lags} lags")
        centred = np.where(known[:, None], residual - residual[known].mean(axis=0), 0.0)
        products = [(centred[lag:] * centred[: len(centred) - lag]).mean(axis=1) for lag in range(lags + 1)]
        pairs = [known[lag:] & known[: len(known) - lag] for lag in range(lags + 1)]
        found = np.array([product[pair].mean() for product, pair in zip(products, pairs, strict=True)])
        found *= 1.0 - np.arange(lags + 1) / (10.0 * (lags + 1))  # keeps the matrix positive where bins are missing
        weights = scipy.linalg.solve_toeplitz(found[:-1], found[1:])
        innovation = max(float(found[0] - weights @ found[1:]), 1e-12 * float(found[0]))
        return cls(weights, scipy.linalg.toeplitz(found[:-1]), innovation)


def excess_along(features: np.ndarray, residual: Residual, rate: float, covariance: np.ndarray) -> np.ndarray:
    """Return the expected excess squared error of one output in every bin, from the best weights on.

    Parameters
    ----------
    features : ndarray, shape (bins, p)
    residual : Residual
    rate : float
        s, per bin.
    covariance : ndarray, shape (p, p)
        The filter's own at the start.

    Returns
    -------
    ndarray, shape (bins,)
    """
    size, lags = features.shape[1], len(residual.weights)
    noise = float(residual.covariance[0, 0])
    joint = np.zeros((size + lags, size + lags))
    joint[size:, size:] = residual.covariance
    step = np.zeros_like(joint)
    step[size, size:] = residual.weights
    step[size + 1 :, size:-1] = np.eye(lags - 1)
    own, excess = np.array(covariance, float), np.empty(len(features))
    for t, g in enumerate(features):
        excess[t] = g @ joint[:size, :size] @ g
        own[np.diag_indices(size)] += rate
        projected = own @ g
        spread = noise + g @ projected
        own -= np.outer(projected, projected) / spread
        step[:size, :size] = np.eye(size) - np.outer(projected, g) / spread
        step[:size, size] = projected / spread
        joint = step @ joint @ step.T
        joint[size, size] += residual.innovation
    return excess
