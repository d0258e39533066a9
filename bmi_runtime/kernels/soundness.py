"""What comes and what was learned, held to be finite and plausible; a checksum of its bits."""

import numpy as np

from bmi_runtime.kernels.jit import kernel


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
def take_counts(counts, credible, out, valid, limits, lately, left_out):
    """Take counts as :func:`clean_counts` does, and none of them where all together are an artifact.

    What is compared is the sum without its largest count: one unit that fires as never before is no artifact of all. A
    bin in which a count is missing or refused has no sum that could be compared, and is not judged.

    Parameters
    ----------
    counts, credible, out, valid
        As in `clean_counts`.
    limits, lately
        As in `is_artifact`.
    left_out : ndarray of int
        Units whose counts have no part in the sum, and may be missing; in order.

    Returns
    -------
    int
        How many were refused; -1 where the bin is an artifact.
    """
    refused = clean_counts(counts, credible, out, valid)
    if limits[0] <= 0.0:
        return refused
    total, largest, left, lacking = 0.0, 0.0, 0, refused
    for i in range(out.size):
        if left < left_out.size and left_out[left] == i:  # they are in order
            left += 1
            lacking -= 0 if valid[i] > 0.0 else 1
            continue
        total += out[i]
        largest = max(largest, out[i])
    if lacking or not is_artifact(total - largest, limits, lately):
        return refused
    out[:] = 0.0
    valid[:] = 0.0
    return -1


@kernel
def is_artifact(total, limits, lately):
    """Return whether a bin's sum of counts is far above what it was lately; take it into that where it is not.

    Mean and variance are exponentially weighted (each bin alike at first). A sum that stays high is no artifact but
    how it is now: what it was lately is then forgotten.

    Parameters
    ----------
    total : float
        Of the counts of all units but the largest.
    limits : ndarray, (5,)
        Standard deviations, and times the mean, that both are exceeded by; share of the newest bin; bins before it is
        judged; bins that an artifact lasts at most.
    lately : ndarray, (4,), inout
        Mean, variance, bins seen, artifacts in a row.
    """
    mean, variance, seen = lately[0], lately[1], lately[2]
    if seen >= limits[3]:
        spread = np.sqrt(max(variance, mean, 1.0))
        if total > mean + limits[0] * spread and total > limits[1] * mean:
            lately[3] += 1.0
            if lately[3] <= limits[4]:
                return True
            lately[:] = 0.0
            mean, variance, seen = 0.0, 0.0, 0.0
    lately[3] = 0.0
    share = max(limits[2], 1.0 / (seen + 1.0))
    away = total - mean
    lately[0] = mean + share * away
    lately[1] = (1.0 - share) * (variance + share * away * away)
    lately[2] = seen + 1.0
    return False


@kernel
def find_artifacts(totals, fresh, limits, found):
    """Set found[t] to whether bin t is an artifact (:func:`is_artifact`), bin by bin, as a session would.

    Parameters
    ----------
    totals : ndarray, (bins,)
        Sums of the counts without the largest.
    fresh : ndarray of bool, (bins,)
        Whether every count came.
    limits : ndarray, (5,)
    found : ndarray of bool, (bins,), out
    """
    lately = np.zeros(4)
    for t in range(totals.size):
        found[t] = fresh[t] and is_artifact(totals[t], limits, lately)


@kernel
def restart_unit(weights, covariance, unit, log_rate, initial_variance):
    """Start one unit again, in place: without tuning, at a log rate, with ``initial_variance`` of every weight."""
    weights[:, unit] = 0.0
    weights[0, unit] = log_rate
    covariance[:, unit] = 0.0
    pair = 0
    for a in range(weights.shape[0]):
        pair += a
        covariance[pair, unit] = initial_variance
        pair += 1


@kernel
def restart_units(weights, covariance, units, log_rate, initial_variance):
    """Start these units again as :func:`restart_unit` does."""
    for unit in units:
        restart_unit(weights, covariance, unit, log_rate, initial_variance)


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
        restart_unit(weights, covariance, i, baseline, initial_variance)
    return repaired


@kernel
def checksum(values):
    """Return a 64-bit checksum of the bits of a contiguous float64 array (rotating exclusive or, order matters)."""
    total = np.uint64(0x9E3779B97F4A7C15)
    flat = values.ravel()
    for i in range(flat.size):
        bits = np.float64(flat[i]).view(np.uint64)
        total = (total << np.uint64(7)) ^ (total >> np.uint64(57)) ^ bits
    return total
