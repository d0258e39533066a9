"""A pilot's scores, added up over blocks of bins and multiplied over lags."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bmi_runtime.calibration.closed_form import Information
from bmi_runtime.calibration.pilot import Pilot

BLOCK_GAIN = 0.03  # scores are added up over so many bins that the largest gain times that many stays below this
AT_ONCE = 32  # units whose scores are added up at a time
MOST_KEPT = 64_000_000  # bytes of added-up scores that are kept for the next rate


def summed(regressors: np.ndarray, innovation: np.ndarray, block: int) -> np.ndarray:
    """Return the scores of units (units, bins) added up over blocks of bins, (units, blocks, d)."""
    from bmi_runtime.kernels.scores import summed_scores

    out = np.empty((len(innovation), -(-len(regressors) // block), regressors.shape[1]))
    summed_scores(regressors, innovation, block, out)
    return out


def _block(gain: np.ndarray) -> int:
    """Return over how many bins, a power of two, scores are added up for these gains."""
    return 2 ** int(np.log2(max(1.0, BLOCK_GAIN / gain.max())))


class ScoreSums:
    """Products of a pilot's scores in the modes of the information, summed over lags with a filter's memory.

    Parameters
    ----------
    pilot : Pilot
    information : Information
        Whose modes they are.
    innovation : ndarray, shape (units, bins)
        What a bin's score is, per regressor.
    """

    def __init__(self, pilot: Pilot, information: Information, innovation: np.ndarray):
        self.pilot, self.information, self.innovation = pilot, information, innovation
        self._kept: dict[int, np.ndarray] = {}

    def over_lags(self, gain: np.ndarray) -> np.ndarray:
        """Return the sum over lags of all units' scores at gains (units, d), (units, d, d)."""
        out = np.empty((*gain.shape, gain.shape[1]))
        block = _block(gain)
        for some, sums in self._blocks(block):
            out[some] = self._products(sums, block, self.innovation.shape[1], some, gain)
        return out

    def over_lags_of(self, regressors: np.ndarray, innovation: np.ndarray, some, gain: np.ndarray) -> np.ndarray:
        """Return the sum over lags of the scores of `some` units (an index) in other bins, (some, d, d).

        Parameters
        ----------
        regressors : ndarray, shape (bins, d)
        innovation : ndarray, shape (some, bins)
        some : slice or ndarray of int
        gain : ndarray, shape (units, d)
        """
        block = _block(gain)
        return self._products(summed(regressors, innovation, block), block, len(regressors), some, gain)

    def _products(self, sums: np.ndarray, block: int, bins: int, some, gain: np.ndarray) -> np.ndarray:
        """Return the sum over lags of some units' scores that are added up over blocks, (some, d, d)."""
        from bmi_runtime.kernels.scores import lagged_products

        d, directions = gain.shape[1], np.ascontiguousarray(self.information.directions[some])
        out = np.empty((len(sums), d, d))
        lagged_products(sums, directions, 1.0 - gain[some], block, bins, np.zeros(d), np.zeros(d), out)
        return out

    def _blocks(self, block: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield units with their scores added up over blocks; kept where many calls want the same of few numbers."""
        known = self._kept.get(block)
        if known is not None:
            yield slice(None), known
            return
        units, parts = len(self.innovation), []
        for group, regressors in self.pilot.alike():
            some = range(*group.indices(units))
            for first in range(0, len(some), AT_ONCE):
                chosen = slice(some[first], some[min(first + AT_ONCE, len(some)) - 1] + 1)
                parts.append(summed(regressors, self.innovation[chosen], block))
                yield chosen, parts[-1]
                if parts[-1].nbytes * units > MOST_KEPT * len(parts[-1]):
                    parts.pop()
        if parts:
            self._kept[block] = np.concatenate(parts)
