"""What comes and what was learned, held to be finite and plausible; a checksum of its bits."""

import numpy as np

from bmi_runtime.kernels.artifacts import count_artifact, feature_artifact, whole_bin_artifact
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
def take_counts(counts, credible, out, valid, left_out, limits, lately, usual):
    """Take counts as :func:`clean_counts` does, and none of them where those that are there are an artifact.

    Parameters
    ----------
    counts, credible, out, valid
        As in `clean_counts`.
    left_out, limits, lately, usual
        As in :func:`bmi_runtime.kernels.artifacts.count_artifact`; no standard deviations: nothing is judged. Of the
        older rule, which judges whole bins, `usual` has no row.

    Returns
    -------
    int
        How many were refused; -1 where the bin is an artifact.
    """
    refused = clean_counts(counts, credible, out, valid)
    if limits[0] <= 0.0:
        return refused
    if usual.shape[0] > 0:
        found = count_artifact(out, valid, left_out, limits, lately, usual)
    else:
        found = whole_bin_artifact(out, refused, valid, left_out, limits, lately)
    return _none_of(out, valid) if found else refused


@kernel
def take_features(values, credible, out, valid, left_out, limits, lately, usual):
    """Take features as :func:`take_counts` takes counts, judged by `feature_artifact`; by the older rule none is."""
    refused = clean_counts(values, credible, out, valid)
    if limits[0] <= 0.0 or usual.shape[0] == 0 or refused == out.size:
        return refused
    alone = feature_artifact(out, valid, left_out, limits, lately, usual)
    return _none_of(out, valid) if alone < 0 else refused + alone


@kernel
def _none_of(out, valid):
    """Let nothing have come; return -1."""
    out[:] = 0.0
    valid[:] = 0.0
    return -1


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
