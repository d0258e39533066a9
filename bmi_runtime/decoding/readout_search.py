"""The read-out's learning rate found while it is taught: filters at several rates beside it, the best predictor wins.

The choice among rates is that of encoding models (:class:`bmi_runtime.calibration.rate_search.RateChoice`). A filter is
judged by what it said when the bin was decoded, which is as long before its teaching as the teacher is late: what a
filter says of a bin after it has learned the bins just before is copied from them, as residuals are smooth in time.
For the same reason a bin is worth less than one: its log likelihood counts for one over the overdispersion that the
residuals' autocorrelation makes (:mod:`bmi_runtime.calibration.readout`).
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.calibration.rate_search import Ladder, RateChoice
from bmi_runtime.decoding.adaptive_readout import AdaptiveReadout

SEARCH_RANGE = (1e-12, 1e-2)  # of rates
LADDER = Ladder(filters=9, spacing=3.2, near_end=1, move_evidence=1.0, judges_itself=True, unproven=6.0)
MEMORY_S = 120.0  # of the scores: a bin teaches two outputs, where one of an encoding model teaches every unit


class ReadoutSearch:
    """Filters of a read-out at a ladder of rates, and the choice among them.

    Parameters
    ----------
    readout : AdaptiveReadout
        That corrects what is decoded; its rate and, where another predicted better beyond doubt, its weights are set.
    bin_s : float
    overdispersion : float
        How many bins of residuals are worth one.
    smallest, largest : float

    Raises
    ------
    BadInput
        When the read-out's rate is 0 or outside of the bounds.
    """

    def __init__(
        self,
        readout: AdaptiveReadout,
        bin_s: float,
        overdispersion: float = 1.0,
        smallest: float = SEARCH_RANGE[0],
        largest: float = SEARCH_RANGE[1],
    ):
        self.readout = readout
        self.choice = RateChoice(readout.rate, smallest, largest, bin_s, ladder=LADDER, memory_s=MEMORY_S)
        self._worth = 1.0 / max(overdispersion, 1.0)
        outputs = readout.weights.shape[1]
        self.filters = [AdaptiveReadout(readout.directions, readout.noise, outputs, r) for r in self.choice.rates]

    def said(self, features: np.ndarray) -> np.ndarray:
        """Return every filter's correction of a bin that is decoded, its own last, (filters + 1, outputs)."""
        return np.array([one.weights.T @ features for one in (*self.filters, self.readout)])

    def teach(self, features: np.ndarray, residual: np.ndarray, said: np.ndarray) -> None:
        """Learn from a past bin at every rate, and change the read-out's own where the evidence asks for it.

        Parameters
        ----------
        features : ndarray, shape (p,)
        residual : ndarray, shape (outputs,)
            Truth minus what was decoded without any correction; nothing is learned from one that is not finite.
        said : ndarray, shape (filters + 1, outputs)
            What :meth:`said` gave when the bin was decoded.
        """
        if not np.isfinite(residual).all():
            return
        error = ((residual - said) ** 2).sum(axis=1) / self.readout.noise
        self.choice.add(-0.5 * self._worth * error, float(error[-1]) / len(residual))
        for one in (*self.filters, self.readout):
            one.teach(features, residual)
        better = self.choice.better
        if better is not None:
            self.readout.weights[:] = self.filters[better].weights
            self.choice.scores -= self.choice.scores[better]
            self.choice.scores[-1] = 0.0
        rate = self.choice.proposal(self.readout.rate)
        if rate is not None:
            self.readout.use(rate)
        if rungs := self.choice.shift():
            self._shift(rungs)

    def _shift(self, rungs: int) -> None:
        """Let the filters move with the ladder; new ones begin with the weights of the one at that end."""
        index = self.choice.moved(rungs)
        weights = [self.filters[i].weights.copy() for i in index]
        covariance = [self.filters[i].covariance.copy() for i in index]
        for k, one in enumerate(self.filters):
            if one.rate != self.choice.rates[k]:
                one.use(float(self.choice.rates[k]))
            if index[k] == k + rungs:
                one.covariance[:] = covariance[k]
            one.weights[:] = weights[k]
