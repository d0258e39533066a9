"""The online filters: adaptive encoding (one small filter per unit) and decoding (one filter over all units).

Arrays are struct-of-arrays: ``weights`` is (regressors, units) and ``covariance`` is (pairs, units), where the pairs are the
lower triangle of each unit's symmetric matrix in the order (0,0), (1,0), (1,1), (2,0), ... so that the inner loop runs over
units and vectorises. The symmetric matrix has one copy of each element: it cannot become asymmetric.
"""

import numpy as np

from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel

TWO_PI = 6.283185307179586
BLOCK = 64  # units worked on together: scratch of (regressors + 3, BLOCK) stays in the first-level cache
LOG_RATE_LIMIT = 12.0  # |log expected count per bin| beyond which a rate is taken as exploded


@kernel(inline="always")
def _predict_block(weights, covariance, regressors, rate, start, width, scratch):
    """Fill scratch rows: [0] linear predictor, [1] u'Pu with P = S + rate I, [2 + a] (P u)_a."""
    d = regressors.size
    for j in range(width):
        scratch[0, j] = 0.0
        scratch[1, j] = 0.0
    for a in range(d):
        u = regressors[a]
        for j in range(width):
            scratch[0, j] += u * weights[a, start + j]
            scratch[2 + a, j] = u * rate[start + j]
    pair = 0
    for a in range(d):
        for b in range(a):
            ua = regressors[a]
            ub = regressors[b]
            for j in range(width):
                s = covariance[pair, start + j]
                scratch[2 + a, j] += s * ub
                scratch[2 + b, j] += s * ua
            pair += 1
        ua = regressors[a]
        for j in range(width):
            scratch[2 + a, j] += covariance[pair, start + j] * ua
        pair += 1
    for a in range(d):
        u = regressors[a]
        for j in range(width):
            scratch[1, j] += u * scratch[2 + a, j]


@kernel(inline="always")
def _update_block(weights, covariance, rate, start, width, scratch, gain_row, step_row):
    """Apply S = P - gain (Pu)(Pu)' and w = w + step (Pu), with gain and step per unit in two scratch rows."""
    d = weights.shape[0]
    pair = 0
    for a in range(d):
        for b in range(a):
            for j in range(width):
                covariance[pair, start + j] -= scratch[gain_row, j] * scratch[2 + a, j] * scratch[2 + b, j]
            pair += 1
        for j in range(width):
            p = covariance[pair, start + j] + rate[start + j]
            covariance[pair, start + j] = p - scratch[gain_row, j] * scratch[2 + a, j] * scratch[2 + a, j]
        pair += 1
        for j in range(width):
            weights[a, start + j] += scratch[step_row, j] * scratch[2 + a, j]


@kernel
def adapt_poisson(weights, covariance, counts, valid, regressors, rate, bin_s, innovation, variance, scratch):
    """Update every unit's log-linear Poisson encoding model with one bin.

    Eden et al. (2004) point-process filter with a random-walk prior of covariance ``rate`` times the identity per bin, in
    the form of one Sherman-Morrison step (derived): with P = S + rate I and w = lambda(u) bin_s,
    S <- P - w Pu u'P / (1 + w u'Pu), weights <- weights + S u (count - w), where S u = Pu / (1 + w u'Pu).

    Parameters
    ----------
    weights : ndarray, (regressors, units), in place
        Log rate in log Hz: baseline, then gains per regressor.
    covariance : ndarray, (pairs, units), in place
    counts : ndarray, (units,)
        Spikes in the bin, any number.
    valid : ndarray, (units,)
        1, or 0 for a unit whose count is missing: its weights stay, its covariance grows by the learning rate.
    regressors : ndarray, (regressors,)
        1, then the state that the units encode.
    rate : ndarray, (units,)
        Learning rate of each unit, per bin; 0 with a zero covariance freezes a unit.
    bin_s : float
    innovation, variance : ndarray, (units,), out
        Count minus expected count before the update, and its predicted variance w + w^2 u'Pu.
    scratch : ndarray, (regressors + 5, BLOCK)

    Returns
    -------
    float
        Log likelihood of the counts before the update, without ln(count!), nats.
    """
    n = weights.shape[1]
    d = regressors.size
    log_likelihood = 0.0
    log_bin = np.log(bin_s)
    for start in range(0, n, BLOCK):
        width = min(BLOCK, n - start)
        _predict_block(weights, covariance, regressors, rate, start, width, scratch)
        for j in range(width):
            eta = min(max(scratch[0, j] + log_bin, -LOG_RATE_LIMIT), LOG_RATE_LIMIT)
            scratch[0, j] = eta
            present = valid[start + j]
            expected = exponential(eta) * present
            h = expected * scratch[1, j]
            error = counts[start + j] * present - expected
            shrink = 1.0 / (1.0 + h)
            innovation[start + j] = error
            variance[start + j] = expected * (1.0 + h)
            scratch[2 + d, j] = expected * shrink
            scratch[3 + d, j] = error * shrink
            scratch[4 + d, j] = counts[start + j] * present * eta - expected
        for j in range(width):
            log_likelihood += scratch[4 + d, j]
        _update_block(weights, covariance, rate, start, width, scratch, 2 + d, 3 + d)
    return log_likelihood


@kernel
def adapt_gaussian(weights, covariance, counts, valid, regressors, rate, noise_variance, innovation, variance, scratch):
    """Update every unit's linear-Gaussian encoding model with one bin (Kalman filter on the weights).

    S <- P - Pu u'P / (Z + u'Pu), weights <- weights + Pu (y - u'weights) / (Z + u'Pu), with P = S + rate I.
    Shapes as in :func:`adapt_poisson`; ``noise_variance`` is (units,), in squared feature units.

    Returns
    -------
    float
        Log likelihood of the features before the update (with the predicted variance), nats.
    """
    n = weights.shape[1]
    d = regressors.size
    log_likelihood = 0.0
    for start in range(0, n, BLOCK):
        width = min(BLOCK, n - start)
        _predict_block(weights, covariance, regressors, rate, start, width, scratch)
        for j in range(width):
            total = noise_variance[start + j] + scratch[1, j]
            error = counts[start + j] - scratch[0, j]
            innovation[start + j] = error
            variance[start + j] = total
            scratch[2 + d, j] = 1.0 / total
            scratch[3 + d, j] = error / total
        for j in range(width):
            log_likelihood -= 0.5 * (
                scratch[3 + d, j] * innovation[start + j] + np.log(6.283185307179586 * variance[start + j])
            )
        _update_block(weights, covariance, rate, start, width, scratch, 2 + d, 3 + d)
    return log_likelihood


@kernel(inline="always")
def _weight_uncertainty(covariance, regressors, start, width, scratch):
    """Fill scratch row 1 with u'Su, the variance of each unit's linear predictor that its weights' covariance makes."""
    d = regressors.size
    for j in range(width):
        scratch[1, j] = 0.0
    pair = 0
    for a in range(d):
        for b in range(a):
            u = 2.0 * regressors[a] * regressors[b]
            for j in range(width):
                scratch[1, j] += u * covariance[pair, start + j]
            pair += 1
        u = regressors[a] * regressors[a]
        for j in range(width):
            scratch[1, j] += u * covariance[pair, start + j]
        pair += 1


@kernel
def poisson_evidence(weights, covariance, counts, valid, regressors, bin_s, trust, score, information, scratch):
    """Sum over units the score and the information that one bin of counts has of the encoded state.

    For log lambda = weights' u, the gradient of the log likelihood by the state is sum_i g_i (n_i - w_i) and the
    information sum_i w_i g_i g_i', w = lambda bin_s, g the gains. A unit whose weights are uncertain is trusted less: its
    innovation has variance w (1 + w u'Su), so both its terms are divided by (1 + w u'Su) (derived; ``trust`` = 1), or
    not (``trust`` = 0).

    Parameters
    ----------
    weights, covariance, counts, valid, bin_s, scratch
        As in :func:`adapt_poisson`; read only.
    regressors : ndarray, (regressors,)
        1, then the predicted state.
    trust : float
        Weight of the parameter uncertainty, 0 to 1.
    score : ndarray, (regressors - 1,), out
    information : ndarray, (regressors - 1, regressors - 1), out

    Returns
    -------
    float
        The largest expected count per bin before it was limited, for the safety state.
    """
    n = weights.shape[1]
    d = regressors.size
    log_bin = np.log(bin_s)
    largest = -1e300
    score[:] = 0.0
    information[:] = 0.0
    for start in range(0, n, BLOCK):
        width = min(BLOCK, n - start)
        _weight_uncertainty(covariance, regressors, start, width, scratch)
        for j in range(width):
            scratch[0, j] = log_bin
        for a in range(d):
            u = regressors[a]
            for j in range(width):
                scratch[0, j] += u * weights[a, start + j]
        for j in range(width):
            largest = max(largest, scratch[0, j])
        for j in range(width):
            expected = exponential(min(max(scratch[0, j], -LOG_RATE_LIMIT), LOG_RATE_LIMIT))
            shrink = valid[start + j] / (1.0 + trust * expected * scratch[1, j])
            scratch[2, j] = expected * shrink
            scratch[3, j] = (counts[start + j] - expected) * shrink
        _accumulate(weights, start, width, scratch, score, information)
    return largest


@kernel
def gaussian_evidence(
    weights, covariance, counts, valid, regressors, noise_variance, trust, score, information, scratch
):
    """Sum over units the score and information of one bin of features (see :func:`poisson_evidence`).

    With y = weights'u + z, Var z = Z: score sum_i g_i (y_i - weights_i'u) / (Z_i + u'S_i u), information
    sum_i g_i g_i' / (Z_i + u'S_i u). Returns the largest absolute standardised innovation.
    """
    n = weights.shape[1]
    d = regressors.size
    largest = 0.0
    score[:] = 0.0
    information[:] = 0.0
    for start in range(0, n, BLOCK):
        width = min(BLOCK, n - start)
        _weight_uncertainty(covariance, regressors, start, width, scratch)
        for j in range(width):
            scratch[0, j] = counts[start + j]
        for a in range(d):
            u = regressors[a]
            for j in range(width):
                scratch[0, j] -= u * weights[a, start + j]
        for j in range(width):
            precision = valid[start + j] / (noise_variance[start + j] + trust * scratch[1, j])
            scratch[2, j] = precision
            scratch[3, j] = scratch[0, j] * precision
            largest = max(largest, abs(scratch[0, j]) * np.sqrt(precision))
        _accumulate(weights, start, width, scratch, score, information)
    return largest


@kernel(inline="always")
def _accumulate(weights, start, width, scratch, score, information):
    """Add this block's sum of gains times scratch row 3 and of outer products of gains times scratch row 2."""
    for a in range(score.size):
        total = 0.0
        for j in range(width):
            total += weights[1 + a, start + j] * scratch[3, j]
        score[a] += total
        for b in range(a + 1):
            total = 0.0
            for j in range(width):
                total += weights[1 + a, start + j] * weights[1 + b, start + j] * scratch[2, j]
            information[a, b] += total
            if a != b:
                information[b, a] += total


@kernel
def predict_state(mean, covariance, bin_s, velocity_keep, velocity_variance, position_variance):
    """Predict position and velocity (x, y, vx, vy) one bin on: x += v bin_s, v *= keep, plus noise; in place.

    The covariance is 4 x 4 of block form; written out because it is small. Noise variances are per bin.
    """
    for i in range(2):
        mean[i] += bin_s * mean[2 + i]
        mean[2 + i] *= velocity_keep
    for i in range(2):
        for j in range(2):
            vv = covariance[2 + i, 2 + j]
            pv = covariance[i, 2 + j]
            vp = covariance[2 + i, j]
            covariance[i, j] += bin_s * (pv + vp) + bin_s * bin_s * vv
            covariance[i, 2 + j] = velocity_keep * (pv + bin_s * vv)
            covariance[2 + j, i] = covariance[i, 2 + j]
    for i in range(2):
        for j in range(2):
            covariance[2 + i, 2 + j] *= velocity_keep * velocity_keep
    for i in range(2):
        covariance[i, i] += position_variance
        covariance[2 + i, 2 + i] += velocity_variance


@kernel
def update_state(mean, covariance, score, information, scale, gain):
    """Condition (x, y, vx, vy) on evidence about the velocity alone; in place.

    Information form: with P_v the velocity rows of the covariance, A = (I + J P_vv)^-1 for information J,
    covariance -= P_:v A J P_v:, mean += P_:v A score. ``scale`` converts evidence per encoding unit of velocity
    (dm/s) into SI: 10 per (dm/s). ``gain`` is (4, 2) scratch.
    """
    j00 = information[0, 0] * scale * scale
    j01 = information[0, 1] * scale * scale
    j11 = information[1, 1] * scale * scale
    s0 = score[0] * scale
    s1 = score[1] * scale
    p00 = covariance[2, 2]
    p01 = covariance[2, 3]
    p11 = covariance[3, 3]
    m00 = 1.0 + j00 * p00 + j01 * p01
    m01 = j00 * p01 + j01 * p11
    m10 = j01 * p00 + j11 * p01
    m11 = 1.0 + j01 * p01 + j11 * p11
    det = m00 * m11 - m01 * m10
    a00 = m11 / det
    a01 = -m01 / det
    a10 = -m10 / det
    a11 = m00 / det
    b00 = a00 * j00 + a01 * j01
    b01 = a00 * j01 + a01 * j11
    b11 = a10 * j01 + a11 * j11
    t0 = a00 * s0 + a01 * s1
    t1 = a10 * s0 + a11 * s1
    for i in range(4):
        gain[i, 0] = covariance[i, 2]
        gain[i, 1] = covariance[i, 3]
        mean[i] += gain[i, 0] * t0 + gain[i, 1] * t1
    for i in range(4):
        for j in range(i + 1):
            drop = gain[i, 0] * (b00 * gain[j, 0] + b01 * gain[j, 1]) + gain[i, 1] * (
                b01 * gain[j, 0] + b11 * gain[j, 1]
            )
            covariance[i, j] -= drop
            covariance[j, i] = covariance[i, j]


@kernel
def checksum(values):
    """Return a 64-bit checksum of the bits of a contiguous float64 array (rotating exclusive or, order matters)."""
    total = np.uint64(0x9E3779B97F4A7C15)
    flat = values.ravel()
    for i in range(flat.size):
        bits = np.float64(flat[i]).view(np.uint64)
        total = (total << np.uint64(7)) ^ (total >> np.uint64(57)) ^ bits
    return total


@kernel
def clean_counts(counts, largest, out, valid):
    """Copy counts or features to float64; a value that is not finite, negative beyond or above `largest` becomes missing.

    Parameters
    ----------
    counts : ndarray, (units,)
    largest : float
        Largest credible absolute value.
    out, valid : ndarray, (units,), out
        The value, or 0; 1, or 0 where the value was refused.

    Returns
    -------
    int
        How many were refused.
    """
    refused = 0
    for i in range(counts.size):
        value = np.float64(counts[i])
        good = abs(value) <= largest
        out[i] = value if good else 0.0
        valid[i] = 1.0 if good else 0.0
        refused += 0 if good else 1
    return refused
