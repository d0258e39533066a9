"""A second way to steady rates, eigenvalues and Hopf points: integration of the density from the threshold downwards.

Steady flux and its linear response obey first-order systems in v, which a general-purpose integrator takes from V_F (or
from far above it, with a random threshold) down to where nobody is (Richardson 2007); no grid, no basis, no matrix. It
shares nothing with what the package does. Populations are coupled by rates that may be delayed.
"""

import dataclasses

import numpy as np
from scipy import optimize
from scipy.integrate import solve_ivp
from scipy.special import erfcx

EXACT = {"method": "DOP853", "rtol": 1e-13, "atol": 1e-60}
CLOSE = EXACT | {"rtol": 1e-10}  # of responses: their roots then hold to nine digits
LENGTHS = 40.0  # of decay beyond a random threshold


@dataclasses.dataclass(frozen=True)
class Neurons:
    """One population at a constant drift and diffusion."""

    drift: float
    diffusion: float
    v_reset: float = 1.0
    v_threshold: float = 2.0
    refractory: float = 0.0
    eps: float = 0.0

    def integrate(self, right, y, start, end, accuracy=EXACT):
        return solve_ivp(right, (start, end), y, **accuracy).y[:, -1]

    def top(self) -> float:
        """Where nobody is, above a random threshold."""
        a, low = self.diffusion, max(self.v_threshold, self.drift)
        push = max(self.drift - self.v_threshold, 0.0) * self.eps
        return min(self.v_threshold + LENGTHS * (np.sqrt(a * self.eps) + push), low + 9.5 * np.sqrt(a))

    def rate(self) -> float:
        """The steady rate: one over the mass that goes with a flux of one."""
        d, a = self.drift, self.diffusion

        def below(flux):
            return lambda v, y: [((d - v) * y[0] - flux) / a, -y[0]]

        p, mass = 0.0, 0.0
        if self.eps:

            def above(v, y):
                return [((d - v) * y[0] - y[1]) / a, -y[0] / self.eps, -y[0]]

            p, flux, mass = self.integrate(above, [1e-40, 1e-40, 1e-40], self.top(), self.v_threshold)
            p, mass = p / flux, mass / flux
        p, mass = self.integrate(below(1.0), [p, mass], self.v_threshold, self.v_reset)
        z = (self.v_reset - d) / np.sqrt(2 * a)
        mass += p * np.sqrt(np.pi * a / 2) * erfcx(-z) if z < 25 else p * 2 * np.sqrt(np.pi * a / 2) * np.exp(z * z)
        return 1.0 / (mass + self.refractory)

    def response(self, x: complex) -> tuple[complex, complex]:
        """The rate's answers to small changes ``exp(x t)`` of drift and diffusion."""
        d, a = self.drift, self.diffusion
        rate = self.rate()

        def system(flux, kill):
            """p0, J0 and three pairs p, J: by the rate's own flux, by the drift, by the diffusion."""

            def right(v, y):
                p0, j0 = y[0], y[1] if kill else flux
                slope = ((d - v) * p0 - j0) / a
                push = (0.0, p0, -slope)
                out = [slope, -kill * p0]
                for k in range(3):
                    p, j = y[2 + 2 * k], y[3 + 2 * k]
                    out += [((d - v) * p - j + push[k]) / a, -(x + kill) * p]
                return np.array(out)

            return right

        start = np.zeros(8, complex)
        start[3] = 1.0  # the flux of one that leaves at a sharp threshold
        if self.eps:
            start = np.zeros(8, complex)
            start[:4] = 1e-40
            start = self.integrate(system(0.0, 1 / self.eps), start, self.top(), self.v_threshold, CLOSE)
            scale = rate / start[1]
            start[0], start[1] = start[0] * scale, rate
            start[4:] *= scale
            lost = start[[3, 5, 7]] / (1 + x * self.eps)  # firing that goes with each solution
            start[2:4] /= lost[0]
            for k in (1, 2):  # solutions in which nobody fires more
                start[2 + 2 * k : 4 + 2 * k] -= lost[k] * start[2:4]
        y = self.integrate(system(rate, 0.0), start, self.v_threshold, self.v_reset, CLOSE)
        y[3] -= 1 / (1 + x * self.refractory)
        bottom = min(self.v_reset, d) - 9.5 * np.sqrt(a)
        y = self.integrate(system(0.0, 0.0), y, self.v_reset, bottom, CLOSE)
        return -y[5] / y[3], -y[7] / y[3]


def neurons(net, rates) -> list[Neurons]:
    """The populations of a coupled net at steady rates."""
    drift, diffusion = net.drift(rates), net.diffusion(rates)
    return [Neurons(float(drift[k]), float(diffusion[k]), float(net.v_reset[k]), float(net.v_threshold[k]),
                    float(net.refractory[k])) for k in range(net.count)]  # fmt: skip


def steady(net, near) -> np.ndarray:
    """The steady rates near some, by the secant method on this scheme's own rates."""

    def gap(log_rates):
        rates = np.exp(log_rates)
        return [np.log(one.rate()) for one in neurons(net, rates)] - log_rates

    return np.exp(optimize.root(gap, np.log(near), tol=1e-14).x)


def determinant(net, rates, x: complex) -> complex:
    """Zero where exp(x t) is a solution of the linearised network, delays included."""
    answers = np.array([one.response(x) for one in neurons(net, rates)])
    late = np.exp(-x * net.delay)
    return np.linalg.det(np.eye(net.count) - (answers[:, :1] * net.b + answers[:, 1:] * net.a) * late)


def eigenvalue(net, rates, near: complex) -> complex:
    """The root of the determinant near some number (secant method)."""
    if near.imag == 0:
        real = optimize.newton(lambda x: determinant(net, rates, complex(x)).real, near.real, tol=1e-10)
        return complex(real)
    one, two = near, near * (1 + 1e-3)
    values = determinant(net, rates, one), determinant(net, rates, two)
    for _ in range(30):
        step = values[1] * (two - one) / (values[1] - values[0])
        one, two = two, two - step
        if abs(step) < 1e-9 * abs(two):
            return two
        values = values[1], determinant(net, rates, two)
    raise AssertionError("no root near " + str(near))


def hopf(at, value: float, period: float, rates) -> tuple[float, float, np.ndarray]:
    """The Hopf point (value of the parameter, period, rates) near some."""

    def gap(y):
        net = at(float(y[0]))
        log_rates = y[2:]
        found = np.exp(log_rates)
        here = determinant(net, found, 2j * np.pi / y[1])
        return np.r_[here.real, here.imag, [np.log(one.rate()) for one in neurons(net, found)] - log_rates]

    y = optimize.root(gap, np.r_[value, period, np.log(rates)], tol=1e-13).x
    return float(y[0]), float(y[1]), np.exp(y[2:])
