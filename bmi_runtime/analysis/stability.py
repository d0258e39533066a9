"""Has the array changed since the reference days? A score without labels, its null distribution, unit by unit.

In windows of a tenth of a second every unit has a mean count and a slope on the state that the *other* units decode
with the reference's weights (leaving the unit out, so that its own noise does not tell). Neither needs to know what the
subject wanted. The reference is cut into blocks as long as today's: their scatter says how much both move by
themselves, and each block held against the others gives the null distribution of the score. (After the label-free
measure of instability of Pun et al. 2024, MINDFUL, unit by unit; what a change costs is in :mod:`.stability_cost`.)

What cannot be seen without labels: all units turning by one common angle, and a subject who moves otherwise than on the
reference days moves the score as a changed array does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from bmi_runtime.errors import BadInput

WINDOW_S = 0.1
FEWEST_BLOCKS = 6
SHORTEST_BLOCK_S = 2.0
CHANGED_P = 0.01  # below it the score is called changed
UNIT_P = 0.05  # for any of the units, together
SLOPE_FLOOR = 0.1  # counts per window, so that a unit of few spikes has no slope of many
RATE_FLOOR = 0.02  # counts per window added before the logarithm


@dataclasses.dataclass(frozen=True)
class Day:
    """The counts of one day's session.

    Attributes
    ----------
    name : str
    counts : ndarray, (windows, units)
        Counts (or summed features) in windows of `WINDOW_S`; whole windows of usable bins only.
    units : tuple of str
    likelihood : {"poisson", "gaussian"}
    bin_s : float
        Of the session.
    """

    name: str
    counts: np.ndarray
    units: tuple[str, ...]
    likelihood: str = "poisson"
    bin_s: float = 0.0


def day(
    name: str,
    counts: np.ndarray,
    usable: np.ndarray,
    bin_s: float,
    units: Sequence[str],
    likelihood: str = "poisson",
) -> Day:
    """Return a day from binned counts (bins, units), with the bins (bins,) that are to be believed."""
    counts = np.where(usable[:, None], np.asarray(counts, float), np.nan)
    windows = _in_windows(counts, bin_s) if likelihood == "poisson" else _summed(counts, bin_s)
    return Day(name, windows[np.isfinite(windows).all(axis=1)], tuple(units), likelihood, bin_s)


def _summed(counts: np.ndarray, bin_s: float) -> np.ndarray:
    """Return sums over as many whole bins as come nearest to a window."""
    per = max(round(WINDOW_S / bin_s), 1)
    whole = len(counts) // per
    return counts[: whole * per].reshape(whole, per, counts.shape[1]).sum(axis=1)


def _in_windows(counts: np.ndarray, bin_s: float) -> np.ndarray:
    """Return counts in windows of exactly `WINDOW_S`, whatever the bins: one that lies in two windows is shared out.

    Days in bins of 30 and of 70 ms are held against each other; windows of 90 and of 70 ms would be other rates.
    """
    if abs(WINDOW_S / bin_s - round(WINDOW_S / bin_s)) < 1e-9:
        return _summed(counts, bin_s)
    missing = np.isnan(counts).any(axis=1)
    edges = np.arange(int(len(counts) * bin_s / WINDOW_S + 1e-9) + 1) * (WINDOW_S / bin_s)
    total = np.vstack([np.zeros(counts.shape[1]), np.where(missing[:, None], 0.0, counts).cumsum(axis=0)])
    at = np.minimum(edges.astype(int), len(counts) - 1)
    upto = total[at] + (edges - at)[:, None] * (total[at + 1] - total[at])
    windows = np.diff(upto, axis=0)
    lost = np.r_[0, missing.cumsum()]
    touched = lost[np.minimum(np.ceil(edges[1:] - 1e-9).astype(int), len(counts))] - lost[at[:-1]]
    windows[touched > 0] = np.nan
    return windows


@dataclasses.dataclass(frozen=True)
class UnitChange:
    """One unit today: its rate over the reference's, how far both statistics moved in their own scatter, and a word."""

    unit: str
    rate_ratio: float
    deviation: float
    p: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Stability:
    """The answer.

    Attributes
    ----------
    score : float
        Root mean square deviation of the units' statistics, in units of their scatter over reference blocks, weighted
        by what each unit tells the decoder. One is what an unchanged array scores on average.
    null : ndarray, (blocks,)
        Scores of reference blocks held against the others.
    p : float
        Of a score so large under the null (log-normal, Student's t for the number of blocks).
    units : list of UnitChange
    block_s : float
    kept : float
        Share of the reference's tuning that today's units still have (:meth:`Reference.kept`).
    """

    score: float
    null: np.ndarray
    p: float
    units: list[UnitChange]
    block_s: float
    kept: float = 1.0

    @property
    def changed(self) -> bool:
        """Whether the array is called changed."""
        return self.p < CHANGED_P


class Reference:
    """What the reference days say of every unit, block by block.

    Parameters
    ----------
    days : sequence of Day
        With the same units.
    tuning : ndarray, (units, axes), or None
        Gains of the units in the reference's model; without it the state is the first principal components.
    block_s : float
        Length of a block.

    Raises
    ------
    BadInput
        When there are too few blocks for a null distribution.
    """

    def __init__(self, days: Sequence[Day], tuning: np.ndarray | None, block_s: float):
        per = max(round(block_s / WINDOW_S), 1)
        blocks = [one.counts[start : start + per] for one in days for start in range(0, len(one.counts) - per + 1, per)]
        if len(blocks) < FEWEST_BLOCKS:
            raise BadInput(
                f"the reference has {len(blocks)} blocks of {block_s:.3g} s; at least {FEWEST_BLOCKS} are needed to "
                "know how much an unchanged array scores: give more or longer sessions"
            )
        every = np.concatenate(blocks)
        self.block_s, self.mean = block_s, every.mean(axis=0)
        self.projection, self.importance = _projection(every, tuning)
        self.statistics = np.array([self.of(block) for block in blocks])
        spread = self.mean if (every >= 0).all() else 1.0 / np.maximum(every.var(axis=0), 1e-12)
        self._told = spread[:, None]
        alone = [self._alike(one, np.delete(self.statistics, k, 0)) for k, one in enumerate(self.statistics)]
        self._unchanged = max(float(np.mean(alone)), 0.1)

    def of(self, counts: np.ndarray) -> np.ndarray:
        """Return log mean count and slopes on the state that the other units decode, (units, 1 + axes).

        The slopes of counts are relative to their mean: what a log-linear unit keeps when only its baseline changes.
        """
        apart = counts - self.mean
        state = apart @ self.projection.T
        out = np.empty((counts.shape[1], 1 + state.shape[1]))
        out[:, 0] = np.log(np.maximum(counts.mean(axis=0), 0.0) + RATE_FLOOR)
        centred = apart - apart.mean(axis=0)
        for unit in range(counts.shape[1]):
            others = state - np.outer(apart[:, unit], self.projection[:, unit])
            others -= others.mean(axis=0)
            spread = others.T @ others + 1e-9 * np.eye(state.shape[1])
            out[unit, 1:] = np.linalg.solve(spread, others.T @ centred[:, unit])
        if (counts >= 0).all():
            out[:, 1:] /= counts.mean(axis=0)[:, None] + SLOPE_FLOOR
        return out

    def deviations(self, statistics: np.ndarray, leave_out: int | None = None) -> np.ndarray:
        """Return how far statistics lie from the reference's, over their scatter, (units, 1 + axes)."""
        kept = np.delete(self.statistics, leave_out, axis=0) if leave_out is not None else self.statistics
        return (statistics - kept.mean(axis=0)) / (_scatter(kept) * np.sqrt(1.0 + 1.0 / len(kept)))

    def scatter(self) -> np.ndarray:
        """Return by how much each statistic moves by itself from block to block, (units, 1 + axes)."""
        return _scatter(self.statistics)

    def score(self, deviations: np.ndarray) -> float:
        """Return the weighted root mean square deviation."""
        return float(np.sqrt(self.importance @ (deviations**2).mean(axis=1)))

    def kept(self, statistics: np.ndarray) -> float:
        """Return the share of the reference's slopes s that statistics (units, 1 + axes) still have.

        ``sum w s'.s / sqrt(sum w |s'|^2 sum w |s|^2)`` over the units, weighted by what a unit tells (counts: by its
        rate; features: by one over its variance), over what a block of the reference scores so: a unit in whose place
        another speaks adds nothing, one whose tuning has turned by an angle a adds cos a. Relative to their own size,
        as a decoder that has lost units answers with smaller velocities, on which all slopes are steeper. It does not
        ask, as the score does, how far a change stands out of the scatter, and is the same for quiet and busy arrays.
        """
        return self._alike(statistics, self.statistics) / self._unchanged

    def _alike(self, statistics: np.ndarray, reference: np.ndarray) -> float:
        before, now = reference[:, :, 1:].mean(axis=0), statistics[:, 1:]
        size = (self._told * before**2).sum() * (self._told * now**2).sum()
        return float((self._told * now * before).sum() / np.sqrt(max(size, 1e-24)))

    def null(self) -> np.ndarray:
        """Return the score of each block held against the others, (blocks,)."""
        return np.array([self.score(self.deviations(one, k)) for k, one in enumerate(self.statistics)])


def _scatter(statistics: np.ndarray) -> np.ndarray:
    scatter = statistics.std(axis=0, ddof=1)
    # a scatter of a few blocks is itself uncertain: a unit's is drawn halfway to that of the others
    return np.asarray(np.sqrt(0.5 * (scatter**2 + np.median(scatter, axis=0) ** 2)) + 1e-12)


def _projection(every: np.ndarray, tuning: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the map from counts to the state (axes, units), and each unit's share in what is told of it (units,)."""
    if tuning is None:
        scaled = (every - every.mean(axis=0)) / np.maximum(every.std(axis=0), 0.3)
        axes = min(8, every.shape[1])
        _, _, rows = np.linalg.svd(scaled, full_matrices=False)
        projection = rows[:axes] / np.maximum(every.std(axis=0), 0.3)
        weight = (rows[:axes] ** 2).sum(axis=0)
    else:
        rate = np.maximum(every.mean(axis=0), 1e-6)
        information = (tuning * rate[:, None]).T @ tuning + np.eye(tuning.shape[1])
        projection = np.linalg.solve(information, tuning.T)
        weight = rate * (tuning**2).sum(axis=1)
    if weight.sum() <= 0:
        raise BadInput("no unit of the reference's model is tuned to anything: adapt first, or give a fitted session")
    return projection, weight / weight.sum()


def block_length_s(references: Sequence[Day], today: Day) -> float:
    """Return the longest block that today holds and the reference holds at least `FEWEST_BLOCKS` + 2 times.

    Raises
    ------
    BadInput
        When the sessions are too short.
    """
    longest = min(len(today.counts), sum(len(one.counts) for one in references) // (FEWEST_BLOCKS + 2))
    longest = min(longest, min(len(one.counts) for one in references))
    if longest * WINDOW_S < SHORTEST_BLOCK_S:
        raise BadInput(
            f"these sessions hold blocks of {longest * WINDOW_S:.3g} s only: at least {SHORTEST_BLOCK_S:g} s of today "
            f"and {SHORTEST_BLOCK_S * (FEWEST_BLOCKS + 2):g} s of reference are needed"
        )
    return longest * WINDOW_S


def compare(reference: Reference, today: Day) -> Stability:
    """Return how today's array stands against the reference days: the mean over today's blocks.

    Raises
    ------
    BadInput
        When today holds less than a block.
    """
    per = max(round(reference.block_s / WINDOW_S), 1)
    starts = range(0, len(today.counts) - per + 1, per)
    if not starts:
        raise BadInput(f"{today.name} holds less than a block of {reference.block_s:.3g} s")
    statistics = np.array([reference.of(today.counts[s : s + per]) for s in starts])
    deviations = np.array([reference.deviations(one) for one in statistics])
    scores = [reference.score(one) for one in deviations]
    null = reference.null()
    logs = np.log(np.maximum(null, 1e-6))
    score = float(np.mean(scores))
    spread = max(float(logs.std(ddof=1)), 0.02) * np.sqrt(1.0 / len(scores) + 1.0 / len(null))
    # blocks of one day share its state: never trust their mean more than a third beyond that of a single block
    spread = max(spread, 0.5 * float(logs.std(ddof=1)))
    p = float(stats.t.sf((np.log(max(score, 1e-6)) - logs.mean()) / spread, len(null) - 1))
    return Stability(score, null, p, _units(reference, today, deviations.mean(axis=0)), reference.block_s,
                     float(np.mean([reference.kept(one) for one in statistics])))  # fmt: skip


def _units(reference: Reference, today: Day, deviations: np.ndarray) -> list[UnitChange]:
    ratio = (today.counts.mean(axis=0) + RATE_FLOOR) / (reference.mean + RATE_FLOOR)
    count, axes = deviations.shape
    freedom = len(reference.statistics) - 1
    each = (deviations**2).sum(axis=1)
    p = stats.f.sf(each / axes, axes, freedom)
    silent = (today.counts.sum(axis=0) == 0) & (reference.mean * len(today.counts) > 5.0)
    p = np.where(silent, 0.0, p)
    words = [_word(p[k] * count, deviations[k], silent[k]) for k in range(count)]
    how_far = np.sqrt(each / axes)
    return [
        UnitChange(name, float(ratio[k]), float(how_far[k]), float(p[k]), words[k])
        for k, name in enumerate(today.units)
    ]


def _word(p_any: float, deviations: np.ndarray, silent: bool) -> str:
    if silent:
        return "silent"
    if p_any >= UNIT_P:
        return "as before"
    return "rate" if abs(deviations[0]) > np.abs(deviations[1:]).max() else "tuning"
