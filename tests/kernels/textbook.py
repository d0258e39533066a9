"""The adaptive point-process filter of one unit, written with inverses."""

import numpy as np
from scipy.optimize import brentq


def poisson_step(weights, covariance, count, u, rate, bin_s):
    """Eden et al. 2004; where a count is far from the expected one, the posterior's mode and the information there."""
    prior = covariance + rate * np.eye(len(u))
    expected, spread = np.exp(u @ weights) * bin_s, u @ prior @ u
    posterior = np.linalg.inv(np.linalg.inv(prior) + expected * np.outer(u, u))
    moved = weights + posterior @ u * (count - expected)
    rises = u @ (moved - weights) > 3.0
    if rises or expected / np.e > count + 1.0 / spread:  # the mode lies below by more than one
        along = brentq(lambda a: a - count + expected * np.exp(a * spread), -100.0 / spread, count, xtol=1e-15)
        there = expected * np.exp(along * spread)
        posterior = np.linalg.inv(np.linalg.inv(prior) + there * np.outer(u, u))
        moved = weights + prior @ u * along
    return moved, posterior
