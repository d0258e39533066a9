"""Estimates of many units drawn toward each other, the more the less they differ (empirical Bayes)."""

from __future__ import annotations

import numpy as np


def shrunk_toward_mean(values: np.ndarray, noise: np.ndarray, sampling: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw every column of values toward its mean over units; return the result and its standard error.

    Normal values around a common mean with an unknown variance between units, found so that the weighted squares equal
    their degrees of freedom (Paule and Mandel 1982). The logarithm of a variance is low by half of its sampling
    variance on average, which is added. The standard error is for `sampling`, which may be larger than the `noise` by
    which values are drawn.
    """
    units, columns = values.shape
    centred = values + 0.5 * noise
    if units < 2:
        return centred, np.sqrt(sampling)
    out, error = np.empty_like(values), np.empty_like(values)
    for column in range(columns):
        x, v = centred[:, column], noise[:, column]
        between = variance_between(x, v)
        weight = 1.0 / (v + between)
        mean = (weight * x).sum() / weight.sum()
        own = between / (between + v)
        out[:, column] = mean + own * (x - mean)
        error[:, column] = np.sqrt(own**2 * sampling[:, column] + (1.0 - own) ** 2 * (between + 1.0 / weight.sum()))
    return out, error


def variance_between(x: np.ndarray, v: np.ndarray) -> float:
    """Return the variance between units of values x with sampling variances v."""

    def excess(between):
        weight = 1.0 / (v + between)
        mean = (weight * x).sum() / weight.sum()
        return (weight * (x - mean) ** 2).sum() - (len(x) - 1)

    low, high = 0.0, float(x.var() * 4 + 1e-6)
    if excess(low) <= 0:
        return 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return 0.5 * (low + high)
