"""How long a calibration block must be for a wanted error, and when a schedule with a floor gets there.

Weights learned from a block of T bins, from a prior variance rho (a rate of zero, as the schedule does), have in each
mode of the information m the filter's variance p = 1 / (1 / rho + m T). The error is p with white scores, and

    E = p^2 (1 / rho + f m T)

with scores whose block sums have f times the model's variance (derived; the prior's share is the truth's spread). f is
measured on a pilot through exponential weights that forget k = 2 / T a bin: their lag window (1 - k)^l takes as much of
the autocovariance as a block's own 1 - l / T, both having the integral T / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.closed_form import Information
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.errors import BadInput

LONGEST_S = 1e6  # twelve days: no block
STEPS = 50  # of bisection


@dataclass(frozen=True)
class Block:
    """A calibration block.

    Attributes
    ----------
    seconds : float
    error : ndarray, (units,)
        Error variance of every unit's worst mode at its end.
    """

    seconds: float
    error: np.ndarray

    @property
    def binding_unit(self) -> int:
        """The unit with the largest error."""
        return int(np.argmax(self.error))


def block_of(
    info: Information, bin_s: float, seconds: float, initial: float | None = None, scores: MeasuredScores | None = None
) -> Block:
    """Return what a block of so many seconds leaves of error.

    Parameters
    ----------
    info : Information
        Of the task that the block holds.
    bin_s, seconds : float
    initial : float, optional
        Variance of every weight before the block; without it nothing was known.
    scores : MeasuredScores, optional
        Of a pilot; without them scores are white, with the model's variance.

    Raises
    ------
    BadInput
        If the block is not longer than a bin.
    """
    if not (np.isfinite(seconds) and seconds > bin_s):
        raise BadInput(f"a calibration block of {seconds:g} s cannot be; give more than a bin of {bin_s:g} s")
    bins, m = seconds / bin_s, info.eigenvalues
    prior = 0.0 if initial is None else 1.0 / initial
    if scores is None:
        inflation = np.diagonal(info.score_in_modes, axis1=1, axis2=2) / m
    else:
        inflation = scores.block_inflation(bins)
    p = 1.0 / (prior + m * bins)
    return Block(seconds, (p * p * (prior + inflation * m * bins)).max(axis=1))


def shortest_block(
    info: Information, bin_s: float, max_error: float, initial: float | None = None,
    scores: MeasuredScores | None = None,
) -> Block:  # fmt: skip
    """Return the shortest block after which no weight errs by more than a variance of `max_error`.

    Raises
    ------
    BadInput
        If the wish cannot be, or no block of `LONGEST_S` meets it.
    """
    if not max_error > 0:
        raise BadInput(f"an error variance of {max_error:g} cannot be; give one above zero")

    def left(log_s: float) -> float:
        return float(block_of(info, bin_s, np.exp(log_s), initial, scores).error.max())

    low, high = np.log(1.001 * bin_s), np.log(LONGEST_S)
    if left(high) > max_error:
        raise BadInput(f"no calibration block of up to {LONGEST_S:g} s leaves an error variance of {max_error:g}")
    return block_of(info, bin_s, float(np.exp(_crossing(left, low, high, max_error))), initial, scores)


def seconds_to_floor(info: Information, bin_s: float, floor: float, initial: float) -> np.ndarray:
    """Return when the best schedule with a floor ends at it, (units,), in the averaged model.

    The moment at which a bin takes no more from the covariance than the floor feeds into it, on average over the modes:
    mean m p^2 = floor with p = 1 / (1 / initial + m t) (`bmi_runtime.calibration.schedules.floor_schedule`). It depends
    on the filter's covariance alone, and so not on how the scores really are; the error that is reached does.
    """
    out = np.empty(len(info.eigenvalues))
    for unit, m in enumerate(info.eigenvalues):

        def taken(log_bins: float, m: np.ndarray = m) -> float:
            p = 1.0 / (1.0 / initial + m * np.exp(log_bins))
            return float((m * p * p).mean())

        low, high = 0.0, np.log(LONGEST_S / bin_s)
        out[unit] = bin_s * np.exp(low if taken(low) <= floor else _crossing(taken, low, high, floor))
    return out


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Return where a falling function crosses a level, from above."""
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if falling(middle) > level else (low, middle)
        if high - low < 1e-4:
            break
    return high
