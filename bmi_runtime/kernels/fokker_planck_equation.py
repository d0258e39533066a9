"""The right-hand side of a population's Fokker-Planck equation: drive, rate, and the change of mass of every cell."""

import math

import numpy as np

from bmi_runtime.kernels.fokker_planck_fluxes import divergence, rate_of, transfer_rates
from bmi_runtime.kernels.jit import kernel


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
def derivative(mass, rest, t, reset, grid, sink, model, current, past, count, right, left, out):
    """Write d(mass)/dt (n,); return ``(d(rest)/dt, N, dN/dlast, drive)``. `grid` is a table of the fluxes' module."""
    now = piecewise(current[0], current[1], t)
    drive = math.nan
    if model[4] > 0.0:
        drive = remembered(past[0], past[1], count, model[5], t - model[4])
    rate, slope = rate_of(mass, sink, grid, model, now, drive)
    if math.isnan(drive):
        drive = rate
    if math.isnan(rate):
        return 0.0, rate, slope, drive
    transfer_rates(grid, now + model[0] * drive, model[1] + model[2] * drive, right, left)
    divergence(mass, right, left, sink, out)
    if model[3] > 0.0:
        out[reset] += rest / model[3]
        return rate - rest / model[3], rate, slope, drive
    out[reset] += rate
    return 0.0, rate, slope, drive
