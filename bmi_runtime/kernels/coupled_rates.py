"""Rates of coupled populations that answer one another at once, and the change of every cell's mass that follows."""

import numpy as np

from bmi_runtime.kernels.fokker_planck_equation import remembered
from bmi_runtime.kernels.fokker_planck_fluxes import divergence, escape, transfer_rates
from bmi_runtime.kernels.jit import kernel


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
