"""A second way through time: Chebyshev collocation on a few elements in v, and scipy's Radau in t.

The unknowns are the values inside the elements; those where elements meet follow from continuity of density and flux
(with the reset's jump at V_R), so what is left is an ordinary differential equation for a general-purpose integrator.
Shares nothing with the finite volumes of the package but the formula of the initial density.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import BarycentricInterpolator

NODES = 20
LONGEST = 1.1  # of an element, in v
EDGE = 0.06  # of the element below V_F, where a layer forms


def _differences(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chebyshev points on [-1, 1] by increasing place, their differentiation matrix and quadrature weights."""
    x = -np.cos(np.pi * np.arange(n) / (n - 1))
    c = np.r_[2.0, np.ones(n - 2), 2.0] * (-1.0) ** np.arange(n)
    gap = x[:, None] - x + np.eye(n)
    d = np.outer(c, 1 / c) / gap
    d -= np.diag(d.sum(axis=1))
    moments = np.array([0.0 if k % 2 else 2 / (1 - k * k) for k in range(n)])
    weights = np.linalg.solve(np.polynomial.chebyshev.chebvander(x, n - 1).T, moments)
    return x, d, weights


@dataclasses.dataclass
class Run:
    """N(t) at the times taken, and whether it grew beyond all bounds that the nodes resolve."""

    times: np.ndarray
    rates: np.ndarray
    blown: bool

    def blow_up_time(self, least: float) -> tuple[float, float]:
        """Where 1 / N^2 goes to zero, and by how much two ways of following it differ."""
        late = self.rates > least
        y, t = self.rates[late] ** -2.0, self.times[late]
        ends = [np.linalg.lstsq(np.stack([y**p for p in powers], axis=1), t, rcond=None)[0][0]
                for powers in ((0, 1, 1.5), (0, 1, 1.5, 2))]  # fmt: skip
        return float(ends[1]), float(abs(ends[1] - ends[0]))

    def period(self) -> float:
        """The mean distance of the last upward crossings of the middle."""
        late = self.times > 0.4 * self.times[-1]
        t, n = self.times[late], self.rates[late] - 0.5 * (self.rates[late].max() + self.rates[late].min())
        up = np.flatnonzero((n[:-1] < 0) & (n[1:] >= 0))
        crossings = t[up] - n[up] * (t[up + 1] - t[up]) / (n[up + 1] - n[up])
        return float((crossings[-1] - crossings[0]) / (len(crossings) - 1))


class Collocation:
    """The equation of a :class:`Model` on elements."""

    def __init__(self, model, bottom: float, top: float | None = None, nodes: int = NODES):
        self.model = model
        vr, vf = model.v_reset, model.v_threshold
        last = vf - EDGE * (vf - vr)
        marks = [bottom, vr, last, vf] + ([vf + EDGE * (vf - vr), top] if model.threshold_eps else [])
        ends = [bottom]
        for low, high in itertools.pairwise(marks):
            ends += list(np.linspace(low, high, int(np.ceil((high - low) / LONGEST)) + 1)[1:])
        x, d, weights = _differences(nodes)
        count, n = len(ends) - 1, nodes
        half = np.diff(ends) / 2
        self.v = np.concatenate([low + h * (x + 1) for low, h in zip(ends, half)])
        first = np.zeros((count * n, count * n))
        for k, h in enumerate(half):
            first[k * n : (k + 1) * n, k * n : (k + 1) * n] = d / h
        self.first, self.second = first, first @ first
        self.weights = np.concatenate([weights * h for h in half])
        self._join(ends, count, n)

    def _join(self, ends, count, n):
        """Make the map from inner values (and the reset's push) to all values."""
        vr, size = self.model.v_reset, count * n
        inner = np.array([k * n + i for k in range(count) for i in range(1, n - 1)])
        meets = [(k * n - 1, k * n) for k in range(1, count)]
        self.inner, self.size = inner, size
        place = np.zeros((size, len(inner) + len(meets)))
        place[inner, np.arange(len(inner))] = 1.0
        for m, (left, right) in enumerate(meets):
            place[[left, right], len(inner) + m] = 1.0
        slopes = np.array([self.first[left] - self.first[right] for left, right in meets])
        self.at_reset = int(np.argmin([abs(end - vr) for end in ends[1:-1]]))
        if not self.model.threshold_eps and not self.model.refractory:
            slopes[self.at_reset] += self.first[-1]  # what is reset is what passes V_F
        joint = slopes @ place
        bound = -np.linalg.solve(joint[:, len(inner) :], joint[:, : len(inner)])
        push = np.linalg.solve(joint[:, len(inner) :], np.eye(len(meets))[self.at_reset])
        self.all_of = place @ np.r_[np.eye(len(inner)), bound]
        self.push = place[:, len(inner) :] @ push
        self.end = self.first[-1]
        self.above = self.v > self.model.v_threshold + 1e-12 if self.model.threshold_eps else np.zeros(size, bool)
        if self.model.threshold_eps:  # the first node beyond V_F is V_F itself, seen from above
            self.above[int(np.flatnonzero(np.abs(self.v - self.model.v_threshold) < 1e-12)[-1])] = True
        maps = [matrix @ self.all_of for matrix in (np.eye(size), self.first, self.second)]
        kill = np.where(self.above, 1 / (self.model.threshold_eps or 1.0), 0.0)[:, None]
        still = maps[0] + self.v[:, None] * maps[1] - kill * maps[0]
        self.still, self.drifts, self.spreads = still[inner], maps[1][inner], maps[2][inner]
        pushes = [matrix @ self.push for matrix in (np.eye(size), self.first, self.second)]
        self.pushed = (
            (pushes[0] + self.v * pushes[1] - kill[:, 0] * pushes[0])[inner],
            pushes[1][inner],
            pushes[2][inner],
        )

    def parts(self, t, y, late):
        """What is known at a time: how hard the reset pushes, the rate, the drift and the diffusion."""
        m = self.model
        felt = late(t - m.delay) if m.delay else None
        rate, push = 0.0, 0.0
        for _ in range(80):
            a = m.a0 + m.a1 * (rate if felt is None else felt)
            if m.refractory:
                push = y[-1] / m.refractory / a
            elif m.threshold_eps:
                push = rate / a
            new = self._rate(y, push, a, felt)
            if abs(new - rate) <= 1e-14 * abs(new):
                break
            rate = new
        heard = rate if felt is None else felt
        return push, rate, float(np.interp(t, *m.current_table())) + m.b * heard, m.a0 + m.a1 * heard

    def _rate(self, y, push, a, felt):
        m = self.model
        p = self.all_of @ y[:-1] + self.push * push
        if m.threshold_eps:
            return float(self.weights[self.above] @ p[self.above]) / m.threshold_eps
        slope = float(self.end @ p)
        return -m.a0 * slope / (1 + m.a1 * slope) if felt is None and not m.refractory else -a * slope

    def slope(self, t, y, late):
        push, rate, drift, a = self.parts(t, y, late)
        inner = y[:-1]
        change = self.still @ inner - drift * (self.drifts @ inner) + a * (self.spreads @ inner)
        if push:
            change += push * (self.pushed[0] - drift * self.pushed[1] + a * self.pushed[2])
        rest = rate - y[-1] / self.model.refractory if self.model.refractory else 0.0
        return np.r_[change, rest]

    def jacobian(self, t, y, late):
        """Close to the derivative of the slope: enough for the integrator's Newton steps."""
        m = self.model
        _, _, drift, a = self.parts(t, y, late)
        inner, n = y[:-1], len(y) - 1
        out = np.zeros((n + 1, n + 1))
        out[:n, :n] = self.still - drift * self.drifts + a * self.spreads
        if m.threshold_eps:
            grad = (self.weights * self.above) @ self.all_of / m.threshold_eps
        else:
            grad = -a * (self.end @ self.all_of) / (1 + m.a1 * float(self.end @ (self.all_of @ inner)))
        if not m.delay:
            out[:n, :n] += np.outer(m.a1 * (self.spreads @ inner) - m.b * (self.drifts @ inner), grad)
        if m.threshold_eps and not m.refractory:
            out[:n, :n] += np.outer(self.pushed[0] - drift * self.pushed[1] + a * self.pushed[2], grad / a)
        if m.refractory:
            out[:n, n] = (self.pushed[0] - drift * self.pushed[1] + a * self.pushed[2]) / (m.refractory * a)
            out[n, :n], out[n, n] = grad, -1 / m.refractory
        return out

    def run(self, initial, duration, highest=np.inf, tolerance=1e-8, points=400) -> Run:
        values = np.maximum(initial(self.v), 0.0)
        values /= self.weights @ values
        y, t, pieces = np.r_[values[self.inner], 0.0], 0.0, []
        times, rates = [0.0], [self.parts(0.0, y, lambda s: 0.0)[1]]

        def late(s):
            return (
                next((float(piece(s)) for end, piece in pieces if s <= end), 0.0) if s > 0 else self.model.rate_before
            )

        def over(s, x):
            return self.parts(s, x, late)[1] - highest

        over.terminal = True
        chunk = self.model.delay if self.model.delay else duration
        while t < duration - 1e-12:
            stop = min(t + chunk, duration)
            done = solve_ivp(
                lambda s, x: self.slope(s, x, late), (t, stop), y, "Radau", rtol=tolerance, atol=1e-2 * tolerance,
                jac=lambda s, x: self.jacobian(s, x, late), dense_output=True,
                events=over if np.isfinite(highest) else None,
            )  # fmt: skip
            if done.status:
                times += list(done.t[1:])
                rates += [self.parts(s, x, late)[1] for s, x in zip(done.t[1:], done.y.T[1:])]
                return Run(np.array(times), np.array(rates), True)
            wanted = np.linspace(t, stop, max(int(points * (stop - t) / duration), 30))[1:]
            times += list(wanted)
            rates += [self.parts(s, done.sol(s), late)[1] for s in wanted]
            if self.model.delay:
                nodes = t + (stop - t) * 0.5 * (1 - np.cos(np.pi * (np.arange(48) + 0.5) / 48))
                seen = [self.parts(s, done.sol(s), late)[1] for s in nodes]
                pieces.append((stop, BarycentricInterpolator(nodes, seen)))
            y, t = done.y[:, -1], stop
        return Run(np.array(times), np.array(rates), False)


def bottom_of(model, initial) -> float:
    """A place that nobody reaches."""
    low = min(initial.mean - 7.5 * np.sqrt(initial.variance), model.v_reset)
    pull = min(0.0, 3 * model.b) + min(0.0, float(model.current_table()[1].min()))
    return low + pull - 6.5 * np.sqrt(model.a0 + model.a1)


def run_of(model, initial, duration, highest=np.inf, nodes=NODES, tolerance=1e-8) -> Run:
    """A run of a model, on elements wide enough for it."""
    top = None
    if model.threshold_eps:
        top = model.v_threshold + 7 * np.sqrt(model.a0 + model.a1) + max(0.0, 2 * model.b)
    return Collocation(model, bottom_of(model, initial), top, nodes).run(initial, duration, highest, tolerance)
