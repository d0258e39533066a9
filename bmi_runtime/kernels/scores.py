"""What a recording's own scores do to the weights: their scatter through the averaged and through the actual gains.

A unit's score in a bin is u x, with u the regressors and x the innovation divided by its variance (the innovation
itself for counts).
"""

import numpy as np

from bmi_runtime.kernels import rows, unit_blocks
from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel

BLOCK = 64  # units worked on together by `scatter_ratio`


@kernel
def summed_scores(regressors, innovation, block, out):
    """Add up the scores of every `block` bins; the last block may be shorter.

    Parameters
    ----------
    regressors : ndarray, (bins, d)
    innovation : ndarray, (units, bins)
    block : int
    out : ndarray, (units, blocks, d), out
    """
    units, bins = innovation.shape
    d = regressors.shape[1]
    for i in range(units):
        for b in range(out.shape[1]):
            for j in range(d):
                along = 0.0
                for t in range(b * block, min((b + 1) * block, bins)):
                    along += regressors[t, j] * innovation[i, t]
                out[i, b, j] = along


@kernel
def lagged_products(sums, directions, kept, block, bins, past, mode, out):
    """Sum s_a(t) s_b(t) and every lag's s_a(t) s_b(t - l) kept_b^l + kept_a^l s_a(t - l) s_b(t); zeros before 0.

    The sum over lags is a recursion in time: past_b <- kept_b (past_b + s_b). The scores of a block of bins count as
    one bin's (the caller keeps `block` far below the memory 1 / (1 - kept)).

    Parameters
    ----------
    sums : ndarray, (units, blocks, d)
        Of `summed_scores`.
    directions : ndarray, (units, d, d)
        One mode a column.
    kept : ndarray, (units, d)
        1 - gain of each mode, per bin.
    block, bins : int
        Bins of a block, and of the recording.
    past, mode : ndarray, (d,), scratch
    out : ndarray, (units, d, d)
        Per bin: divided by the number of bins.
    """
    units, blocks, d = sums.shape
    for i in range(units):
        out[i, :, :] = 0.0
        past[:] = 0.0
        for t in range(blocks):
            for a in range(d):
                mode[a] = 0.0
                for j in range(d):
                    mode[a] += directions[i, j, a] * sums[i, t, j]
            for a in range(d):
                for b in range(a + 1):
                    out[i, a, b] += mode[a] * mode[b] + mode[a] * past[b] + past[a] * mode[b]
            for a in range(d):
                past[a] = kept[i, a] ** block * (past[a] + mode[a])
        for a in range(d):
            for b in range(a + 1):
                out[i, a, b] /= bins
                out[i, b, a] = out[i, a, b]


@kernel
def scatter_ratio(
    regressors, own, innovation, gains, scale, rate, filter_cov, directions, filter_variance, kept, burn, out
):  # fmt: skip
    """Drive the filter's actual and its averaged error recursion by the same scores; compare the variances.

    The actual one, along the regressors (w the information scalar; linearised around the weights of `gains`):

        P = S + rate I;  S = P - w P u u'P / (1 + w u'P u);  e <- e + S u (x - w u'e)

    The averaged one, in the modes: a_m <- (1 - k_m) a_m + p_m u_m x. Their ratio says what averaging leaves out.

    Parameters
    ----------
    regressors : ndarray, (bins, common regressors)
    own : ndarray, (bins, histories, units)
        What is a unit's own, after the common ones; no histories where nothing is.
    innovation : ndarray, (units, bins)
    gains : ndarray, (d, units)
        Log-linear gains; zeros for Gaussian features.
    scale, rate : ndarray, (units,)
        bin_s or 1 / Z; learning rate per bin.
    filter_cov : ndarray, (pairs, units), in place
        Where S starts.
    directions, filter_variance, kept : ndarray, (d, d, units), (d, units), (d, units)
        Of each mode, its weights; what the modes have.
    burn : int
        Bins before anything is compared.
    out : ndarray, (units, d), out
        Variance of each weight by the actual over that by the averaged recursion.
    """
    units, bins = innovation.shape
    d = gains.shape[0]
    e, a = np.zeros((d, units)), np.zeros((d, units))
    tallies = np.zeros((4, d, units))  # sums and squares of the actual, then of the averaged
    w, x, spread, step, mode, plain = np.zeros((6, BLOCK))
    direction = np.zeros((d, BLOCK))
    for start in range(0, units, BLOCK):
        stop = min(start + BLOCK, units)
        width = stop - start
        for t in range(bins):
            u, past = regressors[t], own[t % own.shape[0]]
            unit_blocks.linear_predictor(gains, u, past, start, stop, w[:width])
            unit_blocks.prior_times_regressors(filter_cov, u, past, rate, start, stop, spread[:width], direction)
            unit_blocks.linear_predictor(e, u, past, start, stop, mode[:width])
            for j in range(width):
                x[j] = innovation[start + j, t]
                w[j] = scale[start + j] * exponential(w[j])
                shrink = 1.0 / (1.0 + w[j] * spread[j])
                step[j] = shrink * (x[j] - w[j] * mode[j])
                w[j] *= shrink
            unit_blocks.rank_one_update(e, filter_cov, rate, start, stop, direction, w[:width], step[:width])
            for m in range(d):
                unit_blocks.linear_predictor(directions[m], u, past, start, stop, mode[:width])
                for j in range(width):
                    a[m, start + j] = (
                        kept[m, start + j] * a[m, start + j] + filter_variance[m, start + j] * mode[j] * x[j]
                    )
            if t < burn:
                continue
            for r in range(d):
                rows.fill(plain[:width], 0.0)
                for m in range(d):
                    rows.add_product(plain[:width], directions[m, r, start:stop], a[m, start:stop])
                for j in range(width):
                    tallies[0, r, start + j] += e[r, start + j]
                    tallies[1, r, start + j] += e[r, start + j] * e[r, start + j]
                    tallies[2, r, start + j] += plain[j]
                    tallies[3, r, start + j] += plain[j] * plain[j]
    counted = bins - burn
    for i in range(units):
        for r in range(d):
            actual = tallies[1, r, i] - tallies[0, r, i] * tallies[0, r, i] / counted
            averaged = tallies[3, r, i] - tallies[2, r, i] * tallies[2, r, i] / counted
            out[i, r] = actual / averaged if averaged > 0.0 else 1.0
