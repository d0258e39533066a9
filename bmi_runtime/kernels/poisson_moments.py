"""The sums that a log-linear Poisson fit of many units needs, in one pass over a recording and without its rates."""

import numpy as np

from bmi_runtime.kernels import rows, unit_blocks
from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel

BLOCK = 64  # units worked on together
HIGHEST = 30.0  # of the logarithm of an expected count


@kernel
def poisson_moments(regressors, own, weights, log_bin, out):
    """Sum lambda u u' over the bins, with lambda = exp(u'w) bin_s.

    With a leading 1 in u the first element is the sum of lambda, and the first column that of lambda u.

    Parameters
    ----------
    regressors : ndarray, (bins, common regressors)
    own : ndarray, (bins, histories, units)
        What is a unit's own, after the common ones; no histories where nothing is.
    weights : ndarray, (d, units)
    log_bin : float
        Logarithm of the bin's width, s.
    out : ndarray, (pairs, units), out
        Lower triangle, row by row.
    """
    d, units = weights.shape
    out[:, :] = 0.0
    rate, along = np.zeros(BLOCK), np.zeros(BLOCK)
    for start in range(0, units, BLOCK):
        stop = min(start + BLOCK, units)
        width = stop - start
        for t in range(regressors.shape[0]):
            u, past = regressors[t], own[t % own.shape[0]]
            common = u.size
            unit_blocks.linear_predictor(weights, u, past, start, stop, rate[:width])
            for j in range(width):
                rate[j] = exponential(min(rate[j] + log_bin, HIGHEST))
            pair = 0
            for a in range(d):
                if a < common:
                    rows.scaled(along[:width], u[a], rate[:width])
                else:
                    rows.product(along[:width], past[a - common, start:stop], rate[:width])
                for b in range(a + 1):
                    if b < common:
                        rows.add_scaled(out[pair, start:stop], u[b], along[:width])
                    else:
                        rows.add_product(out[pair, start:stop], past[b - common, start:stop], along[:width])
                    pair += 1
