"""The learning rate found while running: filters at several rates run beside the adapter, and the best predictor wins.

Every shadow filter learns from the same bins at its own rate. What its weights of a second ago expect of a bin has a
log likelihood; its leaky sum says how well a rate predicts in the world as it is. The expected loss of a rate is half
the information-weighted error of its weights, so the best predictor has the smallest error: for a truth that walks,
jumps or stands still, for scores that are not white, and without any model of the drift (derived; a bank of filters
compared by their predictions, after Magill 1965, IEEE TAC 10:434).

**Weights of a second ago, not of the last bin**: counts fluctuate slowly together, and a filter that is quick enough to
follow predicts the next bin well. In a closed loop it then learns within a reach that the present activity means the
present label, and the cursor goes where the teacher points, whatever the units say: of 28 targets that the search by
the next bin reached in a minute, 23 were reached with counts that knew nothing of the target (docs/days.md).
**Likelihoods with the dispersion that counts have**: Poisson's punishes a rate that is too high without bound, and so,
a second later, every filter that learns from few bins.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import filter_bank, soundness, unit_blocks

MEMORY_S = 60.0  # of the scores
CONSIDER_S, CONSIDER_NEXT_BIN_S = 0.25, 1.0  # by weights of before; by those of the last bin
FIRST_S = 10.0  # nothing is changed before
EVIDENCE = 3.0  # nats by which another filter must have predicted better
LEAST_CHANGE = 1.15  # of the rate, that is worth an event
MOST_UNITS = 128  # that the search watches, evenly spread
LAG_S, LAG_STEPS = 1.0, 8  # by which filters are judged late; weights are kept so many times in it


@dataclasses.dataclass(frozen=True)
class Ladder:
    """The rates that are tried, and when they move.

    Attributes
    ----------
    filters : int
        How many.
    spacing : float
        From one to the next.
    near_end : int
        The ladder moves when its best rate is so near to an end.
    move_evidence : float
        Nats by which the best must have predicted better than the middle, or the ladder stays. Where nothing moves, all
        slow rates predict the same; a ladder that goes on down from there has no rate left that could follow a jump.
    judges_itself : bool
        Whether an adapter beyond the ladder's ends is held against it by what it predicted itself, too. By the end's
        score alone no rate seems better where all of the ladder predict the same, however wrong the adapter's is.
    unproven : float
        Nats that a filter which begins where the one at the end stands has to make good: until weights have drifted
        a slow one predicts best that began with the right ones. Read-outs need it; after jumps of tuning it is late.
    """

    filters: int
    spacing: float
    near_end: int
    move_evidence: float
    judges_itself: bool
    unproven: float


LADDERS = {"five": Ladder(5, 4.0, 0, 1.0, True, 0.0), "nine": Ladder(9, 3.2, 1, -math.inf, False, 0.0)}
"""By name; "nine" is that of recordings made before."""


class RateChoice:
    """Which of a ladder of rates predicts best, from their log likelihoods bin by bin.

    Parameters
    ----------
    start : float
        The middle of the ladder.
    smallest, largest : float
        The ladder never leaves these bounds.
    bin_s : float
    consider_s : float
        A change is considered so often.
    ladder : Ladder
    memory_s : float
        Of the scores.

    Attributes
    ----------
    rates : ndarray, (filters,)
        Ascending.
    scores : ndarray, (filters + 1,)
        Leaky sums of log likelihoods, nats; the last one is the adapter's own.
    leak : float
        Of them.
    dispersion : float
        Mean squared innovation of the adapter over its variance: nats count for less where it is above one.

    Raises
    ------
    BadInput
        When the bounds leave no room or the start lies outside.
    """

    def __init__(
        self,
        start: float,
        smallest: float,
        largest: float,
        bin_s: float,
        consider_s: float = CONSIDER_S,
        ladder: Ladder = LADDERS["five"],
        memory_s: float = MEMORY_S,
    ):
        if not (0.0 < smallest < largest <= 1.0 and smallest <= start <= largest):
            raise BadInput(
                f"a search for the learning rate from {start:g} within {smallest:g} to {largest:g} cannot be: it needs "
                "a rate above zero inside its bounds (adapter.learning_rate, adapter.search_range)"
            )
        self.smallest, self.largest = smallest, largest
        self.ladder, filters = ladder, ladder.filters
        self.rates = np.clip(start * ladder.spacing ** (np.arange(filters) - filters // 2.0), smallest, largest)
        self.scores, self.dispersion, self.bins = np.zeros(filters + 1), 1.0, 0
        self.leak = min(bin_s / memory_s, 1.0)
        self._every, self._first = max(round(consider_s / bin_s), 1), round(FIRST_S / bin_s)

    def add(self, log_likelihood: np.ndarray, squared_pearson: float) -> None:
        """Take a bin: every filter's log likelihood, and the adapter's mean squared innovation over its variance."""
        filter_bank.add_scores(log_likelihood, self.leak, self.scores)
        self.count(squared_pearson)

    def count(self, squared_pearson: float) -> None:
        """Count a bin whose log likelihoods the scores have already."""
        self.bins += 1
        leak = max(self.leak, 1.0 / self.bins)
        self.dispersion += leak * (squared_pearson - self.dispersion)

    @property
    def top(self) -> int:
        """Index of the rate that predicted best."""
        return int(np.argmax(self.scores[:-1]))

    @property
    def due(self) -> bool:
        """Whether a change is considered in this bin."""
        return self.bins >= self._first and self.bins % self._every == 0

    @property
    def best(self) -> float:
        """The rate of the smallest loss: the top of a parabola through the best rate and its neighbours."""
        top, rates = self.top, self.rates
        if not 0 < top < len(rates) - 1 or rates[top - 1] == rates[top] or rates[top] == rates[top + 1]:
            return float(rates[top])
        below, here, above = self.scores[top - 1 : top + 2]
        bend = below - 2.0 * here + above
        aside = 0.5 * (below - above) / bend if bend < 0.0 else 0.0
        return float(rates[top] * self.ladder.spacing ** min(max(aside, -0.5), 0.5))

    def proposal(self, rate: float) -> float | None:
        """Return the rate to go to from this one, or None to stay."""
        if not self.due:
            return None
        lost = (self.scores[self.top] - self._score(rate)) / max(self.dispersion, 1.0)
        ratio = self.best / rate
        near = 0.5 < ratio < 2.0
        enough = lost > (0.1 * EVIDENCE if near else EVIDENCE)
        return self.best if enough and max(ratio, 1.0 / ratio) > LEAST_CHANGE else None

    @property
    def better(self) -> int | None:
        """Index of a filter that has predicted better than the adapter beyond doubt, or None; for due bins."""
        beyond = self.due and self.scores[self.top] > EVIDENCE * max(self.dispersion, 1.0)
        return self.top if beyond else None

    def _score(self, rate: float) -> float:
        """Return the score of a rate between those of the ladder; beyond its ends that of the end, or the adapter's."""
        between = float(np.interp(math.log(max(rate, 1e-300)), np.log(self.rates), self.scores[:-1]))
        if self.ladder.judges_itself and not self.rates[0] <= rate <= self.rates[-1]:
            return min(between, float(self.scores[-1]))
        return between

    def shift(self) -> int:
        """Move the ladder when its best rate is near an end; return by how many rungs (positive: to faster rates)."""
        if not self.due:
            return 0
        top, ladder, middle = self.top, self.ladder, self.ladder.filters // 2
        if self.scores[top] - self.scores[middle] <= ladder.move_evidence * max(self.dispersion, 1.0):
            return 0
        if top <= ladder.near_end and self.rates[0] > self.smallest:
            rungs = ladder.near_end - middle
        elif top >= ladder.filters - 1 - ladder.near_end and self.rates[-1] < self.largest:
            rungs = middle - ladder.near_end
        else:
            return 0
        index = self.moved(rungs)
        beyond = ladder.spacing ** (np.arange(len(index)) + rungs - index).astype(float)
        self.rates = np.clip(self.rates[index] * beyond, self.smallest, self.largest)
        self.scores[:-1] = self.scores[index]
        self.scores[:-1][index != np.arange(len(index)) + rungs] -= ladder.unproven * max(self.dispersion, 1.0)
        return rungs

    def moved(self, rungs: int) -> np.ndarray:
        """Return which filter begins at each place of a ladder that moved; those beyond an end, with that end's."""
        last = len(self.rates) - 1
        return np.clip(np.arange(last + 1) + rungs, 0, last)

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        return {
            "rates": self.rates.copy(),
            "scores": self.scores.copy(),
            "dispersion": float(self.dispersion),
            "bins": self.bins,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.rates, self.scores[:] = np.array(snapshot["rates"], float), snapshot["scores"]
        self.dispersion, self.bins = float(snapshot["dispersion"]), int(snapshot["bins"])


class EarlierWeights:
    """Weights as they were a while ago, in steps of an eighth of that time.

    Parameters
    ----------
    weights : ndarray, (filters, regressors, units)
        As they are now.
    lag_s, bin_s : float
        With bins as wide as the lag they are those of the bin before.
    """

    def __init__(self, weights: np.ndarray, lag_s: float, bin_s: float):
        self._every = max(round(lag_s / LAG_STEPS / bin_s), 1)
        self._kept = np.repeat(weights[None], max(round(lag_s / (self._every * bin_s)), 1), axis=0)
        self._bins = 0

    @property
    def oldest(self) -> np.ndarray:
        """The weights of the longest ago that are kept."""
        return self._kept[self._bins // self._every % len(self._kept)]

    def add(self, shadows: np.ndarray, own: np.ndarray, units: np.ndarray) -> None:
        """Take the weights after a bin, of the last filter those of some units; kept where a step ends."""
        if (self._bins + 1) % self._every == 0:
            self.oldest[:-1], self.oldest[-1] = shadows, own[:, units]
        self._bins += 1

    def rearrange(self, order: Sequence[int]) -> None:
        """Let the filters be those of this order."""
        self._kept = np.take(self._kept, order, axis=1)

    def replace(self, places: np.ndarray, weights: np.ndarray) -> None:
        """Let units at these places of the search have had these weights (regressors, units) all the time."""
        self._kept[:, :, :, places] = weights

    def replace_lost(self, weights: np.ndarray) -> None:
        """Put weights of now, (filters, regressors, units), where those of before are not finite."""
        lost = ~np.isfinite(self._kept[:, :-1])
        self._kept[:, :-1][lost] = np.broadcast_to(weights, lost.shape)[lost]

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        return {"kept": np.stack([_side_by_side(one) for one in self._kept]), "bins": self._bins}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`; of another lag the weights stay those of now."""
        if len(snapshot["kept"]) != len(self._kept):
            return
        for one, kept in zip(self._kept, snapshot["kept"], strict=True):
            one[:] = _filter_by_filter(kept, len(one))
        self._bins = int(snapshot["bins"])


def _side_by_side(filters: np.ndarray) -> np.ndarray:
    """Return (filters, rows, units) as (rows, filters * units), as snapshots hold it."""
    return filters.transpose(1, 0, 2).reshape(filters.shape[1], -1)


def _filter_by_filter(kept: np.ndarray, filters: int) -> np.ndarray:
    return np.asarray(kept).reshape(len(kept), filters, -1).transpose(1, 0, 2)


class RateSearch:
    """Shadow filters of an encoding model, and the choice among their rates.

    At most `MOST_UNITS` units have shadows, evenly spread over the array: the rate is one for all. Where a shadow has
    predicted better than the adapter beyond doubt, the adapter goes on from its weights and covariance.

    Parameters
    ----------
    model : EncodingModel
        The adapter's; only :meth:`hand_over` changes it.
    start, smallest, largest : float
        See `RateChoice`.
    lag_s : float
        Predictions are those of weights so long ago; 0 for those of the bin before, as in recordings made before.
    ladder : Ladder

    Attributes
    ----------
    weights, covariance : ndarray, (filters, rows, units with shadows)
    """

    def __init__(
        self,
        model: EncodingModel,
        start: float,
        smallest: float,
        largest: float,
        lag_s: float = LAG_S,
        ladder: Ladder = LADDERS["five"],
    ):
        filters, consider_s = ladder.filters, CONSIDER_S if lag_s > 0.0 else CONSIDER_NEXT_BIN_S
        self.model, self.choice = model, RateChoice(start, smallest, largest, model.bin_s, consider_s, ladder)
        self.units = np.unique(np.linspace(0, model.n_units - 1, min(model.n_units, MOST_UNITS)).round().astype(int))
        self.weights, self.covariance = (
            np.repeat(array[None, :, self.units], filters, axis=0) for array in (model.weights, model.covariance)
        )
        size = len(self.units)
        self._rate = np.repeat(self.choice.rates[:, None], size, axis=1)
        self._dispersions, self._errors = np.zeros((3, size)), np.zeros((filters + 1, size))
        self._sums = np.zeros((2, filters + 1))
        self.choice.scores = self._sums[1]
        rows, own = np.empty((5, size)), np.empty((model.regressors.n_history, size))
        self._scratch = rows, own, np.empty((model.n_regressors + 5, unit_blocks.BLOCK))
        now = np.concatenate([self.weights, model.weights[None, :, self.units]])
        self.earlier = EarlierWeights(now, lag_s, model.bin_s) if lag_s > 0.0 else None
        self._not_earlier = np.empty((0, *now.shape[1:]))

    def update(self, adapter: Adapter, counts: np.ndarray, valid: np.ndarray, rate: float) -> float | None:
        """Learn from the bin that the adapter has just learned from, at every rate.

        Parameters
        ----------
        adapter : Adapter
        counts, valid : ndarray, (units,)
        rate : float
            The adapter's.

        Returns
        -------
        float or None
            The rate that it should go to; None to stay.
        """
        model, choice, earlier = self.model, self.choice, self.earlier
        squared = filter_bank.take_in(
            (self.weights, self.covariance),
            (counts, valid, model.noise_variance, adapter.innovation),
            self.units,
            adapter.regressors,
            adapter.history,
            self._rate,
            model.bin_s,
            (model.likelihood == "poisson", adapter.settles, earlier is not None),
            earlier.oldest if earlier else self._not_earlier,
            choice.leak,
            self._dispersions,
            self._errors,
            self._sums,
            self._scratch,
        )
        if earlier:
            earlier.add(self.weights, model.weights, self.units)
        choice.count(squared)
        if not choice.due:
            return None
        if rungs := choice.shift():
            self._shift(rungs)
        return choice.proposal(rate) if rate > 0.0 else None

    def hand_over(self) -> int:
        """Let the adapter go on from a shadow that predicted better, where one did; return for how many units."""
        better = self.choice.better
        if better is None:
            return 0
        self.model.weights[:, self.units] = self.weights[better]
        self.model.covariance[:, self.units] = self.covariance[better]
        if self.earlier:
            self.earlier.rearrange([*range(len(self.weights)), better])
        self.choice.scores -= self.choice.scores[better]
        self.choice.scores[-1] = 0.0
        return len(self.units)

    def take_restarted(self, units: np.ndarray) -> None:
        """Let every filter, and its weights of before, have these units of the model as they are now."""
        here = np.isin(self.units, units)
        of_model = self.units[here]
        self.weights[:, :, here] = self.model.weights[:, of_model]
        self.covariance[:, :, here] = self.model.covariance[:, of_model]
        if self.earlier:
            self.earlier.replace(np.flatnonzero(here), self.model.weights[:, of_model])

    def repair(self, initial_variance: float) -> int:
        """Start again what filters have lost (numbers that are not finite), with the scores; return how many units."""
        lost = sum(
            soundness.repair(weights, covariance, initial_variance)
            for weights, covariance in zip(self.weights, self.covariance, strict=True)
        )
        if lost or not np.isfinite(self.choice.scores).all():
            self.choice.scores[:] = 0.0
            if self.earlier:
                self.earlier.replace_lost(self.weights)
        return int(lost)

    def _shift(self, rungs: int) -> None:
        """Let the filters move with the ladder; new ones begin where the one at that end stands."""
        index = self.choice.moved(rungs)
        self.weights, self.covariance = self.weights[index], self.covariance[index]
        self._rate[:] = self.choice.rates[:, None]
        if self.earlier:
            self.earlier.rearrange([*index, len(index)])

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        state: dict[str, Any] = {"choice": self.choice.snapshot()}
        state |= {
            name: _side_by_side(array) for name, array in (("weights", self.weights), ("covariance", self.covariance))
        }
        if self.earlier:
            state |= {"earlier": self.earlier.snapshot(), "dispersion": self._dispersions.copy()}
        return state

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`; another ladder begins with the session's model."""
        if len(snapshot["choice"]["rates"]) != len(self.weights):
            return
        self.weights[:] = _filter_by_filter(snapshot["weights"], len(self.weights))
        self.covariance[:] = _filter_by_filter(snapshot["covariance"], len(self.weights))
        self.choice.restore(snapshot["choice"])
        if self.earlier and "earlier" in snapshot:
            self.earlier.restore(snapshot["earlier"])
            self._dispersions[:] = snapshot["dispersion"]
        self._rate[:] = self.choice.rates[:, None]
