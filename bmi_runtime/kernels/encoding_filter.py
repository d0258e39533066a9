"""Adaptive encoding: one small filter per unit, point-process or Kalman, in one pass over all of them."""

import numpy as np

from bmi_runtime.kernels import rows
from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.unit_blocks import (
    BLOCK,
    LOG_RATE_LIMIT,
    NO_HISTORY,
    linear_predictor,
    log_likelihood_terms,
    prior_times_regressors,
    rank_one_update,
)

TWO_PI = 6.283185307179586
LARGEST_RISE, LARGEST_FALL = 3.0, 1.0  # of a log rate in one bin, beyond which Newton's step is not believed
SATURATED = -0.6  # of a fall: from far above the mode Newton's is 1, however far
LOWEST = 100.0  # below a log rate: no spike is left to expect
UNCERTAIN = 10.0  # variance of a log rate, from which on recordings made before checked a rise, and no fall
BISECTIONS = 60


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
def _settle_steps(innovation, variance, spread, gain, step):
    """Where Newton's step is not to be believed, go to the posterior's mode along Pu, with the information there.

    The step of :func:`_poisson_gains` is one of Newton's from the prior. Upward it overshoots (with a prior sd of 5 a
    first spike raises the rate e^14 times). Downward it falls short: a rate predicted a thousand times too high comes
    down by a factor e only. Either way the absurd rate counts as information then, and the covariance collapses around
    wrong weights, for good: units that nothing is known of, and regressors that grow (a unit's own past in wide bins).
    """
    _settle_rises(innovation, spread, gain, step, 0.0)
    for j in range(spread.size):
        if step[j] * spread[j] < SATURATED:
            w = np.sqrt(gain[j] * variance[j])  # from the gain alone, no digit of the count would be left beside it
            count = innovation[j] + w
            if w * exponential(-LARGEST_FALL) > count + LARGEST_FALL / spread[j]:
                gain[j], step[j] = _at_mode(count, w, spread[j], -LOWEST / spread[j], 0.0)


@kernel
def _settle_rises(innovation, spread, gain, step, uncertain):
    """Do so where a log rate of more than this variance would rise by LARGEST_RISE."""
    for j in range(spread.size):
        if spread[j] > uncertain and step[j] * spread[j] > LARGEST_RISE:
            w = gain[j] / (1.0 - gain[j] * spread[j])
            gain[j], step[j] = _at_mode(innovation[j] + w, w, spread[j], 0.0, innovation[j] + w)


@kernel
def _at_mode(count, w, spread, low, high):
    """Return gain and step at the mode, which lies between two values of a.

    Along Pu it solves a = count - w exp(a u'Pu) (derived), whose difference is an increasing function of a: found by
    bisection, which needs no start and gives the same bits everywhere.
    """
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if middle - count + w * exponential(middle * spread) < 0.0:
            low = middle
        else:
            high = middle
    information = count - high
    return information / (1.0 + information * spread), high


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
    seen = (counts, valid, regressors, own)
    return _adapt_poisson(weights, covariance, seen, rate, bin_s, innovation, variance, scratch, True)


@kernel
def adapt_poisson_newton(
    weights, covariance, counts, valid, regressors, own, rate, bin_s, innovation, variance, scratch
):
    """Update every unit as recordings made before were: all but the rises of uncertain units by Newton's step."""
    seen = (counts, valid, regressors, own)
    return _adapt_poisson(weights, covariance, seen, rate, bin_s, innovation, variance, scratch, False)


@kernel
def _adapt_poisson(weights, covariance, seen, rate, bin_s, innovation, variance, scratch, settles):
    counts, valid, regressors, own = seen
    n, d, log_bin = weights.shape[1], weights.shape[0], np.log(bin_s)
    log_likelihood = 0.0
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        width = stop - start
        predictor, spread, direction = scratch[0, :width], scratch[1, :width], scratch[2 : 2 + d]
        expected, step, terms = scratch[2 + d, :width], scratch[3 + d, :width], scratch[4 + d, :width]
        count, mask, error = counts[start:stop], valid[start:stop], innovation[start:stop]
        linear_predictor(weights, regressors, own, start, stop, predictor)
        prior_times_regressors(covariance, regressors, own, rate, start, stop, spread, direction)
        rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
        rows.masked_exponential(expected, predictor, mask)
        rows.masked_difference(error, count, mask, expected)
        log_likelihood_terms(count, mask, predictor, expected, terms)
        log_likelihood += rows.total(terms)
        _poisson_gains(expected, spread, error, variance[start:stop], expected, step)
        if settles:
            _settle_steps(error, variance[start:stop], spread, expected, step)
        else:
            _settle_rises(error, spread, expected, step, UNCERTAIN)
        rank_one_update(weights, covariance, rate, start, stop, direction, expected, step)
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
        linear_predictor(weights, regressors, NO_HISTORY, start, stop, predictor)
        prior_times_regressors(covariance, regressors, NO_HISTORY, rate, start, stop, spread, direction)
        for j in range(width):
            error[j] = (counts[start + j] - predictor[j]) * mask[j]
        _gaussian_gains(noise_variance[start:stop], spread, mask, error, variance[start:stop], gain, step)
        log_likelihood -= 0.5 * rows.dot(step, error)
        log_likelihood -= 0.5 * _log_normalisation(variance[start:stop], mask)
        rank_one_update(weights, covariance, rate, start, stop, direction, gain, step)
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
