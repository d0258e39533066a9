"""Which units to stimulate, and how often, so that most couplings of a fit can be told from indirect ones.

The weighted response of a target to a source (see :mod:`.predicted`) is estimated from N trials, half of them sham,
with variance ``4 v / N`` (v: variance of the weighted count); through the coupling it moves by 1. So a coupling
as strong as fitted is found with a wanted power after ``N = 4 v (z_level + z_power)^2`` trials of its source (to refute
one that is not there takes about four times as many, because it is told from half of the fit). Trials are dealt to the
sources so that as many couplings as possible get theirs within the time there is; several sources are stimulated in one
trial, at random and independently, so every trial counts for all of them. (Ours.)
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import stats

from bmi_runtime.analysis.perturbation.predicted import CoupledFit, Prediction, predict
from bmi_runtime.analysis.perturbation.schedule import StimulationDesign
from bmi_runtime.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Wish:
    """What the experimenter gives and wants.

    Parameters
    ----------
    minutes : float
        Time for stimulation.
    pulses : int
        Spikes that one stimulation adds to a unit.
    at_once : int
        Most units stimulated in one trial.
    power, level : float
        Wanted chance of finding a direct coupling; family-wise error over the couplings in question.
    fano : float
        Variance of counts over that of Poisson counts.
    interval_s : float
        Time between onsets; 0: twice the length of the filters.
    seed : int
    """

    minutes: float = 30.0
    pulses: int = 1
    at_once: int = 4
    power: float = 0.8
    level: float = 0.05
    fano: float = 1.0
    interval_s: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if not (0 < self.minutes < math.inf and 0 < self.fano < math.inf):
            raise BadInput(f"minutes ({self.minutes:g}) and fano ({self.fano:g}) must be positive and finite")
        if not (0 < self.power < 1 and 0 < self.level < 1):
            raise BadInput(f"power ({self.power:g}) and level ({self.level:g}) must lie between 0 and 1")
        if self.at_once < 1 or not 1 <= self.pulses <= 100 or not 0 <= self.interval_s < math.inf:
            raise BadInput("at-once must be at least 1, pulses 1 to 100, interval-s not negative")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The designed stimulation.

    Attributes
    ----------
    prediction : Prediction
    needed : (k,) ndarray
        Trials of its source (sham included) that each coupling needs.
    power : (k,) ndarray
        Chance that each is found with the trials that its source gets.
    design : StimulationDesign
    """

    prediction: Prediction
    needed: np.ndarray
    power: np.ndarray
    design: StimulationDesign

    @property
    def trials_of(self) -> dict[int, int]:
        """Trials by unit."""
        return dict(zip(self.design.units, self.design.participation or ()))


def design(fit: CoupledFit, wish: Wish) -> Plan:
    """Return the stimulation that tells most couplings of `fit` from indirect ones.

    Raises
    ------
    BadInput
        When the time does not suffice for a single coupling.
    """
    predicted = predict(fit, wish.pulses)
    quantile = stats.norm.ppf(1 - wish.level / (2 * len(predicted.targets)))
    variance = wish.fano * predicted.variance
    needed = np.ceil(4 * variance * (quantile + stats.norm.ppf(wish.power)) ** 2).clip(8)
    window_s = fit.lags * fit.bin_s
    interval_s = wish.interval_s or 2 * window_s
    if interval_s < window_s + fit.bin_s:
        raise BadInput(f"interval_s is {interval_s:g}; responses last {window_s:g} s and must not overlap")
    trials = int(wish.minutes * 60 / interval_s)
    sources = np.unique(predicted.sources)
    shares = dealt({int(j): needed[predicted.sources == j] for j in sources}, trials, wish.at_once)
    if not shares:
        least = needed.min() * interval_s / 60
        raise BadInput(
            f"{wish.minutes:g} minutes do not suffice for a single coupling; the easiest needs {least:.3g} "
            "(more pulses need less)"
        )
    units = tuple(sorted(shares))
    spaced = interval_s - window_s - fit.bin_s
    drawn = StimulationDesign(
        units, trials, min(wish.at_once, len(units)), 0.5, max(1.0, interval_s), interval_s, 0.5 * spaced, wish.pulses,
        wish.seed, tuple(shares[unit] for unit in units),
    )  # fmt: skip
    got = np.array([shares.get(int(j), 0) for j in predicted.sources])
    return Plan(predicted, needed, _power(wish, predicted, got), drawn)


def dealt_evenly(plan: Plan, wish: Wish) -> np.ndarray:
    """Return the chance (k,) of finding each coupling if the same trials were shared evenly by all sources."""
    sources = np.unique(plan.prediction.sources)
    each = min(plan.design.trials, plan.design.trials * min(wish.at_once, len(sources)) // len(sources))
    return _power(wish, plan.prediction, np.full(len(plan.needed), each))


def _power(wish: Wish, predicted: Prediction, trials: np.ndarray) -> np.ndarray:
    """Return the chance (k,) of finding each coupling from `trials` (k,) of its source."""
    quantile = stats.norm.ppf(1 - wish.level / (2 * len(predicted.targets)))
    return stats.norm.sf(quantile - np.sqrt(trials / (4 * wish.fano * predicted.variance)))


def dealt(needs: dict[int, np.ndarray], trials: int, at_once: int) -> dict[int, int]:
    """Return how many of `trials` each source takes part in, at most `at_once` sources in one.

    `needs` holds, by source, the trials that each of its couplings needs. The next trials always go where they bring
    the most couplings per trial; what is left is shared evenly among the chosen.
    """
    shares = dict.fromkeys(needs, 0)
    left = trials * at_once
    while True:
        best, worth = None, 0.0
        for source, wanted in needs.items():
            for amount in np.unique(wanted[(wanted > shares[source]) & (wanted <= trials)]):
                cost = int(amount) - shares[source]
                gain = ((wanted > shares[source]) & (wanted <= amount)).sum() / cost
                if cost <= left and gain > worth:
                    best, worth = (source, int(amount)), gain
        if best is None:
            break
        left -= best[1] - shares[best[0]]
        shares[best[0]] = best[1]
    chosen = {source: share for source, share in shares.items() if share}
    while left > 0 and any(share < trials for share in chosen.values()):
        open_to = [source for source in chosen if chosen[source] < trials]
        each = max(1, left // len(open_to))
        for source in open_to[:left]:
            more = min(each, trials - chosen[source], left)
            chosen[source] += more
            left -= more
    return chosen
