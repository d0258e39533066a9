"""Stability of the steady states of coupled populations: eigenvalues, and a count of the unstable ones.

A small change of the rates grows like ``exp(x t)`` where ``det(I - Q(x)) = 0`` with
``Q_kl(x) = (b_kl X_k(x) + a_kl Y_k(x)) exp(-x D_kl)``, X_k and Y_k the answers of the rate of an uncoupled population
to its drift and to its diffusion, on the spectral elements of :mod:`.spectral`. Uncoupled populations are stable, so Q
has no poles to the right of the imaginary axis, and the turns of the determinant along that axis count the unstable
eigenvalues (Nyquist), delays or not.
"""

import dataclasses
import functools
import math

import numpy as np
from scipy import linalg

from bmi_runtime.analysis.fokker_planck import spectral
from bmi_runtime.analysis.fokker_planck.populations import Populations

FASTEST = 3e3  # angular frequency up to which the determinant is followed
NEAREST = 6


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

    @functools.cached_property
    def answers(self) -> list[spectral.Answers]:
        """Return what every uncoupled population's rate answers to changes of its drift and of its diffusion."""
        return [spectral.Answers(part, np.column_stack([part.by_drift, part.by_diffusion])) for part in self.parts]

    def gains(self, growths: np.ndarray) -> np.ndarray:
        """Return Q(x) (k, n, n) for every rate of growth x (k,)."""
        answers = np.stack([answer(growths) for answer in self.answers], axis=1)
        gain = self.net.b * answers[:, :, :1] + self.net.a * answers[:, :, 1:]
        return gain * np.exp(-growths[:, None, None] * self.net.delay)

    def determinants(self, growths: np.ndarray) -> np.ndarray:
        """Return ``det(I - Q(x))`` (k,) for every rate of growth x (k,)."""
        return np.linalg.det(np.eye(self.net.count) - self.gains(np.asarray(growths, complex)))

    def determinant(self, x: complex) -> complex:
        """Return ``det(I - Q(x))``; solved by itself unless :attr:`answers`, worth it for many x, are there."""
        if "answers" in self.__dict__:
            return complex(self.determinants(np.array([x]))[0])
        gain = np.empty((self.net.count, self.net.count), complex)
        for k, part in enumerate(self.parts):
            columns = np.column_stack([part.by_drift, part.by_diffusion])
            answer = -np.linalg.solve(part.left - x * part.right, columns)[-1]
            gain[k] = self.net.b[k] * answer[0] + self.net.a[k] * answer[1]
        return complex(np.linalg.det(np.eye(self.net.count) - gain * np.exp(-x * self.net.delay)))

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


@dataclasses.dataclass(frozen=True)
class AlongAxis:
    """The determinant along the imaginary axis.

    Attributes
    ----------
    unstable : int
        Eigenvalues to the right of the axis, or -1 where the turns are not resolved.
    nearest : float array (k,)
        Angular frequencies at which the determinant is smaller than at its neighbours, at most `NEAREST`, the one with
        the smallest determinant first: eigenvalues may be near.
    """

    unstable: int
    nearest: np.ndarray


def along_axis(system: Coupled, start: int = 160) -> AlongAxis:
    """Return what the determinant along the imaginary axis says of eigenvalues to the right of it, and near it.

    The path is refined until the determinant turns by less than 0.6 between neighbours.
    """
    path = np.r_[0.0, np.geomspace(1e-3, FASTEST, start)]
    points = list(zip(path.tolist(), system.determinants(1j * path).tolist()))
    seen, stack, spent = [points[0]], points[:0:-1], 0
    turned = 0.0
    while stack:
        before, after = seen[-1], stack[-1]
        if abs(before[1]) < 1e-9:
            return AlongAxis(-1, np.array([before[0]]))
        angle = float(np.angle(after[1] / before[1]))
        if abs(angle) > 0.6 and spent < 600 and after[0] - before[0] > 1e-9:
            middle = 0.5 * (before[0] + after[0])
            stack.append((middle, system.determinant(1j * middle)))
            spent += 1
            continue
        turned += angle
        seen.append(stack.pop())
    last = seen[-1][1]
    turned -= float(np.angle(last * np.sign(last.real)))  # what is left to the limit, which is real
    turns = -turned / math.pi  # from w = 0 to infinity; the other half mirrors it
    size = np.abs([value for _, value in seen])
    low = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:])) + 1
    resolved = abs(turns - round(turns)) < 0.2 and spent < 600
    low = low[np.argsort(size[low])][:NEAREST]
    return AlongAxis(round(turns) if resolved else -1, np.array([seen[k][0] for k in low]))


def leading(system: Coupled, count: int = 6, axis: AlongAxis | None = None) -> np.ndarray:
    """Return the leading eigenvalues that are found, by decreasing real part: those on which two resolutions agree, or
    with delays the roots that Newton's method finds from many starts (a pair once, with its positive imaginary part).
    """
    net = system.net
    if not net.delay.any():
        coarse, fine = Coupled(net, system.rates, 22).eigenvalues(), system.eigenvalues()
        agreed = [x for x in fine[:60] if np.abs(coarse - x).min() < 1e-6 * (1 + abs(x)) and x.imag >= 0]
        masses = -spectral.MASS_SHIFT * (1 - system.rates * net.refractory)
        return np.array([x for x in agreed if np.abs(x - masses).min() > 1e-5][:count])
    return _roots(system, count, along_axis(system) if axis is None else axis)


def growing(eigenvalues) -> int:
    """Return how many eigenvalues grow, given one of every pair."""
    return sum((2 if x.imag > 1e-9 else 1) for x in eigenvalues if x.real > 0)


def _roots(system, count, axis):
    """Return the roots that secant steps reach from those without delays, from near the axis, and from a grid, until as
    many are found to the right of the axis as are counted.
    """
    longest = float(system.net.delay.max())
    heights = np.r_[0.0, 1.5, 4.0, 9.0, np.arange(1, 6) * math.pi / longest]
    undelayed = Coupled(dataclasses.replace(system.net, delay=np.zeros_like(system.net.delay)), system.rates)
    starts = [complex(x) for x in leading(undelayed, 4)]
    starts += [complex(re * (1.0 + 0.02 * w), w) for w in axis.nearest for re in (0.3, 1.0, -0.3)]
    starts += [complex(re, im) for re in (0.5, -0.7) for im in heights if im < 80]
    kept: list[complex] = []
    for start in starts:
        root = polish_root(system, start)
        if root is None:
            continue
        root = complex(root.real, abs(root.imag) if abs(root.imag) > 1e-9 else 0.0)
        if all(abs(root - other) > 1e-6 * (1 + abs(root)) for other in kept):
            kept.append(root)
            if 0 < axis.unstable == growing(kept):
                break
    return np.array(sorted(kept, key=lambda x: -x.real)[:count])


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
        if not np.isfinite(x) or x.real < -20 or abs(x) > FASTEST:
            return None
        if abs(change) < 1e-11 * (1 + abs(x)):
            return x
    return None


def stability(net: Populations, rates: np.ndarray) -> Stability:
    """Return what the eigenvalues about a steady state say."""
    system = Coupled(net, rates)
    try:
        axis = along_axis(system)
        counted, found = axis.unstable, leading(system, axis=axis)
    except (np.linalg.LinAlgError, linalg.LinAlgError):
        return Stability(-1, None, False)
    return Stability(counted, complex(found[0]) if found.size else None, growing(found) == counted)
