"""One step in time by the Rosenbrock method RODAS, with the Jacobian's tridiagonal part and its row of the rate."""

import math

import numpy as np

from bmi_runtime.kernels.fokker_planck_equation import derivative, piecewise
from bmi_runtime.kernels.fokker_planck_fluxes import divergence, dot, transfer_rates
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.tridiagonal import factor, solve

# RODAS (Hairer and Wanner, Solving ODEs II, section VI.4): order 4(3), 6 stages, stiffly accurate and L-stable.
GAMMA = 0.25
ALPHA = np.array([0.0, 0.386, 0.21, 0.63, 1.0, 1.0])
GAMMA_T = np.array([0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0])
STAGE = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [1.544, 0.0, 0.0, 0.0],
        [0.9466785280815826, 0.2557011698983284, 0.0, 0.0],
        [3.314825187068521, 2.896124015972201, 0.9986419139977817, 0.0],
        [1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950],
        [1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950],
    ]
)
COUPLING = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [-5.6688, 0.0, 0.0, 0.0, 0.0],
        [-2.430093356833875, -0.2063599157091915, 0.0, 0.0, 0.0],
        [-0.1073529058151375, -9.594562251023355, -20.47028614809616, 0.0, 0.0],
        [7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160, 0.0],
        [8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054],
    ]
)


@kernel
def rate_sensitivity(mass, drive, now, reset, grid, sink, model, work, out):
    """Write d(dmass/dt)/dN at fixed mass (n,), by central differences; uses four rows of `work`."""
    n = mass.shape[0]
    right, left, less_right, less_left = work[0], work[1], work[2], work[3]
    for i in range(n):
        out[i] = 0.0
    if model[4] == 0.0 and (model[0] != 0.0 or model[2] != 0.0):
        step = 1e-5 * (1.0 + abs(drive))
        more, less = drive + step, drive - step
        transfer_rates(grid, now + model[0] * more, model[1] + model[2] * more, right, left)
        transfer_rates(grid, now + model[0] * less, model[1] + model[2] * less, less_right, less_left)
        scale = 0.5 / step
        for i in range(n):
            right[i] = (right[i] - less_right[i]) * scale
            left[i] = (left[i] - less_left[i]) * scale
            less_left[i] = 0.0
        divergence(mass, right, left, less_left, out)
    if model[3] == 0.0:
        out[reset] += 1.0


@kernel
def accumulate(weights, rows, out):
    """Add to `out` (n,) the first rows of `rows` (at least 5, n), times the weights (at most 5 of them)."""
    count = weights.shape[0]
    n = out.shape[0]
    at = 0
    while count - at >= 2:
        a, b, x, y = weights[at], weights[at + 1], rows[at], rows[at + 1]
        for i in range(n):
            out[i] += a * x[i] + b * y[i]
        at += 2
    if at < count:
        a, x = weights[at], rows[at]
        for i in range(n):
            out[i] += a * x[i]


@kernel
def factor_jacobian(shift, right, left, sink, lower, diagonal, upper, ratio, back, inverse):
    """Factor ``shift - A`` with A the tridiagonal part of the Jacobian."""
    n = right.shape[0]
    for i in range(n):
        upper[i] = -left[i]
        diagonal[i] = shift + right[i] + sink[i]
    onward, following, under = right[: n - 1], diagonal[1:], lower[1:]
    lower[0] = 0.0
    for i in range(n - 1):
        following[i] += left[i]
        under[i] = -onward[i]
    factor(lower, diagonal, upper, ratio, back, inverse)


@kernel
def slope_in_time(mass, rest, t, tiny, reset, grid, sink, model, current, past, count, work):
    """Write the partial time derivative of d(mass)/dt into ``work[8]``, by differences; return that of d(rest)/dt."""
    right, left, slope_t, here = work[6], work[7], work[8], work[13]
    settings = (reset, grid, sink, model, current, past, count)
    after, _, _, _ = derivative(mass, rest, t + tiny, *settings, right, left, slope_t)
    before, _, _, _ = derivative(mass, rest, t, *settings, right, left, here)
    for i in range(mass.shape[0]):
        slope_t[i] = (slope_t[i] - here[i]) / tiny
    return (after - before) / tiny


@kernel
def rosenbrock_step(mass, rest, t, step, reset, grid, sink, model, current, past, count, work, new):
    """Take one RODAS step; write the new masses (n,), return ``(new rest, its error, ok)``; the error is in
    ``work[5]``.

    The Jacobian is tridiagonal plus ``column x row`` (every cell feels N, N feels the firing cells): one
    factorisation, one extra solve for the column (Sherman-Morrison), one solve a stage. `work` is (18, n).
    """
    n = mass.shape[0]
    right, left, slope_t, column = work[6], work[7], work[8], work[9]
    ratio, back, inverse, spare, rest_k = work[10], work[11], work[12], work[13:17], work[17, :6]
    timed = model[4] > 0.0 or current.shape[1] > 1
    rest_t = 0.0
    if timed:
        rest_t = slope_in_time(mass, rest, t, 1e-4 * step, reset, grid, sink, model, current, past, count, work)
    shift = 1.0 / (GAMMA * step)
    row_last, pivot, new_rest = 0.0, 1.0, rest
    for stage in range(6):
        if stage < 5:
            new_rest = rest
            for i in range(n):
                new[i] = mass[i]
            accumulate(STAGE[stage, :stage], work, new)
            for j in range(stage):
                new_rest += STAGE[stage, j] * rest_k[j]
        else:  # the last stage starts where the fifth one ends
            new_rest += rest_k[4]
            for i in range(n):
                new[i] += work[4, i]
        k = work[stage]
        rest_slope, rate, slope, drive = derivative(
            new, new_rest, t + ALPHA[stage] * step, reset, grid, sink, model, current, past, count, right, left, k
        )
        if math.isnan(rate):
            return 0.0, 0.0, False
        if stage == 0:
            row_last = slope
            now = piecewise(current[0], current[1], t)
            rate_sensitivity(new, drive, now, reset, grid, sink, model, work[1:5], column)
            factor_jacobian(shift, right, left, sink, spare[0], spare[1], spare[2], ratio, back, inverse)
            if model[3] > 0.0:
                column[reset] += 1.0 / (model[3] * shift + 1.0)
            solve(ratio, back, inverse, column)
            pivot = 1.0 - row_times(column, sink, row_last, model)
            if pivot <= 0.0:
                return 0.0, 0.0, False
        for j in range(stage):
            spare[0, j] = COUPLING[stage, j] / step
            rest_slope += spare[0, j] * rest_k[j]
        accumulate(spare[0, :stage], work, k)
        if timed and stage < 4:
            rest_slope += GAMMA_T[stage] * step * rest_t
            for i in range(n):
                k[i] += GAMMA_T[stage] * step * slope_t[i]
        if model[3] > 0.0:
            k[reset] += rest_slope / (model[3] * shift + 1.0)
        solve(ratio, back, inverse, k)
        felt = row_times(k, sink, row_last, model) / pivot
        for i in range(n):
            k[i] += felt * column[i]
        rest_k[stage] = (rest_slope + felt) / (shift + 1.0 / model[3]) if model[3] > 0.0 else 0.0
    for i in range(n):
        new[i] += work[5, i]
    return new_rest + rest_k[5], rest_k[5], True


@kernel
def row_times(x, sink, row_last, model):
    """Return the change of N for a change `x` of the masses."""
    if model[6] == 0.0:
        return row_last * x[-1]
    return dot(sink, x)
