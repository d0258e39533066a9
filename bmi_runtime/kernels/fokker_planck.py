"""One-dimensional Fokker-Planck equations with a firing threshold: one adaptive Rosenbrock integrator.

The unknowns are the *masses* of the cells (density times width), so that a generator matrix with zero column sums
moves them and the total is kept to rounding. A cell belongs to a node of the grid; V_R and V_F are nodes. Edge `i`
joins nodes `i` and `i + 1`; with a sharp threshold the last edge ends at V_F and absorbs.

Vectors of settings (all float64):

- ``model`` = (b, a0, a1, refractory time or 0, delay or 0, rate before t = 0, 1 if the threshold is random else 0)
- ``control`` = (tolerance, fixed step or 0, rate at which to stop, largest negative mass to move, smallest step)
- ``state`` = (t, step, refractory mass, rate, accepted, rejected, smallest density, negative mass moved, last lowest
  rate, largest mass defect after a step, and before it is given back)
"""

import math

from bmi_runtime.kernels.fokker_planck_equation import piecewise, remembered
from bmi_runtime.kernels.fokker_planck_fluxes import WIDTH, rate_of, sums
from bmi_runtime.kernels.fokker_planck_rosenbrock import rosenbrock_step, row_times
from bmi_runtime.kernels.jit import kernel

REACHED, FULL, STOP_RATE, STUCK = 0, 1, 2, 3
T, STEP, REST, RATE, ACCEPTED, REJECTED, LOWEST, MOVED, TROUGH, DEFECT, GIVEN_BACK = range(11)


@kernel
def keep_positive(mass, reset, state, limit):
    """Carry negative masses towards the fullest cell, conserving the total; return False if they exceed `limit`.

    The far tails of the density lie below the error tolerance of a step and may come out a little negative. Their
    deficit is paid by the neighbour nearer to the bulk.
    """
    n = mass.shape[0]
    below = 1 if state[REST] < 0.0 else 0
    for i in range(n):
        below += 1 if mass[i] < 0.0 else 0
    if below == 0:
        return True
    negative = max(-state[REST], 0.0)
    peak = 0
    for i in range(n):
        if mass[i] < 0.0:
            negative -= mass[i]
        if mass[i] > mass[peak]:
            peak = i
    if negative > limit:
        return False
    state[MOVED] += negative
    if state[REST] < 0.0:
        mass[peak] += state[REST]
        state[REST] = 0.0
    for i in range(peak):
        if mass[i] < 0.0:
            mass[i + 1] += mass[i]
            mass[i] = 0.0
    for i in range(n - 1, peak, -1):
        if mass[i] < 0.0:
            mass[i - 1] += mass[i]
            mass[i] = 0.0
    return mass[peak] >= 0.0


@kernel
def advance(mass, until, reset, grid, sink, model, current, past, count, control, state, work, new):
    """Integrate to the time `until` with adaptive (or fixed) steps; return ``(why it ended, records kept)``.

    `past` (3, capacity) receives time, rate and refractory mass after every accepted step. `mass` (n,), `state` and
    `past` are updated in place.
    """
    capacity = past.shape[1]
    while state[T] < until:
        if count >= capacity:
            return FULL, count
        fixed = control[1] > 0.0
        step = control[1] if fixed else state[STEP]
        left_over = until - state[T]
        last = step >= left_over * (1.0 - 1e-9)
        if last:
            step = left_over
        elif not fixed and step > 0.5 * left_over:
            step = 0.5 * left_over
        rest, rest_error, ok = rosenbrock_step(
            mass, state[REST], state[T], step, reset, grid, sink, model, current, past, count, work, new
        )
        error = 10.0
        rate = math.nan
        old_rest = state[REST]
        if ok:
            _, total = sums(work[5])
            total += abs(rest_error)
            when = state[T] + step
            now = piecewise(current[0], current[1], when)
            drive = math.nan
            if model[4] > 0.0:
                drive = remembered(past[0], past[1], count, model[5], when - model[4])
            rate, slope = rate_of(new, sink, grid, model, now, drive)
            rate_error = abs(row_times(work[5], sink, slope, model)) / (1.0 + abs(rate))
            error = max(total, rate_error) / control[0]
            state[REST] = rest
            ok = not math.isnan(rate) and not math.isnan(total)
            if ok and (error <= 1.0 or fixed):
                ok = keep_positive(new, reset, state, control[3])
        if not ok or (error > 1.0 and not fixed):
            state[REST] = old_rest
            state[REJECTED] += 1.0
            shrink = 0.25 if not ok else max(0.1, 0.9 / error**0.25)
            state[STEP] = step * shrink
            if fixed or state[STEP] < control[4]:
                return STUCK, count
            continue
        rate, _ = rate_of(new, sink, grid, model, now, drive)
        state[T] = until if last else state[T] + step
        suggestion = step * min(4.0, 0.9 / max(error, 1e-8) ** 0.25)
        state[STEP] = max(suggestion, state[STEP]) if last else suggestion
        settle(mass, new, grid[WIDTH], rate, state)
        past[0, count], past[1, count], past[2, count] = state[T], rate, state[REST]
        count += 1
        if rate > control[2] and rate > 4.0 * state[TROUGH]:
            return STOP_RATE, count
    return REACHED, count


@kernel
def settle(mass, new, width, rate, state):
    """Accept the new masses: copy them, and keep the rate, the lowest density, the lowest rate and the mass defect.

    The elimination answers to rounding only, and rounding would add up over millions of steps (a long step leaves the
    total mass ill-conditioned). The total is known, so what is missing, a few units in the last place, is given back
    in proportion.
    """
    moving, _ = sums(new)
    state[GIVEN_BACK] = max(state[GIVEN_BACK], abs(moving + state[REST] - 1.0))
    factor = 1.0 + (1.0 - moving - state[REST]) / moving
    lowest, thinner = state[LOWEST], 0
    for i in range(mass.shape[0]):
        mass[i] = new[i] * factor
        thinner += 1 if mass[i] < lowest * width[i] else 0
    if thinner > 0:
        for i in range(mass.shape[0]):
            state[LOWEST] = min(state[LOWEST], mass[i] / width[i])
    moving, _ = sums(mass)
    state[RATE] = rate
    state[ACCEPTED] += 1.0
    state[TROUGH] = min(state[TROUGH], rate)
    state[DEFECT] = max(state[DEFECT], abs(moving + state[REST] - 1.0))
