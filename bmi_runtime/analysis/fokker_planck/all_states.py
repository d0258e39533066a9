"""All steady states of a sharp threshold, with a proof: interval bounds from the convexity of the mean interval.

With ``s = sigma sqrt(a)`` the mean time to the next spike is, at drift ``bN + I`` and diffusion ``a0 + a1 N``,

    T(N) = int_0^inf exp(-N (sigma b + sigma^2 a1 / 2)) w(sigma) dsigma,
    w(sigma) = exp(-sigma I - sigma^2 a0 / 2) (exp(sigma V_F) - exp(sigma V_R)) / sigma >= 0,

a positive mixture of exponentials of N. So is T + tau, and mixtures of exponentials are log-convex: ``h(N) = log(T +
tau)`` has a slope that grows with N (derived here). On an interval the slope of ``g = log N + h(N)`` against ``log N``,
``1 + N h'(N)``, therefore lies between values at its two ends, and bisection decides each piece: no state, exactly one,
or too narrow to tell (a double state). Rounding is the only thing that the bounds leave out; they are widened for it.
"""

import dataclasses
import itertools
import math

import numpy as np
from scipy import optimize, special

from bmi_runtime.analysis.fokker_planck.model import Model

LARGEST = 1e9  # rates above it are decided by asymptotic bounds
NARROWEST = 1e-9  # of an interval of log N: what is undecided there is a double state or nothing
ROUNDING = 1e-11  # relative, of h and of its slope
ASYMPTOTIC = 1e3  # standard deviations from where erfcx is its own series


@dataclasses.dataclass(frozen=True)
class AllStates:
    """What is known: rates of states, whether each rate range was decided, and where it was not.

    Attributes
    ----------
    rates : list of float
        Rates of the states, by increasing rate; each is the only one of its interval.
    lowest, highest : float
        No state lies outside the rates between them, except where `proved_below` or `proved_above` is False.
    undecided : list of (float, float)
        Intervals of the rate, narrower than `NARROWEST` relative, in which there are none, one or two states.
    """

    rates: list[float]
    lowest: float
    highest: float
    proved_below: bool
    proved_above: bool
    undecided: list[tuple[float, float]]

    @property
    def complete(self) -> bool:
        """True when there are no other states, at any rate."""
        return self.proved_below and self.proved_above and not self.undecided


def log_interval_slope(model: Model, rate: float, log_interval: float) -> float:
    """Return ``h'(N)``, the slope of the logarithm of the mean interval with the rate.

    ``dT/dm = -sqrt(pi / 2a) [phi(y)]`` and ``dT/da = -sqrt(pi) / 2a [y phi(y)]``, both between the reset and the
    threshold, ``y = (V - m) / sqrt(2a)``, ``phi(y) = exp(y^2) (1 + erf y)``.
    """
    drift, diffusion = model.b * rate + model.constant_current(), model.a0 + model.a1 * rate
    scale = math.sqrt(2.0 * diffusion)
    low, high = (model.v_reset - drift) / scale, (model.v_threshold - drift) / scale
    if high < -ASYMPTOTIC:  # phi(y) = 1 / (sqrt(pi) |y|) (1 - 1 / 2y^2 + ...): its differences without cancellation
        by_drift = (high - low) / (math.sqrt(math.pi) * low * high)
        by_diffusion = (low - high) / (low * high) * ((low + high) / (low * high)) / (2.0 * math.sqrt(math.pi))
        peak = 0.0
    else:
        peak = max(high, 0.0) ** 2
        at_low, at_high = _scaled_phi(low, peak), _scaled_phi(high, peak)
        by_drift, by_diffusion = at_high - at_low, high * at_high - low * at_low
    change = model.b * by_drift / scale + model.a1 * by_diffusion / (2.0 * diffusion)
    return -math.sqrt(math.pi) * change * math.exp(min(peak - log_interval, 700.0))


def _scaled_phi(y: float, peak: float) -> float:
    """Return ``exp(y^2 - peak) (1 + erf y)``."""
    return math.exp(y * y - peak) * (1.0 + math.erf(y)) if y > 0 else math.exp(-peak) * float(special.erfcx(-y))


def all_states(model: Model, log_interval, quietest: float = 1e-100) -> AllStates:
    """Return all steady states of a model with a sharp threshold.

    Parameters
    ----------
    model : Model
        With ``threshold_eps = 0``; nothing is known of the convexity with a random threshold.
    log_interval : callable
        ``log_interval(model, drift, diffusion)``: log of the mean time between two spikes.
    quietest : float
        Rates below it are not looked at (per membrane time constant).
    """
    current = model.constant_current()

    def h(rate):
        return log_interval(model, model.b * rate + current, model.a0 + model.a1 * rate)

    def point(rate):
        value = h(rate)
        return rate, math.log(rate) + value, log_interval_slope(model, rate, value)

    at_rest = h(0.0)
    lowest = max(min(math.exp(-min(at_rest, 600.0)), 1.0) * 1e-3, quietest)
    # h is convex: below `lowest` it stays under the larger of its ends, and log N + h under zero
    proved_below = math.log(lowest) + max(at_rest, h(lowest)) < 0.0
    highest = 1.0 / model.refractory if model.refractory > 0 else LARGEST
    proved_above = model.refractory > 0 or _none_above(model, highest)
    rates, undecided = _search(point, lowest, highest)
    polished = [_polish(h, low, high) for low, high in rates]
    return AllStates(polished, lowest, highest, proved_below, proved_above, undecided)


def _search(point, lowest, highest):
    """Return the intervals with exactly one state, and those too narrow to decide."""
    edges = [point(rate) for rate in np.geomspace(lowest, highest, 65)]
    pending = list(itertools.pairwise(edges))[::-1]
    single, undecided = [], []
    while pending:
        left, right = pending.pop()
        verdict = _decide(left, right)
        if verdict == "one":
            single.append((left[0], right[0]))
        elif verdict == "split":
            if math.log(right[0] / left[0]) < NARROWEST:
                undecided.append((left[0], right[0]))
                continue
            middle = point(math.sqrt(left[0]) * math.sqrt(right[0]))
            pending += [(middle, right), (left, middle)]
    return single, _joined(undecided)


def _decide(left, right) -> str:
    """Return what the interval between two points ``(N, g, h')`` holds: "none", "one", or "split" when it is open."""
    (low, g_low, slope_low), (high, g_high, slope_high) = left, right
    spread = ROUNDING * (1.0 + abs(slope_low) * high + abs(slope_high) * high)
    ends = (low * slope_low, high * slope_low), (low * slope_high, high * slope_high)
    least, most = 1.0 + min(ends[0]) - spread, 1.0 + max(ends[1]) + spread
    rounding = ROUNDING * (1.0 + abs(math.log(low)))
    if abs(g_low) <= rounding or abs(g_high) <= rounding:  # a state at an end: only a monotone piece can tell
        return _at_an_end(g_low, g_high, least, most)
    if least > 0 or most < 0:
        return "one" if (g_low < 0) != (g_high < 0) else "none"
    if (g_low < 0) != (g_high < 0):
        return "split"
    width, sign = math.log(high / low), math.copysign(1.0, g_low)
    if sign < 0:
        least, most = -most, -least
    # two lines of the steepest slopes from both ends meet no nearer to zero than g itself comes
    a, b = abs(g_low), abs(g_high)
    nearest = (most * a - least * b + least * most * width) / (most - least)
    return "none" if nearest > rounding else "split"


def _at_an_end(g_low, g_high, least, most):
    """Decide a piece with g near zero at one end; a state on a shared end belongs to the piece on its left."""
    if least > 0 or most < 0:
        return "one" if (g_low < 0) != (g_high < 0) or g_high == 0.0 else "none"
    return "split"


def _joined(intervals):
    """Join undecided neighbours."""
    joined: list[tuple[float, float]] = []
    for low, high in intervals:
        if joined and low <= joined[-1][1] * (1 + 1e-12):
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def _polish(h, low, high):
    """Return the state between two rates to rounding."""

    def g(u):
        return u + h(math.exp(u))

    first, last = math.log(low), math.log(high)
    if g(first) * g(last) > 0:  # it lies on an end
        return low if abs(g(first)) < abs(g(last)) else high
    return math.exp(float(optimize.brentq(g, first, last, xtol=1e-15, rtol=1e-15)))


def _none_above(model: Model, highest: float) -> bool:
    """Return whether no state without refractory time is busier than `highest`.

    ``V J(c_R) <= T <= V J(c_F)`` with ``V = V_F - V_R``, ``J(c) = int_0^inf exp(-sigma c - sigma^2 a / 2) dsigma``,
    ``c = bN + I - V_R`` or ``- V_F``, and ``c / (c^2 + a) <= J(c) <= 1 / c`` for c > 0 (Mills' ratio; Gordon 1941).
    """
    span, current, b = model.v_threshold - model.v_reset, model.constant_current(), model.b
    if b <= 0 and b * highest + current <= model.v_reset:
        # J(c, a) >= J(0, a) = sqrt(pi / 2a) for c <= 0, and N / sqrt(a0 + a1 N) grows with N
        diffusion = model.a0 + model.a1 * highest
        return highest * span * math.sqrt(math.pi / (2 * diffusion)) > 1.0
    c = np.array([b, current - model.v_reset])  # c_R as a polynomial of N
    above = span * np.polymul([1.0, 0.0], c) - np.polyadd(np.polymul(c, c), [model.a1, model.a0])
    if _positive_beyond(c, highest) and _positive_beyond(above, highest):
        return True  # N T > 1 for every larger N
    c = np.array([b, current - model.v_threshold])
    return _positive_beyond(c, highest) and _positive_beyond(np.polysub(c, [span, 0.0]), highest)  # N T < 1


def _positive_beyond(polynomial, start) -> bool:
    """Return whether a polynomial is positive for every argument from `start` on."""
    polynomial = np.trim_zeros(np.atleast_1d(polynomial), "f")
    if polynomial.size == 0 or polynomial[0] <= 0:
        return False
    roots = np.roots(polynomial)
    return not any(abs(root.imag) < 1e-9 * (1 + abs(root)) and root.real >= start for root in roots)
