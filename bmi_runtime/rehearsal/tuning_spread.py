"""How much of the spread of fitted tuning is real, and how much is what each estimate leaves open."""

from __future__ import annotations

import numpy as np

from bmi_runtime.rehearsal.past import (
    BLOCK_S,
)


def sandwich(u: np.ndarray, y: np.ndarray, expected: np.ndarray, bin_s: float) -> np.ndarray:
    """Return the covariance of every unit's weights, (units, regressors, regressors), whatever its counts' noise.

    M^-1 B M^-1 with the information M and the scores' covariance B over blocks of `BLOCK_S` (the sandwich; standard).
    """
    d, n = u.shape[1], y.shape[1]
    lower, upper = np.tril_indices(d)
    information = np.empty((n, d, d))
    information[:, lower, upper] = information[:, upper, lower] = expected.T @ (u[:, lower] * u[:, upper])
    information += 1e-6 * np.eye(d) * np.trace(information, axis1=1, axis2=2)[:, None, None]
    size = max(round(BLOCK_S / bin_s), 1)
    blocks = [((y - expected)[k : k + size].T @ u[k : k + size]) for k in range(0, len(u), size)]
    scores = np.stack(blocks)
    spread = np.einsum("bni,bnj->nij", scores, scores)
    inverse = np.linalg.inv(information)
    found = inverse @ spread @ inverse
    return 0.5 * (found + found.transpose(0, 2, 1))


def shrunk(weights: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gains with the spread that tuning really has, and what is left open of them (empirical Bayes).

    The spread of estimates over units is that of the tuning and of the estimates' errors. The first, per regressor, is
    the variance with which squared estimates over their whole variance are one on average (Paule and Mandel 1982, about
    zero), so that units of which hardly anything is known do not count. It is the prior of every unit's gain, and gives
    mean and covariance.
    """
    d = len(weights)
    precision = np.zeros((d, d))
    for k in range(1, d):
        precision[k, k] = 1.0 / max(tuning_variance(weights[k], covariance[:, k, k]), 1e-8)
    inverse = np.linalg.inv(covariance + 1e-12 * np.eye(d))
    found = np.linalg.inv(inverse + precision)
    mean = np.einsum("nij,njk,kn->in", found, inverse, weights)
    return mean, 0.5 * (found + found.transpose(0, 2, 1))


def tuning_variance(estimates: np.ndarray, error_variance: np.ndarray) -> float:
    """Return the variance about zero of what was estimated, given each estimate's error variance (Paule and Mandel)."""
    squares, errors = estimates**2, np.maximum(error_variance, 1e-12)
    low, high = 0.0, float(squares.max())
    if (squares / errors).mean() <= 1.0:
        return 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (squares / (middle + errors)).mean() > 1.0 else (low, middle)
    return 0.5 * (low + high)
