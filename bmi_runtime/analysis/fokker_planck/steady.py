"""Steady states from the scalar self-consistency condition ``1/N = T(bN + I, a0 + a1 N) + tau``, to about 12 digits.

T is the mean time from V_R to the next spike at a constant drift. All states are found, with their multiplicity: the
curve ``b(N)`` is traced over the whole range of rates, folds included.
"""

import dataclasses
import functools
import math

import numpy as np
from scipy import optimize, special

from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput

QUIETEST = 1e-100  # per membrane time constant; a state that fires less often is not looked for

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclasses.dataclass(frozen=True)
class SteadyState:
    """One steady state: its rate, how well it solves the condition (relative), and what the linearised operator
    says.
    """

    rate: float
    residual: float
    multiplicity: int = 1
    stable: bool | None = None
    leading_eigenvalue: complex | None = None


def log_crossing_time(drift: float, diffusion: float, v_reset: float = 1.0, v_threshold: float = 2.0) -> float:
    """Return the logarithm of the mean time from V_R to V_F of ``dv = (drift - v) dt + sqrt(2 diffusion) dW``.

    ``T = sqrt(pi) int_{(V_R-m)/sqrt(2a)}^{(V_F-m)/sqrt(2a)} exp(x^2) (1 + erf x) dx`` (Siegert 1951), the integrand
    written as ``erfcx(-x)`` and scaled by its largest value, so that neither a strong nor a weak drive overflows.
    """
    scale = math.sqrt(2.0 * diffusion)
    high, span = (v_threshold - drift) / scale, (v_threshold - v_reset) / scale
    peak = max(high, 0.0) ** 2
    total, near = 0.0, 0.0  # distances below `high`: differences of large numbers would lose digits
    if high > 6.0:  # 1 + erf x = 2 to rounding: Dawson's integral
        near = min(span, high - 6.0)
        total = 2.0 * (special.dawsn(high) - math.exp(-near * (2.0 * high - near)) * special.dawsn(high - near))
    while near < span:  # panels lengthen away from zero, where the integrand is a power
        far = min(span, near + 0.5 * max(1.0, near - high))
        x = high - 0.5 * (near + far) + 0.5 * (far - near) * _NODES
        scaled = np.exp(np.maximum(x, 0.0) ** 2 - peak) * np.where(
            x > 0, 1.0 + special.erf(x), special.erfcx(np.maximum(-x, 0.0))
        )
        total += 0.5 * (far - near) * float(_WEIGHTS @ scaled)
        near = far
    return math.log(math.sqrt(math.pi) * total) + peak


def extra_time(drift: float, diffusion: float, v_threshold: float, eps: float) -> float:
    """Return the mean time from V_F to the next spike when neurons above V_F fire at the rate 1/eps (derived here).

    The mean time u solves ``a u'' + (m - v) u' = -1 + u 1_{v > V_F} / eps``. Below V_F its slope is known; above it is
    ``eps - c psi``, ``psi(x) = exp(x^2/4) D_{-1/eps}(x)`` in ``x = (v - m) / sqrt(a)``. Matching at V_F gives
    ``u(V_F) = eps + M(x) psi / (-psi')`` with the Mills ratio ``M = sqrt(2 pi) exp(x^2/2) Phi(x)``, and
    ``psi / -psi' = I_0 / I_1``, ``I_k = int_0^inf s^{1/eps - 1 + k} exp(-s^2/2 - x s) ds``.
    """
    x = (v_threshold - drift) / math.sqrt(diffusion)
    log_mills = math.log(math.sqrt(math.pi / 2)) + _log_erfcx(-x / math.sqrt(2))
    return eps + math.exp(min(log_mills + _log_moment(1 / eps, x) - _log_moment(1 / eps + 1, x), 700.0))


def _log_erfcx(y):
    return math.log(special.erfcx(y)) if y > -25 else y * y + math.log(2.0)


def _log_moment(power, x):
    """Return log of int_0^inf s^(power - 1) exp(-s^2/2 - x s) ds, by the trapezoidal rule in log s about the
    maximum.
    """
    peak_s = 0.5 * (-x + math.sqrt(x * x + 4 * power)) if x < 0 else 2 * power / (x + math.sqrt(x * x + 4 * power))
    width = 1.0 / math.sqrt(peak_s**2 + power)

    def exponent(t):
        grown = np.expm1(t)
        return power * t - peak_s * grown * (peak_s * (1.0 + 0.5 * grown) + x)

    left = right = 8.0 * width
    while exponent(-left) > -50:
        left *= 2
    while exponent(right) > -50:
        right *= 1.5
    values = np.exp(exponent(np.arange(-left, right, 0.2 * width)))
    height = power * math.log(peak_s) - peak_s * (0.5 * peak_s + x)
    return height + math.log(float(np.sum(values)) * 0.2 * width)


def log_interval(model: Model, drift: float, diffusion: float) -> float:
    """Return log of the mean time between two spikes of a neuron at a constant drift, the refractory time included."""
    time = log_crossing_time(drift, diffusion, model.v_reset, model.v_threshold)
    if model.threshold_eps > 0:
        time = np.logaddexp(time, math.log(extra_time(drift, diffusion, model.v_threshold, model.threshold_eps)))
    return float(np.logaddexp(time, math.log(model.refractory))) if model.refractory > 0 else float(time)


def mismatch(model: Model, rate: float) -> float:
    """Return ``log(N (T(bN + I, a(N)) + tau))``: zero at a steady state, the relative error of the interval near
    one.
    """
    drift = model.b * rate + model.constant_current()
    return math.log(rate) + log_interval(model, drift, model.a0 + model.a1 * rate)


def unconnected_rate(model: Model) -> float:
    """Return the steady rate at b = 0 and a1 = 0, at least `QUIETEST` (1 for a neuron without noise of its own)."""
    if model.a0 <= 0:
        return 1.0
    return max(math.exp(-min(log_interval(model, model.constant_current(), model.a0), 600.0)), QUIETEST)


def steady_states(model: Model) -> list[SteadyState]:
    """Return all steady states above `QUIETEST` by increasing rate (without stability: see :mod:`.spectral`).

    A scan of ``mismatch`` over 50 decades of the rate or more brackets every sign change; near-misses of zero are
    polished, so that two states about to merge at a fold are both found.
    """
    low = min(-40.0, math.floor(math.log10(unconnected_rate(model))) - 1.0)
    grid = np.r_[np.logspace(low, -3, round(1.6 * -low)), np.logspace(-3, 4, 561)[1:], np.logspace(4, 9, 60)[1:]]
    dead = model.refractory + model.threshold_eps
    if dead > 0:  # a neuron rests, on average, at least so long between two spikes
        grid = np.r_[grid[grid < 0.98 / dead], np.linspace(0.98, 0.999999, 20) / dead]
    values = np.array([mismatch(model, rate) for rate in grid])
    brackets = []
    for i in range(grid.size - 1):
        if values[i] * values[i + 1] <= 0 and values[i] != 0 and max(abs(values[i]), abs(values[i + 1])) > 1e-13:
            brackets.append((grid[i], grid[i + 1]))
        elif i > 0 and (values[i] - values[i - 1]) * (values[i + 1] - values[i]) < 0 and values[i] * values[i - 1] > 0:
            brackets += _touching(model, grid[i - 1], grid[i + 1], math.copysign(1.0, values[i]))
    found: list[SteadyState] = []
    for low, high in brackets:
        rate = float(optimize.brentq(lambda rate: mismatch(model, rate), low, high, xtol=1e-300, rtol=1e-15))
        if not found or abs(rate - found[-1].rate) > 1e-13 * rate:
            found.append(SteadyState(rate, abs(mismatch(model, rate))))
    return found


def _touching(model, low, high, sign):
    """Return brackets of the two roots about an extremum that turns towards zero between `low` and `high`, if it
    crosses.
    """
    best = optimize.minimize_scalar(
        lambda x: sign * mismatch(model, math.exp(x)),
        bounds=(math.log(low), math.log(high)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    turn = math.exp(best.x)
    if best.fun >= 0 or min(sign * mismatch(model, low), sign * mismatch(model, high)) <= 0:
        return []
    return [(low, turn), (turn, high)]


def drift_of_rate(model: Model, rate: float) -> float:
    """Return the constant drift m at which a neuron fires at `rate`: the interval decreases with m, so there is one."""
    diffusion = model.a0 + model.a1 * rate
    if model.refractory * rate >= 1:
        raise BadInput(
            f"no drive gives the rate {rate:g}: with a refractory time {model.refractory:g} it stays below 1/tau"
        )

    def excess(drift):
        return log_interval(model, drift, diffusion) + math.log(rate)

    low, high = -1.0, 1.0
    while excess(low) < 0:
        low *= 4
    while excess(high) > 0:
        high *= 4
        if high > 1e16:
            raise BadInput(
                f"no drive gives the rate {rate:g} with a random threshold of mean time {model.threshold_eps:g}"
            )
    return float(optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-14))


def branch(model: Model, rates: np.ndarray) -> np.ndarray:
    """Return the connectivity b(N) = (m(N) - I) / N at which each of the `rates` (k,) is steady."""
    current = model.constant_current()
    return np.array([(drift_of_rate(model, rate) - current) / rate for rate in rates])


@functools.lru_cache(maxsize=64)
def folds(model: Model) -> list[tuple[float, float]]:
    """Return the turning points (b, N) of the curve of steady states, by increasing rate.

    Between a maximum of b(N) and the next minimum there are three states; beyond the only maximum none.
    """
    top = 1e4 if model.refractory + model.threshold_eps == 0 else 0.999 / (model.refractory + model.threshold_eps)
    rates = np.geomspace(1e-3, top, 160)
    quiet = unconnected_rate(model)  # the quiet branch passes b = 0 there, and folds at a higher rate
    if quiet < rates[0]:
        count = 2 + math.ceil(16 * math.log10(rates[0] / quiet))
        rates = np.r_[np.geomspace(0.5 * quiet, rates[0], count)[:-1], rates]
    curve = branch(model, rates)
    found = []
    for i in range(1, rates.size - 1):
        rise, fall = curve[i] - curve[i - 1], curve[i + 1] - curve[i]
        if rise * fall < 0:
            sign = math.copysign(1.0, rise)
            best = optimize.minimize_scalar(
                lambda x, sign=sign: -sign * float(branch(model, np.array([math.exp(x)]))[0]),
                bounds=(math.log(rates[i - 1]), math.log(rates[i + 1])),
                method="bounded",
                options={"xatol": 1e-9},
            )
            found.append((-sign * best.fun, math.exp(best.x)))
    return found


def critical_b(model: Model) -> float | None:
    """Return b*, the connectivity above which the quiet steady state exists no more, or None where it never disappears
    (or is quieter than `QUIETEST`).

    Where the curve of steady states folds, b* is its first maximum: without refractory state and random threshold there
    is no steady state above it; with one, only the busy state is left. Where the curve of a model without both (and
    with a1 = 0) does not fold, it rises towards V_F - V_R as the rate grows without bound, and b* is that limit.
    """
    turns = folds(dataclasses.replace(model, b=0.0))
    if turns:
        return turns[0][0]
    bounded = model.refractory + model.threshold_eps + model.a1 > 0
    return None if bounded or unconnected_rate(model) <= QUIETEST else model.v_threshold - model.v_reset


def density(model: Model, rate: float, v: np.ndarray) -> np.ndarray:
    """Return the steady density at the points `v` (k,) for a sharp threshold.

    ``p(v) = N/a int_{max(v, V_R)}^{V_F} exp(((w-m)^2 - (v-m)^2) / 2a) dw``, written with Dawson's integral so that
    nothing overflows; its mass is ``1 - N tau``.
    """
    if model.threshold_eps > 0:
        raise BadInput("the closed form of the density is for a sharp threshold: use the spectral solution")
    diffusion = model.a0 + model.a1 * rate
    scale = math.sqrt(2 * diffusion)
    drift = model.b * rate + model.constant_current()
    x, top = (np.asarray(v, float) - drift) / scale, (model.v_threshold - drift) / scale
    start = np.maximum(x, (model.v_reset - drift) / scale)
    with np.errstate(over="ignore"):
        value = np.exp(top * top - x * x) * special.dawsn(top) - np.exp(start * start - x * x) * special.dawsn(start)
    return np.where(x < top, rate * scale / diffusion * value, 0.0)
