"""Time steps of coupled populations: RODAS on the finite volumes of every one, all rates implicit together.

Populations stand in rows: masses (n, m), grids (n, 7, m), ``settings`` (3, n) = (a0, current, refractory time), and
``state`` (n, 11) with the columns of :mod:`.fokker_planck`, of which time, step and counters are those of row 0.
``b``, ``a`` and ``delay`` are (n, n), row = receiver; ``past`` (1 + n, capacity) has the times and rates of all steps.
"""

import math

import numpy as np

from bmi_runtime.kernels.coupled_rates import felt_late, instant_rates
from bmi_runtime.kernels.coupled_rosenbrock import step_all
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
from bmi_runtime.kernels.fokker_planck_fluxes import WIDTH, sums
from bmi_runtime.kernels.jit import kernel


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
