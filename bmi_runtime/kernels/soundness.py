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


@kernel
def checksum(values):
    """Return a 64-bit checksum of the bits of a contiguous float64 array (rotating exclusive or, order matters)."""
    total = np.uint64(0x9E3779B97F4A7C15)
    flat = values.ravel()
    for i in range(flat.size):
        bits = np.float64(flat[i]).view(np.uint64)
        total = (total << np.uint64(7)) ^ (total >> np.uint64(57)) ^ bits
    return total
