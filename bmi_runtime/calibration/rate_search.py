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

import math
from typing import Any

import numpy as np

from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import encoding_filter, filter_bank, unit_blocks

RATES = 9  # that run beside the adapter
SPACING = 3.2  # from one rate to the next: a hundred times either way from the middle
MEMORY_S = 60.0  # of the scores
CONSIDER_S, CONSIDER_NEXT_BIN_S = 0.25, 1.0  # by weights of before; by those of the last bin
FIRST_S = 10.0  # nothing is changed before
EVIDENCE = 3.0  # nats by which another filter must have predicted better
LEAST_CHANGE = 1.15  # of the rate, that is worth an event
MOST_UNITS = 128  # that the search watches, evenly spread
EDGE_SHIFT = 3  # rungs by which the ladder moves when the best is near its end
LAG_S, LAG_STEPS = 1.0, 8  # by which filters are judged late; weights are kept so many times in it


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

    Attributes
    ----------
    rates : ndarray, (RATES,)
        Ascending.
    scores : ndarray, (RATES + 1,)
        Leaky sums of log likelihoods, nats; the last one is the adapter's own.
    dispersion : float
        Mean squared innovation of the adapter over its variance: nats count for less where it is above one.

    Raises
    ------
    BadInput
        When the bounds leave no room or the start lies outside.
    """

    def __init__(self, start: float, smallest: float, largest: float, bin_s: float, consider_s: float = CONSIDER_S):
        if not (0.0 < smallest < largest <= 1.0 and smallest <= start <= largest):
            raise BadInput(
                f"a search for the learning rate from {start:g} within {smallest:g} to {largest:g} cannot be: it needs "
                "a rate above zero inside its bounds (adapter.learning_rate, adapter.search_range)"
            )
        self.smallest, self.largest = smallest, largest
        self.rates = np.clip(start * SPACING ** (np.arange(RATES) - RATES // 2.0), smallest, largest)
        self.scores, self.dispersion, self.bins = np.zeros(RATES + 1), 1.0, 0
        self._leak = min(bin_s / MEMORY_S, 1.0)
        self._every, self._first = max(round(consider_s / bin_s), 1), round(FIRST_S / bin_s)

    def add(self, log_likelihood: np.ndarray, squared_pearson: float) -> None:
        """Take a bin: every filter's log likelihood, and the adapter's mean squared innovation over its variance."""
        self.bins += 1
        self.scores += log_likelihood - log_likelihood[-1] - self._leak * self.scores
        leak = max(self._leak, 1.0 / self.bins)
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
        if not 0 < top < RATES - 1 or rates[top - 1] == rates[top] or rates[top] == rates[top + 1]:
            return float(rates[top])
        below, here, above = self.scores[top - 1 : top + 2]
        bend = below - 2.0 * here + above
        aside = 0.5 * (below - above) / bend if bend < 0.0 else 0.0
        return float(rates[top] * SPACING ** min(max(aside, -0.5), 0.5))

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
        """Return the score of a rate between those of the ladder; beyond its ends that of the end."""
        return float(np.interp(math.log(max(rate, 1e-300)), np.log(self.rates), self.scores[:-1]))

    def shift(self) -> int:
        """Move the ladder when its best rate is near an end; return by how many rungs (positive: to faster rates)."""
        if not self.due:
            return 0
        top = self.top
        if top <= 1 and self.rates[0] > self.smallest:
            rungs = -EDGE_SHIFT
        elif top >= RATES - 2 and self.rates[-1] < self.largest:
            rungs = EDGE_SHIFT
        else:
            return 0
        index = np.clip(np.arange(RATES) + rungs, 0, RATES - 1)
        beyond = SPACING ** (np.arange(RATES) + rungs - index).astype(float)
        self.rates = np.clip(self.rates[index] * beyond, self.smallest, self.largest)
        self.scores[:-1] = self.scores[index]
        return rungs

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
        self.rates, self.scores = (np.array(snapshot[name], float) for name in ("rates", "scores"))
        self.dispersion, self.bins = float(snapshot["dispersion"]), int(snapshot["bins"])


class EarlierWeights:
    """Weights as they were a while ago, in steps of an eighth of that time.

    Parameters
    ----------
    weights : ndarray, (regressors, columns)
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

    def add(self, *weights: np.ndarray) -> None:
        """Take the weights after a bin, side by side; they are kept where it is the last of a step."""
        if (self._bins + 1) % self._every == 0:
            np.concatenate(weights, axis=1, out=self.oldest)
        self._bins += 1

    def rearrange(self, order: np.ndarray) -> None:
        """Let the columns be those of this order: (columns,)."""
        self._kept = np.ascontiguousarray(self._kept[:, :, order])

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        return {"kept": self._kept.copy(), "bins": self._bins}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self._kept[:], self._bins = snapshot["kept"], int(snapshot["bins"])


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
    """

    def __init__(self, model: EncodingModel, start: float, smallest: float, largest: float, lag_s: float = LAG_S):
        consider_s = CONSIDER_S if lag_s > 0.0 else CONSIDER_NEXT_BIN_S
        self.model, self.choice = model, RateChoice(start, smallest, largest, model.bin_s, consider_s)
        self.units = np.unique(np.linspace(0, model.n_units - 1, min(model.n_units, MOST_UNITS)).round().astype(int))
        self.weights = np.tile(model.weights[:, self.units], RATES)
        self.covariance = np.tile(model.covariance[:, self.units], RATES)
        self._poisson, self._bin_s, size = model.likelihood == "poisson", model.bin_s, len(self.units)
        self._rate = np.repeat(self.choice.rates, size)
        self._counts, self._valid, self._noise = np.zeros(RATES * size), np.ones(RATES * size), np.ones(RATES * size)
        self._innovation, self._variance = np.zeros((RATES + 1) * size), np.ones(RATES * size)
        self._own = np.zeros((model.regressors.n_history, RATES * size))
        self._scratch = np.empty((model.n_regressors + 5, unit_blocks.BLOCK))
        self._scores = np.zeros(RATES + 1)
        shape = (RATES, size)
        self._by_rate = (self._counts.reshape(shape), self._valid.reshape(shape), self._noise.reshape(shape))
        self._shadows = self._innovation[: RATES * size]
        self._all = size == model.n_units
        self._sums, self._dispersion = np.zeros((2, size)), np.zeros(size)
        self._leak, self._predictor = min(model.bin_s / MEMORY_S, 1.0), np.empty(size)
        self.earlier: EarlierWeights | None = None
        if lag_s > 0.0:
            now = np.concatenate([self.weights, model.weights[:, self.units]], axis=1)
            self.earlier = EarlierWeights(now, lag_s, model.bin_s)

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
        size, poisson = len(self.units), self._poisson
        chosen = slice(None) if self._all else self.units
        for by_rate, values in zip(self._by_rate, (counts, valid, self.model.noise_variance), strict=True):
            by_rate[:] = values[chosen]
        self._innovation[self._shadows.size :] = adapter.innovation[chosen]
        state = (self.weights, self.covariance, self._counts, self._valid, adapter.regressors)
        results = (self._shadows, self._variance, self._scratch)
        if poisson:
            if len(self._own):
                self._own.reshape(len(self._own), RATES, size)[:] = adapter.history[:, None, self.units]
            adapter.update_own(*state, self._own, self._rate, self._bin_s, *results)
        else:
            encoding_filter.adapt_gaussian(*state, self._rate, self._noise, *results)
        self.choice.add(self._scores, self._score(adapter))
        if rungs := self.choice.shift():
            self._shift(rungs)
        return self.choice.proposal(rate) if rate > 0.0 else None

    def _score(self, adapter: Adapter) -> float:
        """Set the log likelihoods of the bin; return the adapter's mean squared error over its variance."""
        size, poisson = len(self.units), self._poisson
        counts, valid, errors = self._counts[:size], self._valid[:size], self._innovation.reshape(RATES + 1, size)
        if self.earlier:
            own = adapter.history if self._all else np.ascontiguousarray(adapter.history[:, self.units])
            seen = (adapter.regressors, own, counts, poisson, self._bin_s)
            filter_bank.errors_of(self.earlier.oldest, *seen, self._predictor, errors)
            self.earlier.add(self.weights, self.model.weights[:, self.units])
        of_before = self._noise[:size], self._dispersion, poisson, self._scores
        squared = filter_bank.predicted(counts, valid, errors, *of_before)
        if self.earlier and poisson:  # from the next bin on
            filter_bank.follow_dispersion(counts, valid, errors[-1], self._leak, self._sums, self._dispersion)
        return squared

    def hand_over(self) -> int:
        """Let the adapter go on from a shadow that predicted better, where one did; return for how many units."""
        better = self.choice.better
        if better is None:
            return 0
        size = len(self.units)
        part = slice(better * size, (better + 1) * size)
        self.model.weights[:, self.units] = self.weights[:, part]
        self.model.covariance[:, self.units] = self.covariance[:, part]
        if self.earlier:
            order = np.arange((RATES + 1) * size)
            order[RATES * size :] = order[part]
            self.earlier.rearrange(order)
        self.choice.scores -= self.choice.scores[better]
        self.choice.scores[-1] = 0.0
        return size

    def _shift(self, rungs: int) -> None:
        """Let the filters move with the ladder; new ones begin where the one at that end stands."""
        index = np.clip(np.arange(RATES) + rungs, 0, RATES - 1)
        for array in (self.weights, self.covariance):
            array[:] = array.reshape(len(array), RATES, -1)[:, index].reshape(array.shape)
        self._rate = np.repeat(self.choice.rates, len(self.units))
        if self.earlier:
            columns = np.arange((RATES + 1) * len(self.units)).reshape(RATES + 1, -1)
            self.earlier.rearrange(columns[np.append(index, RATES)].ravel())

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        state = {"weights": self.weights.copy(), "covariance": self.covariance.copy(), "choice": self.choice.snapshot()}
        if self.earlier:
            state |= {"earlier": self.earlier.snapshot(), "dispersion": np.vstack([self._sums, self._dispersion])}
        return state

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.weights[:], self.covariance[:] = snapshot["weights"], snapshot["covariance"]
        self.choice.restore(snapshot["choice"])
        if self.earlier and "earlier" in snapshot:
            self.earlier.restore(snapshot["earlier"])
            self._sums[:], self._dispersion[:] = snapshot["dispersion"][:2], snapshot["dispersion"][2]
        self._rate = np.repeat(self.choice.rates, len(self.units))
