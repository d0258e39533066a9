"""The avalanche at a blow-up: the fraction of the neurons that fires at once, and the density after it.

At a blow-up N is infinite for no time, and the mass of its peak is a fraction eta of the neurons. A kick of ``b s`` (s
the fraction that fired) pushes everybody; F(s) are those whom it takes across V_F. The avalanche ends at the first s
with ``F(s) < s`` (Delarue, Inglis, Rubenthaler and Tanre 2015, "physical" solutions). With noise that grows with the
rate a kick also spreads, and F(s) is the flux of ``p_s + b p_v - a1 p_vv = 0``. A neuron fires once in an avalanche and
comes back at V_R (or enters the refractory state) when it is over: the limit of a short refractory time.
"""

import dataclasses
import math

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.linalg import solve_banded

from bmi_runtime.analysis.fokker_planck.grid import Grid
from bmi_runtime.analysis.fokker_planck.model import Model

LAYERS = 8.0  # of the boundary layer a / (b N) below V_F, that are bridged from the density further in
LEAST = 1e-5  # fraction that counts as an avalanche


@dataclasses.dataclass(frozen=True)
class Cascade:
    """An avalanche: the fraction that fires, the masses (n,) afterwards, and the mass that rests afterwards."""

    fraction: float
    mass: np.ndarray
    resting: float


def cascade(model: Model, grid: Grid, mass: np.ndarray, resting: float, rate: float) -> Cascade:
    """Return the avalanche that starts from masses (n,) whose rate has grown to `rate`.

    The layer below V_F that a finite rate leaves is bridged: the density further in is extended to V_F.
    """
    if model.a1 > 0:
        fraction, after = _spreading(model, grid, mass)
    else:
        fraction, after = _shifted(model, grid, mass, rate)
    if model.refractory > 0:
        return Cascade(fraction, after, resting + fraction)
    after = after.copy()
    after[grid.reset] += fraction
    return Cascade(fraction, after, resting)


def _ends(grid):
    """Return the ends of the cells (n + 1,), the last one at V_F."""
    right = grid.edges[0].copy()
    right[-1] = grid.v[-1] + grid.edges[1, -1]
    return np.r_[grid.v[0] - 0.5 * (grid.v[1] - grid.v[0]), right]


def _shifted(model, grid, mass, rate):
    """Return the fraction and the masses of the others, all shifted by ``b eta``, for noise that does not grow."""
    ends = _ends(grid)
    with np.errstate(over="ignore"):  # harmonic means of slopes that are next to nothing in the far tail
        below = PchipInterpolator(ends, np.r_[0.0, np.cumsum(mass)])
    total, top = float(mass.sum()), model.v_threshold
    layer = LAYERS * model.a0 / max(model.b * rate, 1e-300)
    inner = top - min(layer, 0.05 * (top - model.v_reset))
    density = below.derivative()
    edge = float(density(inner)) + float(density.derivative()(inner)) * (top - inner)
    bridged = 0.5 * (edge + float(density(inner))) * (top - inner)  # the mass that the layer had if it were filled

    def crossing(s):
        reach = top - model.b * s
        if reach >= inner:
            share = (top - reach) / (top - inner)
            return bridged * share
        return bridged + float(below(inner) - below(max(reach, ends[0])))

    fraction = _first_below(crossing, total)
    shift = model.b * fraction
    moved = np.diff(below(np.clip(ends - shift, ends[0], top)))
    left = total - fraction
    return fraction, np.maximum(moved, 0.0) * (left / max(float(moved.sum()), 1e-300))


def _first_below(crossing, total):
    """Return the first s > 0 with F(s) < s after F has exceeded s, or 0 where it never does by more than `LEAST`."""
    at = np.r_[np.geomspace(1e-7, 1e-3, 120), np.linspace(1e-3, total, 4000)[1:]]
    excess = np.array([crossing(s) - s for s in at])
    ahead = np.flatnonzero(excess > 0.02 * LEAST)
    if ahead.size == 0:
        return 0.0
    after = np.flatnonzero((at > at[ahead[0]]) & (excess < 0))
    if after.size == 0:
        return total
    low, high = at[after[0] - 1], at[after[0]]
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if crossing(middle) >= middle else (low, middle)
    return 0.5 * (low + high) if low > LEAST else 0.0


def _spreading(model, grid, mass, steps: int = 4000):
    """Return the fraction and the masses of the others where kicks also spread: implicit steps in s on the grid."""
    gap, width = grid.edges[1], grid.width
    b, spread = model.b, model.a1
    y = b * gap / spread
    small = np.abs(y) < 1e-8
    steep = np.where(small, 1.0, np.clip(y, -700.0, 700.0))
    back = np.where(small, 1.0 - 0.5 * y, y / np.expm1(steep)) * spread / gap
    onward = back + b  # exponentially fitted fluxes right and left
    fired, s, now = 0.0, 0.0, mass.copy()
    step = 1.0 / steps
    begun = False
    small = 1e-3 * step
    while s < 1.0:
        here = small if s < step else step
        bands = np.zeros((3, mass.size))
        right, left = onward / width, np.r_[back[:-1] / width[1:], 0.0]
        bands[1] = 1.0 + here * (right + np.r_[0.0, (back / np.r_[width[1:], 1.0])[:-1]])
        bands[0, 1:] = -here * left[:-1]
        bands[2, :-1] = -here * right[:-1]
        before, now = now, solve_banded((1, 1), bands, now)
        fired += float(before.sum() - now.sum())
        s += here
        begun = begun or fired - s > 0.02 * LEAST
        if begun and fired < s:
            break
        if not begun and s > 0.05:
            return 0.0, mass
    return (fired, now) if math.isfinite(fired) and fired > LEAST else (0.0, mass)
