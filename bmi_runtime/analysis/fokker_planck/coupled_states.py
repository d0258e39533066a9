"""All steady states of coupled populations, with a proof: boxes of log rates, divided until each is decided.

The mean interval ``T(m, a)`` is a positive mixture of exponentials ``exp(-sigma m - sigma^2 a / 2)`` of drift and
diffusion, sigma > 0. So ``h = log(T + tau)`` falls with both, and its two slopes, ``-E[sigma]`` and
``-E[sigma^2] / 2``, grow with both (their changes are variances and a covariance of increasing functions of sigma;
derived here). On a box of rates drift and diffusion lie between two corners, hence T and its slopes between their
values there: enclosures without overestimation but for the correlation of drift and diffusion. Steady states solve
``log N_k + h_k(N) = 0``; Krawczyk's test (1969) on inflated boxes proves one, an empty intersection none. Rounding is
the only thing left out; enclosures are widened for it.
"""

import dataclasses
import math

import numpy as np

from bmi_runtime.analysis.fokker_planck.populations import Populations
from bmi_runtime.kernels.interval_moments import interval_moments

LARGEST = 1e6  # rates above it are not searched where no bound on them is known
LEAST_LOG = -600.0  # natural logarithm of the quietest rate that is told apart from 0
ROUNDING = 1e-11  # of h and of its slopes
NARROWEST = 1e-8  # of log rates; what is open there is a double state or nothing
MOST_BOXES = 20000


@dataclasses.dataclass(frozen=True)
class CoupledStates:
    """What is known of the steady states.

    Attributes
    ----------
    rates : list of float64 arrays (n,)
        By increasing total rate; each proved to be the only one of a box around it.
    errors : list of float64 arrays (n,)
        Half widths of boxes that hold them.
    highest : float64 array (n,)
        Rates beyond which no state was looked for.
    bounded : bool
        True when it is shown that no state is busier than `highest`.
    undecided : list of (float64 array (n,), float64 array (n,))
        Boxes of rates in which nothing was decided.
    boxes : int
        Boxes that were looked at.
    """

    rates: list[np.ndarray]
    errors: list[np.ndarray]
    highest: np.ndarray
    bounded: bool
    undecided: list[tuple[np.ndarray, np.ndarray]]
    boxes: int

    @property
    def complete(self) -> bool:
        """True when there are no other states, at any rates."""
        return self.bounded and not self.undecided


def log_intervals(net: Populations, drift, diffusion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``log(T + tau)`` and its slopes with drift and diffusion, (n,) each."""
    out = np.empty((3, net.count))
    for k in range(net.count):
        log_time, first, second = interval_moments(drift[k], diffusion[k], net.v_reset[k], net.v_threshold[k])
        share = 1.0
        if net.refractory[k] > 0:
            total = float(np.logaddexp(log_time, math.log(net.refractory[k])))
            share, log_time = math.exp(log_time - total), total
        out[:, k] = log_time, -share * first, -share * second
    return out[0], out[1], out[2]


def mismatch(net: Populations, log_rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``log N_k + h_k(N)`` (n,) and its Jacobian with the log rates (n, n)."""
    rates = np.exp(log_rates)
    h, by_drift, by_diffusion = log_intervals(net, net.drift(rates), net.diffusion(rates))
    slopes = by_drift[:, None] * net.b + by_diffusion[:, None] * net.a
    return log_rates + h, np.eye(net.count) + slopes * rates


def polish(net: Populations, log_rates: np.ndarray, limit: int = 40) -> np.ndarray | None:
    """Return a root of :func:`mismatch` by damped Newton steps from a start (n,), or None."""
    x = log_rates.copy()
    value, jacobian = mismatch(net, x)
    for _ in range(limit):
        try:
            step = -np.linalg.solve(jacobian, value)
        except np.linalg.LinAlgError:
            return None
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        x = x + step
        if not np.all(np.isfinite(x)) or x.max() > 60 or x.min() < 2 * LEAST_LOG:
            return None
        value, jacobian = mismatch(net, x)
        if np.abs(step).max() < 1e-14 * (1 + np.abs(x).max()):
            return x
    return x if np.abs(value).max() < 1e-11 else None


def _enclosure(net, low, high):
    """Return bounds of h (n,) and of the Jacobian of :func:`mismatch` (n, n) on a box of log rates."""
    rates_low, rates_high = np.exp(low), np.exp(high)
    up, down = np.maximum(net.b, 0.0), np.minimum(net.b, 0.0)
    drift_low = net.current + up @ rates_low + down @ rates_high
    drift_high = net.current + up @ rates_high + down @ rates_low
    h_high, m_low, a_low = log_intervals(net, drift_low, net.diffusion(rates_low))
    h_low, m_high, a_high = log_intervals(net, drift_high, net.diffusion(rates_high))
    widen = ROUNDING * (1.0 + np.abs(h_high) + np.abs(h_low))
    slopes = (m_low * (1 + ROUNDING), m_high * (1 - ROUNDING)), (a_low * (1 + ROUNDING), a_high * (1 - ROUNDING))
    least = up * slopes[0][0][:, None] + down * slopes[0][1][:, None] + net.a * slopes[1][0][:, None]
    most = up * slopes[0][1][:, None] + down * slopes[0][0][:, None] + net.a * slopes[1][1][:, None]
    least = np.minimum(least * rates_low, least * rates_high)
    most = np.maximum(most * rates_low, most * rates_high)
    eye = np.eye(net.count)
    return h_low - widen, h_high + widen, eye + least, eye + most


def _krawczyk(net, low, high, at):
    """Return the box that Krawczyk's operator makes of the box [low, high] about the point `at`."""
    _, _, least, most = _enclosure(net, low, high)
    middle = 0.5 * (least + most)
    try:
        inverse = np.linalg.inv(middle)
    except np.linalg.LinAlgError:
        return None
    value, _ = mismatch(net, at)
    error = ROUNDING * (1.0 + np.abs(at) + np.abs(value))
    spread = np.abs(inverse) @ (0.5 * (most - least)) + 1e-13
    reach = np.maximum(high - at, at - low)
    centre = at - inverse @ value
    radius = spread @ reach + np.abs(inverse) @ error
    return centre - radius, centre + radius


def _first_box(net):
    """Return a box of log rates that holds every state (or rates up to LARGEST), and whether it holds them all."""
    n = net.count
    high, bounded = np.full(n, math.log(LARGEST)), True
    free = net.refractory == 0
    high[~free] = -np.log(net.refractory[~free]) + ROUNDING
    if free.any():
        limit = _linear_bound(net, free, np.exp(high))
        bounded = limit is not None
        if limit is not None:
            high[free] = np.log(limit)
    low = np.full(n, LEAST_LOG)
    for _ in range(60):
        before = low.copy(), high.copy()
        h_low, h_high, _, _ = _enclosure(net, low, high)
        low, high = np.maximum(low, -h_high), np.minimum(high, -h_low)
        if max(np.abs(low - before[0]).max(), np.abs(high - before[1]).max()) < 1e-3:
            break
    return low, high, bounded


def _linear_bound(net, free, high):
    """Return rates that populations without refractory state cannot exceed, or None where none is known.

    ``N <= (max(m - V_R, 0) + 2 sqrt a) / (V_F - V_R)`` (Mills' ratio), ``2 sqrt a <= e a + 1 / e`` for every e > 0: a
    linear bound, which closes where the excitation among them could not sustain itself alone.
    """
    inside, span = np.ix_(free, free), (net.v_threshold - net.v_reset)[free]
    for small in (1.0, 0.1, 0.01, 1e-3):
        gain = (np.maximum(net.b, 0.0)[inside] + small * net.a[inside]) / span[:, None]
        if np.abs(np.linalg.eigvals(gain)).max() >= 0.999:
            continue
        other = np.ix_(free, ~free)
        drive = np.maximum(net.current - net.v_reset, 0.0)[free] + np.maximum(net.b, 0.0)[other] @ high[~free]
        noise = net.a0[free] + net.a[other] @ high[~free]
        limit = np.linalg.solve(np.eye(free.sum()) - gain, (drive + small * noise + 1.0 / small) / span)
        return limit * (1 + 1e-9)
    return None


def search(net: Populations) -> CoupledStates:
    """Return all steady states, as far as boxes decide."""
    low, high, bounded = _first_box(net)
    proved: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    undecided, pending, count = [], [(low, high)], 0
    while pending:
        box = pending.pop()
        count += 1
        if count > MOST_BOXES:
            undecided += [box, *pending]
            break
        box = _shrunk(net, *box)
        if box is None or any(np.all(box[0] >= known[0]) and np.all(box[1] <= known[1]) for known in proved):
            continue
        known = _proved_near(net, *box)
        if known is not None:
            if not any(np.all(known[2] >= other[0]) and np.all(known[2] <= other[1]) for other in proved):
                proved.append(known)
            if np.all(box[0] >= known[0]) and np.all(box[1] <= known[1]):
                continue
        if float((box[1] - box[0]).max()) < NARROWEST:
            undecided.append(box)
            continue
        pending += _halves(*box)
    proved.sort(key=lambda entry: float(np.exp(entry[2]).sum()))
    states = [(np.exp(x), np.exp(x) * _error(net, x)) for _, _, x in proved]
    return CoupledStates(
        [rates for rates, _ in states],
        [error for _, error in states],
        np.exp(high),
        bounded,
        [(np.exp(a), np.exp(b)) for a, b in _joined(undecided)],
        count,
    )


def _shrunk(net, low, high):
    """Return the part of a box that can hold a state, or None."""
    for _ in range(8):
        width = high - low
        h_low, h_high, _, _ = _enclosure(net, low, high)
        low, high = np.maximum(low, -h_high), np.minimum(high, -h_low)
        if np.any(low > high):
            return None
        made = _krawczyk(net, low, high, 0.5 * (low + high)) if float((high - low).max()) < 8.0 else None
        if made is not None and np.all(np.isfinite(made[0])):
            low, high = np.maximum(low, made[0]), np.minimum(high, made[1])
            if np.any(low > high):
                return None
        if np.all(high - low > 0.7 * width):
            break
    return low, high


def _proved_near(net, low, high):
    """Return (low, high, state): a box, as large as can be proved, with exactly the one state that Newton finds from
    the middle, or None.
    """
    at = polish(net, 0.5 * (low + high), 12)
    if at is None or np.any(at < low - 1.0) or np.any(at > high + 1.0):
        return None
    width = np.maximum(high - low, 1e-9)
    for factor in (1.0, 0.25, 0.05, 1e-2, 1e-3):
        radius = factor * width + np.maximum(np.maximum(low - at, at - high), 0.0) * factor
        made = _krawczyk(net, at - radius, at + radius, at)
        if made is not None and np.all(made[0] > at - radius) and np.all(made[1] < at + radius):
            return at - radius, at + radius, at
    return None


def _halves(low, high):
    """Return the two halves of a box, across its widest side."""
    side = int(np.argmax(high - low))
    middle = 0.5 * (low[side] + high[side])
    upper, lower = low.copy(), high.copy()
    upper[side] = lower[side] = middle
    return [(upper, high), (low, lower)]


def _error(net, x):
    """Return the error of a state, relative (n,): what rounding of the interval leaves over the slope."""
    value, jacobian = mismatch(net, x)
    return np.abs(np.linalg.inv(jacobian)) @ (np.abs(value) + 1e-14 * (1 + np.abs(x))) + 1e-15


def _joined(boxes):
    """Join boxes that touch, so that a double state is said once."""
    joined: list[tuple[np.ndarray, np.ndarray]] = []
    for low, high in sorted(boxes, key=lambda box: tuple(box[0])):
        for i, (other_low, other_high) in enumerate(joined):
            if np.all(low <= other_high + 1e-6) and np.all(high >= other_low - 1e-6):
                joined[i] = np.minimum(low, other_low), np.maximum(high, other_high)
                break
        else:
            joined.append((low, high))
    return joined
