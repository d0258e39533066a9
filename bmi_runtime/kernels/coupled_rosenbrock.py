"""One step in time of coupled populations by the Rosenbrock method RODAS, their rates' columns solved for together."""

import numpy as np

from bmi_runtime.kernels.coupled_rates import derivative, felt_late, solve_small
from bmi_runtime.kernels.fokker_planck_fluxes import divergence, transfer_rates
from bmi_runtime.kernels.fokker_planck_rosenbrock import ALPHA, COUPLING, GAMMA, GAMMA_T, STAGE, factor_jacobian
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.tridiagonal import solve


@kernel
def sensitivity(mass, grid, drift, diffusion, by_noise, four, none, out):
    """Write the change of d(mass)/dt (m,) with drift, or with diffusion where `by_noise`, at fixed mass."""
    step = 1e-5 * diffusion if by_noise else 1e-5 * (1.0 + abs(drift))
    more, less = (0.0, step) if by_noise else (step, 0.0)
    transfer_rates(grid, drift + more, diffusion + less, four[0], four[1])
    transfer_rates(grid, drift - more, diffusion - less, four[2], four[3])
    for i in range(mass.shape[0]):
        four[0, i] = (four[0, i] - four[2, i]) * 0.5 / step
        four[1, i] = (four[1, i] - four[3, i]) * 0.5 / step
    divergence(mass, four[0], four[1], none, out)


@kernel
def stage_point(stage, mass, rest, rest_k, work, new, new_rest):
    """Write where a stage starts into `new` (n, m) and `new_rest` (n,): the last stage where the fifth one ends."""
    n, m = mass.shape
    for k in range(n):
        if stage == 5:
            new_rest[k] += rest_k[4, k]
            for i in range(m):
                new[k, i] += work[4, k, i]
            continue
        new_rest[k] = rest[k]
        for i in range(m):
            new[k, i] = mass[k, i]
        for s in range(stage):
            new_rest[k] += STAGE[stage, s] * rest_k[s, k]
            for i in range(m):
                new[k, i] += STAGE[stage, s] * work[s, k, i]


@kernel
def factor_all(mass, shift, drift, noise, resets, grids, settings, scratch, work):
    """Factor ``shift - A`` of every population, and solve for the three columns through which rates act on it.

    Drift, noise and what comes back at V_R go to ``work[6:9]``, the factors to ``work[9:12]``; rows 1 to 3 are spoilt.
    """
    n, m = mass.shape
    none, four = scratch[2 * n], np.empty((4, m))
    ratio, back, inverse = work[9], work[10], work[11]
    for k in range(n):
        right, left = scratch[2 * k], scratch[2 * k + 1]
        factor_jacobian(shift, right, left, none, work[1, k], work[2, k], work[3, k], ratio[k], back[k], inverse[k])
        sensitivity(mass[k], grids[k], drift[k], noise[k], False, four, none, work[6, k])
        sensitivity(mass[k], grids[k], drift[k], noise[k], True, four, none, work[7, k])
        for i in range(m):
            work[8, k, i] = 0.0
        work[8, k, resets[k]] = 1.0 / (settings[2, k] * shift + 1.0)
        for column in range(6, 9):
            solve(ratio[k], back[k], inverse[k], work[column, k])


@kernel
def couple(here, slopes, now_b, now_a, work, felt):
    """Add what the changes of the rates do to the solutions `here` (n, m); `felt` (n,) gets those changes.

    ``felt = S (here_last + W felt)``: S is `slopes`, W what a unit change of each rate does to the last cells. Returns
    False where the system has turned over: past a blow-up.
    """
    n, m = here.shape
    by_drift, by_noise, back_in = work[6], work[7], work[8]
    small = np.zeros((n, n))
    for k in range(n):
        felt[k] = 0.0
        for j in range(n):
            felt[k] += slopes[k, j] * here[j, m - 1]
            small[k, j] = 1.0 if k == j else 0.0
            for i in range(n):
                through = now_b[i, j] * by_drift[i, m - 1] + now_a[i, j] * by_noise[i, m - 1]
                through += back_in[i, m - 1] if i == j else 0.0
                small[k, j] -= slopes[k, i] * through
    if solve_small(small, felt) <= 0.0:
        return False
    for k in range(n):
        for_drift, for_noise = 0.0, 0.0
        for j in range(n):
            for_drift += now_b[k, j] * felt[j]
            for_noise += now_a[k, j] * felt[j]
        for i in range(m):
            here[k, i] += for_drift * by_drift[k, i] + for_noise * by_noise[k, i] + felt[k] * back_in[k, i]
    return True


@kernel
def step_all(mass, rest, rates, t, step, resets, grids, b, a, now_b, now_a, delay, settings, past, count, work, new):
    """Take one RODAS step; write the new masses (n, m); return ``(rest (n,), rest error, rates (n,), ok)``.

    The Jacobian is tridiagonal in every population plus the coupling of rank n through the rates: three extra solves a
    population and step, and one n by n system a stage. The stages are in ``work[:6]``; `work` is (16, n, m).
    """
    n, m = mass.shape
    shift, late, scratch = 1.0 / (GAMMA * step), work[12], work[13:].reshape(3 * n, m)
    rest_k, felt, rest_late = np.zeros((6, n)), np.zeros(n), np.zeros(n)
    slopes, new_rest, timed = np.zeros((n, n)), rest.copy(), delay.max() > 0.0
    fixed = (resets, grids, b, a, now_b, now_a, delay, settings, past, count, scratch)
    if timed:  # the partial derivative in time, by differences
        tiny = 1e-4 * step
        after, _, _, fine = derivative(mass, rest, rates, t + tiny, *fixed, late)
        before, _, _, ok = derivative(mass, rest, rates, t, *fixed, work[0])
        if not (ok and fine):
            return rest, rest, rates, False
        rest_late[:] = (after - before) / tiny
        late[:] = (late - work[0]) / tiny
    for stage in range(6):
        stage_point(stage, mass, rest, rest_k, work, new, new_rest)
        here = work[stage]
        rest_slope, found, slopes_now, ok = derivative(new, new_rest, rates, t + ALPHA[stage] * step, *fixed, here)
        if not ok:
            return rest, rest, rates, False
        if stage == 0:
            slopes = slopes_now
            drift, noise = np.empty(n), np.empty(n)
            felt_late(t, b, a, delay, past, count, settings, drift, noise)
            for k in range(n):
                for j in range(n):
                    drift[k] += now_b[k, j] * found[j]
                    noise[k] += now_a[k, j] * found[j]
            factor_all(new, shift, drift, noise, resets, grids, settings, scratch, work)
        for k in range(n):
            for s in range(stage):
                share = COUPLING[stage, s] / step
                rest_slope[k] += share * rest_k[s, k]
                for i in range(m):
                    here[k, i] += share * work[s, k, i]
            if timed and stage < 4:
                rest_slope[k] += GAMMA_T[stage] * step * rest_late[k]
                for i in range(m):
                    here[k, i] += GAMMA_T[stage] * step * late[k, i]
            if settings[2, k] > 0.0:
                here[k, resets[k]] += rest_slope[k] / (settings[2, k] * shift + 1.0)
            solve(work[9, k], work[10, k], work[11, k], here[k])
        if not couple(here, slopes, now_b, now_a, work, felt):
            return rest, rest, rates, False
        for k in range(n):
            if settings[2, k] > 0.0:
                rest_k[stage, k] = (rest_slope[k] + felt[k]) / (shift + 1.0 / settings[2, k])
    for k in range(n):
        for i in range(m):
            new[k, i] += work[5, k, i]
    return new_rest + rest_k[5], rest_k[5], rates, True
