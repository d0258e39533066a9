"""The likelihood of a population's spikes under integrate-and-fire dynamics that hear the population itself.

The potential of a unit since its last spike has the density p(v, t) of

    dp/dt = d/dv [(v - I - b N(t - D)) p] + (a0 + a1 N(t - D)) d2p/dv2 - p 1_{v > V_F} / eps,

p(v) = delta(v - V_R) after a spike, where N is the *recorded* activity of the population. What p loses in a bin is the
probability of a spike there. All units share the operator of a bin, so it is factorised once.
"""

import math

import numpy as np

from bmi_runtime.kernels.jit import kernel

_GAMMA = 1.0 - 1.0 / math.sqrt(2.0)  # of the L-stable scheme of second order with two alike stages (Alexander 1977)


@kernel(inline="always")
def _bernoulli(x):
    if abs(x) < 1e-6:
        return 1.0 - 0.5 * x
    if x > 600.0:
        return 0.0
    return x / math.expm1(x)


@kernel
def operator(v, width, drift, noise, sink, lower, main, upper):
    """Write the exponentially fitted operator of one bin as three diagonals (k,): drift ``-v + drift``, diffusion
    `noise`, loss `sink` (k,).
    """
    count = v.size
    scale = noise / (width * width)
    for k in range(count):
        lower[k] = 0.0
        upper[k] = 0.0
        main[k] = -sink[k]
    for k in range(count - 1):
        x = (drift - 0.5 * (v[k] + v[k + 1])) * width / noise
        up, down = scale * _bernoulli(-x), scale * _bernoulli(x)
        main[k] -= up
        lower[k + 1] = up
        main[k + 1] -= down
        upper[k] = down


@kernel
def factorise(step, lower, main, upper, ratio, inverse):
    """Write the factors of ``I - step L`` into `ratio` and `inverse` (k,): multipliers and inverse pivots."""
    inverse[0] = 1.0 / (1.0 - step * main[0])
    for k in range(1, main.size):
        ratio[k] = step * lower[k] * inverse[k - 1]
        inverse[k] = 1.0 / (1.0 - step * main[k] - ratio[k] * step * upper[k - 1])


@kernel
def _solve(step, upper, ratio, inverse, x):
    """Solve for all columns of `x` (k, units) in place."""
    cells, units = x.shape
    for k in range(1, cells):
        by, here, before = ratio[k], x[k], x[k - 1]
        for i in range(units):
            here[i] += by * before[i]
    for k in range(cells - 1, -1, -1):
        by, here = inverse[k], x[k]
        if k == cells - 1:
            for i in range(units):
                here[i] *= by
        else:
            above, after = step * upper[k], x[k + 1]
            for i in range(units):
                here[i] = (here[i] + above * after[i]) * by


@kernel
def _apply(lower, main, upper, x, out):
    """Write L times the columns of `x` (k, units) into `out`."""
    cells, units = x.shape
    for k in range(cells):
        here, result, middle = x[k], out[k], main[k]
        before, after = x[max(k - 1, 0)], x[min(k + 1, cells - 1)]
        low = lower[k] if k > 0 else 0.0
        high = upper[k] if k < cells - 1 else 0.0
        for i in range(units):
            result[i] = middle * here[i] + low * before[i] + high * after[i]


@kernel
def advance(step, lower, main, upper, ratio, inverse, p, work):
    """Advance the densities `p` (k, units) by `step`, with the factors of ``I - _GAMMA step L``; `work` is like `p`."""
    cells, units = p.shape
    for stage in range(2):
        share = (1.0 - _GAMMA) * step if stage == 0 else _GAMMA * step
        _apply(lower, main, upper, p, work)
        _solve(_GAMMA * step, upper, ratio, inverse, work)
        for k in range(cells):
            here, change = p[k], work[k]
            for i in range(units):
                here[i] += share * change[i]


@kernel
def block_log_likelihoods(counts, activity, step, v, width, reset, parameters, blocks, hazards):
    """Write the log-likelihood of every stretch of bins, and what every unit was expected to fire.

    Parameters
    ----------
    counts : (bins, units) uint8
        Spikes; more than one in a bin count as one. A unit enters after its first spike.
    activity : (bins,) float64
        Spikes per unit that arrive in each bin (delayed).
    step : float
        Width of a bin in membrane time constants.
    v, width, reset : (k,) float64, float, int
        Cells of the potential, their width, the cell of the reset.
    parameters : (6,) float64
        current, b, a0, a1, eps, mean refractory time (0: none), in units of the membrane.
    blocks : (m,) float64
        Log-likelihoods, written.
    hazards : (bins, units) float64 or (0, units)
        Minus the log of the probability of no spike in every bin, written if there is room; NaN before a unit enters.

    Notes
    -----
    A spike is put into the middle of its bin: the density goes on from the reset for half a step.
    """
    bins, units = counts.shape
    cells = v.size
    current, b, a0, a1, eps, refractory = parameters
    lower, main, upper = np.empty(cells), np.empty(cells), np.empty(cells)
    ratio, inverse = np.zeros(cells), np.empty(cells)
    sink = np.empty(cells)
    for k in range(cells):  # the threshold is V_F = 2; a cell that it cuts loses in proportion
        sink[k] = min(max((v[k] + 0.5 * width - 2.0) / width, 0.0), 1.0) / eps
    start, spare = np.zeros((cells, 1)), np.empty((cells, 1))
    operator(v, width, current, a0, sink, lower, main, upper)
    rest_decay = math.exp(-step / refractory) if refractory > 0.0 else 0.0
    rest_start = math.exp(-0.5 * step / refractory) if refractory > 0.0 else 0.0
    start[reset, 0] = 1.0 - rest_start
    factorise(_GAMMA * 0.5 * step, lower, main, upper, ratio, inverse)
    advance(0.5 * step, lower, main, upper, ratio, inverse, start, spare)
    p, work = np.zeros((cells, units)), np.empty((cells, units))
    resting, left = np.zeros(units), np.empty(units)
    entered = np.zeros(units, np.bool_)
    blocks[:] = 0.0
    for t in range(bins):
        rate = activity[t] / step
        operator(v, width, current + b * rate, a0 + a1 * rate, sink, lower, main, upper)
        factorise(_GAMMA * step, lower, main, upper, ratio, inverse)
        for i in range(units):
            back = resting[i] * (1.0 - rest_decay)
            p[reset, i] += back
            resting[i] -= back
            left[i] = resting[i]
        advance(step, lower, main, upper, ratio, inverse, p, work)
        for k in range(cells):
            here = p[k]
            for i in range(units):
                left[i] += here[i]
        block = t * blocks.size // bins
        for i in range(units):
            survived = min(max(left[i], 1e-12), 1.0 - 1e-12)
            if hazards.shape[0] > 0:
                hazards[t, i] = -math.log(survived) if entered[i] else np.nan
            if entered[i]:
                blocks[block] += math.log(1.0 - survived) if counts[t, i] > 0 else math.log(survived)
            left[i] = 1.0 / survived
        for k in range(cells):
            here = p[k]
            for i in range(units):
                here[i] *= left[i]
        for i in range(units):
            resting[i] *= left[i]
            if counts[t, i] > 0:
                entered[i] = True
                resting[i] = rest_start
                for k in range(cells):
                    p[k, i] = start[k, 0]
