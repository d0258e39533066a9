"""How well filters at several rates predicted a bin."""

import math

from bmi_runtime.kernels.jit import kernel

LEAST_EXPECTED = 1e-12


@kernel
def predicted(counts, valid, innovation, noise, poisson, scores):
    """Sum the log likelihoods of a bin under each filter of a bank; return the mean squared innovation of the last.

    Parameters
    ----------
    counts, valid : ndarray, (units,)
        Counts or features, and 1 where they are to be believed.
    innovation : ndarray, (filters, units)
        Count minus what the filter expected before it learned from the bin.
    noise : ndarray, (units,)
        Noise variances of features.
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
                    total -= variance
                    if counts[unit] > 0.0:
                        total += counts[unit] * math.log(variance)
                else:
                    total -= 0.5 * error * error / variance
                squared += error * error / max(variance, 1e-3)
                known += 1
        scores[row] = total
    return squared / known if known else 1.0
