"""How much weights vary about their own mean within a stretch of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stretch:
    """Some bins that the filter runs along from the pilot's best weights on, and in which its weights are looked at.

    Attributes
    ----------
    burn, bins : int
        Left out at its start, and looked at.
    own : bool
        Whether these are the pilot's own bins, whose best weights the filter then starts from.
    """

    burn: int
    bins: int
    own: bool

    def share(self, gain: np.ndarray, pilot_bins: int) -> np.ndarray:
        """Return the variance of weights around their mean in the stretch, as a share of the error's in steady state.

        Of a mode with gain k whose scores are white over its memory, started at t = 0 without error: cov(s, t) =
        e^(-k|t-s|) - e^(-k(s+t)), averaged over the bins looked at, minus that of their mean. The pilot's best weights
        err by 2 / (k pilot_bins) of the steady variance, which decays as e^(-kt) where the bins are others. In its own
        bins they are the best: scores then sum to zero, which takes the same off (derived: a bridge). Checked by
        simulation in the tests.

        Parameters
        ----------
        gain : ndarray
        pilot_bins : int
        """
        k = np.maximum(gain, 1e-12)
        begin, end, length = k * self.burn, k * (self.burn + self.bins), np.maximum(k * self.bins, 1e-6)
        mean = (np.exp(-begin) - np.exp(-end)) / length
        square = (np.exp(-2.0 * begin) - np.exp(-2.0 * end)) / (2.0 * length)
        around = 2.0 / length * (1.0 + np.expm1(-length) / length)
        start = 2.0 / (k * pilot_bins) * (-1.0 if self.own else 1.0)
        return np.maximum(1.0 - square - around + mean**2 + start * (square - mean**2), 1e-9)


def share_left(x: np.ndarray) -> np.ndarray:
    """Return the share of the scatter that is left after a stretch's own mean is taken out, x memories long."""
    x = np.maximum(x, 1e-3)
    return np.maximum(1.0 - 2.0 / x * (1.0 + np.expm1(-x) / x), 1e-9)
