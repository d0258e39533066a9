"""Steady states from the scalar self-consistency condition ``1/N = T(bN + I, a0 + a1 N) + tau``, to about 12 digits.

T is the mean time from V_R to the next spike at a constant drift.
"""

import dataclasses
import functools
import math

import numpy as np
from scipy import optimize, special

from bmi_runtime.analysis.fokker_planck.all_states import AllStates, all_states, log_interval_slope
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput

QUIETEST = 1e-100  # per membrane time constant; a state that fires less often is not looked for
LOWEST_FOLD = 1e-90  # rate below which no fold is looked for: the connectivity that gives it is beyond all numbers

ROUNDING_OF_INTERVAL = 1e-13  # relative, of the mean time between two spikes
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclasses.dataclass(frozen=True)
class SteadyState:
    """One steady state: its rate, how well it solves the condition (relative), the error of the rate that follows, and
    what the linearised operator says (None: not resolved).
    """

    rate: float
    residual: float
    rate_error: float = 0.0
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


def search(model: Model) -> AllStates:
    """Return the rates of the steady states, and whether they are known to be all of them.

    Sharp threshold: every state, with a proof (:mod:`.all_states`). Random threshold: those that a scan finds.
    """
    if model.threshold_eps == 0:
        return all_states(model, log_interval, QUIETEST)
    return AllStates(_scanned(model), QUIETEST, 1e9, False, False, [])


def steady_states(model: Model) -> list[SteadyState]:
    """Return the steady states above `QUIETEST` by increasing rate (without stability: see :mod:`.spectral`)."""
    return described(model, search(model).rates)


def described(model: Model, rates: list[float]) -> list[SteadyState]:
    """Return the states of these rates with residual and error: what rounding leaves open over the slope there."""
    states = []
    for rate in rates:
        residual, step = abs(mismatch(model, rate)), 1e-4
        slope = (mismatch(model, rate * math.exp(step)) - mismatch(model, rate * math.exp(-step))) / (2.0 * step)
        relative = (residual + ROUNDING_OF_INTERVAL) / max(abs(slope), math.sqrt(ROUNDING_OF_INTERVAL))
        states.append(SteadyState(rate, residual, rate * relative))
    return states


def _scanned(model: Model) -> list[float]:
    """Return the rates of the steady states that a scan finds, of a model with a random threshold.

    A scan of ``mismatch`` over 50 decades of the rate or more brackets every sign change; near-misses of zero are
    polished, so that two states about to merge at a fold are both found. It proves nothing.
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
            brackets += _turning(functools.partial(mismatch, model), grid[i - 1], grid[i + 1], values[i])
    found: list[float] = []
    for low, high in brackets:
        rate = float(optimize.brentq(lambda rate: mismatch(model, rate), low, high, xtol=1e-300, rtol=1e-15))
        if not found or abs(rate - found[-1]) > 1e-13 * rate:
            found.append(rate)
    return found


def _turning(function, low, high, sign):
    """Return brackets of the two zeros about an extremum that turns towards zero between `low` and `high`, if it
    crosses; `sign` is that of the function around.
    """
    sign = math.copysign(1.0, sign)
    best = optimize.minimize_scalar(
        lambda x: sign * function(math.exp(x)),
        bounds=(math.log(low), math.log(high)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    turn = math.exp(best.x)
    if best.fun >= 0 or min(sign * function(low), sign * function(high)) <= 0:
        return []
    return [(low, turn), (turn, high)]


def drift_of_rate(model: Model, rate: float) -> float:
    """Return the constant drift m at which a neuron fires at `rate`: the interval decreases with m, so there is one.

    Raises
    ------
    BadInput
        When no drive gives the rate.
    """
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
    """Return the turning points (b, N) that are found on the curve of steady states, by increasing rate.

    Between a maximum of b(N) and the next minimum there are three states; beyond the only maximum none. A turning point
    is a zero of the slope of ``mismatch`` along the curve; two that are closer than the samples show as an extremum of
    that slope which crosses zero.
    """
    top = 1e4 if model.refractory + model.threshold_eps == 0 else 0.999 / (model.refractory + model.threshold_eps)
    rates = np.geomspace(1e-3, top, 240)
    quiet = unconnected_rate(model)  # the quiet branch passes b = 0 there, and folds at a higher rate
    if quiet < rates[0]:
        count = 2 + math.ceil(16 * math.log10(rates[0] / quiet))
        rates = np.r_[np.geomspace(max(0.5 * quiet, LOWEST_FOLD), rates[0], count)[:-1], rates]
    slopes = np.array([_slope_along(model, rate) for rate in rates])
    brackets = []
    for i in range(rates.size - 1):
        if slopes[i] * slopes[i + 1] < 0:
            brackets.append((rates[i], rates[i + 1]))
        elif i > 0 and abs(slopes[i]) < min(abs(slopes[i - 1]), abs(slopes[i + 1])) and slopes[i] * slopes[i - 1] > 0:
            brackets += _turning(functools.partial(_slope_along, model), rates[i - 1], rates[i + 1], slopes[i])
    found = [_root(lambda u: _slope_along(model, math.exp(u)), math.log(low), math.log(high)) for low, high in brackets]
    return [(float(branch(model, np.array([math.exp(u)]))[0]), math.exp(u)) for u in found]


def _root(function, low, high):
    return float(optimize.brentq(function, low, high, xtol=1e-14))


def _slope_along(model: Model, rate: float) -> float:
    """Return the slope of ``mismatch`` with log N at the connectivity at which `rate` is steady."""
    there = dataclasses.replace(model, b=float(branch(model, np.array([rate]))[0]))
    if model.threshold_eps == 0:
        drift = there.b * rate + there.constant_current()
        return 1.0 + rate * log_interval_slope(there, rate, log_interval(there, drift, there.a0 + there.a1 * rate))
    step = 1e-5
    return (mismatch(there, rate * math.exp(step)) - mismatch(there, rate * math.exp(-step))) / (2.0 * step)


@dataclasses.dataclass(frozen=True)
class Critical:
    """Where steady states end as the connectivity grows.

    Attributes
    ----------
    b : float or None
        None where no end was found.
    kind : {"fold", "limit", "quiet-branch", "none-found"}
        ``fold``: two states merge, and beyond b there is none. ``limit``: the rate grows without bound towards b.
        ``quiet-branch``: the quiet state ends at a fold, a busier one exists at every b (refractory time or random
        threshold). ``none-found``.
    proved : bool
        True when it is shown that no state exists beyond b by more than a part in 10^9.
    """

    b: float | None
    kind: str
    proved: bool = False


def critical(model: Model) -> Critical:
    """Return where the steady states of this noise, current and refractory time end as b grows.

    Without refractory state and random threshold ``N T -> (V_F - V_R) / b`` as N grows, whatever the noise: the busy
    branch ends at b = V_F - V_R, so states exist up to that or to the highest fold, whichever is larger. ``N T`` falls
    with b at every N: where no state exists, none does at a larger b.
    """
    sharp = model.refractory + model.threshold_eps == 0
    if sharp and unconnected_rate(model) <= QUIETEST:
        return Critical(None, "none-found")
    turns = folds(dataclasses.replace(model, b=0.0))
    if not sharp:
        return Critical(turns[0][0], "quiet-branch") if turns else Critical(None, "none-found")
    limit = model.v_threshold - model.v_reset
    highest = max((b for b, _ in turns), default=-math.inf)
    star, kind = (highest, "fold") if highest > limit else (limit, "limit")
    beyond = search(dataclasses.replace(model, b=star + 1e-9 * abs(star)))
    return Critical(star, kind, beyond.complete and not beyond.rates)


def critical_b(model: Model) -> float | None:
    """Return the connectivity of :func:`critical`."""
    return critical(model).b


def density(model: Model, rate: float, v: np.ndarray) -> np.ndarray:
    """Return the steady density at the points `v` (k,) for a sharp threshold.

    ``p(v) = N/a int_{max(v, V_R)}^{V_F} exp(((w-m)^2 - (v-m)^2) / 2a) dw``, written with Dawson's integral so that
    nothing overflows; its mass is ``1 - N tau``.

    Raises
    ------
    BadInput
        When the threshold is random.
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
