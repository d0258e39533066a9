"""How well filters at several rates predicted a bin."""

import math

import numpy as np

from bmi_runtime.kernels import rows
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
    weights : ndarray, (regressors, filters * units)
        Filter by filter; log rates in log Hz, or features.
    regressors : ndarray, (common regressors,)
    own : ndarray, (histories, units)
    counts : ndarray, (units,)
    poisson : bool
    bin_s : float
    predictor : ndarray, (units,), scratch
    errors : ndarray, (filters, units), out
    """
    units, log_bin, common = counts.size, np.log(bin_s), regressors.size
    for row in range(errors.shape[0]):
        first = row * units
        linear_predictor(weights, regressors, own[:0], first, first + units, predictor)
        for k in range(own.shape[0]):
            rows.add_product(predictor, own[k], weights[common + k, first : first + units])
        if poisson:
            rows.limited_sum(predictor, log_bin, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
            exponentials(predictor, errors[row])
            predictor[:] = errors[row]
        for unit in range(units):
            errors[row, unit] = counts[unit] - predictor[unit]


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
