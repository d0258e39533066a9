"""Learning: populations indexed by their synaptic weight, p(v, w, t), under a Hebbian rule.

``p_t + d_v[(-v + I(w) + w sigma(Nbar)) p] + eps d_w[(Phi - w) p] - a p_vv = N(w, t) delta(v - V_R)`` with
``Phi = K(w) N(w, t) Nbar``, ``Nbar = int N dw`` and the connectivity ``C(w) = int p dv``.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize
from scipy.interpolate import PchipInterpolator

from bmi_runtime.analysis.fokker_planck import grid as grids
from bmi_runtime.analysis.fokker_planck import steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import fokker_planck_weights as kernels

Function = Callable[[Any], Any]  # of numbers and of arrays alike


def saturating(rate: np.ndarray) -> np.ndarray:
    """Return the default activation sigma(N) = N / (1 + N): increasing, bounded, Lipschitz with constant 1."""
    return rate / (1 + rate)


@functools.lru_cache(maxsize=16)
def _response_table(diffusion: float, v_reset: float, v_threshold: float) -> PchipInterpolator:
    drift = np.linspace(-12.0, 60.0, 2401)
    logs = [-steady.log_crossing_time(m, diffusion, v_reset, v_threshold) for m in drift]
    return PchipInterpolator(drift, logs, extrapolate=False)


def response(model: Model, drift: np.ndarray) -> np.ndarray:
    """Return r(m) = 1 / T(m), the rate of a neuron at the constant drifts m (any shape, within [-12, 60]) in units of
    `model`.

    Raises
    ------
    BadInput
        When a drift lies outside the range of the table.
    """
    value = _response_table(model.a0, model.v_reset, model.v_threshold)(np.asarray(drift, float))
    if np.any(np.isnan(value)):
        raise BadInput("a drift I(w) + w sigma(Nbar) lies outside [-12, 60]: scale the input or the weights")
    return np.exp(value)


def output(
    model: Model, w: np.ndarray, connectivity: np.ndarray, given: np.ndarray, sigma: Function = saturating
) -> np.ndarray:
    """Return N(w), the one steady output to the input I(w) = `given` of a network with connectivity C(w), all (k,).

    Raises
    ------
    BadInput
        When there are several (excitatory weights allow that): :func:`outputs` returns them all.
    """
    found = outputs(model, w, connectivity, given, sigma)
    if len(found) > 1:
        width = float(w[1] - w[0])
        means = ", ".join(f"{width * float(n.sum()):.6g}" for n in found)
        raise BadInput(f"excitatory weights leave {len(found)} steady outputs here, of mean rate {means}: ask for all")
    return found[0]


def outputs(
    model: Model, w: np.ndarray, connectivity: np.ndarray, given: np.ndarray, sigma: Function = saturating
) -> list[np.ndarray]:
    """Return the steady outputs N(w) to the input I(w) = `given` that are found, by increasing mean rate.

    ``N(w) = C(w) r(I(w) + w sigma(Nbar))``, Nbar its integral: one scalar equation. Without excitatory weights its two
    sides cross once (r increases, sigma does not decrease); with them a scan of 4,000 mean rates looks for crossings.

    Raises
    ------
    BadInput
        When the excitation is so strong that there is no steady output.
    """
    width = float(w[1] - w[0])

    def excess(mean):
        return width * float(np.sum(connectivity * response(model, given + w * sigma(mean)))) - mean

    high = 1.0
    while excess(high) > 0:
        high *= 2
        if high > 1e9:
            raise BadInput("the excitation is too strong: no steady output exists for this connectivity")
    excites = np.any((w > 0) & (connectivity > 0))
    means = np.r_[0.0, np.geomspace(1e-6 * high, high, 4000)] if excites else np.array([0.0, high])
    signs = np.sign([excess(mean) for mean in means])
    roots = [
        float(optimize.brentq(excess, means[i], means[i + 1], xtol=1e-15, rtol=1e-14))
        for i in np.flatnonzero(signs[1:] != signs[:-1])
    ]
    return [connectivity * response(model, given + w * sigma(mean)) for mean in roots]


def represent(
    model: Model, w: np.ndarray, given: np.ndarray, wanted: np.ndarray, sigma: Function = saturating
) -> np.ndarray:
    """Return the connectivity C(w) that answers the input I(w) with the output N(w) (representation theorem), all
    (k,).

    Raises
    ------
    BadInput
        When the output is negative.
    """
    if np.any(wanted < 0):
        raise BadInput("an output N(w) is a rate: it cannot be negative")
    mean = float(np.sum(wanted) * (w[1] - w[0]))
    return wanted / response(model, given + w * sigma(mean))


def discrimination(
    model: Model, w: np.ndarray, connectivity: np.ndarray, one: np.ndarray, other: np.ndarray
) -> tuple[float, float]:
    """Return both sides of ``int |N_I - N_J| >= c int L C |I - J|`` for inhibitory weights and the default sigma.

    ``L(w)`` is the smallest slope r' over the drifts between the two and ``c = 1 / (1 + Lip(sigma) int L C |w|)``
    (derived here: ``N_I - N_J = C r' (I - J + w (sigma_I - sigma_J))``, and
    ``|sigma_I - sigma_J| <= Lip int |N_I - N_J|``).

    Raises
    ------
    BadInput
        When a connected weight is excitatory: the inequality is for inhibitory ones.
    """
    if np.any((w > 0) & (connectivity > 0)):
        raise BadInput("the discrimination inequality is for inhibitory weights: no connected w may be above 0")
    width = float(w[1] - w[0])
    first, second = output(model, w, connectivity, one), output(model, w, connectivity, other)
    drifts = [given + w * saturating(width * n.sum()) for given, n in ((one, first), (other, second))]
    slope = _response_table(model.a0, model.v_reset, model.v_threshold).derivative()
    between = np.linspace(drifts[0], drifts[1], 33)
    least = (slope(between) * response(model, between)).min(axis=0)
    factor = 1 / (1 + width * float(np.sum(least * connectivity * np.abs(w))))
    return width * float(np.abs(first - second).sum()), factor * width * float(
        np.sum(least * connectivity * np.abs(one - other))
    )


@dataclasses.dataclass(frozen=True)
class Learned:
    """The connectivity that a Hebbian rule generates: support [-extent, 0], mean rate, C(w) and N(w) at the weights
    (k,).
    """

    extent: float
    mean_rate: float
    connectivity: np.ndarray
    rate: np.ndarray


def learned(model: Model, w: np.ndarray, given: Function, rule: Function, sigma: Function = saturating) -> Learned:
    """Return the equilibrium of an inhibitory network (K < 0, weights below 0) for an input I(w) (derived here).

    On the support ``Phi = w``, so ``N(w) = w / (K Nbar)`` and ``C = N / r(I + w sigma(Nbar))``; integrating N gives
    ``Nbar^2 = int w / K``. Zero flux alone leaves the support free: vanishing diffusion in w (the entropy condition)
    selects an interval [-A, 0], and ``int C = 1`` fixes A.

    Raises
    ------
    BadInput
        When the rule is not negative, or the neurons do not fire.
    """
    if np.any(np.asarray(rule(w[w < 0])) >= 0):
        raise BadInput("the learned connectivity is for inhibitory networks: the rule K(w) must be negative for w < 0")
    x, q = np.polynomial.legendre.leggauss(80)

    def parts(extent):
        at, weight = -0.5 * extent * (1 - x), 0.5 * extent * q
        mean = math.sqrt(float(weight @ (at / rule(at))))
        with np.errstate(divide="ignore", over="ignore"):  # a neuron that never fires needs endlessly many connections
            c = at / (rule(at) * mean * response(model, given(at) + at * sigma(mean)))
        return mean, float(weight @ c)

    low = 1e-6
    while parts(low)[1] >= 1:  # a neuron that hardly fires needs hardly any inhibition
        low *= 1e-3
        if low < 1e-200:
            raise BadInput("the neurons do not fire under this input: nothing is learned; raise the input")
    extent = float(optimize.brentq(lambda a: parts(a)[1] - 1, low, max(_upper(parts), 2 * low), xtol=1e-14 * low))
    mean = parts(extent)[0]
    inside = (w < 0) & (w >= -extent)
    rate, connectivity = np.zeros(w.size), np.zeros(w.size)
    rate[inside] = w[inside] / (rule(w[inside]) * mean)
    connectivity[inside] = rate[inside] / response(model, given(w[inside]) + w[inside] * sigma(mean))
    return Learned(extent, mean, connectivity, rate)


def _upper(parts):
    high = 0.1
    while parts(high)[1] < 1:
        high *= 1.5
        if high > 1e3:
            raise BadInput("no finite support carries the mass: strengthen the rule K")
    return high


@dataclasses.dataclass
class Course:
    """A course of learning: times, C(w) at them (s, k), N(w) at the end (k,), masses p(v, w) at the end (k, n), mass
    error.
    """

    times: np.ndarray
    connectivity: np.ndarray
    rate: np.ndarray
    mass: np.ndarray
    v: np.ndarray
    mass_error: float
    lowest: float


def learn(
    model: Model,
    w: np.ndarray,
    start: np.ndarray,
    given: Function,
    rule: Function,
    duration: float,
    *,
    speed: float = 0.1,
    cells: int = 200,
    step: float | None = None,
    sigma: Function = saturating,
    snapshots: int = 20,
    advance: Callable[[float], None] | None = None,
) -> Course:
    """Integrate p(v, w, t): implicit in v (positive, mass-exact), Godunov in w (the entropy solution).

    Parameters
    ----------
    model : Model
        Gives a0, V_R, V_F.
    w : float64 array (k,)
        Middles of uniform cells of weights.
    start : float64 array (k,)
        C(w) at t = 0; every population starts at rest, at its own steady density.
    given, rule : callables
        I(w) and K(w) < 0 (inhibitory).
    duration : float
    speed : float
        eps, the slowness of learning.
    cells : int
        Cells in v.
    step : float, optional
        Time step of the potentials (default 0.05); the transport of the weights takes as many stable steps inside it.

    Raises
    ------
    BadInput
        When the rule is not negative.
    """
    width = float(w[1] - w[0])
    drift, slopes = np.asarray(given(w), float), np.asarray(rule(w), float)
    if np.any(slopes >= 0):
        raise BadInput("learning is for inhibitory rules: K(w) must be negative")
    mesh = grids.build(model, cells, min(-6.0, float(drift.min()) + float(w.min()) - 6.0))
    mass = np.outer(start * width / (start.sum() * width), np.exp(-((mesh.v) ** 2)) * mesh.width)
    mass *= (start / start.sum())[:, None] / mass.sum(axis=1, keepdims=True).clip(1e-300)
    rates, work = np.zeros(w.size), np.zeros((8, mesh.v.size))
    moved, totals = np.zeros(w.size + 1), np.zeros(w.size)
    for _ in range(60):
        kernels.relax_potentials(
            mass, 0.1, mesh.reset, mesh.table, drift + w * sigma(rates.sum()), model.a0, work, rates
        )
    times, kept, now, lowest = [0.0], [mass.sum(axis=1) / width], 0.0, 0.0
    for until in np.linspace(0.0, duration, snapshots + 1)[1:]:
        before = now
        while now < until - 1e-12:
            mean, here = float(rates.sum()), min(step or 0.05, until - now)
            each = rates / np.maximum(mass.sum(axis=1), 1e-300)  # rate of a neuron, kept while its weight moves
            fastest = speed * float(np.max(2 * np.abs(slopes) * rates / width * mean + np.abs(w)))
            parts = max(1, math.ceil(here * fastest / (0.4 * width)))
            for _ in range(parts):
                rates[:] = each * mass.sum(axis=1)
                kernels.transport_weights(
                    mass, speed * here / parts, width, w, slopes / width, rates, mean, moved, totals
                )
            kernels.relax_potentials(mass, here, mesh.reset, mesh.table, drift + w * sigma(mean), model.a0, work, rates)
            now += here
            lowest = min(lowest, float(mass.min()))
        times.append(now)
        kept.append(mass.sum(axis=1) / width)
        if advance is not None:
            advance(until - before)
    error = abs(float(mass.sum()) - 1.0)
    return Course(np.array(times), np.array(kept), rates / width, mass, mesh.v, error, lowest)
