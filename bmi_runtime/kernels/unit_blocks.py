"""Encoding models block by block of units: what a bin asks of every unit's weights and covariance.

Arrays are struct-of-arrays: ``weights`` is (regressors, units) and ``covariance`` is (pairs, units), where the pairs
are the lower triangle of each unit's symmetric matrix in the order (0,0), (1,0), (1,1), (2,0), ... so that the inner
loops run over units and vectorise. The symmetric matrix has one copy of each element: it cannot become asymmetric.
"""

import numpy as np

from bmi_runtime.kernels import rows
from bmi_runtime.kernels.jit import kernel

BLOCK = 128  # units worked on together: scratch of (regressors + 5, BLOCK) stays in the first-level cache
LOG_RATE_LIMIT = 12.0  # |log expected count per bin| beyond which a rate is taken as exploded
NO_HISTORY = np.zeros((0, 1))
"""For models whose units do not depend on their own past."""


@kernel
def linear_predictor(weights, regressors, own, start, stop, out):
    """Set out = regressors' weights for a block of units; rows of own are regressors with a value for each unit."""
    rows.fill(out, 0.0)
    d = regressors.size
    for a in range(d):
        rows.add_scaled(out, regressors[a], weights[a, start:stop])
    for k in range(own.shape[0]):
        rows.add_product(out, own[k, start:stop], weights[d + k, start:stop])


@kernel
def prior_times_regressors(covariance, regressors, own, rate, start, stop, spread, out):
    """Set the rows of out to P u, P = S + rate I, and spread to u'P u, for a block of units."""
    d, width = regressors.size, stop - start
    for a in range(d):
        rows.scaled(out[a, :width], regressors[a], rate[start:stop])
    for k in range(own.shape[0]):
        rows.product(out[d + k, :width], own[k, start:stop], rate[start:stop])
    pair = 0
    for a in range(d):
        for b in range(a):
            element = covariance[pair, start:stop]
            rows.add_crosswise(out[a, :width], out[b, :width], element, regressors[a], regressors[b])
            pair += 1
        rows.add_scaled(out[a, :width], regressors[a], covariance[pair, start:stop])
        pair += 1
    for k in range(own.shape[0]):
        mine = own[k, start:stop]
        for b in range(d):
            element = covariance[pair, start:stop]
            rows.add_scaled(out[d + k, :width], regressors[b], element)
            rows.add_product(out[b, :width], mine, element)
            pair += 1
        for j in range(k):
            element = covariance[pair, start:stop]
            rows.add_product(out[d + k, :width], own[j, start:stop], element)
            rows.add_product(out[d + j, :width], mine, element)
            pair += 1
        rows.add_product(out[d + k, :width], mine, covariance[pair, start:stop])
        pair += 1
    rows.fill(spread, 0.0)
    for a in range(d):
        rows.add_scaled(spread, regressors[a], out[a, :width])
    for k in range(own.shape[0]):
        rows.add_product(spread, own[k, start:stop], out[d + k, :width])


@kernel
def rank_one_update(weights, covariance, rate, start, stop, direction, gain, step):
    """Apply S = S + rate I - gain (Pu)(Pu)' and weights += step Pu, for a block of units; rows of direction are Pu."""
    width = stop - start
    pair = 0
    for a in range(weights.shape[0]):
        left = direction[a, :width]
        for b in range(a):
            rows.subtract_outer(covariance[pair, start:stop], gain, left, direction[b, :width])
            pair += 1
        rows.grow_and_subtract_square(covariance[pair, start:stop], rate[start:stop], gain, left)
        pair += 1
        rows.add_product(weights[a, start:stop], step, left)


@kernel
def weight_uncertainty(covariance, regressors, own, start, stop, out):
    """Set out to u'S u: the variance of each unit's linear predictor that its weights' covariance makes."""
    rows.fill(out, 0.0)
    pair = 0
    for a in range(regressors.size):
        for b in range(a):
            rows.add_scaled(out, 2.0 * regressors[a] * regressors[b], covariance[pair, start:stop])
            pair += 1
        rows.add_scaled(out, regressors[a] * regressors[a], covariance[pair, start:stop])
        pair += 1
    for k in range(own.shape[0]):
        mine = own[k, start:stop]
        for b in range(regressors.size):
            rows.add_scaled_product(out, 2.0 * regressors[b], mine, covariance[pair, start:stop])
            pair += 1
        for j in range(k + 1):
            factor = 1.0 if j == k else 2.0
            for i in range(out.size):
                out[i] += factor * mine[i] * own[j, start + i] * covariance[pair, start + i]
            pair += 1


@kernel
def log_likelihood_terms(counts, mask, log_expected, expected, out):
    """Set out[j] = count log w - w."""
    for j in range(out.size):
        out[j] = counts[j] * mask[j] * log_expected[j] - expected[j]
