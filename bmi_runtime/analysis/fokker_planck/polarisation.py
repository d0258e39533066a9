"""Cell polarisation, a Keller-Segel type model: ``n_t = (mu n + n_z)_z`` on z > 0 without flux at 0.

With ``mu = n(0, t)`` the critical mass is 1: above it the solution blows up in finite time, below it spreads like
``n(0, t) sqrt(1 + 2t) -> alpha(M)``. The lecture's literal ``mu' = n(0) - mu / L`` does not blow up in finite time.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special
from scipy.linalg import solve_banded

from bmi_runtime.errors import BadInput

SHORTEST = 1e-3  # domain that is resolved: its step must not vanish beside the spread, which is of order one


def self_similar(mass: float) -> float:
    """Return alpha(M) for M < 1, the root of ``alpha sqrt(pi/2) erfcx(alpha / sqrt 2) = M`` (derived from the profile
    below).

    Raises
    ------
    BadInput
        When the mass is not between 0 and the critical mass.
    """
    if not 0 < mass < 1:
        raise BadInput(f"a mass of {mass:g} has no spreading profile: it must be between 0 and the critical mass 1")
    scale = math.sqrt(math.pi / 2)
    return float(
        optimize.brentq(
            lambda a: a * scale * special.erfcx(a / math.sqrt(2)) - mass, 0.0, 4 / (1 - mass) ** 0.5 + 4, xtol=1e-15
        )
    )


def profile(mass: float, z: np.ndarray, t: float) -> np.ndarray:
    """Return the exact solution ``alpha / sqrt(1 + 2t) exp(-alpha y - y^2 / 2)``, ``y = z / sqrt(1 + 2t)``, at the
    points `z`.
    """
    alpha, spread = self_similar(mass), math.sqrt(1 + 2 * t)
    y = np.asarray(z) / spread
    return alpha / spread * np.exp(-alpha * y - y * y / 2)


@dataclasses.dataclass
class Polarised:
    """A run: times (k,), n(0, t) and mu (k,), nodes and density at the end (n,), mass error, whether and when it blew
    up.
    """

    times: np.ndarray
    edge: np.ndarray
    mu: np.ndarray
    z: np.ndarray
    density: np.ndarray
    mass_error: float
    status: str
    blow_up_time: float | None


def grid(length: float, cells: int, finest: float) -> np.ndarray:
    """Return nodes (cells,) on [0, length], growing smoothly from `finest` at 0: uniform grids hide the blow-up.

    Where uniform cells are finer than `finest` already, they are uniform.
    """
    if length <= finest * (cells - 1):
        return np.linspace(0.0, length, cells)
    stretch = optimize.brentq(lambda q: finest * math.sinh(q) / (q / (cells - 1)) - length, 1e-6, 60.0)
    return length * np.sinh(stretch * np.linspace(0, 1, cells)) / math.sinh(stretch)


def simulate(
    initial: Callable,
    mass: float,
    duration: float,
    *,
    length: float = 40.0,
    cells: int = 400,
    finest: float = 1e-4,
    tolerance: float = 1e-5,
    memory: float = 0.0,
    exchange: float = 0.0,
    advance: Callable[[float], None] | None = None,
) -> Polarised:
    """Integrate with implicit Euler steps extrapolated to second order; mu is implicit.

    Parameters
    ----------
    initial : callable
        Density of z; it is scaled to `mass`.
    mass : float
    duration : float
    length, cells, finest
        Domain and grid.
    tolerance : float
        Largest L1 difference between one step and two half steps, relative to the mass.
    memory : float
        L: with L > 0 ``mu' = n(0) - mu / L`` (the lecture's equation), with 0 ``mu = n(0)``.
    exchange : float
        gamma: with gamma > 0 the membrane binds and releases, ``mu' = n(0) - gamma mu`` is the flux through z = 0, and
        the mass that is kept is that of n and mu together (Calvez, Hawkins, Meunier and Voituriez 2012).

    Raises
    ------
    BadInput
        When a memory and an exchange rate are both given, or the domain is shorter than `SHORTEST`.
    """
    if memory > 0 and exchange > 0:
        raise BadInput("give a memory or an exchange rate, not both")
    if length < SHORTEST:
        raise BadInput(f"a domain of length {length:g} cannot be resolved; give {SHORTEST:g} or more")
    z = grid(length, cells, finest)
    gap = np.diff(z)
    width = 0.5 * (np.r_[0, gap] + np.r_[gap, 0])
    n = np.asarray(initial(z), float)
    n *= mass / (n @ width)
    slow = memory > 0 or exchange > 0
    mu, t, step, limit = (0.0 if slow else float(n[0])), 0.0, 1e-6, 0.05 / finest
    times, edge, felt = [0.0], [float(n[0])], [mu]
    status, worst = "finished", 0.0
    while t < duration * (1 - 1e-12):
        step = min(step, duration - t)
        once = _euler(n, mu, step, gap, width, memory, exchange)
        half = _euler(n, mu, step / 2, gap, width, memory, exchange)
        twice = _euler(half[0], half[1], step / 2, gap, width, memory, exchange) if half else None
        if once is None or twice is None:
            step /= 4
            if step < 1e-15:
                status = "blow_up"
                break
            continue
        error = max(float(width @ np.abs(twice[0] - once[0])) / mass, abs(twice[1] - once[1]) / (1 + mu)) / tolerance
        if error <= 1:
            better = 2 * twice[0] - once[0]
            n, mu = (better, 2 * twice[1] - once[1]) if better.min() >= 0 else twice
            t += step
            if advance is not None:
                advance(step)
            worst = max(worst, abs((float(n @ width) + (mu if exchange > 0 else 0.0)) / mass - 1))
            times.append(t)
            edge.append(float(n[0]))
            felt.append(mu)
            if not slow and n[0] > limit:
                status = "blow_up"
                break
        step *= min(3.0, max(0.2, 0.9 / math.sqrt(max(error, 1e-6))))
    when = _end(np.array(times), np.array(edge)) if status == "blow_up" else None
    return Polarised(np.array(times), np.array(edge), np.array(felt), z, n, worst, status, when)


def _end(times, edge):
    tail = edge > edge[-1] / 3
    slope = np.polyfit(times[tail] - times[-1], edge[tail] ** -2.0, 1)[0]
    return float(times[-1] - edge[-1] ** -2.0 / slope)


def _euler(n, mu, step, gap, width, memory, exchange):
    """Return (density, mu) after an implicit step, mu included, or None if there is no such step (past a blow-up)."""
    if exchange:
        share = 1.0 / (1.0 + step * exchange)
        new = _drift(n, mu, step, gap, width, step * share, step * exchange * mu * share)
        return new, (mu + step * new[0]) * share
    if memory:
        new = _drift(n, mu, step, gap, width)
        return new, (mu + step * new[0]) / (1 + step / memory)

    def excess(x):
        return _drift(n, x, step, gap, width)[0] - x

    low, value = mu, excess(mu)
    if abs(value) < 1e-13 * (1 + mu):
        return _drift(n, mu, step, gap, width), mu
    x0, x1, f0 = mu, mu + value, value
    for _ in range(40):
        f1 = excess(x1)
        if abs(f1) < 1e-13 * (1 + abs(x1)):
            return _drift(n, x1, step, gap, width), x1
        if f1 == f0:
            break
        x0, x1, f0 = x1, x1 - f1 * (x1 - x0) / (f1 - f0), f1
        if not math.isfinite(x1) or x1 < 0 or x1 > 4 * low + 4:
            return None
    return None


def _drift(n, mu, step, gap, width, bound=0.0, released=0.0):
    """Return the density after an implicit step with a given mu: fluxes fitted exponentially, mass exact, positive;
    `bound` and `released` are what the membrane takes of n(0) and gives back.
    """
    y = mu * gap
    back = np.where(y < 1e-8, 1 + y / 2, y / -np.expm1(-np.maximum(y, 1e-9))) / gap
    forth = back - mu
    bands = np.zeros((3, n.size))
    bands[1] = width + step * (np.r_[forth, 0] + np.r_[0, back])
    bands[0, 1:] = -step * back
    bands[2, :-1] = -step * forth
    bands[1, 0] += bound
    right = n * width
    right[0] += released
    return solve_banded((1, 1), bands, right, check_finite=False)
