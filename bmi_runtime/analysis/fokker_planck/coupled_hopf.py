"""Where steady states of coupled populations start to oscillate: Hopf points as one parameter varies, delays included.

Eigenvalues to the right of the imaginary axis are counted at every value. Where the count changes, the growing pairs of
the side with more of them are followed to the other side: with delays, pairs come from far left and far up as a delay
grows from zero, and are not the continuation of any eigenvalue without delay.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import coupled_states
from bmi_runtime.analysis.fokker_planck.coupled_spectrum import Coupled, along_axis, leading, polish_root
from bmi_runtime.analysis.fokker_planck.populations import Populations
from bmi_runtime.errors import BadInput

MOST_PAIRS = 12
FIRST_STEP = 0.25
SMALLEST_STEP = 1e-3
"""Of the interval between two values, in which a pair is followed."""
FURTHEST = 0.3
"""By how much of itself a pair may move in a step."""


@dataclasses.dataclass(frozen=True)
class CoupledHopf:
    """A Hopf point: the value of the parameter that is varied, the rates there, and the period that is born."""

    value: float
    rates: np.ndarray
    period: float


@dataclasses.dataclass(frozen=True)
class Branch:
    """A steady state at one value: its rates (n,), how many eigenvalues grow (-1: not known), and the growing pairs."""

    rates: np.ndarray
    unstable: int
    pairs: tuple[complex, ...]


def hopf_points(
    at: Callable[[float], Populations], values: np.ndarray, advance: Callable[[float], None] | None = None
) -> list[CoupledHopf]:
    """Return the Hopf points on the branches of steady states as one parameter runs through the `values` (k,).

    All states are searched for at every value, and joined to branches by Newton steps from the value before. A pair
    that crosses between two values is polished as a root of the determinant on the imaginary axis, the steady state
    solved with it. Pairs that cross back before the next value are not seen.
    """
    found: list[CoupledHopf] = []
    net = at(float(values[0]))
    states = coupled_states.search(net).rates
    branches = [_branch(net, rates) for rates in states]
    for low, high in itertools.pairwise(float(value) for value in values):
        before, net = net, at(high)
        if not _differs_in_delays_only(before, net):
            states = coupled_states.search(net).rates
        following = [_branch(net, rates) for rates in states]
        for branch in branches:
            state = coupled_states.polish(net, np.log(branch.rates))
            match = None if state is None else _nearest(following, np.exp(state))
            if match is not None and match.unstable != branch.unstable:
                found += _crossings(at, (low, branch), (high, match))
        branches = following
        if advance is not None:
            advance(1)
    return found


def _differs_in_delays_only(one: Populations, other: Populations) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(one)
        if field.name != "delay"
    )


def _branch(net: Populations, rates: np.ndarray) -> Branch:
    system = Coupled(net, rates)
    axis = along_axis(system)
    growing = leading(system, MOST_PAIRS, axis) if axis.unstable else np.empty(0)
    return Branch(rates, axis.unstable, tuple(complex(x) for x in growing if x.real > 0 and x.imag > 1e-6))


def _nearest(branches: list[Branch], rates: np.ndarray) -> Branch | None:
    near = [branch for branch in branches if np.abs(np.log(branch.rates / rates)).max() < 1e-6]
    return near[0] if near else None


def _crossings(at, left: tuple[float, Branch], right: tuple[float, Branch]) -> list[CoupledHopf]:
    """Return the Hopf points between two values on one branch, by increasing distance from the steadier side."""
    busier, calmer = (left, right) if left[1].unstable > right[1].unstable else (right, left)
    inside = sorted((busier[0], calmer[0]))
    kept: list[CoupledHopf] = []
    for pair in busier[1].pairs:
        point = _followed(at, busier, calmer[0], pair)
        if point is None or not inside[0] - 1e-9 <= point.value <= inside[1] + 1e-9:
            continue
        if all(abs(point.value - other.value) + abs(point.period - other.period) > 1e-7 for other in kept):
            kept.append(point)
    return sorted(kept, key=lambda point: abs(point.value - calmer[0]))


def _followed(at, start: tuple[float, Branch], end: float, pair: complex) -> CoupledHopf | None:
    """Return the point at which a growing pair stops to grow on the way from one value to another, or None."""
    value, state, share, step = start[0], np.log(start[1].rates), 0.0, FIRST_STEP
    while share < 1.0 and step >= SMALLEST_STEP:
        ahead = min(share + step, 1.0)
        there = start[0] + ahead * (end - start[0])
        moved = coupled_states.polish(at(there), state)
        root = None if moved is None else polish_root(Coupled(at(there), np.exp(moved)), pair)
        if moved is None or root is None or abs(root.imag) < 1e-6 or abs(root - pair) > FURTHEST * abs(pair):
            step *= 0.5
            continue
        if root.real <= 0:
            part = pair.real / (pair.real - root.real)
            middle = state + part * (moved - state), value + part * (there - value)
            try:
                point = _polish_hopf(at, np.r_[middle[0], middle[1], pair.imag + part * (root.imag - pair.imag)])
            except (BadInput, np.linalg.LinAlgError):  # a step beyond what a parameter can be
                point = None
            if point is not None:
                return point
            step *= 0.5
            continue
        value, state, pair, share = there, moved, complex(root.real, abs(root.imag)), ahead
        step = min(2.0 * step, FIRST_STEP)
    return None


def _polish_hopf(at, start, limit: int = 20):
    """Return the Hopf point near a start (log rates, value, angular frequency), by Newton with a numerical Jacobian."""

    def residual(y):
        net = at(float(y[-2]))
        determinant = Coupled(net, np.exp(y[:-2])).determinant(1j * y[-1])
        return np.r_[coupled_states.mismatch(net, y[:-2])[0], determinant.real, determinant.imag]

    y = start.astype(float)
    for _ in range(limit):
        value = residual(y)
        jacobian = np.empty((y.size, y.size))
        for j in range(y.size):
            step = 1e-6 * (abs(y[j]) or 1.0)
            ahead, behind = y.copy(), y.copy()
            ahead[j] += step
            behind[j] -= step
            jacobian[:, j] = (residual(ahead) - residual(behind)) / (2 * step)
        change = np.linalg.solve(jacobian, value)
        if not np.all(np.isfinite(change)) or np.abs(change / (1.0 + np.abs(y))).max() > 0.5:
            return None
        y = y - change
        if np.all(np.abs(change) < 1e-9 * np.abs(y) + 1e-12):
            return CoupledHopf(float(y[-2]), np.exp(y[:-2]), 2 * math.pi / abs(float(y[-1])))
    return None
