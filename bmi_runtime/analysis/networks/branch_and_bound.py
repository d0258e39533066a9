"""Every steady state of a small network, with proof: the box of possible inputs is divided until each part is done.

A part is done when no steady state can lie in it, or when exactly one does. The first is seen from the bounds that
rates rising with input give (see :func:`certificates.enclosing_box`); the second from Krawczyk's operator: with ``Y``
close to the inverse of the Jacobian J at the middle c of a part, ``K = c - Y F(c) + (I - Y J)(part - c)`` holds every
steady state of the part, and one lying inside the part proves one and only one (Krawczyk 1969; Moore, Kearfott & Cloud
2009). To rounding: bounds are widened by a part in 1e12 instead of rounding outwards. The choice of the cuts is ours.
"""

import dataclasses

import numpy as np

from bmi_runtime.analysis.networks.certificates import Box
from bmi_runtime.analysis.networks.network import RateNetwork

LARGEST = 40  # neurons beyond which dividing is not tried: it would not come to an end
PARTS = 40_000  # most parts looked at (fewer from 12 neurons on, where each costs more)
TOGETHER = 1024  # parts looked at in one sweep of the arrays
NARROWEST_MV = 1e-7  # a part narrower than this that is not done holds states too close to tell apart
WIDENED = 1.1  # Krawczyk's operator is applied to a part widened by this factor: a state on an edge is proven too
SLACK, SLOPE_SLACK = 1e-12, 1e-8  # what rounding may do to bounds, and to slopes, relative to themselves


@dataclasses.dataclass
class Division:
    """Where steady states are: one alone within ``within_mv`` (states, n) of each row of ``near_mv`` (states, n).

    ``complete`` says whether these are all (one may be there twice); ``parts`` how many parts were looked at.
    """

    near_mv: np.ndarray
    within_mv: np.ndarray
    complete: bool
    parts: int


class _Parts:
    """What is needed of the network to judge many parts at once: bounds `low` and `high` are (parts, neurons)."""

    def __init__(self, network: RateNetwork):
        self.neuron, self.external, self.weights = network.neuron, network.external_mv, network.dense()
        self.positive, self.negative = np.maximum(self.weights, 0), np.maximum(-self.weights, 0)
        self.reach = np.abs(self.weights).max(axis=0)
        sigma, threshold = self.neuron.sigma_mv, self.neuron.v_threshold_mv
        self.grid = threshold + sigma * np.sinh(np.linspace(-8, 16, 4001))
        self.grid_rates = self.neuron.rate_hz(self.grid)

    def narrowed(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds that follow from the bounds (an empty part has a lower bound above an upper one)."""
        least, most = self.neuron.rate_hz(low), self.neuron.rate_hz(high)
        below = self.external + least @ self.positive.T - most @ self.negative.T
        above = self.external + most @ self.positive.T - least @ self.negative.T
        slack = SLACK * (np.abs(self.external) + most @ (self.positive + self.negative).T)
        return np.maximum(low, below - slack), np.minimum(high, above + slack)

    def krawczyk(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the middle and half width of K (see above), both (parts, neurons), and two facts of each part: whether
        it holds exactly one steady state, and whether K is known.
        """
        middle, half = 0.5 * (low + high), 0.5 * WIDENED * (high - low) + SLACK * (1 + np.abs(low) + np.abs(high))
        least, most = self._slopes(middle - half, middle + half)
        inverse = _inverses(np.eye(middle.shape[1]) - self.weights * (0.5 * (least + most))[:, None, :])
        gap = middle - self.external - self.neuron.rate_hz(middle) @ self.weights.T
        spread = np.abs(self.weights) * (0.5 * (most - least))[:, None, :]
        uncertain = np.einsum("pij,pjk,pk->pi", np.abs(inverse), spread, half, optimize=True)
        centre = middle - np.einsum("pij,pj->pi", inverse, gap)
        width = uncertain + SLACK * (half + np.abs(middle) + np.abs(centre))
        one = (np.abs(centre - middle) + width < half).all(axis=1)
        return centre, width, one, np.isfinite(width).all(axis=1)

    def _slopes(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the smallest and largest slope of the f-I curve between the bounds; the slope has one maximum."""
        ends = self.neuron.rate_and_slope(low)[1], self.neuron.rate_and_slope(high)[1]
        where, steepest = self.neuron.steepest
        peak = (low <= where) & (high >= where)
        least, most = np.minimum(*ends), np.where(peak, steepest, np.maximum(*ends))
        return least * (1 - SLOPE_SLACK), most * (1 + SLOPE_SLACK)

    def halves(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return twice as many parts: each cut at the middle rate of the neuron whose rate leaves others most open."""
        least, most = self.neuron.rate_hz(low), self.neuron.rate_hz(high)
        which = np.argmax((most - least) * self.reach, axis=1)
        rows = np.arange(len(low))
        first, last = low[rows, which], high[rows, which]
        cut = np.interp(0.5 * (least[rows, which] + most[rows, which]), self.grid_rates, self.grid)
        cut = np.clip(cut, first + 0.05 * (last - first), last - 0.05 * (last - first))
        upper, lower = high.copy(), low.copy()
        upper[rows, which] = lower[rows, which] = cut
        return np.concatenate([low, lower]), np.concatenate([upper, high])


def _inverses(matrices: np.ndarray) -> np.ndarray:
    """Return the inverses of many matrices (parts, n, n); not-a-number where there is none."""
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        result = np.full_like(matrices, np.nan)
        for k, matrix in enumerate(matrices):
            if np.linalg.matrix_rank(matrix) == len(matrix):
                result[k] = np.linalg.inv(matrix)
        return result


def divide(network: RateNetwork, box: Box, most_parts: int | None = None) -> Division:
    """Find every steady state of `network` in `box`, which must hold all (:func:`certificates.enclosing_box`).

    Returns
    -------
    Division
        ``complete`` is False when `most_parts` did not suffice, when states lie too close to tell apart (at a fold), or
        when the box is not finite; what was found is then a beginning.
    """
    near, within = [np.empty((0, network.size))], [np.empty((0, network.size))]
    limit = int(PARTS * min(1.0, (12 / network.size) ** 2)) if most_parts is None else most_parts
    waiting = [(box.low_mv[None], box.high_mv[None])] if np.isfinite(box.width_mv) else []
    parts, looked, complete = _Parts(network), 0, bool(waiting)
    while waiting and looked < limit:
        low, high = _taken(waiting)
        looked += len(low)
        low, high = _filled(*parts.narrowed(low, high))
        if not len(low):
            continue
        centre, width, one, known = parts.krawczyk(low, high)
        near.append(centre[one])
        within.append(width[one])
        before, known = (high - low).max(axis=1), known[:, None]
        low, high = (
            np.where(known, np.maximum(low, centre - width), low),
            np.where(known, np.minimum(high, centre + width), high),
        )
        left = ~one & (low <= high).all(axis=1)
        low, high, before = low[left], high[left], before[left]
        size = (high - low).max(axis=1)
        complete &= not (size < NARROWEST_MV).any()
        again = (size < 0.5 * before) & (size >= NARROWEST_MV)
        cut = (size >= 0.5 * before) & (size >= NARROWEST_MV)
        waiting += [(low[again], high[again]), parts.halves(low[cut], high[cut])]
        waiting = [part for part in waiting if len(part[0])]
    return Division(np.concatenate(near), np.concatenate(within), complete and not waiting, looked)


def _filled(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts that are not empty."""
    filled = (low <= high).all(axis=1)
    return low[filled], high[filled]


def _taken(waiting: list) -> tuple[np.ndarray, np.ndarray]:
    """Take up to TOGETHER parts from the end of those that wait."""
    low, high = waiting.pop()
    while waiting and len(low) < TOGETHER:
        more = waiting.pop()
        low, high = np.concatenate([more[0], low]), np.concatenate([more[1], high])
    if len(low) > TOGETHER:
        waiting.append((low[:-TOGETHER], high[:-TOGETHER]))
        low, high = low[-TOGETHER:], high[-TOGETHER:]
    return low, high
