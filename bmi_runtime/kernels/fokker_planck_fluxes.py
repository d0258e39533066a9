"""Fluxes through the edges of a grid, and the firing rate that they make.

A grid is a table of rows (7, n): middle and length of the edge to the right of every node, width of the cell, then
``1 / (gap width)`` and ``gap / (4 width)`` with the width of the cell to the left of the edge, then the same two with
the width of the cell to its right. With a random threshold nothing leaves through the last edge: its rows are 0.

``model`` = (b, a0, a1, refractory time or 0, delay or 0, rate before t = 0, 1 if the threshold is random else 0).
"""

import math

from bmi_runtime.kernels.jit import kernel

MID, GAP, WIDTH, OUT, OUT_BEND, BACK, BACK_BEND = range(7)
NEAR = 0.16  # square of the argument below which the series are used


@kernel(inline="always")
def series(z):
    """Return ``B(s) + s/2`` and ``(B(s) + s/2 - 1) / (s/2)^2`` for ``z = s^2 < NEAR``, ``B(s) = s / (exp(s) - 1)``."""
    even = 1.0 + z * (1 / 12 - z * (1 / 720 - z * (1 / 30240 - z * (1 / 1209600 - z * (1 / 47900160)))))
    bend = 1 / 3 - z * (1 / 180 - z * (1 / 7560 - z * (1 / 302400 - z * (1 / 11975040))))
    return even, bend


@kernel
def closed(y):
    """Return the factors of the flux, ``B(y)`` and ``B(-y)``, and the bend of :func:`series`, for any ``y != 0``."""
    s = abs(y)
    small = s / (math.exp(s) - 1.0)
    bend = 4.0 * (small + 0.5 * s - 1.0) / (s * s)
    if y > 0.0:
        return small, small + s, bend
    return small + s, small, bend


@kernel
def transfer_rates(grid, drift, diffusion, right, left):
    """Write the rates at which mass leaves a cell through the edge to its right, and comes back through it, (n,) each.

    Scharfetter-Gummel with the curvature of the potential ``(v - drift)^2 / 2a`` kept to second order, so that a steady
    flux is exact to ``O(gap^4)``; both rates stay positive, whatever the cell Peclet number `y`. The first loop is free
    of branches, so that it vectorises; the second one corrects the edges where the series do not hold.
    """
    mid, gap, out, out_bend, back, back_bend = grid[0], grid[1], grid[3], grid[4], grid[5], grid[6]
    inverse = 1.0 / diffusion
    far = 0
    for i in range(mid.shape[0]):
        y = (mid[i] - drift) * gap[i] * inverse
        z = y * y
        even, bend = series(z)
        right[i] = (diffusion * out[i] + out_bend[i] * bend) * (even - 0.5 * y)
        left[i] = (diffusion * back[i] + back_bend[i] * bend) * (even + 0.5 * y)
        far += 1 if z >= NEAR else 0
    if far == 0:
        return
    for i in range(mid.shape[0]):
        y = (mid[i] - drift) * gap[i] * inverse
        if y * y >= NEAR:
            onward, backward, bend = closed(y)
            right[i] = (diffusion * out[i] + out_bend[i] * bend) * onward
            left[i] = (diffusion * back[i] + back_bend[i] * bend) * backward


@kernel(inline="always")
def escape(grid, drift, diffusion):
    """Return the rate at which the last cell fires at a drift and a diffusion."""
    y = (grid[MID, -1] - drift) * grid[GAP, -1] / diffusion
    z = y * y
    if z < NEAR:
        even, bend = series(z)
        onward = even - 0.5 * y
    else:
        onward, _, bend = closed(y)
    return (diffusion * grid[OUT, -1] + grid[OUT_BEND, -1] * bend) * onward


@kernel
def escape_rate(grid, model, current, drive):
    """Return the rate at which the last cell fires when the network's rate is `drive`."""
    return escape(grid, current + model[0] * drive, model[1] + model[2] * drive)


@kernel
def sharp_rate(last, grid, model, current, drive):
    """Return ``(N, dN/dlast)`` of the sharp threshold from the mass of the last cell; ``(nan, nan)`` if there is none.

    Without delay (`drive` is nan) N solves ``N = u(N) last``, u convex: Newton from zero climbs to the smallest root,
    the one that continues the past; no root means that the step has run past a blow-up.
    """
    if not math.isnan(drive):
        rate = escape_rate(grid, model, current, drive)
        return rate * last, rate
    rate = 0.0
    for _ in range(60):
        step = 1e-5 * (1.0 + abs(rate))
        here = escape_rate(grid, model, current, rate)
        slope = escape_rate(grid, model, current, rate + step)
        slope = (slope - escape_rate(grid, model, current, rate - step)) / (2.0 * step)
        room = 1.0 - slope * last
        if room <= 0.0:
            return math.nan, math.nan
        change = (here * last - rate) / room
        rate += change
        if abs(change) <= 1e-15 * (1e-300 + abs(rate)):
            break
        if abs(rate) > 1e15:
            return math.nan, math.nan
    here = escape_rate(grid, model, current, rate)
    return rate, here / room


@kernel
def dot(x, y):
    """Return the scalar product of two vectors (n,), in four partial sums that overlap in the processor."""
    n = x.shape[0]
    a = b = c = d = 0.0
    for i in range(0, n - 3, 4):
        a += x[i] * y[i]
        b += x[i + 1] * y[i + 1]
        c += x[i + 2] * y[i + 2]
        d += x[i + 3] * y[i + 3]
    for i in range(n - n % 4, n):
        a += x[i] * y[i]
    return (a + b) + (c + d)


@kernel
def sums(x):
    """Return the sum of a vector (n,) and that of its absolute values, each in four partial sums."""
    n = x.shape[0]
    a = b = c = d = 0.0
    e = f = g = h = 0.0
    for i in range(0, n - 3, 4):
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
        e += abs(x[i])
        f += abs(x[i + 1])
        g += abs(x[i + 2])
        h += abs(x[i + 3])
    for i in range(n - n % 4, n):
        a += x[i]
        e += abs(x[i])
    return (a + b) + (c + d), (e + f) + (g + h)


@kernel
def rate_of(mass, sink, grid, model, current, drive):
    """Return ``(N, dN/d(last mass))``; the second is used with the sharp threshold only."""
    if model[6] == 0.0:
        return sharp_rate(mass[-1], grid, model, current, drive)
    return dot(sink, mass), 0.0


@kernel
def divergence(mass, right, left, sink, out):
    """Write the net inflow of every cell (n,) through its two edges and out of its sink."""
    n = mass.shape[0]
    inner, after = mass[: n - 1], mass[1:]
    before = 0.0
    for i in range(n - 1):
        flux = right[i] * inner[i] - left[i] * after[i]
        out[i] = before - flux - sink[i] * inner[i]
        before = flux
    out[n - 1] = before - (right[n - 1] + sink[n - 1]) * mass[n - 1]
