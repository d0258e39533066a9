"""Counts of one bin of a fitted world: coupled, overdispersed units with shared fluctuations."""

import numpy as np

from bmi_runtime.kernels.exponential import exponential
from bmi_runtime.kernels.jit import kernel

MOST_COUNT = 2000


@kernel
def count_by_inversion(mean, dispersion, uniform):
    """Return the count whose cumulative distribution first exceeds `uniform`.

    Poisson where `dispersion` (variance over mean) is one; above it the negative binomial of that mean and variance,
    of size ``mean / (dispersion - 1)``: P(0) = dispersion^-size, P(k+1) / P(k) = (k + size) / (k + 1) * (1 - 1 /
    dispersion) (standard). Below it, for units that fire more regularly, the binomial of that mean and of the fewest
    trials whose variance is not below the wanted one: the same recursion with a negative size (Panjer 1981). No count
    of so small a mean can be more regular than one trial makes it.
    """
    over = dispersion - 1.0
    if over < -1e-9:
        over = -mean / max(np.ceil(-mean / over), 1.0)
    plain = abs(over) < 1e-9
    size = 0.0 if plain else mean / over
    term = np.exp(-mean) if plain else np.exp(-size * np.log(1.0 + over))
    share = over / (1.0 + over)
    total, count = term, 0
    while uniform > total and count < MOST_COUNT:
        ratio = mean / (count + 1.0) if plain else (count + size) * share / (count + 1.0)
        if ratio <= 1e-12:  # all trials of a binomial
            break
        count += 1
        term *= ratio
        total += term
    return count


@kernel
def emit_counts(
    weights,
    regressors,
    loadings,
    shared,
    private,
    pending,
    slot,
    filters,
    past_range,
    dispersion,
    ceiling,
    uniforms,
    log_rate,
    counts,
):
    """Draw the counts of one bin, and let them act on the bins to come.

    Parameters
    ----------
    weights : ndarray, (1 + regressors, units)
        Natural log of expected counts per bin; baseline first.
    regressors : ndarray, (1 + regressors,)
        1, then the values of this bin.
    loadings : ndarray, (factors, units)
    shared : ndarray, (factors,)
        Common fluctuations of the log rate.
    private : ndarray, (units,)
        Each unit's own.
    pending : ndarray, (lags + 1, units), in and out
        A ring: row `slot` holds what past spikes add to the log rate of this bin; zeroed when it has been used.
    filters : ndarray, (sources, lags, targets)
        Empty sources: no unit acts on any.
    past_range : ndarray, (2, units)
        Least and most that past spikes may add to the log rate of a bin.
    dispersion, ceiling, uniforms : ndarray, (units,)
        Variance over mean; largest expected count; numbers between 0 and 1.
    log_rate, counts : ndarray, (units,), out

    Returns
    -------
    int
        How many units were held at their ceiling.
    """
    units, ring = weights.shape[1], pending.shape[0]
    for i in range(units):
        log_rate[i] = private[i] + min(max(pending[slot, i], past_range[0, i]), past_range[1, i])
        pending[slot, i] = 0.0
    for a in range(weights.shape[0]):
        u = regressors[a]
        for i in range(units):
            log_rate[i] += u * weights[a, i]
    for f in range(shared.size):
        x = shared[f]
        for i in range(units):
            log_rate[i] += x * loadings[f, i]
    held = 0
    for i in range(units):
        mean = exponential(min(log_rate[i], 30.0))
        if not mean <= ceiling[i]:
            mean = ceiling[i]
            held += 1
        counts[i] = count_by_inversion(mean, dispersion[i], uniforms[i])
    for j in range(filters.shape[0]):
        if counts[j] > 0:
            for m in range(ring - 1):
                row = (slot + 1 + m) % ring
                for i in range(units):
                    pending[row, i] += counts[j] * filters[j, m, i]
    return held
