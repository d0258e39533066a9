"""The online filters: adaptive encoding (one small filter per unit) and decoding (one filter over all units).

Arrays are struct-of-arrays: ``weights`` is (regressors, units) and ``covariance`` is (pairs, units), where the pairs
are the lower triangle of each unit's symmetric matrix in the order (0,0), (1,0), (1,1), (2,0), ... so that the inner
loops run over units and vectorise. The symmetric matrix has one copy of each element: it cannot become asymmetric.
"""

import numpy as np

from bmi_runtime.kernels import rows
from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel

TWO_PI = 6.283185307179586
BLOCK = 128  # units worked on together: scratch of (regressors + 5, BLOCK) stays in the first-level cache
LARGEST_JUMP = 3.0  # of the log rate of an uncertain unit in one bin, beyond which Newton's step is not believed
UNCERTAIN = 10.0  # variance of a log rate, from which on a unit is that
BISECTIONS = 60
LOG_RATE_LIMIT = 12.0  # |log expected count per bin| beyond which a rate is taken as exploded


NO_HISTORY = np.zeros((0, 1))
"""For models whose units do not depend on their own past."""


@kernel
def _linear_predictor(weights, regressors, own, start, stop, out):
    """Set out = regressors' weights for a block of units; rows of own are regressors with a value for each unit."""
    rows.fill(out, 0.0)
    d = regressors.size
    for a in range(d):
        rows.add_scaled(out, regressors[a], weights[a, start:stop])
    for k in range(own.shape[0]):
        rows.add_product(out, own[k, start:stop], weights[d + k, start:stop])


@kernel
def _prior_times_regressors(covariance, regressors, own, rate, start, stop, spread, out):
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
def _rank_one_update(weights, covariance, rate, start, stop, direction, gain, step):
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
def _poisson_gains(expected, spread, innovation, variance, gain, step):
    """Set the innovation's variance w (1 + w u'Pu), and gain and step of the rank-one update; gain may be expected."""
    for j in range(spread.size):
        w = expected[j]
        widened = 1.0 + w * spread[j]
        shrink = 1.0 / widened
        variance[j] = w * widened
        gain[j] = w * shrink
        step[j] = innovation[j] * shrink


@kernel
def _settle_jumps(innovation, spread, gain, step):
    """Where one step would raise an uncertain unit's log rate by LARGEST_JUMP, go to the posterior's mode instead.

    The step of :func:`_poisson_gains` is one of Newton's from the prior. With an uncertain unit and a first spike it
    overshoots (a prior sd of 5 raises the rate e^14 times; the absurd rate then counts as information, and the
    covariance collapses around a wrong weight, for good). Along Pu the mode solves a = count - w exp(a u'Pu) (derived),
    an increasing function of a: found by bisection, which needs no start and gives the same bits everywhere.
    """
    for j in range(spread.size):
        if spread[j] > UNCERTAIN and step[j] * spread[j] > LARGEST_JUMP:
            w = gain[j] / (1.0 - gain[j] * spread[j])
            count = innovation[j] + w
            low, high = 0.0, count
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                if middle - count + w * exponential(middle * spread[j]) < 0.0:
                    low = middle
                else:
                    high = middle
            step[j] = high
            gain[j] = (count - high) / (1.0 + (count - high) * spread[j])


@kernel
def _log_likelihood_terms(counts, mask, log_expected, expected, out):
    """Set out[j] = count log w - w."""
    for j in range(out.size):
        out[j] = counts[j] * mask[j] * log_expected[j] - expected[j]


@kernel
def adapt_poisson(weights, covariance, counts, valid, regressors, rate, bin_s, innovation, variance, scratch):
    """Update every unit's log-linear Poisson encoding model with one bin.

    Eden et al. (2004) point-process filter with a random-walk prior of covariance ``rate`` times the identity per bin,
    in the form of one Sherman-Morrison step (derived): with P = S + rate I and w = lambda(u) bin_s,
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
    return adapt_poisson_own(
        weights, covariance, counts, valid, regressors, NO_HISTORY, rate, bin_s, innovation, variance, scratch
    )


@kernel
def adapt_poisson_own(weights, covariance, counts, valid, regressors, own, rate, bin_s, innovation, variance, scratch):
    """Update every unit as :func:`adapt_poisson` does, with regressors of its own beside the common ones.

    ``own`` is (histories, units); the last rows of ``weights`` are theirs, and ``regressors`` holds the others.
    """
    n, d, log_bin = weights.shape[1], weights.shape[0], np.log(bin_s)
    log_likelihood = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        predictor, spread, direction = scratch[0, :width], scratch[1, :width], scratch[2 : 2 + d]
        expected, step, terms = scratch[2 + d, :width], scratch[3 + d, :width], scratch[4 + d, :width]
        count, mask, error = counts[start:stop], valid[start:stop], innovation[start:stop]
        _linear_predictor(weights, regressors, own, start, stop, predictor)
        _prior_times_regressors(covariance, regressors, own, rate, start, stop, spread, direction)
        rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
        rows.masked_exponential(expected, predictor, mask)
        rows.masked_difference(error, count, mask, expected)
        _log_likelihood_terms(count, mask, predictor, expected, terms)
        log_likelihood += rows.total(terms)
        _poisson_gains(expected, spread, error, variance[start:stop], expected, step)
        _settle_jumps(error, spread, expected, step)
        _rank_one_update(weights, covariance, rate, start, stop, direction, expected, step)
    return log_likelihood


@kernel
def _gaussian_gains(noise, spread, mask, innovation, variance, gain, step):
    """Set the innovation's variance Z + u'Pu, and gain and step of the rank-one update."""
    for j in range(spread.size):
        widened = noise[j] + spread[j]
        variance[j] = widened
        gain[j] = mask[j] / widened
        step[j] = innovation[j] / widened


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
    n, d = weights.shape[1], regressors.size
    log_likelihood = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        predictor, spread, direction = scratch[0, :width], scratch[1, :width], scratch[2 : 2 + d]
        gain, step = scratch[2 + d, :width], scratch[3 + d, :width]
        mask, error = valid[start:stop], innovation[start:stop]
        _linear_predictor(weights, regressors, NO_HISTORY, start, stop, predictor)
        _prior_times_regressors(covariance, regressors, NO_HISTORY, rate, start, stop, spread, direction)
        for j in range(width):
            error[j] = (counts[start + j] - predictor[j]) * mask[j]
        _gaussian_gains(noise_variance[start:stop], spread, mask, error, variance[start:stop], gain, step)
        log_likelihood -= 0.5 * rows.dot(step, error)
        log_likelihood -= 0.5 * _log_normalisation(variance[start:stop], mask)
        _rank_one_update(weights, covariance, rate, start, stop, direction, gain, step)
    return log_likelihood


@kernel
def _log_normalisation(variance, mask):
    """Return the sum over valid units of log(2 pi variance), one logarithm for each eight of them."""
    result, product, count = 0.0, 1.0, 0
    for j in range(variance.size):
        if mask[j] > 0.0:
            product *= TWO_PI * variance[j]
            count += 1
            if count == 8:
                result += np.log(product)
                product, count = 1.0, 0
    return result + np.log(product)


@kernel
def _weight_uncertainty(covariance, regressors, own, start, stop, out):
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
def _poisson_trust(expected, uncertainty, counts, mask, trust, weight, error):
    """Set each unit's information weight and weighted innovation; weight may be expected."""
    for j in range(expected.size):
        w = expected[j]
        shrink = mask[j] / (1.0 + trust * w * uncertainty[j])
        error[j] = (counts[j] - w) * shrink
        weight[j] = w * shrink


@kernel
def poisson_evidence(weights, covariance, counts, valid, regressors, bin_s, trust, score, information, scratch):
    """Sum over units the score and the information that one bin of counts has of the encoded state.

    For log lambda = weights' u, the gradient of the log likelihood by the state is sum_i g_i (n_i - w_i) and the
    information sum_i w_i g_i g_i', w = lambda bin_s, g the gains. A unit whose weights are uncertain is trusted less:
    its innovation has variance w (1 + w u'Su), so both its terms are divided by (1 + w u'Su) (derived; ``trust`` = 1),
    or not (``trust`` = 0).

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
        The largest log expected count per bin before it was limited, for the safety state.
    """
    return poisson_evidence_own(
        weights, covariance, counts, valid, regressors, NO_HISTORY, bin_s, trust, score, information, scratch
    )


@kernel
def poisson_evidence_own(
    weights, covariance, counts, valid, regressors, own, bin_s, trust, score, information, scratch
):
    """Sum the evidence as :func:`poisson_evidence` does, with regressors of each unit's own (see `adapt_poisson_own`).

    They say nothing about the state: score and information are by the common regressors.
    """
    n, log_bin, largest = weights.shape[1], np.log(bin_s), -1e300
    score[:] = 0.0
    information[:] = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        predictor, uncertainty = scratch[0, :width], scratch[1, :width]
        weight, error = scratch[2, :width], scratch[3, :width]
        _weight_uncertainty(covariance, regressors, own, start, stop, uncertainty)
        _linear_predictor(weights, regressors, own, start, stop, predictor)
        largest = max(largest, rows.largest(predictor) + log_bin)
        rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
        rows.masked_exponential(weight, predictor, valid[start:stop])
        _poisson_trust(weight, uncertainty, counts[start:stop], valid[start:stop], trust, weight, error)
        _accumulate(weights, start, stop, weight, error, predictor, score, information)
    return largest


@kernel
def poisson_likelihoods(weights, counts, valid, regressors, own, bin_s, out, scratch):
    """Set out[k] to the log likelihood of one bin of counts under each row of regressors, without ln(count!), nats.

    Parameters
    ----------
    weights, counts, valid, own, bin_s
        As in :func:`adapt_poisson_own`; read only.
    regressors : ndarray, (alternatives, common regressors)
    out : ndarray, (alternatives,), out
    scratch : ndarray, (2, BLOCK)
    """
    n, log_bin = weights.shape[1], np.log(bin_s)
    out[:] = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        predictor, expected = scratch[0, : stop - start], scratch[1, : stop - start]
        for k in range(out.size):
            _linear_predictor(weights, regressors[k], own, start, stop, predictor)
            rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
            rows.masked_exponential(expected, predictor, valid[start:stop])
            _log_likelihood_terms(counts[start:stop], valid[start:stop], predictor, expected, expected)
            out[k] += rows.total(expected)


@kernel
def _gaussian_trust(noise, uncertainty, counts, predictor, mask, trust, weight, error):
    """Set each unit's precision and weighted innovation."""
    for j in range(noise.size):
        precision = mask[j] / (noise[j] + trust * uncertainty[j])
        weight[j] = precision
        error[j] = (counts[j] - predictor[j]) * precision


@kernel
def gaussian_evidence(
    weights, covariance, counts, valid, regressors, noise_variance, trust, score, information, scratch
):
    """Sum over units the score and information of one bin of features (see :func:`poisson_evidence`).

    With y = weights'u + z, Var z = Z: score sum_i g_i (y_i - weights_i'u) / (Z_i + u'S_i u), information
    sum_i g_i g_i' / (Z_i + u'S_i u). Returns the largest absolute innovation in units of its standard deviation.
    """
    n, largest = weights.shape[1], 0.0
    score[:] = 0.0
    information[:] = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        predictor, uncertainty = scratch[0, :width], scratch[1, :width]
        weight, error = scratch[2, :width], scratch[3, :width]
        _weight_uncertainty(covariance, regressors, NO_HISTORY, start, stop, uncertainty)
        _linear_predictor(weights, regressors, NO_HISTORY, start, stop, predictor)
        noise = noise_variance[start:stop]
        _gaussian_trust(noise, uncertainty, counts[start:stop], predictor, valid[start:stop], trust, weight, error)
        for j in range(width):
            if weight[j] > 0.0:
                largest = max(largest, error[j] * error[j] / weight[j])
        _accumulate(weights, start, stop, weight, error, predictor, score, information)
    return np.sqrt(largest)


@kernel
def _accumulate(weights, start, stop, weight, error, product, score, information):
    """Add this block's sum of gains times error, and of outer products of gains times weight; product is scratch."""
    for a in range(score.size):
        gains = weights[1 + a, start:stop]
        score[a] += rows.dot(gains, error)
        for j in range(product.size):
            product[j] = gains[j] * weight[j]
        for b in range(a + 1):
            value = rows.dot(product, weights[1 + b, start:stop])
            information[a, b] += value
            if a != b:
                information[b, a] += value


@kernel
def predict_state(mean, covariance, bin_s, velocity_keep, velocity_variance, position_variance):
    """Predict positions and velocities (n of each) one bin on: x += v bin_s, v *= keep, plus noise; in place.

    The covariance is 2 n x 2 n of block form. Noise variances are per bin.
    """
    n = mean.size // 2
    for i in range(n):
        mean[i] += bin_s * mean[n + i]
        mean[n + i] *= velocity_keep
    for i in range(n):  # position first: it needs the old cross terms
        for j in range(n):
            cross = covariance[i, n + j] + covariance[n + i, j]
            covariance[i, j] += bin_s * cross + bin_s * bin_s * covariance[n + i, n + j]
    for i in range(n):
        for j in range(n):
            covariance[i, n + j] = velocity_keep * (covariance[i, n + j] + bin_s * covariance[n + i, n + j])
            covariance[n + j, i] = covariance[i, n + j]
    for i in range(n):
        for j in range(n):
            covariance[n + i, n + j] *= velocity_keep * velocity_keep
    for i in range(n):
        covariance[i, i] += position_variance
        covariance[n + i, n + i] += velocity_variance


@kernel
def update_state(mean, covariance, score, information, scale, work):
    """Condition a state on evidence about its last components (all of them, or the velocities alone); in place.

    Information form: with P_v the rows of the covariance that the evidence is about, A = (I + J P_vv)^-1 for
    information J, covariance -= P_:v A J P_v:, mean += P_:v A score. ``scale`` converts evidence per encoding unit
    (dm, dm/s) into SI: 10 per encoding unit. The plane has its own closed form, in a fraction of the time.

    Parameters
    ----------
    mean : ndarray, (size,), in place
    covariance : ndarray, (size, size), in place
    score : ndarray, (m,), read only
    information : ndarray, (m, m), read only
        Of the last ``m <= size`` components.
    scale : float
    work : ndarray, (m + size, 2 m + 1 or more), scratch
    """
    if score.size == 2 and mean.size == 4:
        _update_in_plane(mean, covariance, score, information, scale, work)
        return
    m, size = score.size, mean.size
    first, rows_of = size - m, work[:m]
    for i in range(m):
        for j in range(m):
            total = 1.0 if i == j else 0.0
            for k in range(m):
                total += information[i, k] * scale * scale * covariance[first + k, first + j]
            rows_of[i, j] = total
            rows_of[i, m + j] = information[i, j] * scale * scale
        rows_of[i, 2 * m] = score[i] * scale
    _eliminate(rows_of, m)
    gain = work[m : m + size]
    for i in range(size):
        for k in range(m):
            gain[i, k] = covariance[i, first + k]
            mean[i] += gain[i, k] * rows_of[k, 2 * m]
    for i in range(size):
        for k in range(m):  # the gain times A J, which is symmetric but for rounding
            total = 0.0
            for j in range(m):
                total += gain[i, j] * 0.5 * (rows_of[j, m + k] + rows_of[k, m + j])
            gain[i, m + k] = total
    for i in range(size):
        for j in range(i + 1):
            drop = 0.0
            for k in range(m):
                drop += gain[i, m + k] * gain[j, k]
            covariance[i, j] -= drop
            covariance[j, i] = covariance[i, j]


@kernel
def _eliminate(rows_of, m):
    """Solve M X = B in place: rows hold M (m columns), then B (m + 1 columns), which become X. Partial pivoting."""
    for k in range(m):
        pivot = k
        for i in range(k + 1, m):
            if abs(rows_of[i, k]) > abs(rows_of[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(2 * m + 1):
                kept = rows_of[k, j]
                rows_of[k, j] = rows_of[pivot, j]
                rows_of[pivot, j] = kept
        inverse = 1.0 / rows_of[k, k]
        for j in range(k, 2 * m + 1):
            rows_of[k, j] *= inverse
        for i in range(m):
            if i != k:
                factor = rows_of[i, k]
                for j in range(k, 2 * m + 1):
                    rows_of[i, j] -= factor * rows_of[k, j]


@kernel
def _update_in_plane(mean, covariance, score, information, scale, gain):
    """Condition (x, y, vx, vy) on evidence about the velocity: :func:`update_state` written out for two axes."""
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
def _predict_regressors(state, covariance, bin_s, keep, noise, scale, regressors):
    """Predict the state one bin on, and set the regressors to 1 and the predicted velocity in encoding units."""
    predict_state(state, covariance, bin_s, keep, noise, 0.0)
    n = state.size // 2
    regressors[0] = 1.0
    for i in range(n):
        regressors[1 + i] = scale * state[n + i]


def workspace_shape(n_axes: int) -> tuple[int, int]:
    """Return the shape of the scratch of the decode kernels: regressors, score, information, and `update_state`'s."""
    return 2 + n_axes + 3 * n_axes, max(2 * n_axes + 1, n_axes + 1)


@kernel
def project_evidence(score, information, jacobian, state_score, state_information, work):
    """Set the evidence about a state from that about regressors u: score J's, information J'I J, with J = du/dstate.

    Parameters
    ----------
    score : ndarray, (r,)
    information : ndarray, (r, r)
    jacobian : ndarray, (r, m)
    state_score : ndarray, (m,), out
    state_information : ndarray, (m, m), out
    work : ndarray, (r, m), scratch
    """
    r, m = jacobian.shape
    for a in range(r):
        for j in range(m):
            total = 0.0
            for b in range(r):
                total += information[a, b] * jacobian[b, j]
            work[a, j] = total
    for i in range(m):
        total = 0.0
        for a in range(r):
            total += jacobian[a, i] * score[a]
        state_score[i] = total
        for j in range(i + 1):
            total = 0.0
            for a in range(r):
                total += jacobian[a, i] * work[a, j]
            state_information[i, j] = total
            state_information[j, i] = total


WORKSPACE = workspace_shape(2)
"""That of the plane."""


@kernel
def decode_poisson(
    state, covariance, weights, weight_covariance, counts, valid, bin_s, trust, keep, noise, scale, workspace, scratch
):
    """Advance the point-process filter over n positions and n velocities one bin; in place.

    :func:`predict_state`, then :func:`poisson_evidence` at the predicted velocity, then :func:`update_state`, in one
    call. ``scale`` is the number of encoding units of velocity per SI unit; ``workspace`` has the shape that
    `workspace_shape` returns.

    Returns
    -------
    float
        The largest log expected count, before it was limited.
    """
    n = state.size // 2
    regressors, score, information = workspace[0, : 1 + n], workspace[1, :n], workspace[2 : 2 + n, :n]
    _predict_regressors(state, covariance, bin_s, keep, noise, scale, regressors)
    largest = poisson_evidence(
        weights, weight_covariance, counts, valid, regressors, bin_s, trust, score, information, scratch
    )
    update_state(state, covariance, score, information, scale, workspace[2 + n :])
    return largest


@kernel
def decode_gaussian(
    state,
    covariance,
    weights,
    weight_covariance,
    counts,
    valid,
    bin_s,
    noise_variance,
    trust,
    keep,
    noise,
    scale,
    workspace,
    scratch,
):
    """Advance the Kalman filter over n positions and n velocities one bin; in place (see :func:`decode_poisson`).

    Returns
    -------
    float
        The largest absolute standardised innovation.
    """
    n = state.size // 2
    regressors, score, information = workspace[0, : 1 + n], workspace[1, :n], workspace[2 : 2 + n, :n]
    _predict_regressors(state, covariance, bin_s, keep, noise, scale, regressors)
    largest = gaussian_evidence(
        weights, weight_covariance, counts, valid, regressors, noise_variance, trust, score, information, scratch
    )
    update_state(state, covariance, score, information, scale, workspace[2 + n :])
    return largest


@kernel
def place(state, covariance, position):
    """Put the positions of a state at a point (n,) that is known with certainty; the velocities stay as they are."""
    for i in range(position.size):
        state[i] = position[i]
        for j in range(state.size):
            covariance[i, j] = 0.0
            covariance[j, i] = 0.0


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
    """Copy counts or features to float64; a value that is not finite, negative beyond or above `largest` becomes
    missing.

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


@kernel
def repair(weights, covariance, initial_variance):
    """Start again every unit whose weights are not finite or whose variances are not positive and finite; in place.

    Such a unit gets no tuning, a baseline of zero or the one it has where that is finite, and ``initial_variance``.

    Returns
    -------
    int
        How many units were started again.
    """
    repaired = 0
    d = weights.shape[0]
    for i in range(weights.shape[1]):
        good = True
        pair = 0
        for a in range(d):
            pair += a
            good = good and np.isfinite(weights[a, i]) and 0.0 < covariance[pair, i] < np.inf
            pair += 1
        if good:
            continue
        repaired += 1
        baseline = weights[0, i] if np.isfinite(weights[0, i]) else 0.0
        weights[:, i] = 0.0
        weights[0, i] = baseline
        covariance[:, i] = 0.0
        pair = 0
        for a in range(d):
            pair += a
            covariance[pair, i] = initial_variance
            pair += 1
    return repaired
