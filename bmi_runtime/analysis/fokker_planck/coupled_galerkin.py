"""Coupled populations once more, by hp-elements in weak form: an independent check of the finite volumes and of the
collocation, spectral in the potential.

With test functions f that vanish at V_F, ``d/dt int p f = int [(m - v) p - A p'] f' + reset f(V_R)``; p is a sum of
integrated Legendre polynomials on elements that meet at V_R (the kink needs no condition of its own there) and at the
edges of the layers. ``N = -A p'(V_F)`` follows from the balance of the test function one instead of a derivative, which
doubles its order. Time steps are those of scipy's Radau IIA, of order 5.
"""

import dataclasses
import math

import numpy as np
from scipy import integrate, linalg, optimize

from bmi_runtime.analysis.fokker_planck import coupled_states
from bmi_runtime.analysis.fokker_planck.populations import Populations
from bmi_runtime.errors import BadInput, BmiError

WIDEST = 1.2  # of the elements; densities bend over distances of about one


@dataclasses.dataclass(frozen=True)
class Basis:
    """Matrices of one population: mass, and what drift, leak and diffusion do, with the row of each for the test
    function one (that of the flux), the values at V_R, and a quadrature rule with the values of the functions there.
    """

    mass: np.ndarray
    total: np.ndarray
    leak: np.ndarray
    push: np.ndarray
    spread: np.ndarray
    at_reset: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    values: np.ndarray


def _shapes(order: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the shape functions of an element and their slopes (order + 1, k): two hats and integrated Legendre
    polynomials.
    """
    legendre = np.polynomial.legendre.legvander(x, order).T
    values, slopes = np.empty_like(legendre), np.empty_like(legendre)
    values[0], values[1] = 0.5 * (1 - x), 0.5 * (1 + x)
    slopes[0], slopes[1] = -0.5, 0.5
    for k in range(2, order + 1):
        scale = 1.0 / math.sqrt(4 * k - 2)
        values[k] = (legendre[k] - legendre[k - 2]) * scale
        slopes[k] = (2 * k - 1) * legendre[k - 1] * scale
    return values, slopes


def _ladder(low: float, high: float, finest: float, both: bool) -> np.ndarray:
    """Return knots from `low` to `high` whose gaps grow fourfold from `finest` at the upper end (or `both`), up to
    `WIDEST`.
    """
    steps = [0.0]
    gap, room = finest, (high - low) / (2.0 if both else 1.0)
    while steps[-1] + 1.5 * gap < room:
        steps.append(steps[-1] + gap)
        gap = min(4.0 * gap, WIDEST)
    down = high - np.array(steps)
    return np.r_[low, low + np.array(steps[1:]), down] if both else np.r_[low, down]


def basis(v_reset: float, v_threshold: float, bottom: float, finest: float, order: int) -> Basis:
    """Return the basis on elements from `bottom` to V_F that shrink geometrically to `finest` at V_F and V_R."""
    edges = np.unique(np.r_[_ladder(bottom, v_reset, finest, False), _ladder(v_reset, v_threshold, finest, True)])
    elements = len(edges) - 1
    x, w = np.polynomial.legendre.leggauss(order + 2)
    shapes, slopes = _shapes(order, x)
    size = elements + 1 + elements * (order - 1)
    values, derivatives = np.zeros((size, elements * x.size)), np.zeros((size, elements * x.size))
    points, weights = np.empty(elements * x.size), np.empty(elements * x.size)
    for e in range(elements):
        half = 0.5 * (edges[e + 1] - edges[e])
        here = slice(e * x.size, (e + 1) * x.size)
        inner = elements + 1 + e * (order - 1) + np.arange(order - 1)
        rows = np.r_[e, e + 1, inner]
        values[rows, here], derivatives[rows, here] = shapes, slopes / half
        points[here], weights[here] = 0.5 * (edges[e] + edges[e + 1]) + half * x, w * half
    at_reset = np.zeros(size)
    at_reset[int(np.flatnonzero(edges == v_reset)[0])] = 1.0
    inside = np.delete(np.arange(size), [0, elements])  # nothing at the far end and at V_F
    free, slope = values[inside], derivatives[inside]
    edge, edge_slope = values[elements], derivatives[elements]  # the function that is one at V_F tests the flux
    test, test_slope = np.vstack([free, edge]), np.vstack([slope, edge_slope])
    return Basis(
        (test * weights) @ free.T,
        free @ weights,
        (test_slope * weights * -points) @ free.T,
        (test_slope * weights) @ free.T,
        -(test_slope * weights) @ slope.T,
        np.r_[at_reset[inside], 0.0],
        points,
        weights,
        free,
    )


class Galerkin:
    """The system of ordinary differential equations of the coefficients and the refractory masses.

    Parameters
    ----------
    net : Populations
        Without delays.
    order : int
        Of the polynomials.
    finest : float
        Smallest element.
    bottom : float
        Lower end of the domain.
    """

    def __init__(self, net: Populations, order: int = 10, finest: float = 0.05, bottom: float | None = None):
        if net.delay.any():
            raise BadInput("the Galerkin scheme is for populations without delays")
        self.net = net
        low = bottom if bottom is not None else float(min(net.v_reset.min(), net.current.min())) - 8.0
        self.parts = [
            basis(float(net.v_reset[k]), float(net.v_threshold[k]), low, finest, order) for k in range(net.count)
        ]
        sizes = [part.total.size for part in self.parts]
        self.starts = np.cumsum([0, *sizes])
        self.factors = [linalg.lu_factor(part.mass[:-1]) for part in self.parts]

    def rates(self, y: np.ndarray) -> np.ndarray:
        """Return N (n,): the last row of the weak form is ``d/dt int p f = [...] - N`` with f one at V_F.

        Its left side follows from the other rows, so N solves a linear system up to products of the rates themselves,
        settled by Newton steps from the rates without coupling.
        """
        found = optimize.root(lambda n: self._slopes(y, n)[1], np.maximum(self._uncoupled(y), 1e-3), tol=1e-13)
        return found.x

    def _uncoupled(self, y):
        return np.array([float(self._flux(y, k, self.net.current[k], self.net.a0[k])) for k in range(self.net.count)])

    def _flux(self, y, k, drift, diffusion):
        part, c = self.parts[k], y[self.starts[k] : self.starts[k + 1]]
        action = part.leak @ c + drift * (part.push @ c) + diffusion * (part.spread @ c)
        change = linalg.lu_solve(self.factors[k], action[:-1])
        return action[-1] - part.mass[-1] @ change

    def _slopes(self, y, rates):
        """Return the change of the coefficients and of the refractory masses, and by how much the rates miss."""
        net = self.net
        out, missed = np.zeros_like(y), np.zeros(net.count)
        drift, diffusion = net.drift(rates), net.diffusion(rates)
        for k, part in enumerate(self.parts):
            own = slice(self.starts[k], self.starts[k + 1])
            action = part.leak @ y[own] + drift[k] * (part.push @ y[own]) + diffusion[k] * (part.spread @ y[own])
            rest = y[self.starts[-1] + k]
            tau = net.refractory[k]
            action += part.at_reset * (rest / tau if tau > 0 else rates[k])
            out[own] = linalg.lu_solve(self.factors[k], action[:-1])
            missed[k] = action[-1] - part.mass[-1] @ out[own] - rates[k]
            out[self.starts[-1] + k] = rates[k] - rest / tau if tau > 0 else 0.0
        return out, missed

    def slope(self, y: np.ndarray) -> np.ndarray:
        """Return dy/dt."""
        return self._slopes(y, self.rates(y))[0]

    def start(self, initial: list) -> np.ndarray:
        """Return the coefficients of initial densities by projection, of mass one."""
        y = np.zeros(self.starts[-1] + self.net.count)
        for k, part in enumerate(self.parts):
            values = np.asarray(initial[k](part.points))
            c = linalg.lu_solve(self.factors[k], ((part.values * part.weights) @ values))
            y[self.starts[k] : self.starts[k + 1]] = c / float(part.total @ c)
        return y

    def jacobian(self, y: np.ndarray) -> np.ndarray:
        """Return d(dy/dt)/dy: linear parts exactly, the rates by differentiating what they solve."""
        net, n = self.net, self.net.count
        rates = self.rates(y)
        drift, diffusion = net.drift(rates), net.diffusion(rates)
        size = y.size
        direct, miss = np.zeros((size, size)), np.zeros((n, size))
        by_rate, miss_rate = np.zeros((size, n)), np.zeros((n, n))
        for k, part in enumerate(self.parts):
            own, at = slice(self.starts[k], self.starts[k + 1]), self.starts[-1] + k
            tau = net.refractory[k]
            columns = np.column_stack(
                [
                    part.leak + drift[k] * part.push + diffusion[k] * part.spread,
                    part.push @ y[own],
                    part.spread @ y[own],
                ]
            )
            columns = np.column_stack([columns, part.at_reset])
            moved = linalg.lu_solve(self.factors[k], columns[:-1])
            missed = columns[-1] - part.mass[-1] @ moved
            direct[own, own], miss[k, own] = moved[:, :-3], missed[:-3]
            by_rate[own] = np.outer(moved[:, -3], net.b[k]) + np.outer(moved[:, -2], net.a[k])
            miss_rate[k] = missed[-3] * net.b[k] + missed[-2] * net.a[k]
            miss_rate[k, k] -= 1.0
            if tau > 0:
                direct[own, at], miss[k, at], direct[at, at] = moved[:, -1] / tau, missed[-1] / tau, -1.0 / tau
                by_rate[at, k] = 1.0
            else:
                by_rate[own, k] += moved[:, -1]
                miss_rate[k, k] += missed[-1]
        return direct - by_rate @ np.linalg.solve(miss_rate, miss)

    def steady(self, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the steady coefficients and rates that Newton's method reaches from the densities at given rates."""
        net, n = self.net, self.net.count

        def solved(rates):
            y = np.zeros(self.starts[-1] + n)
            drift, diffusion, missed = net.drift(rates), net.diffusion(rates), np.zeros(n)
            for k, part in enumerate(self.parts):
                own = slice(self.starts[k], self.starts[k + 1])
                action = part.leak + drift[k] * part.push + diffusion[k] * part.spread
                y[own] = np.linalg.solve(action[:-1], -rates[k] * part.at_reset[:-1])
                y[self.starts[-1] + k] = net.refractory[k] * rates[k]
                missed[k] = float(part.total @ y[own]) + y[self.starts[-1] + k] - 1.0
            return y, missed

        found = optimize.root(lambda x: solved(np.exp(x))[1], np.log(rates), tol=1e-14)
        return solved(np.exp(found.x))[0], np.exp(found.x)

    def spectrum(self, rates: np.ndarray) -> np.ndarray:
        """Return the eigenvalues about the steady state near given rates, by decreasing real part, the zeros of the
        conserved masses left out.
        """
        y, _ = self.steady(rates)
        values = np.linalg.eigvals(self.jacobian(y))
        conserved = np.argsort(np.abs(values))[: self.net.count]
        values = np.delete(values, conserved)
        return values[np.argsort(-values.real)]


def run(net: Populations, initial: list, times: np.ndarray, tolerance: float = 1e-10, **settings) -> np.ndarray:
    """Return the rates (k, n) at the `times` (k,).

    Parameters
    ----------
    settings
        ``order``, ``finest``, ``bottom`` of :class:`Galerkin`.
    """
    system = Galerkin(net, **settings)
    done = integrate.solve_ivp(
        lambda _, y: system.slope(y),
        (0.0, float(times[-1])),
        system.start(initial),
        method="Radau",
        jac=lambda _, y: system.jacobian(y),
        t_eval=times,
        rtol=tolerance,
        atol=tolerance,
    )
    return np.array([system.rates(y) for y in done.y.T])


def hopf_value(at, rates: np.ndarray, low: float, high: float, **settings) -> tuple[float, float]:
    """Return where between two values of a parameter the leading pair crosses the imaginary axis, and its period.

    Parameters
    ----------
    at : callable
        Populations at a value of the parameter.
    rates : float64 array (n,)
        Of the steady state, near enough for Newton's method at both values.

    Raises
    ------
    BmiError
        When the steady state is lost between the ends.
    """

    def pair(value):
        net = at(value)
        state = coupled_states.polish(net, np.log(rates))
        if state is None:
            raise BmiError(f"the steady state is lost at {value:g}: give ends that are nearer to the crossing")
        values = Galerkin(net, **settings).spectrum(np.exp(state))
        complex_ones = values[values.imag > 1e-6]
        return complex_ones[0]

    value = float(optimize.brentq(lambda x: pair(x).real, low, high, xtol=1e-10))
    return value, 2 * math.pi / float(pair(value).imag)
