"""The exact covariance recursion of the adaptive filters along given regressors, for all units at once.

Struct-of-arrays as in :mod:`bmi_runtime.kernels.unit_blocks`: covariances are (pairs, units), the pairs being the
lower triangle (0,0), (1,0), (1,1), (2,0), ...; transitions are (regressors * regressors, units) in row order.
"""

import numpy as np

from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel

NO_OWN = np.zeros((1, 0, 1))
"""Regressors of units that have none of their own."""


@kernel(inline="always")
def _regressors_of(common, own, start, width, u):
    """Write one bin's regressors of a block of units, common ones first, into u (regressors, block)."""
    for a in range(common.size):
        for j in range(width):
            u[a, j] = common[a]
    for k in range(own.shape[0]):
        for j in range(width):
            u[common.size + k, j] = own[k, start + j]


@kernel(inline="always")
def _product(packed, u, start, width, rate, out):
    """Write (X + rate I) u of a block of units into out, (regressors, block)."""
    d = u.shape[0]
    for a in range(d):
        for j in range(width):
            out[a, j] = rate[start + j] * u[a, j]
    pair = 0
    for a in range(d):
        for b in range(a):
            for j in range(width):
                s = packed[pair, start + j]
                out[a, j] += s * u[b, j]
                out[b, j] += s * u[a, j]
            pair += 1
        for j in range(width):
            out[a, j] += packed[pair, start + j] * u[a, j]
        pair += 1


@kernel(inline="always")
def _weigh(u, gains, scale, single, start, width, weight, score):
    """Write the information scalar w = scale exp(u'gains) and the score's variance w (1 - single w) of a block."""
    for j in range(width):
        weight[j] = 0.0
    for a in range(u.shape[0]):
        for j in range(width):
            weight[j] += u[a, j] * gains[a, start + j]
    for j in range(width):
        w = scale[start + j] * exponential(weight[j])
        weight[j] = w
        score[j] = w * (1.0 - single * w)


@kernel
def covariance_pass(
    regressors, own, gains, scale, single, rate, still, filter_cov, error_cov, transition, total, scratch
):
    """Run filter covariance, error covariance and mean-error transition along the regressors once; in place.

    Per bin, with u the regressors, w the information scalar (1/Z for Gaussian features, lambda(u) bin_s for spikes)
    and v the score's variance (w, or w (1 - w) for 0/1 counts):

        P = S + rate I;  S = P - w P u u'P / (1 + w u'P u);  g = S u
        E = (I - w g u') E (I - w g u')' + v g g';           T = (I - w g u') T

    The first line is the filter (Kalman; Eden et al. 2004), the second follows from its mean error and noise (derived;
    Joseph form without the filter's belief in drift, because the truth stands still), T is the mean error's transition.

    Parameters
    ----------
    regressors : ndarray, (bins, common regressors)
    own : ndarray, (bins, histories, units)
        What is a unit's own, after the common ones; `NO_OWN` where nothing is.
    gains : ndarray, (regressors, units)
        Log-linear gains; zeros for Gaussian features.
    scale : ndarray, (units,)
        bin_s for spikes, 1/Z for Gaussian features.
    single : float
        1 for 0/1 counts, else 0.
    rate, still : ndarray, (units,)
        Learning rate per bin, and zeros (what the truth's drift per bin is, as the error covariance sees it).
    filter_cov, error_cov : ndarray, (pairs, units), in place
    transition : ndarray, (regressors * regressors, units), in place
    total : ndarray, (pairs, units), in place
        The sum of the error covariance after every bin is added.
    scratch : ndarray, (4 * regressors + 6, block)
        The number of columns is the number of units worked on together.
    """
    n = rate.size
    d, block = gains.shape[0], scratch.shape[1]
    u = scratch[6 + 2 * d : 6 + 3 * d]
    for start in range(0, n, block):
        width = min(block, n - start)
        for t in range(regressors.shape[0]):
            _regressors_of(regressors[t], own[t % own.shape[0]], start, width, u)
            _weigh(u, gains, scale, single, start, width, scratch[0], scratch[1])
            _filter_step(u, rate, filter_cov, start, width, scratch)
            _error_step(u, still, error_cov, total, start, width, scratch)
            _transition_step(u, transition, start, width, scratch)


@kernel(inline="always")
def _filter_step(u, rate, filter_cov, start, width, scratch):
    """Update S, and write g = S u to scratch rows 6.. from P u in the same rows."""
    d = u.shape[0]
    g = scratch[6 : 6 + d]
    _product(filter_cov, u, start, width, rate, g)
    for j in range(width):
        scratch[2, j] = 0.0
    for a in range(d):
        for j in range(width):
            scratch[2, j] += u[a, j] * g[a, j]
    for j in range(width):
        scratch[3, j] = 1.0 / (1.0 + scratch[0, j] * scratch[2, j])
        scratch[4, j] = scratch[0, j] * scratch[3, j]
    pair = 0
    for a in range(d):
        for b in range(a):
            for j in range(width):
                filter_cov[pair, start + j] -= scratch[4, j] * g[a, j] * g[b, j]
            pair += 1
        for j in range(width):
            filter_cov[pair, start + j] += rate[start + j] - scratch[4, j] * g[a, j] * g[a, j]
        pair += 1
    for a in range(d):
        for j in range(width):
            g[a, j] *= scratch[3, j]


@kernel(inline="always")
def _error_step(u, drift, error_cov, total, start, width, scratch):
    """Update E with the gain g in scratch rows 6.., and add it to the total."""
    d = u.shape[0]
    g = scratch[6 : 6 + d]
    h = scratch[6 + d : 6 + 2 * d]
    _product(error_cov, u, start, width, drift, h)
    for j in range(width):
        scratch[2, j] = 0.0
    for a in range(d):
        for j in range(width):
            scratch[2, j] += u[a, j] * h[a, j]
    for j in range(width):
        scratch[5, j] = scratch[0, j] * scratch[0, j] * scratch[2, j] + scratch[1, j]
    pair = 0
    for a in range(d):
        for b in range(a + 1):
            for j in range(width):
                cross = g[a, j] * h[b, j] + h[a, j] * g[b, j]
                step = scratch[5, j] * g[a, j] * g[b, j] - scratch[0, j] * cross
                if a == b:
                    step += drift[start + j]
                error_cov[pair, start + j] += step
                total[pair, start + j] += error_cov[pair, start + j]
            pair += 1


@kernel(inline="always")
def _transition_step(u, transition, start, width, scratch):
    """Update T = (I - w g u') T."""
    d = u.shape[0]
    for b in range(d):
        for j in range(width):
            scratch[2, j] = 0.0
        for a in range(d):
            for j in range(width):
                scratch[2, j] += u[a, j] * transition[a * d + b, start + j]
        for j in range(width):
            scratch[2, j] *= scratch[0, j]
        for a in range(d):
            for j in range(width):
                transition[a * d + b, start + j] -= scratch[6 + a, j] * scratch[2, j]


@kernel
def crossing_pass(
    regressors, own, gains, scale, single, rate, filter_cov, mean_error, threshold_squared, first, limit, scratch
):
    """Run mean errors until their squared length falls to a threshold, cycling through the regressors.

    Every unit is run until all its starts have crossed. Arguments that are not listed are those of
    :func:`covariance_pass`.

    Parameters
    ----------
    mean_error : ndarray, (starts * regressors, units), in place
        Several mean errors of every unit, each of length one at the start.
    threshold_squared : float
    first : ndarray, (starts, units), out
        Bins to the crossing, interpolated in the logarithm of the length; -1 where `limit` was not enough.
    limit : int
        Most bins to run.
    """
    d = gains.shape[0]
    starts = first.shape[0]
    n = rate.size
    block = scratch.shape[1]
    u = scratch[6 + 2 * d : 6 + 3 * d]
    first[:] = -1.0
    for start in range(0, n, block):
        width = min(block, n - start)
        open_ = starts * width
        t = 0
        while open_ > 0 and t < limit:
            _regressors_of(regressors[t % regressors.shape[0]], own[t % own.shape[0]], start, width, u)
            t += 1
            _weigh(u, gains, scale, single, start, width, scratch[0], scratch[1])
            _filter_step(u, rate, filter_cov, start, width, scratch)
            for i in range(starts):
                for j in range(width):
                    if first[i, start + j] >= 0.0:
                        continue
                    before = 0.0
                    dot = 0.0
                    for a in range(d):
                        e = mean_error[i * d + a, start + j]
                        dot += u[a, j] * e
                        before += e * e
                    after = 0.0
                    for a in range(d):
                        mean_error[i * d + a, start + j] -= scratch[0, j] * scratch[6 + a, j] * dot
                        e = mean_error[i * d + a, start + j]
                        after += e * e
                    if after <= threshold_squared:
                        share = 1.0
                        if after > 0.0:
                            share = np.log(before / threshold_squared) / np.log(before / after)
                        first[i, start + j] = t - 1 + share
                        open_ -= 1
