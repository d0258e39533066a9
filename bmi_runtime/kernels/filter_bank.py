"""A bank of filters at several rates: how they learn from a bin, and how well each predicted it."""

import math

import numpy as np

from bmi_runtime.kernels import rows
from bmi_runtime.kernels.encoding_filter import adapt_gaussian, adapt_poisson_newton, adapt_poisson_own
from bmi_runtime.kernels.exponential import exponentials
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.unit_blocks import LOG_RATE_LIMIT, linear_predictor

LEAST_EXPECTED = 1e-12
LEAST_DISPERSION, MOST_DISPERSION = 1e-9, 10.0  # below the one it is Poisson; silent units would go beyond the other


@kernel
def predicted(counts, valid, innovation, noise, dispersion, poisson, scores):
    """Sum the log likelihoods of a bin under each filter of a bank; return the mean squared innovation of the last.

    Parameters
    ----------
    counts, valid : ndarray, (units,)
        Counts or features, and 1 where they are to be believed.
    innovation : ndarray, (filters, units)
        Count minus what the filter expected before it learned from the bin.
    noise : ndarray, (units,)
        Noise variances of features.
    dispersion : ndarray, (units,)
        phi of counts whose variance is w + phi w^2 about an expected w (negative binomial); 0 for Poisson.
    poisson : bool
    scores : ndarray, (filters,), out
        Log likelihoods, nats, without terms that are the same for all filters.

    Returns
    -------
    float
        Over its variance, of the last filter; 1 when no unit is to be believed.
    """
    squared, known = 0.0, 0
    for row in range(innovation.shape[0]):
        total, squared, known = 0.0, 0.0, 0
        for unit in range(counts.size):
            if valid[unit] > 0.0:
                error = innovation[row, unit]
                variance = noise[unit]
                if poisson:
                    variance = max(counts[unit] - error, LEAST_EXPECTED)
                    if dispersion[unit] < LEAST_DISPERSION:
                        total -= variance
                    else:  # what the count alone decides is the same for all filters
                        total -= (counts[unit] + 1.0 / dispersion[unit]) * _log1p(dispersion[unit] * variance)
                    if counts[unit] > 0.0:
                        total += counts[unit] * math.log(variance)
                else:
                    total -= 0.5 * error * error / variance
                squared += error * error / max(variance, 1e-3)
                known += 1
        scores[row] = total
    return squared / known if known else 1.0


@kernel
def _log1p(x):
    """Return log(1 + x) for x above 0; of small ones, the many, by the series of 2 artanh(x / (2 + x))."""
    if x > 0.1:
        return math.log1p(x)
    z = x / (2.0 + x)
    square = z * z
    return 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square / 9.0))))


@kernel
def errors_of(weights, regressors, own, counts, poisson, bin_s, predictor, errors):
    """Set errors to the counts or features minus what each filter of a bank expects of them by its weights.

    Parameters
    ----------
    weights : ndarray, (filters, regressors, units)
        Log rates in log Hz, or features.
    regressors : ndarray, (common regressors,)
    own : ndarray, (histories, units)
    counts : ndarray, (units,)
    poisson : bool
    bin_s : float
    predictor : ndarray, (units,), scratch
    errors : ndarray, (filters, units), out
    """
    units, log_bin = counts.size, np.log(bin_s)
    for row in range(errors.shape[0]):
        error = errors[row]
        linear_predictor(weights[row], regressors, own, 0, units, predictor)
        if poisson:
            rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
            exponentials(predictor, error)
            rows.subtract_from(error, counts)
        else:
            rows.difference(error, counts, predictor)


@kernel
def gather(x, units, chosen):
    """Set chosen[k] to the element of x at units[k]."""
    for k in range(units.size):
        chosen[k] = x[units[k]]


@kernel
def learn(filters, seen, regressors, own, rate, bin_s, poisson, settles, errors, scratch):
    """Let every filter of a bank learn from a bin at its own rate.

    Parameters
    ----------
    filters : (ndarray, ndarray)
        Weights, (filters, regressors, units), and covariances, (filters, pairs, units); in place.
    seen : ndarray, (3, units)
        Counts or features, 1 where they are to be believed, noise variances of features.
    regressors : ndarray, (common regressors,)
    own : ndarray, (histories, units)
    rate : ndarray, (filters, units)
    bin_s : float
    poisson, settles : bool
        ``settles``: a count far from the expected one goes to the mode.
    errors : ndarray, (at least filters, units), out
        Counts or features minus what each filter expected.
    scratch : (ndarray, ndarray)
        (units,), and (regressors + 5, BLOCK).
    """
    weights, covariance = filters
    counts, valid, noise = seen[0], seen[1], seen[2]
    variance, work = scratch
    for row in range(rate.shape[0]):
        w, s, r, e = weights[row], covariance[row], rate[row], errors[row]
        if not poisson:
            adapt_gaussian(w, s, counts, valid, regressors, r, noise, e, variance, work)
        elif settles:
            adapt_poisson_own(w, s, counts, valid, regressors, own, r, bin_s, e, variance, work)
        else:
            adapt_poisson_newton(w, s, counts, valid, regressors, own, r, bin_s, e, variance, work)


@kernel
def add_scores(log_likelihoods, leak, scores):
    """Add to leaky sums by how much better each filter of a bank predicted than its last one.

    Parameters
    ----------
    log_likelihoods : ndarray, (filters,)
    leak : float
    scores : ndarray, (filters,), in place
    """
    last = log_likelihoods[-1]
    for row in range(scores.size):
        scores[row] += log_likelihoods[row] - last - leak * scores[row]


@kernel
def follow_dispersion(counts, valid, error, leak, sums, dispersion):
    """Take a bin into leaky sums of (n - w)^2 - w and w^2; set the dispersion to their ratio.

    Moments of a negative binomial count, whose variance is w + phi w^2. Errors of w count as dispersion: they, too,
    make a count far from the expected one less of a surprise.

    Parameters
    ----------
    counts, valid, error : ndarray, (units,)
        ``error`` is the count minus the expected one.
    leak : float
    sums : ndarray, (2, units), in place
    dispersion : ndarray, (units,), out
    """
    for unit in range(counts.size):
        if valid[unit] > 0.0:
            expected = counts[unit] - error[unit]
            sums[0, unit] += error[unit] * error[unit] - expected - leak * sums[0, unit]
            sums[1, unit] += expected * expected - leak * sums[1, unit]
            ratio = sums[0, unit] / max(sums[1, unit], LEAST_EXPECTED)
            dispersion[unit] = min(max(ratio, 0.0), MOST_DISPERSION)


@kernel
def take_in(
    filters, seen, units, regressors, own, rate, bin_s, kind, earlier, leak, dispersions, errors, sums, scratch
):
    """Let every filter of a bank learn from a bin, and add to its score how well it had predicted it.

    One pass for a bin, as every call from Python costs as much as some ten units do.

    Parameters
    ----------
    filters : (ndarray, ndarray)
        As in :func:`learn`.
    seen : (ndarray, ndarray, ndarray, ndarray)
        Of all units of the array: counts or features, 1 where they are to be believed, noise variances, and the
        innovation of the adapter, the last of the filters that are judged.
    units : ndarray of int
        Those that the bank has.
    regressors, own, rate, bin_s
        As in :func:`learn`.
    kind : (bool, bool, bool)
        Whether units are Poisson, whether large steps settle, whether weights of before judge.
    earlier : ndarray, (filters + 1, regressors, units)
        Weights of before.
    leak : float
    dispersions : ndarray, (3, units), in place
        Sums of :func:`follow_dispersion`, and the dispersion.
    errors : ndarray, (filters + 1, units), out
    sums : ndarray, (2, filters + 1)
        Log likelihoods of the bin, out, and leaky sums of them, in place.
    scratch : (ndarray, ndarray, ndarray)
        (5, units), (histories, units), (regressors + 5, BLOCK).

    Returns
    -------
    float
        As :func:`predicted`.
    """
    poisson, settles, lagged = kind
    row, mine, work = scratch
    counts, valid, noise, innovation = seen
    gather(counts, units, row[0])
    gather(valid, units, row[1])
    gather(noise, units, row[2])
    for k in range(own.shape[0]):
        gather(own[k], units, mine[k])
    learn(filters, row[:3], regressors, mine, rate, bin_s, poisson, settles, errors, (row[3], work))
    if lagged:
        errors_of(earlier, regressors, mine, row[0], poisson, bin_s, row[4], errors)
    else:
        gather(innovation, units, errors[-1])
    squared = predicted(row[0], row[1], errors, row[2], dispersions[2], poisson, sums[0])
    if lagged and poisson:  # from the next bin on
        follow_dispersion(row[0], row[1], errors[-1], leak, dispersions[:2], dispersions[2])
    add_scores(sums[0], leak, sums[1])
    return squared
