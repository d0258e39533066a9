"""Stability of the steady states of coupled populations: eigenvalues, a count of the unstable ones, Hopf points.

A small change of the rates grows like ``exp(x t)`` where ``det(I - Q(x)) = 0`` with
``Q_kl(x) = (b_kl X_k(x) + a_kl Y_k(x)) exp(-x D_kl)``, X_k and Y_k the answers of the rate of an uncoupled population
to its drift and to its diffusion, on the spectral elements of :mod:`.spectral`. Uncoupled populations are stable, so Q
has no poles to the right of the imaginary axis, and the turns of the determinant along that axis count the unstable
eigenvalues (Nyquist), delays or not.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy import linalg

from bmi_runtime.analysis.fokker_planck import coupled_states, spectral
from bmi_runtime.analysis.fokker_planck.populations import Populations

FASTEST = 3e3  # angular frequency up to which the determinant is followed


class Coupled:
    """The linearisation about a steady state.

    Parameters
    ----------
    net : Populations
    rates : float64 array (n,)
        Of the steady state.
    order : int
        Of the polynomials on every element.
    """

    def __init__(self, net: Populations, rates: np.ndarray, order: int = 26):
        self.net, self.rates = net, np.asarray(rates, float)
        drift, diffusion = net.drift(self.rates), net.diffusion(self.rates)
        self.parts = [
            spectral.linearise(net.alone(k, float(drift[k]), float(diffusion[k])), float(self.rates[k]), order)
            for k in range(net.count)
        ]

    def gains(self, x: complex) -> np.ndarray:
        """Return Q(x) (n, n)."""
        gain = np.empty((self.net.count, self.net.count), complex)
        for k, part in enumerate(self.parts):
            columns = np.column_stack([part.by_drift, part.by_diffusion])
            answer = -np.linalg.solve(part.left - x * part.right, columns)[-1]
            gain[k] = self.net.b[k] * answer[0] + self.net.a[k] * answer[1]
        return gain * np.exp(-x * self.net.delay)

    def determinant(self, x: complex) -> complex:
        """Return ``det(I - Q(x))``."""
        return complex(np.linalg.det(np.eye(self.net.count) - self.gains(x)))

    def eigenvalues(self, shift: float = 1.7) -> np.ndarray:
        """Return the eigenvalues without delays by decreasing real part, spurious ones among them."""
        sizes = np.cumsum([0] + [len(part.left) for part in self.parts])
        left, right = np.zeros((sizes[-1], sizes[-1])), np.zeros((sizes[-1], sizes[-1]))
        for k, part in enumerate(self.parts):
            own = slice(sizes[k], sizes[k + 1])
            left[own, own], right[own, own] = part.left, part.right
            for j in range(self.net.count):
                left[own, sizes[j + 1] - 1] += self.net.b[k, j] * part.by_drift + self.net.a[k, j] * part.by_diffusion
        mu = np.linalg.eigvals(np.linalg.solve(left - shift * right, right))
        values = shift + 1.0 / mu[np.abs(mu) > 1e-9]
        return values[np.argsort(-values.real)]


@dataclasses.dataclass(frozen=True)
class Stability:
    """What is known of the eigenvalues about a steady state.

    Attributes
    ----------
    unstable : int
        Eigenvalues with a positive real part, counted along the imaginary axis; -1 where the count failed.
    leading : complex or None
        The leading eigenvalue that was found.
    agrees : bool
        True when as many unstable eigenvalues were found one by one as were counted.
    """

    unstable: int
    leading: complex | None
    agrees: bool

    @property
    def stable(self) -> bool | None:
        """True, False, or None where it was not decided."""
        return None if self.unstable < 0 else self.unstable == 0


def unstable_count(system: Coupled, start: int = 160) -> int:
    """Return the number of eigenvalues to the right of the imaginary axis, or -1 where the turns are not resolved.

    The path is refined until the determinant turns by less than 0.6 between neighbours.
    """
    path = np.r_[0.0, np.geomspace(1e-3, FASTEST, start)]
    points = [(float(w), system.determinant(1j * w)) for w in path]
    turned, stack = 0.0, points[::-1]
    before = stack.pop()
    spent = 0
    while stack:
        after = stack[-1]
        if abs(before[1]) < 1e-9:
            return -1
        angle = float(np.angle(after[1] / before[1]))
        if abs(angle) > 0.6 and spent < 600 and after[0] - before[0] > 1e-9:
            middle = 0.5 * (before[0] + after[0])
            stack.append((middle, system.determinant(1j * middle)))
            spent += 1
            continue
        turned += angle
        before = stack.pop()
    turned -= float(np.angle(before[1] * np.sign(before[1].real)))  # what is left to the limit, which is real
    turns = -turned / math.pi  # from w = 0 to infinity; the other half mirrors it
    return round(turns) if abs(turns - round(turns)) < 0.2 and spent < 600 else -1


def leading(system: Coupled, count: int = 6) -> np.ndarray:
    """Return the leading eigenvalues that are found, by decreasing real part: those on which two resolutions agree, or
    with delays the roots that Newton's method finds from many starts (a pair once, with its positive imaginary part).
    """
    net = system.net
    if not net.delay.any():
        coarse, fine = Coupled(net, system.rates, 22).eigenvalues(), system.eigenvalues()
        agreed = [x for x in fine[:60] if np.abs(coarse - x).min() < 1e-6 * (1 + abs(x)) and x.imag >= 0]
        masses = -spectral.MASS_SHIFT * (1 - system.rates * net.refractory)
        return np.array([x for x in agreed if np.abs(x - masses).min() > 1e-5][:count])
    return _roots(system, count)


def _roots(system, count):
    longest = float(system.net.delay.max())
    heights = np.r_[0.0, 1.5, 4.0, 9.0, np.arange(1, 6) * math.pi / longest]
    found: list[complex] = []
    undelayed = Coupled(dataclasses.replace(system.net, delay=np.zeros_like(system.net.delay)), system.rates)
    starts = [complex(x) for x in leading(undelayed, 4)]
    for start in [*starts, *(complex(re, im) for re in (0.5, -0.7) for im in heights if im < 80)]:
        root = polish_root(system, start)
        if root is not None and all(abs(root - other) > 1e-6 for other in found):
            found.append(complex(root.real, abs(root.imag)) if abs(root.imag) > 1e-9 else complex(root.real, 0.0))
    kept: list[complex] = []
    for root in sorted(found, key=lambda x: -x.real):
        if all(abs(root - other) > 1e-6 for other in kept):
            kept.append(root)
    return np.array(kept[:count])


def polish_root(system: Coupled, x: complex, limit: int = 25) -> complex | None:
    """Return the root of the determinant that secant steps reach from `x`, or None."""
    before, x = x, x + (1e-3 + 1e-3j)
    value_before = system.determinant(before)
    for _ in range(limit):
        value = system.determinant(x)
        if value == value_before:
            return None
        change = value * (x - before) / (value - value_before)
        before, value_before, x = x, value, x - change
        if not np.isfinite(x) or x.real < -20 or abs(x) > 300:
            return None
        if abs(change) < 1e-11 * (1 + abs(x)):
            return x
    return None


def stability(net: Populations, rates: np.ndarray) -> Stability:
    """Return what the eigenvalues about a steady state say."""
    system = Coupled(net, rates)
    try:
        counted, found = unstable_count(system), leading(system)
    except (np.linalg.LinAlgError, linalg.LinAlgError):
        return Stability(-1, None, False)
    growing = sum((2 if x.imag > 1e-9 else 1) for x in found if x.real > 0)
    return Stability(counted, complex(found[0]) if found.size else None, growing == counted)


@dataclasses.dataclass(frozen=True)
class CoupledHopf:
    """A Hopf point: the value of the parameter that is varied, the rates there, and the period that is born."""

    value: float
    rates: np.ndarray
    period: float


def hopf_points(
    at: Callable[[float], Populations], values: np.ndarray, advance: Callable[[float], None] | None = None
) -> list[CoupledHopf]:
    """Return the Hopf points on the branches of steady states as one parameter runs through the `values` (k,).

    All states are searched for at every value, and joined to branches by Newton steps from the value before. A pair
    that crosses between two values is polished as a root of the determinant on the imaginary axis, the steady state
    solved with it. A pair that crosses twice between two values is not seen.
    """
    found: list[CoupledHopf] = []
    branches = _with_pairs(at(float(values[0])), coupled_states.search(at(float(values[0]))).rates)
    for low, high in itertools.pairwise(values):
        net = at(float(high))
        moved = [coupled_states.polish(net, np.log(rates)) for rates, _ in branches]
        following = _with_pairs(net, coupled_states.search(net).rates)
        for (before, pair), state in zip(branches, moved):
            match = None if state is None else _nearest(following, np.exp(state))
            if match is None or pair is None or match[1] is None or pair.real * match[1].real >= 0:
                continue
            point = _between(at, (float(low), before, pair), (float(high), *match))
            if point is not None and min(low, high) - 1e-9 <= point.value <= max(low, high) + 1e-9:
                found.append(point)
        branches = following
        if advance is not None:
            advance(1)
    return found


def _nearest(branches, rates):
    near = [entry for entry in branches if np.abs(np.log(entry[0] / rates)).max() < 1e-6]
    return near[0] if near else None


def _with_pairs(net, states):
    """Return every state with its leading complex eigenvalue (None where there is none)."""
    done = []
    for rates in states:
        pairs = [x for x in leading(Coupled(net, rates), 12) if x.imag > 1e-6]
        done.append((rates, complex(pairs[0]) if pairs else None))
    return done


def _between(at, left, right, closest: float = 1e-3):
    """Return the Hopf point between two values ``(value, rates, pair)`` on one branch, or None: the interval is
    narrowed where the real part changes sign until a Newton step is safe.
    """
    for _ in range(12):
        share = left[2].real / (left[2].real - right[2].real)
        share = min(max(share, 0.1), 0.9)
        value = left[0] + share * (right[0] - left[0])
        state = coupled_states.polish(at(value), np.log(left[1]) + share * np.log(right[1] / left[1]))
        if state is None:
            return None
        ((rates, pair),) = _with_pairs(at(value), [np.exp(state)])
        if pair is None:
            return None
        if abs(pair.real) < closest * abs(pair):
            return _polish_hopf(at, np.r_[state, value, pair.imag])
        if pair.real * left[2].real > 0:
            left = value, rates, pair
        else:
            right = value, rates, pair
    return None  # a jump to another pair, not a crossing


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
            step = 1e-6 * (1.0 + abs(y[j]))
            ahead, behind = y.copy(), y.copy()
            ahead[j] += step
            behind[j] -= step
            jacobian[:, j] = (residual(ahead) - residual(behind)) / (2 * step)
        change = np.linalg.solve(jacobian, value)
        if not np.all(np.isfinite(change)) or np.abs(change / (1.0 + np.abs(y))).max() > 0.5:
            return None
        y = y - change
        if np.abs(change).max() < 1e-9 * (1 + np.abs(y).max()):
            return CoupledHopf(float(y[-2]), np.exp(y[:-2]), 2 * math.pi / abs(float(y[-1])))
    return None
