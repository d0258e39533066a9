"""One-dimensional Fokker-Planck equations with a firing threshold: fluxes, firing rate, one adaptive Rosenbrock
integrator.

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

import numpy as np

from bmi_runtime.kernels.jit import kernel
from bmi_runtime.kernels.tridiagonal import factor, solve, solve_pair

REACHED, FULL, STOP_RATE, STUCK = 0, 1, 2, 3
T, STEP, REST, RATE, ACCEPTED, REJECTED, LOWEST, MOVED, TROUGH, DEFECT, GIVEN_BACK = range(11)

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
def bernoulli(y):
    """Return ``B(|y|) = |y| / (exp|y| - 1)`` and the factor ``(B + |y|/2 - 1) / (y/2)^2`` of the curvature
    correction.
    """
    s = abs(y)
    if s < 0.4:
        z = s * s
        even = z * (1 / 12 - z * (1 / 720 - z * (1 / 30240 - z * (1 / 1209600 - z / 47900160))))
        curve = 1 / 3 - z * (1 / 180 - z * (1 / 7560 - z * (1 / 302400 - z / 11975040)))
        return 1.0 + even - 0.5 * s, curve
    value = s / (math.exp(s) - 1.0)
    return value, 4.0 * (value + 0.5 * s - 1.0) / (s * s)


@kernel
def edge(mid, gap, drift, diffusion):
    """Return the two coefficients of the flux ``up p[i] - down p[i+1]`` through one edge.

    Scharfetter-Gummel with the curvature of the potential ``(v - drift)^2 / 2a`` kept to second order, so that a
    steady flux is exact to ``O(gap^4)``; both coefficients stay positive, whatever the cell Peclet number.
    """
    y = (mid - drift) * gap / diffusion
    small, curve = bernoulli(y)
    scale = diffusion / gap * (1.0 + gap * gap * curve / (4.0 * diffusion))
    if y > 0.0:
        return scale * small, scale * (small + y)
    return scale * (small - y), scale * small


@kernel
def transfer_rates(mid, gap, width, drift, diffusion, right, left):
    """Write the rates at which mass leaves each cell to the right and to the left (n,)."""
    n = width.shape[0]
    left[0] = 0.0
    for i in range(n):
        if gap[i] > 0.0:
            up, down = edge(mid[i], gap[i], drift, diffusion)
            right[i] = up / width[i]
            if i + 1 < n:
                left[i + 1] = down / width[i + 1]
        else:
            right[i] = 0.0


@kernel
def escape_rate(mid, gap, width, model, current, drive):
    """Return the rate at which the last cell fires when the network's rate is `drive`."""
    up, _ = edge(mid[-1], gap[-1], current + model[0] * drive, model[1] + model[2] * drive)
    return up / width[-1]


@kernel
def sharp_rate(last, mid, gap, width, model, current, drive):
    """Return ``(N, dN/dlast)`` of the sharp threshold from the mass of the last cell; ``(nan, nan)`` if there is none.

    Without delay (`drive` is nan) N solves ``N = u(N) last``, u convex: Newton from zero climbs to the smallest root,
    the one that continues the past; no root means that the step has run past a blow-up.
    """
    if not math.isnan(drive):
        rate = escape_rate(mid, gap, width, model, current, drive)
        return rate * last, rate
    rate = 0.0
    for _ in range(60):
        step = 1e-5 * (1.0 + abs(rate))
        here = escape_rate(mid, gap, width, model, current, rate)
        slope = escape_rate(mid, gap, width, model, current, rate + step)
        slope = (slope - escape_rate(mid, gap, width, model, current, rate - step)) / (2.0 * step)
        room = 1.0 - slope * last
        if room <= 0.0:
            return math.nan, math.nan
        change = (here * last - rate) / room
        rate += change
        if abs(change) <= 1e-15 * (1e-300 + abs(rate)):
            break
        if abs(rate) > 1e15:
            return math.nan, math.nan
    here = escape_rate(mid, gap, width, model, current, rate)
    return rate, here / room


@kernel
def rate_of(mass, sink, mid, gap, width, model, current, drive):
    """Return ``(N, dN/d(last mass))``; the second is used with the sharp threshold only."""
    if model[6] == 0.0:
        return sharp_rate(mass[-1], mid, gap, width, model, current, drive)
    total = 0.0
    for i in range(mass.shape[0]):
        total += sink[i] * mass[i]
    return total, 0.0


@kernel
def piecewise(times, values, t):
    """Return the piecewise linear function through (times, values), constant beyond its ends."""
    if t <= times[0]:
        return values[0]
    if t >= times[-1]:
        return values[-1]
    i = np.searchsorted(times, t)
    fraction = (t - times[i - 1]) / (times[i] - times[i - 1])
    return values[i - 1] + fraction * (values[i] - values[i - 1])


@kernel
def remembered(times, rates, count, before, t):
    """Return the recorded rate at a past time: cubic through the four nearest records, linear where that would be
    negative.
    """
    if t < times[0] or count == 0:
        return before
    if count == 1 or t >= times[count - 1]:
        return rates[count - 1]
    i = np.searchsorted(times[:count], t, side="right")
    linear = rates[i - 1] + (t - times[i - 1]) / (times[i] - times[i - 1]) * (rates[i] - rates[i - 1])
    first = i - 2
    if first < 0 or i + 2 > count:
        return linear
    value = 0.0
    for j in range(first, first + 4):
        term = rates[j]
        for k in range(first, first + 4):
            if k != j:
                term *= (t - times[k]) / (times[j] - times[k])
        value += term
    return value if value > 0.0 else linear


@kernel
def divergence(mass, right, left, sink, out):
    """Write the net inflow of every cell (n,) through its two edges and out of its sink."""
    n = mass.shape[0]
    for i in range(n):
        out[i] = -(right[i] + left[i] + sink[i]) * mass[i]
    for i in range(1, n):
        out[i] += right[i - 1] * mass[i - 1]
        out[i - 1] += left[i] * mass[i]


@kernel
def derivative(mass, rest, t, reset, grid, sink, model, current, past, count, right, left, out):
    """Write d(mass)/dt (n,); return ``(d(rest)/dt, N, dN/dlast, drive)``. `grid` is (3, n): mid, gap, width of the
    edges.
    """
    mid, gap, width = grid[0], grid[1], grid[2]
    now = piecewise(current[0], current[1], t)
    drive = math.nan
    if model[4] > 0.0:
        drive = remembered(past[0], past[1], count, model[5], t - model[4])
    rate, slope = rate_of(mass, sink, mid, gap, width, model, now, drive)
    if math.isnan(drive):
        drive = rate
    if math.isnan(rate):
        return 0.0, rate, slope, drive
    transfer_rates(mid, gap, width, now + model[0] * drive, model[1] + model[2] * drive, right, left)
    divergence(mass, right, left, sink, out)
    if model[3] > 0.0:
        out[reset] += rest / model[3]
        return rate - rest / model[3], rate, slope, drive
    out[reset] += rate
    return 0.0, rate, slope, drive


@kernel
def keep_positive(mass, reset, state, limit):
    """Carry negative masses towards the fullest cell, conserving the total; return False if they exceed `limit`.

    The far tails of the density lie below the error tolerance of a step and may come out a little negative. Their
    deficit is paid by the neighbour nearer to the bulk.
    """
    n = mass.shape[0]
    negative = 0.0
    peak = 0
    for i in range(n):
        if mass[i] < 0.0:
            negative -= mass[i]
        if mass[i] > mass[peak]:
            peak = i
    if state[REST] < 0.0:
        negative -= state[REST]
    if negative > limit:
        return False
    if negative > 0.0:
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
def rate_sensitivity(mass, drive, now, reset, grid, sink, model, work, out):
    """Write d(dmass/dt)/dN at fixed mass (n,), by central differences; uses three rows of `work`."""
    n = mass.shape[0]
    for i in range(n):
        out[i] = 0.0
    if model[4] == 0.0 and (model[0] != 0.0 or model[2] != 0.0):
        step = 1e-5 * (1.0 + abs(drive))
        for sign in (1.0, -1.0):
            moved = drive + sign * step
            transfer_rates(
                grid[0], grid[1], grid[2], now + model[0] * moved, model[1] + model[2] * moved, work[0], work[1]
            )
            divergence(mass, work[0], work[1], sink, work[2])
            for i in range(n):
                out[i] += sign * work[2, i] / (2.0 * step)
    if model[3] == 0.0:
        out[reset] += 1.0


@kernel
def rosenbrock_step(mass, rest, t, step, reset, grid, sink, model, current, past, count, work, new):
    """Take one RODAS step; write the new masses (n,), return ``(new rest, its error, ok)``; the error is in
    ``work[5]``.

    The Jacobian is tridiagonal plus ``column x row`` (every cell feels N, N feels the firing cells): one
    factorisation, one extra solve for the column (Sherman-Morrison), one solve a stage. `work` is (17, n).
    """
    n = mass.shape[0]
    right, left, slope_t, column = work[6], work[7], work[8], work[9]
    ratio, inverse, upper, spare = work[10], work[11], work[12], work[13:17]
    timed = model[4] > 0.0 or current.shape[1] > 1
    rest_t = 0.0
    if timed:
        tiny = 1e-4 * step
        after, _, _, _ = derivative(
            mass, rest, t + tiny, reset, grid, sink, model, current, past, count, right, left, slope_t
        )
        here, _, _, _ = derivative(mass, rest, t, reset, grid, sink, model, current, past, count, right, left, spare[0])
        rest_t = (after - here) / tiny
        for i in range(n):
            slope_t[i] = (slope_t[i] - spare[0, i]) / tiny
    rest_k = np.zeros(6)
    shift = 1.0 / (GAMMA * step)
    row_last = 0.0
    pivot = 1.0
    for stage in range(6):
        for i in range(n):
            new[i] = mass[i]
        new_rest = rest
        for j in range(min(stage, 4)):
            weight = STAGE[stage, j]
            new_rest += weight * rest_k[j]
            for i in range(n):
                new[i] += weight * work[j, i]
        if stage == 5:
            new_rest += rest_k[4]
            for i in range(n):
                new[i] += work[4, i]
        when = t + ALPHA[stage] * step
        k = work[stage]
        rest_slope, rate, slope, drive = derivative(
            new, new_rest, when, reset, grid, sink, model, current, past, count, right, left, k
        )
        if math.isnan(rate):
            return 0.0, 0.0, False
        if stage == 0:
            row_last = slope
            now = piecewise(current[0], current[1], t)
            rate_sensitivity(new, drive, now, reset, grid, sink, model, spare, column)
            for i in range(n):
                spare[1, i] = shift + right[i] + left[i] + sink[i]
                upper[i] = -left[i + 1] if i + 1 < n else 0.0
                spare[0, i] = -right[i - 1] if i > 0 else 0.0
            factor(spare[0], spare[1], upper, ratio, inverse)
            if model[3] > 0.0:
                column[reset] += 1.0 / (model[3] * shift + 1.0)
            solve(ratio, inverse, upper, column)
            pivot = 1.0 - row_times(column, sink, row_last, model)
            if pivot <= 0.0:
                return 0.0, 0.0, False
        for j in range(stage):
            weight = COUPLING[stage, j] / step
            rest_slope += weight * rest_k[j]
            for i in range(n):
                k[i] += weight * work[j, i]
        if timed and stage < 4:
            rest_slope += GAMMA_T[stage] * step * rest_t
            for i in range(n):
                k[i] += GAMMA_T[stage] * step * slope_t[i]
        if model[3] > 0.0:
            k[reset] += rest_slope / (model[3] * shift + 1.0)
        solve(ratio, inverse, upper, k)
        felt = row_times(k, sink, row_last, model) / pivot
        for i in range(n):
            k[i] += felt * column[i]
        if model[3] > 0.0:
            rest_k[stage] = (rest_slope + felt) / (shift + 1.0 / model[3])
    for i in range(n):
        new[i] += work[5, i]
    return new_rest + rest_k[5], rest_k[5], True


@kernel
def row_times(x, sink, row_last, model):
    """Return the change of N for a change `x` of the masses."""
    if model[6] == 0.0:
        return row_last * x[-1]
    total = 0.0
    for i in range(x.shape[0]):
        total += sink[i] * x[i]
    return total


@kernel
def advance(mass, until, reset, grid, sink, model, current, past, count, control, state, work, new):
    """Integrate to the time `until` with adaptive (or fixed) steps; return ``(why it ended, records kept)``.

    `past` (3, capacity) receives time, rate and refractory mass after every accepted step. `mass` (n,), `state` and
    `past` are updated in place.
    """
    n = mass.shape[0]
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
            total = abs(rest_error)
            for i in range(n):
                total += abs(work[5, i])
            when = state[T] + step
            now = piecewise(current[0], current[1], when)
            drive = math.nan
            if model[4] > 0.0:
                drive = remembered(past[0], past[1], count, model[5], when - model[4])
            rate, slope = rate_of(new, sink, grid[0], grid[1], grid[2], model, now, drive)
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
        rate, _ = rate_of(new, sink, grid[0], grid[1], grid[2], model, now, drive)
        state[T] = until if last else state[T] + step
        suggestion = step * min(4.0, 0.9 / max(error, 1e-8) ** 0.25)
        state[STEP] = max(suggestion, state[STEP]) if last else suggestion
        settle(mass, new, grid[2], rate, state)
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
    total = state[REST]
    for i in range(mass.shape[0]):
        total += new[i]
    state[GIVEN_BACK] = max(state[GIVEN_BACK], abs(total - 1.0))
    factor = 1.0 + (1.0 - total) / (total - state[REST])
    total = state[REST]
    for i in range(mass.shape[0]):
        new[i] *= factor
        mass[i] = new[i]
        total += new[i]
        if new[i] < state[LOWEST] * width[i]:
            state[LOWEST] = new[i] / width[i]
    state[RATE] = rate
    state[ACCEPTED] += 1.0
    state[TROUGH] = min(state[TROUGH], rate)
    state[DEFECT] = max(state[DEFECT], abs(total - 1.0))


@kernel
def relax_potentials(mass, step, reset, grid, drifts, diffusion, work, rates):
    """Take one implicit Euler step in v for every weight: `mass` (weights, n) is updated, `rates` (weights,) written.

    Each weight is its own linear population with drift ``drifts[j]`` (weights,); what fires comes back at V_R. The
    matrix is an M-matrix with column sums one: masses stay positive and each total is kept. `work` is (7, n).
    """
    n = mass.shape[1]
    right, left, lower, diagonal = work[0], work[1], work[2], work[3]
    ratio, inverse, upper = work[4], work[5], work[6]
    for j in range(mass.shape[0]):
        transfer_rates(grid[0], grid[1], grid[2], drifts[j], diffusion, right, left)
        for i in range(n):
            diagonal[i] = 1.0 + step * (right[i] + left[i])
            upper[i] = -step * left[i + 1] if i + 1 < n else 0.0
            lower[i] = -step * right[i - 1] if i > 0 else 0.0
        factor(lower, diagonal, upper, ratio, inverse)
        for i in range(n):
            lower[i] = 0.0
        lower[reset] = step
        solve_pair(ratio, inverse, upper, mass[j], lower)
        rates[j] = right[n - 1] * mass[j, n - 1] / (1.0 - right[n - 1] * lower[n - 1])
        for i in range(n):
            mass[j, i] += rates[j] * lower[i]


@kernel
def transport_weights(mass, step, width, weights, slopes, rates, mean_rate, moved, totals):
    """Take one explicit Godunov step of ``C_t + [(Phi - w) C]_w = 0``, ``Phi = slopes N(w) mean_rate``, carrying p(v,
    w) along.

    For an inhibitory rule (slope < 0) the flux is concave in C: the flux between two weights is the smaller of what
    the left one can send and what the right one can take (the entropy solution, the limit of vanishing diffusion).
    `step` includes epsilon. `moved` (weights + 1,) and `totals` (weights,) are work arrays.
    """
    count, n = mass.shape
    for j in range(count):
        totals[j] = 0.0
        for i in range(n):
            totals[j] += mass[j, i]
    moved[0] = moved[count] = 0.0
    for j in range(count - 1):
        w = 0.5 * (weights[j] + weights[j + 1])
        send = weight_flux(totals[j], rates[j], slopes[j] * mean_rate, w, True)
        take = weight_flux(totals[j + 1], rates[j + 1], slopes[j + 1] * mean_rate, w, False)
        moved[j + 1] = step / width * min(send, take)
    for i in range(n):
        before = 0.0
        own = mass[0, i]
        for j in range(count):
            following = mass[j + 1, i] if j + 1 < count else 0.0
            after = 0.0
            if moved[j + 1] > 0.0 and totals[j] > 0.0:
                after = moved[j + 1] * own / totals[j]
            elif moved[j + 1] < 0.0 and totals[j + 1] > 0.0:
                after = moved[j + 1] * following / totals[j + 1]
            mass[j, i] = own + before - after
            before, own = after, following


@kernel
def weight_flux(total, rate, strength, w, sending):
    """Return the largest flux of weights that a cell can send up, or (not `sending`) take, for
    ``f(C) = strength r C^2 - w C``.
    """
    if total <= 0.0:
        return 0.0 if sending else 1e300
    bend = -strength * rate / total
    slope = -w
    if bend <= 0.0:
        return slope * total if sending else 1e300
    best = max(0.5 * slope / bend, 0.0)
    c = min(total, best) if sending else max(total, best)
    return slope * c - bend * c * c
