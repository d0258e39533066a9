"""Stepping the clamped systems of the perturbation studies: sigmoid units in noise, and spiking units with
exponential link.
"""

import math

from bmi_runtime.kernels.jit import kernel


@kernel
def clamped_sigmoid(starts, sources, weights, drive, assignments, activity):
    """Run ``x[t+1] = sigmoid(A x[t] + drive[t])`` with some entries clamped.

    Parameters
    ----------
    starts, sources, weights : (n + 1,) int, (k,) int, (k,) float64
        The rows of A: neuron i hears ``sources[starts[i]:starts[i + 1]]``.
    drive : (steps, n) float64
        Noise and hidden input.
    assignments : (steps, n) int8
        1 or 0 where a neuron is clamped to that value at that step, -1 where it is free.
    activity : (steps, n) float64
        Its first row is the start; the rest is written.
    """
    steps, n = activity.shape
    for t in range(steps):
        for i in range(n):
            if t > 0 and assignments[t, i] < 0:
                total = drive[t - 1, i]
                for k in range(starts[i], starts[i + 1]):
                    total += weights[k] * activity[t - 1, sources[k]]
                activity[t, i] = 1.0 / (1.0 + math.exp(-total))
            elif assignments[t, i] >= 0:
                activity[t, i] = assignments[t, i]


@kernel
def _poisson(mean, uniform):
    """Return the Poisson quantile of `uniform` (inversion; `mean` up to about 700)."""
    term = math.exp(-mean)
    total = term
    count = 0
    while uniform >= total and count < 1000:
        count += 1
        term *= mean / count
        total += term
    return count


@kernel
def clamped_spikes(starts, sources, weights, log_rates, uniforms, assignments, added, ceiling, counts):
    """Run spiking units: counts are Poisson with mean ``min(exp(log_rates[t] + W counts[t-1]), ceiling)``.

    Where ``assignments[t, i] >= 0`` the count is set to that value; ``added[t, i]`` spikes come on top of a free
    unit's own. Arguments as in :func:`clamped_sigmoid`; `uniforms` (steps, n) in [0, 1) are used one per count; all
    of `counts` (steps, n) is written.
    """
    steps, n = counts.shape
    for t in range(steps):
        for i in range(n):
            if assignments[t, i] >= 0:
                counts[t, i] = assignments[t, i]
                continue
            total = log_rates[t, i]
            if t > 0:
                for k in range(starts[i], starts[i + 1]):
                    total += weights[k] * counts[t - 1, sources[k]]
            counts[t, i] = _poisson(min(math.exp(min(total, 600.0)), ceiling), uniforms[t, i]) + added[t, i]


@kernel
def impulse_response(rates, targets, sources, gains, direct, response):
    """Write how many extra spikes every neuron fires at each lag after a pulse, to first order in what it causes.

    Parameters
    ----------
    rates : (n,) float64
        Mean counts per bin.
    targets, sources : (k,) int64
        The connections: ``targets[p]`` hears ``sources[p]``.
    gains : (k, lags) float64
        Relative change of the target's rate at each lag after one spike of the source.
    direct : (n, lags) float64
        Relative change of every neuron's rate that the pulse itself makes.
    response : (n, lags) float64
        Extra spikes, written here: ``R[i, m] = rates[i] (direct[i, m] + sum_p sum_l gains[p, l] R[source, m - l])``.
    """
    n, lags = response.shape
    for m in range(lags):
        for i in range(n):
            response[i, m] = direct[i, m]
        for p in range(targets.size):
            total = 0.0
            for back in range(min(m, gains.shape[1])):
                total += gains[p, back] * response[sources[p], m - back - 1]
            response[targets[p], m] += total
        for i in range(n):
            response[i, m] *= rates[i]
