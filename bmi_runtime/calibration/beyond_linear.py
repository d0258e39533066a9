"""What the exact recursion leaves out, found by running the filter itself on spikes of its own units.

The recursion is of the linearised filter, along regressors that are given. Two things depart from that:

* A unit's own past is not given: a count that comes out high by chance raises the weights, and through the past the
  next regressors as well, so that the filter's gain and its error are correlated; as in every autoregression.
* Rates are exponential in the weights. A quick filter, unsure of its log rates, bends within what it is unsure of.

Both are of first order in the filter's covariance, which grows as the square root of the learning rate: the scatter of
the weights departs from the recursion's, and their mean from the truth. They are measured by running the filter along
the design's states on spikes drawn from the units' own weights, at a rate that forgets quickly enough for many memories
to fit, and carried to slower rates by the square root.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import Information, SteadyState, information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import exact_steady_state, pack, unpack

UNIT_BINS = 20_000_000  # simulated for all units together: two seconds of work
LEAST_BINS = 40_000  # of every unit
ENOUGH_UNITS = 64  # more are held against the recursion by a choice of them, fewer are simulated several times over
STRETCHES, STRETCH_BINS = 12, 2_000  # of a long pilot's states, from all of it; they repeat
LONGEST_MEMORY = 8000  # bins, of the median unit, so that many memories are simulated
BURN_MEMORIES, MOST_BURN = 3.0, 80_000
LEAST_WIDENING = -0.9  # of the scatter, so that it stays a scatter
LARGEST_SPREAD = 0.3  # of a log rate, a variance: a filter that is less sure of it bends
SAME_RATE = 1.5  # by how much a unit may fire more in the simulation than in the design; more runs away


@dataclass(frozen=True)
class Departure:
    """By how much the filter's errors depart from the exact recursion's, at one rate.

    Attributes
    ----------
    rate : float
        At which it was found.
    widening : ndarray, (regressors,)
        Scatter of a weight over that of the recursion, minus one; the mean over units, which differ little.
    bias : ndarray, (units, regressors)
        By how much the weights' mean lies above the truth; NaN for units that run away on their own spikes.
    """

    rate: float
    widening: np.ndarray
    bias: np.ndarray

    def scatter(self, covariance: np.ndarray, rate) -> np.ndarray:
        """Return the recursion's covariance (units, regressors, regressors) at a rate, widened as in simulation."""
        share = np.sqrt(np.broadcast_to(rate, len(covariance)) / self.rate)[:, None]
        factor = np.sqrt(1.0 + np.maximum(share * self.widening, LEAST_WIDENING))
        return covariance * factor[:, :, None] * factor[:, None, :]

    def bias_at(self, rate) -> np.ndarray:
        """Return the bias (units, regressors) at a rate."""
        return self.bias * np.sqrt(np.broadcast_to(rate, len(self.bias)) / self.rate)[:, None]

    def mean_square(self, covariance: np.ndarray, rate) -> np.ndarray:
        """Return the mean square error around the truth: the scatter, and the bias where it is known."""
        bias = np.nan_to_num(self.bias_at(rate))
        return self.scatter(covariance, rate) + bias[:, :, None] * bias[:, None, :]


def largest_error(covariance: np.ndarray, rate, beyond: Departure | None) -> np.ndarray:
    """Return each unit's mean square error in its worst direction, (units,), with what the recursion leaves out."""
    return np.linalg.eigvalsh(covariance if beyond is None else beyond.mean_square(covariance, rate))[:, -1]


def departs(design: Design, info: Information, rate) -> bool:
    """Return whether the recursion does not hold: units depend on their past, or the filter is unsure of a log rate."""
    if design.likelihood != "poisson":
        return False
    return bool(design.history_s) or _spread_of_log_rate(info, rate) > LARGEST_SPREAD


def departure(design: Design, info: Information, rate, seed: int = 1) -> Departure | None:
    """Run the filter on spikes of the design's own units, and hold its errors against the exact recursion.

    Parameters
    ----------
    design : Design
    info : Information
        The design's.
    rate : float or ndarray, (units,)
        The learning rate that the answer is wanted for; faster ones are simulated where it would take too long.
    seed : int

    Returns
    -------
    Departure or None
        None where the recursion holds: no unit depends on its own past, and the filter is sure enough of its rates.
    """
    if not departs(design, info, rate):
        return None
    rows, own = _rows(len(design.states)), design.own
    design = design.replaced(states=design.states[rows], own=None if own is None else np.ascontiguousarray(own[rows]))
    at = quick_rate(info, float(np.median(rate)))
    mean, square, fired = _simulated(design, steady_state(info, at), at, seed)
    settled = fired < SAME_RATE * design.expected_counts().mean(axis=0)
    some = _spread(np.flatnonzero(settled), ENOUGH_UNITS)
    if not some.size:
        return None
    own = None if design.own is None else design.own[:, :, some]
    chosen = design.replaced(weights=design.weights[some], own=own, names=())
    exact = exact_steady_state(chosen, steady_state(information(chosen), at)).error_covariance
    ratio = (np.diagonal(square, axis1=1, axis2=2) - mean**2)[some] / np.diagonal(exact, axis1=1, axis2=2)
    return Departure(at, ratio.mean(axis=0) - 1.0, np.where(settled[:, None], mean, np.nan))


def _spread_of_log_rate(info: Information, rate) -> float:
    """Return the filter's own variance of a log rate, averaged over spikes, of the unit that it is least sure of."""
    state = steady_state(info, rate)
    return float(((state.filter_variance * info.eigenvalues).sum(axis=1) / info.mean[:, 0, 0]).max())


def _rows(bins: int) -> np.ndarray:
    """Return the bins to take of so many: all, or stretches spread over them."""
    if bins <= STRETCHES * STRETCH_BINS:
        return np.arange(bins)
    starts = np.linspace(0, bins - STRETCH_BINS, STRETCHES).astype(int)
    return (starts[:, None] + np.arange(STRETCH_BINS)).ravel()


def _spread(among: np.ndarray, most: int) -> np.ndarray:
    """Return so many of these at most, evenly spread."""
    return among[np.unique(np.linspace(0, len(among) - 1, min(len(among), most)).astype(int))]


def quick_rate(info: Information, rate: float, longest_memory: float = LONGEST_MEMORY) -> float:
    """Return the rate, or the slowest at which the median unit forgets in so many bins; memory falls as its root."""
    memory = float(np.median(1.0 / steady_state(info, rate).gain.min(axis=1)))
    return rate * max(memory / longest_memory, 1.0) ** 2


def _simulated(design: Design, state: SteadyState, rate: float, seed: int):
    """Return mean error (units, d), mean square (units, d, d) and spikes a bin (units,) of the filter's own run."""
    from bmi_runtime.kernels.encoding_mc import learn_from_own_spikes

    copies = max(ENOUGH_UNITS // design.units, 1)
    truth = np.repeat(design.weights, copies, axis=0).T.copy()
    d, n = truth.shape
    burn = int(min(BURN_MEMORIES / float(state.gain.min()), MOST_BURN))
    bins = max(UNIT_BINS // n, LEAST_BINS)
    moments, spikes = np.zeros((d + d * (d + 1) // 2, n)), np.zeros(n)
    most, keep = 1.0 if design.counts == "bernoulli" else 1e9, np.exp(-design.bin_s / np.array(design.history_s))
    learn_from_own_spikes(
        np.random.default_rng(seed), np.ascontiguousarray(design.regressors), design.bin_s, most, keep, truth,
        truth.copy(), pack(np.repeat(state.filter_covariance, copies, axis=0)), np.full(n, rate), burn, burn + bins,
        moments, spikes,
    )  # fmt: skip
    moments, spikes = (values.reshape(-1, design.units, copies).mean(axis=2) / bins for values in (moments, spikes))
    return moments[:d].T, unpack(moments[d:]), spikes[0]
