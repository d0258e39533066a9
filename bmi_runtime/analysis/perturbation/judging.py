"""Which couplings of a fit survive stimulation.

For every coupling j -> i the weighted counts of i after each trial (filters of :mod:`.predicted`: 1 is the coupling as
fitted) are regressed on what was assigned to j and to everyone else stimulated in the trial, and divided by what the
assignment did to j. What the other standing couplings pass on is taken off. If the rest is above 0 the coupling
survives; if it is below half of what the fit says, and not above 0, it does not: the fit took a common input for a
coupling. (A test against the fit itself, of effects nearer to 0 than to it, refuted couplings that were there and
weaker than fitted.) False discoveries are controlled in both directions (Benjamini & Hochberg 1995). A
path through a unit that was not recorded is no different from a coupling in this, nor in any experiment that sees
these units only.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

from bmi_runtime.analysis.perturbation.effects import discoveries
from bmi_runtime.analysis.perturbation.predicted import CoupledFit, predict
from bmi_runtime.analysis.perturbation.schedule import LEFT_OUT, SHAM, STIMULATE
from bmi_runtime.errors import BadInput

SURVIVES, REFUTED, UNDECIDED, WEAK, NOT_TRIED = "survives", "refuted", "undecided", "weak instrument", "not tried"
WEAK_F = 10.0  # Staiger & Stock 1997
PASSES = 10


@dataclasses.dataclass(frozen=True)
class StimulatedCounts:
    """Counts of a stimulated session and what was assigned when.

    Attributes
    ----------
    counts : (bins, units) ndarray
    bins : (trials,) int ndarray
        The bin into which each trial's spikes were added.
    units : (k,) int ndarray
        Units that took part, in ascending order.
    assignments : (trials, k) ndarray
        1 stimulated, 0 sham, -1 left out.
    pulses : int
    bin_s : float
    """

    counts: np.ndarray
    bins: np.ndarray
    units: np.ndarray
    assignments: np.ndarray
    pulses: int
    bin_s: float

    def complete(self, lags: int) -> StimulatedCounts:
        """Return the trials whose whole response lies inside the counts."""
        whole = (self.bins >= 0) & (self.bins + lags < len(self.counts))
        if whole.sum() < 8:
            raise BadInput(f"only {int(whole.sum())} trials of stimulation lie inside the data; at least 8 are needed")
        return dataclasses.replace(self, bins=self.bins[whole], assignments=self.assignments[whole])


@dataclasses.dataclass(frozen=True)
class Truth:
    """True connections between recorded units, (targets, sources): direct ones, and paths over hidden units alone."""

    direct: np.ndarray
    through_hidden: np.ndarray


def truth_of(weights: np.ndarray, units: int) -> Truth:
    """Return the truth in the `weights` (targets, sources) of a network whose first `units` neurons are recorded."""
    linked = (np.asarray(weights) != 0).astype(float)
    reached = linked[units:, :units]  # hidden neurons that a recorded one reaches, over hidden ones only
    while ((further := np.minimum(1.0, reached + linked[units:, units:] @ reached)) != reached).any():
        reached = further
    return Truth(linked[:units, :units] > 0, linked[:units, units:] @ reached > 0)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What stimulation says of the couplings of a fit; arrays are (k,).

    Attributes
    ----------
    targets, sources : ndarray of int
    direct : ndarray
        What the source does directly to its target, as a share of what the fit says (1: as fitted, 0: nothing).
    error : ndarray
    passed_on : ndarray
        What was taken off for the other paths, in the same unit.
    p_absent, p_fitted, p_half : ndarray
        That the direct effect is 0, two-sided; that it is as large as fitted, and half as large, one-sided.
    first_stage_f : ndarray
        How strongly stimulation moved the source.
    verdicts : list of str
    trials : int
    """

    targets: np.ndarray
    sources: np.ndarray
    direct: np.ndarray
    error: np.ndarray
    passed_on: np.ndarray
    p_absent: np.ndarray
    p_fitted: np.ndarray
    p_half: np.ndarray
    first_stage_f: np.ndarray
    verdicts: list[str]
    trials: int

    def counted(self) -> dict[str, int]:
        """Return how many couplings got each verdict."""
        return {word: self.verdicts.count(word) for word in (SURVIVES, REFUTED, UNDECIDED, WEAK, NOT_TRIED)}

    def against(self, truth: Truth) -> dict[str, int]:
        """Return the counts against the true connections: false and missed ones, and those through hidden units.

        A path through a unit that was not recorded is an effect, and no experiment on the recorded units tells it from
        a coupling, so survivors of that kind are counted apart from false ones.
        """
        real = truth.direct[self.targets, self.sources]
        hidden = truth.through_hidden[self.targets, self.sources] & ~real
        survives, refuted = (np.array([word == kind for word in self.verdicts]) for kind in (SURVIVES, REFUTED))
        kinds = {"real": real, "through_hidden": hidden, "spurious": ~real & ~hidden}
        counts = {f"fitted_{name}": int(kind.sum()) for name, kind in kinds.items()}
        counts |= {f"survivors_{name}": int((survives & kind).sum()) for name, kind in kinds.items()}
        counts |= {f"refuted_{name}": int((refuted & kind).sum()) for name, kind in kinds.items()}
        undecided = ~survives & ~refuted
        counts |= {f"undecided_{name}": int((undecided & kind).sum()) for name, kind in kinds.items()}
        return counts


def judge(fit: CoupledFit, data: StimulatedCounts, fdr: float = 0.05) -> Judgement:
    """Return which couplings of `fit` survive the stimulation in `data`.

    Raises
    ------
    BadInput
        When counts and fit do not belong together, or no coupling's source was stimulated.
    """
    _check(fit, data)
    data = data.complete(fit.lags)
    standing = fit.present
    for _ in range(PASSES):
        found = _once(fit, data, standing, fdr)
        left = fit.present.copy()
        for i, j, word in zip(found.targets, found.sources, found.verdicts):
            left[i, j] = word != REFUTED
        if (left == standing).all():
            break
        standing = left
    return found


def _check(fit: CoupledFit, data: StimulatedCounts) -> None:
    if data.counts.ndim != 2 or data.counts.shape[1] != fit.units:
        raise BadInput(f"the counts are of shape {data.counts.shape}, the fit has {fit.units} units")
    if abs(data.bin_s / fit.bin_s - 1) > 1e-6:
        raise BadInput(f"the data's bins are {data.bin_s:g} s wide, the fit's {fit.bin_s:g} s; use the same")
    if not np.isin(np.unique(fit.candidates()[1]), data.units).any():
        raise BadInput("none of the units that were stimulated is the source of a coupling in the fit")


def _once(fit: CoupledFit, data: StimulatedCounts, standing: np.ndarray, fdr: float) -> Judgement:
    """Judge all couplings with those `standing` passing on what they receive."""
    predicted = predict(fit, data.pulses, standing)
    k = len(predicted.targets)
    direct, error, strength = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
    for source in np.intersect1d(np.unique(predicted.sources), data.units):
        chosen = np.flatnonzero(predicted.sources == source)
        outcomes = _weighted(data, predicted.targets[chosen], predicted.filters[chosen])
        moved, spread, effect, effect_error = _regressed(data, int(source), outcomes)
        strength[chosen] = (moved / spread) ** 2 if spread > 0 else np.inf
        if strength[chosen[0]] < WEAK_F or moved <= 0:
            continue
        share = moved / data.pulses
        direct[chosen] = effect / share - predicted.passed_on[chosen]
        error[chosen] = np.sqrt(effect_error**2 + (effect / moved * spread) ** 2) / share
    tried = np.isfinite(direct)
    with np.errstate(invalid="ignore"):
        p_absent = 2 * stats.norm.sf(np.abs(direct / error))
        p_fitted, p_half = (
            stats.norm.cdf((direct - share) / np.hypot(error, share * predicted.direct_error)) for share in (1.0, 0.5)
        )
    above = discoveries(p_absent, fdr) & tried & (direct > 0)
    below = discoveries(p_half, fdr) & tried & ~above
    words = np.where(above, SURVIVES, np.where(below, REFUTED, UNDECIDED)).astype(object)
    words[~tried] = WEAK
    words[~np.isin(predicted.sources, data.units)] = NOT_TRIED
    return Judgement(
        predicted.targets, predicted.sources, direct, error, predicted.passed_on, p_absent, p_fitted, p_half,
        strength, words.tolist(), len(data.bins),
    )  # fmt: skip


def _weighted(data: StimulatedCounts, targets: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return the weighted counts (trials, k) of each target after every trial."""
    rows = data.bins[:, None] + 1 + np.arange(filters.shape[1])
    return np.stack([data.counts[rows, i] @ weights for i, weights in zip(targets, filters)], axis=1)


def _regressed(data: StimulatedCounts, source: int, outcomes: np.ndarray):
    """Return what stimulation of `source` did to itself and to `outcomes` (trials, k), each with its error.

    Regressors are everybody's assignments in the trials in which the source took part; errors allow for unequal
    variances (White 1980, with the correction for degrees of freedom).
    """
    column = int(np.searchsorted(data.units, source))
    mine = data.assignments[:, column]
    rows = np.flatnonzero(mine != LEFT_OUT)
    if (mine == STIMULATE).sum() < 4 or (mine == SHAM).sum() < 4:
        return 0.0, 1.0, np.full(outcomes.shape[1], np.nan), np.full(outcomes.shape[1], np.nan)
    given = (data.assignments[rows] == STIMULATE).astype(float)
    others = np.delete(given, column, axis=1)
    others = others[:, np.ptp(others, axis=0) > 0]
    table = np.column_stack([given[:, column], np.ones(len(rows)), others])
    treatment = data.counts[data.bins[rows], source].astype(float)
    values = np.column_stack([treatment, outcomes[rows]])
    inverse = np.linalg.pinv(table)
    residual = values - table @ (inverse @ values)
    scale = len(rows) / max(1, len(rows) - table.shape[1])
    errors = np.sqrt(scale * (inverse[0] ** 2) @ residual**2)
    effects = inverse[0] @ values
    return float(effects[0]), float(errors[0]), effects[1:], errors[1:]
