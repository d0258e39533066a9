"""Spectral elements: steady densities, the spectrum of the linearised operator, and stability, to about ten digits.

An independent check of the finite volumes: Chebyshev collocation on a few elements, matched at V_R (jump of the
flux), at V_F and at the edges of the boundary layers.
"""

import dataclasses
import functools
import itertools
import math

import numpy as np

from bmi_runtime.analysis.fokker_planck import steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BmiError

MASS_SHIFT = 40.0  # where the eigenvalue 0 of mass conservation is moved to (-40), out of the way


@functools.lru_cache(maxsize=8)
def chebyshev(order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Chebyshev-Lobatto nodes on [-1, 1], the differentiation matrix and Clenshaw-Curtis weights (Trefethen
    2000).
    """
    k = np.arange(order + 1)
    x = -np.cos(np.pi * k / order)
    sign = np.where((k == 0) | (k == order), 2.0, 1.0) * (-1.0) ** k
    gap = x[:, None] - x[None, :] + np.eye(order + 1)
    matrix = np.outer(sign, 1 / sign) / gap
    matrix -= np.diag(matrix.sum(axis=1))
    moments = np.where(k % 2 == 0, 2.0 / (1.0 - k.astype(float) ** 2 + (k == 1)), 0.0)
    weights = np.linalg.solve(np.cos(np.outer(k, np.arccos(np.clip(x, -1, 1)))), moments)
    return x, matrix, weights


@dataclasses.dataclass(frozen=True)
class Elements:
    """Collocation points of all elements: `v`, first derivative and quadrature; `starts` has the first index of each,
    and the end.
    """

    v: np.ndarray
    first: np.ndarray
    weights: np.ndarray
    starts: np.ndarray


def elements(model: Model, drift: float, diffusion: float, order: int = 28) -> Elements:
    """Return elements fine enough for a density with this drift: about two standard deviations wide, and layers
    resolved.
    """
    spread = math.sqrt(diffusion)
    bottom = min(drift, model.v_reset) - 8.5 * spread
    top = model.v_threshold
    if model.threshold_eps > 0:  # neurons drift towards m, and all but exp(-36) have fired after 36 eps
        top += max(drift - top, 0.0) * -math.expm1(-36.0 * model.threshold_eps) + 8.5 * spread
    knots = sorted({bottom, model.v_reset, model.v_threshold, top})
    for wall in (model.v_reset, model.v_threshold):
        layer = diffusion / max(abs(drift - wall), 1e-9)
        if model.threshold_eps > 0 and wall == model.v_threshold:
            layer = min(layer, math.sqrt(diffusion * model.threshold_eps))
        distance = 6.0 * layer
        while distance < spread:
            knots += [wall - distance] + ([wall + distance] if model.threshold_eps > 0 else [])
            distance *= 5.0
    if diffusion / max(abs(drift - model.v_reset), 1e-9) < 0.1 * spread:
        knots.append(model.v_reset + 6.0 * diffusion / abs(drift - model.v_reset))
    knots = sorted(knot for knot in knots if bottom <= knot <= top)
    return _assemble(_split(_without_slivers(knots, model), max(2.2 * spread, (top - model.v_threshold) / 8)), order)


def _split(knots, longest):
    """Return the knots with long intervals divided."""
    found = [knots[0]]
    for lo, hi in itertools.pairwise(knots):
        pieces = max(1, math.ceil((hi - lo) / longest))
        found += [*(lo + (hi - lo) * np.arange(1, pieces) / pieces), hi]
    return found


def _without_slivers(knots, model):
    """Drop knots that nearly repeat another one, V_R and V_F always kept."""
    keep = {model.v_reset, model.v_threshold}
    found = [knots[0]]
    for knot in knots[1:]:
        if knot - found[-1] < 1e-9 * (1 + abs(knot)):
            found[-1] = knot if knot in keep else found[-1]
        else:
            found.append(knot)
    return found


def _assemble(knots, order):
    x, matrix, weights = chebyshev(order)
    count = len(knots) - 1
    size = count * (order + 1)
    v, quadrature, first = np.zeros(size), np.zeros(size), np.zeros((size, size))
    for e, (lo, hi) in enumerate(itertools.pairwise(knots)):
        here = slice(e * (order + 1), (e + 1) * (order + 1))
        half = 0.5 * (hi - lo)
        v[here] = 0.5 * (lo + hi) + half * x
        v[here.start], v[here.stop - 1] = lo, hi
        first[here, here] = matrix / half
        quadrature[here] = weights * half
    return Elements(v, first, quadrature, np.arange(count + 1) * (order + 1))


def _operator(model, mesh, drift, diffusion):
    """Return the matrix of the operator with its boundary and interface rows, the rows of equations, and the row of
    V_R.
    """
    v, first = mesh.v, mesh.first
    matrix = diffusion * first @ first - first * (drift - v)[None, :]
    if model.threshold_eps > 0:
        above = np.zeros(v.size, bool)
        for start, stop in zip(mesh.starts, mesh.starts[1:]):
            above[start:stop] = v[start] >= model.v_threshold
        matrix -= np.diag(above / model.threshold_eps)
    inner = np.ones(v.size, bool)
    jump = -1
    for at in mesh.starts[1:-1]:
        left, right = at - 1, at
        inner[[left, right]] = False
        matrix[left] = 0.0
        matrix[left, left], matrix[left, right] = 1.0, -1.0
        matrix[right] = diffusion * (first[right] - first[left])
        if v[right] == model.v_reset:
            jump = right
    inner[[0, -1]] = False
    matrix[0] = -diffusion * first[0]
    matrix[0, 0] += drift - v[0]
    matrix[-1] = 0.0
    if model.threshold_eps > 0:
        matrix[-1] = -diffusion * first[-1]
        matrix[-1, -1] += drift - v[-1]
    else:
        matrix[-1, -1] = 1.0
    return matrix, inner, jump


def _firing_row(model, mesh, diffusion):
    """Return the row that gives N from the density."""
    if model.threshold_eps == 0:
        return -diffusion * mesh.first[-1]
    row = np.zeros(mesh.v.size)
    for start, stop in zip(mesh.starts, mesh.starts[1:]):
        if mesh.v[start] >= model.v_threshold:
            row[start:stop] = mesh.weights[start:stop] / model.threshold_eps
    return row


@dataclasses.dataclass(frozen=True)
class Linearised:
    """``A y = lambda B y`` for ``y = (density, R, N)``, and the columns through which drift and diffusion act on it."""

    mesh: Elements
    steady_density: np.ndarray
    left: np.ndarray
    right: np.ndarray
    by_drift: np.ndarray
    by_diffusion: np.ndarray


def felt(model: Model, system: Linearised) -> np.ndarray:
    """Return the column through which the rate of a population acts back on itself."""
    return model.b * system.by_drift + model.a1 * system.by_diffusion


def linearise(model: Model, rate: float, order: int = 28) -> Linearised:
    """Return the linearisation about the steady state of this rate; the eigenvalue 0 of the total mass is moved
    away.
    """
    drift, diffusion = model.b * rate + model.constant_current(), model.a0 + model.a1 * rate
    mesh = elements(model, drift, diffusion, order)
    operator, inner, jump = _operator(model, mesh, drift, diffusion)
    size = mesh.v.size
    source = np.zeros(size)
    source[jump] = -rate
    density = np.linalg.solve(operator, source)
    left, right = np.zeros((size + 2, size + 2)), np.zeros((size + 2, size + 2))
    left[:size, :size] = operator
    right[:size, :size] = np.diag(inner.astype(float))
    left[:size, :size] -= MASS_SHIFT * np.outer(density * inner, mesh.weights)
    left[:size, size] -= MASS_SHIFT * density * inner
    tau = model.refractory
    left[jump, size if tau > 0 else size + 1] = 1.0 / tau if tau > 0 else 1.0
    left[size, size] = -1.0 / tau if tau > 0 else -1.0
    left[size, size + 1] = 1.0 if tau > 0 else 0.0
    right[size, size] = 1.0 if tau > 0 else 0.0
    left[size + 1, :size] = _firing_row(model, mesh, diffusion)
    left[size + 1, size + 1] = -1.0
    slope = mesh.first @ density
    by_drift, by_diffusion = np.zeros(size + 2), np.zeros(size + 2)
    by_drift[:size] = -slope * inner
    by_diffusion[:size] = inner * (mesh.first @ slope)
    by_diffusion[jump] += slope[jump] - slope[jump - 1]
    if model.threshold_eps == 0:
        by_diffusion[size + 1] = -slope[-1]
    return Linearised(mesh, density, left, right, by_drift, by_diffusion)


def eigenvalues(model: Model, rate: float, order: int = 28, shift: float = 1.7) -> np.ndarray:
    """Return the eigenvalues of the linearised equation without delay, by decreasing real part, spurious ones
    included.
    """
    system = linearise(model, rate, order)
    left = system.left.copy()
    left[:, -1] += felt(model, system)
    inverse = np.linalg.solve(left - shift * system.right, system.right)
    mu = np.linalg.eigvals(inverse)
    values = shift + 1.0 / mu[np.abs(mu) > 1e-9]
    return values[np.argsort(-values.real)]


class Answers:
    """What the rate of an uncoupled population answers to small changes that grow like exp(x t), for many x.

    The Schur form of ``left^-1 right`` is made once; for every x a triangular system is left to solve.

    Parameters
    ----------
    system : Linearised
    columns : float64 array (size, j)
        Through which the changes act.
    """

    def __init__(self, system: Linearised, columns: np.ndarray):
        from scipy import linalg

        solved = np.linalg.solve(system.left, np.column_stack([system.right, columns]))
        size = len(system.left)
        triangle, turn = linalg.schur(solved[:, :size], output="complex")
        self._triangle = np.asfortranarray(triangle)
        self._columns, self._rate = turn.conj().T @ solved[:, size:], turn[-1]

    def __call__(self, growths: np.ndarray) -> np.ndarray:
        """Return the answers (k, j) for every rate of growth x (k,)."""
        from scipy.linalg.lapack import ztrtrs

        answers = np.empty((len(growths), self._columns.shape[1]), complex)
        diagonal = np.arange(len(self._triangle))
        for k, x in enumerate(growths):
            system = -x * self._triangle
            system[diagonal, diagonal] += 1.0
            answers[k] = -self._rate @ ztrtrs(system, self._columns)[0]
        return answers


def spectrum(model: Model, rate: float, count: int = 6) -> np.ndarray:
    """Return the `count` leading eigenvalues that two resolutions agree on (relative 1e-6), by decreasing real part.

    Raises
    ------
    BmiError
        If none agrees.
    """
    if model.delay > 0 and (model.b != 0 or model.a1 > 0):  # without feedback nothing is felt, early or late
        return _delayed(model, rate, count)
    coarse, fine = eigenvalues(model, rate, 24), eigenvalues(model, rate, 30)
    agreed = [x for x in fine if np.abs(coarse - x).min() < 1e-6 * (1 + abs(x))]
    agreed = [x for x in agreed if abs(x + MASS_SHIFT * (1 - rate * model.refractory)) > 1e-6 * MASS_SHIFT]
    if (abs(model.b) + model.a1) * rate < 1e-12:  # no feedback to speak of: a zero can only be the conserved mass
        agreed = [x for x in agreed if abs(x) > 1e-9]
    if not agreed:
        raise BmiError(f"the spectrum about the steady state of rate {rate:g} is not resolved")
    return np.array(agreed[:count])


def _delayed(model, rate, count):
    """Return the leading roots of ``response(x) exp(-x D) = 1``: Newton from many starts, then kept once each."""
    undelayed = dataclasses.replace(model, delay=0.0)
    system = linearise(undelayed, rate)
    slopes, column = {}, felt(undelayed, system)

    def excess(x):
        solved = np.linalg.solve(system.left - x * system.right, column[:, None])
        again = np.linalg.solve(system.left - x * system.right, system.right @ solved)
        answer, slope = -solved[-1, 0], -again[-1, 0]
        decay = np.exp(-x * model.delay)
        slopes[x] = decay * (slope - model.delay * answer)
        return answer * decay - 1.0

    found: list[complex] = []
    imaginary = np.arange(0, 6) * 2 * np.pi / model.delay
    for start in [complex(re, im) for re in (0.5, -0.5, -1.5) for im in np.r_[0.0, 1.5, 4.0, imaginary[1:]] if im < 60]:
        x = start
        for _ in range(25):
            above = excess(x)
            if slopes[x] == 0:
                break
            change = above / slopes[x]
            x -= change
            if not np.isfinite(x) or x.real < -30 or abs(x) > 300:
                break
            if abs(change) < 1e-10 * (1 + abs(x)):
                if all(abs(x - y) > 1e-6 for y in found):
                    found += [x] if abs(x.imag) < 1e-8 else [x, x.conjugate()]
                break
    if not found:
        raise BmiError(f"no eigenvalue about the steady state of rate {rate:g} was found with this delay")
    return np.array(sorted(found, key=lambda x: -x.real)[:count])


def with_stability(model: Model, states: list[steady.SteadyState]) -> list[steady.SteadyState]:
    """Return the states with their leading eigenvalue and whether it is stable; without both where no two resolutions
    agree on the spectrum (a state is no less right for that).
    """
    done = []
    for state in states:
        try:
            leading = complex(spectrum(model, state.rate, 1)[0])
        except (BmiError, np.linalg.LinAlgError):
            done.append(state)
            continue
        done.append(dataclasses.replace(state, stable=leading.real < 0, leading_eigenvalue=leading))
    return done


def density_at(model: Model, rate: float, v: np.ndarray, order: int = 34) -> np.ndarray:
    """Return the steady density at the points `v`, also with a random threshold, by barycentric interpolation."""
    from scipy.interpolate import BarycentricInterpolator

    system = linearise(model, rate, order)
    out = np.zeros(np.shape(v))
    for start, stop in zip(system.mesh.starts, system.mesh.starts[1:]):
        nodes = system.mesh.v[start:stop]
        here = (v >= nodes[0]) & (v <= nodes[-1])
        if here.any():
            out[here] = BarycentricInterpolator(nodes, system.steady_density[start:stop])(np.asarray(v)[here])
    return out
