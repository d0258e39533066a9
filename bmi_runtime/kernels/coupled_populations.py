"""Time steps of coupled populations: RODAS on the finite volumes of every one, all rates implicit together.

Populations stand in rows: masses (n, m), grids (n, 7, m), ``settings`` (3, n) = (a0, current, refractory time), and
``state`` (n, 11) with the columns of :mod:`.fokker_planck`, of which time, step and counters are those of row 0.
``b``, ``a`` and ``delay`` are (n, n), row = receiver; ``past`` (1 + n, capacity) has the times and rates of all steps.
"""

import math

import numpy as np

from bmi_runtime.kernels.fokker_planck import (
    FULL,
    RATE,
    REACHED,
    REJECTED,
    REST,
    STEP,
    STOP_RATE,
    STUCK,
    TROUGH,
    T,
    keep_positive,
    settle,
)
from bmi_runtime.kernels.fokker_planck_equation import remembered
from bmi_runtime.kernels.fokker_planck_fluxes import WIDTH, divergence, escape, sums, transfer_rates
from bmi_runtime.kernels.fokker_planck_rosenbrock import ALPHA, COUPLING, GAMMA, GAMMA_T, STAGE, factor_jacobian
from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.tridiagonal import solve


@kernel
def solve_small(matrix, x):
    """Solve in place a small system with row pivots (`matrix` (n, n) is spoilt); return the determinant."""
    n = x.shape[0]
    determinant = 1.0
    for i in range(n):
        best = i
        for j in range(i + 1, n):
            if abs(matrix[j, i]) > abs(matrix[best, i]):
                best = j
        if matrix[best, i] == 0.0:
            return 0.0
        if best != i:
            determinant = -determinant
            for j in range(n):
                matrix[i, j], matrix[best, j] = matrix[best, j], matrix[i, j]
            x[i], x[best] = x[best], x[i]
        determinant *= matrix[i, i]
        for j in range(i + 1, n):
            share = matrix[j, i] / matrix[i, i]
            for k in range(i, n):
                matrix[j, k] -= share * matrix[i, k]
            x[j] -= share * x[i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= matrix[i, k] * x[k]
        x[i] /= matrix[i, i]
    return determinant


@kernel
def felt_late(t, b, a, delay, past, count, settings, drift, diffusion):
    """Write what every population feels (n,) of its current and of the delayed rates."""
    n = b.shape[0]
    for k in range(n):
        drift[k], diffusion[k] = settings[1, k], settings[0, k]
        for j in range(n):
            if delay[k, j] > 0.0 and (b[k, j] != 0.0 or a[k, j] != 0.0):
                rate = remembered(past[0], past[1 + j], count, 0.0, t - delay[k, j])
                drift[k] += b[k, j] * rate
                diffusion[k] += a[k, j] * rate


@kernel
def instant_rates(last, grids, now_b, now_a, drift, diffusion, rates, slopes):
    """Solve ``N_k = u_k(N) last_k`` from the guess `rates` (n,), which is updated; `slopes` (n, n) gets ``dN/dlast``.

    ``now_b`` and ``now_a`` are the couplings without delay, `drift` and `diffusion` (n,) what is felt besides. Returns
    False where Newton finds no solution on the branch that continues the past: the step runs past a blow-up.
    """
    n = last.shape[0]
    matrix, change, out = np.empty((n, n)), np.empty(n), np.empty(n)
    for turn in range(61):
        size = 0.0
        for k in range(n):
            m, d = drift[k], diffusion[k]
            for j in range(n):
                m += now_b[k, j] * rates[j]
                d += now_a[k, j] * rates[j]
            if d <= 0.0:
                return False
            step, wide = 1e-5 * (1.0 + abs(m)), 1e-5 * d
            out[k] = escape(grids[k], m, d)
            by_drift = (escape(grids[k], m + step, d) - escape(grids[k], m - step, d)) / (2.0 * step)
            by_noise = (escape(grids[k], m, d + wide) - escape(grids[k], m, d - wide)) / (2.0 * wide)
            for j in range(n):
                matrix[k, j] = -last[k] * (by_drift * now_b[k, j] + by_noise * now_a[k, j])
            matrix[k, k] += 1.0
            change[k] = out[k] * last[k] - rates[k]
            size = max(size, abs(change[k]) / (1e-300 + 1.0 + abs(rates[k])))
        if turn == 60 or size <= 1e-14:
            break
        if solve_small(matrix, change) <= 0.0:
            return False
        for k in range(n):
            rates[k] += change[k]
            if not abs(rates[k]) < 1e15:
                return False
    for j in range(n):
        work = matrix.copy()
        for k in range(n):
            change[k] = out[k] if k == j else 0.0
        if solve_small(work, change) <= 0.0:
            return False
        for k in range(n):
            slopes[k, j] = change[k]
    return size <= 1e-9


@kernel
def derivative(mass, rest, guess, t, resets, grids, b, a, now_b, now_a, delay, settings, past, count, scratch, out):
    """Write d(mass)/dt (n, m) and return ``(d(rest)/dt (n,), rates (n,), dN/dlast (n, n), ok)``."""
    n, m = mass.shape
    drift, diffusion, rest_slope = np.empty(n), np.empty(n), np.zeros(n)
    slopes, last, rates = np.empty((n, n)), np.empty(n), guess.copy()
    felt_late(t, b, a, delay, past, count, settings, drift, diffusion)
    for k in range(n):
        last[k] = mass[k, m - 1]
    if not instant_rates(last, grids, now_b, now_a, drift, diffusion, rates, slopes):
        return rest_slope, rates, slopes, False
    none = scratch[2 * n]
    for k in range(n):
        for j in range(n):
            drift[k] += now_b[k, j] * rates[j]
            diffusion[k] += now_a[k, j] * rates[j]
        right, left = scratch[2 * k], scratch[2 * k + 1]
        transfer_rates(grids[k], drift[k], diffusion[k], right, left)
        divergence(mass[k], right, left, none, out[k])
        if settings[2, k] > 0.0:
            out[k, resets[k]] += rest[k] / settings[2, k]
            rest_slope[k] = rates[k] - rest[k] / settings[2, k]
        else:
            out[k, resets[k]] += rates[k]
    return rest_slope, rates, slopes, True


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


@kernel
def advance(mass, until, resets, grids, b, a, delay, settings, past, count, control, state, work, new):
    """Integrate to the time `until`; return ``(why it ended, records kept, population that outgrew its grid or -1)``.

    ``control`` (4 + n,) = (tolerance, fixed step or 0, largest negative mass, smallest step, stopping rates (n,)).
    """
    n, m = mass.shape
    now_b, now_a = np.where(delay > 0.0, 0.0, b), np.where(delay > 0.0, 0.0, a)
    slopes, last, drift, diffusion = np.empty((n, n)), np.empty(n), np.empty(n), np.empty(n)
    while state[0, T] < until:
        if count >= past.shape[1]:
            return FULL, count, -1
        fixed = control[1] > 0.0
        step = control[1] if fixed else state[0, STEP]
        left_over = until - state[0, T]
        final = step >= left_over * (1.0 - 1e-9)
        step = left_over if final else step
        rest, rates = state[:, REST].copy(), state[:, RATE].copy()
        rest, rest_error, rates, ok = step_all(
            mass, rest, rates, state[0, T], step, resets, grids, b, a, now_b, now_a, delay, settings, past, count, work,
            new,
        )  # fmt: skip
        error, old_rest = 10.0, state[:, REST].copy()
        if ok:
            felt_late(state[0, T] + step, b, a, delay, past, count, settings, drift, diffusion)
            last[:] = new[:, m - 1]
            ok = instant_rates(last, grids, now_b, now_a, drift, diffusion, rates, slopes)
            worst = 0.0
            for k in range(n):
                _, total = sums(work[5, k])
                change = 0.0
                for j in range(n):
                    change += slopes[k, j] * work[5, j, m - 1]
                worst = max(worst, total + abs(rest_error[k]), abs(change) / (1.0 + abs(rates[k])))
            error = worst / control[0]
            ok = ok and not math.isnan(error)
            state[:, REST] = rest
            if ok and (error <= 1.0 or fixed):
                for k in range(n):
                    ok = ok and keep_positive(new[k], resets[k], state[k], control[2])
        if not ok or (error > 1.0 and not fixed):
            state[:, REST] = old_rest
            state[0, REJECTED] += 1.0
            state[0, STEP] = step * (0.25 if not ok else max(0.1, 0.9 / error**0.25))
            if fixed or state[0, STEP] < control[3]:
                return STUCK, count, np.argmax(state[:, RATE])
            continue
        last[:] = new[:, m - 1]
        instant_rates(last, grids, now_b, now_a, drift, diffusion, rates, slopes)
        suggestion = step * min(4.0, 0.9 / max(error, 1e-8) ** 0.25)
        time = until if final else state[0, T] + step
        state[0, STEP] = max(suggestion, state[0, STEP]) if final else suggestion
        past[0, count] = time
        for k in range(n):
            settle(mass[k], new[k], grids[k, WIDTH], rates[k], state[k])
            state[k, T] = time
            past[1 + k, count] = rates[k]
        count += 1
        for k in range(n):
            if rates[k] > control[4 + k] and rates[k] > 4.0 * state[k, TROUGH]:
                return STOP_RATE, count, k
    return REACHED, count, -1
