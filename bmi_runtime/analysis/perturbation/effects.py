"""The effect of one neuron on another by difference in means: streamed, with confidence intervals and false-discovery
control.
"""

import dataclasses

import numpy as np
from scipy import stats

from bmi_runtime.errors import BadInput

BLOCK_STEPS = 4096
MARKS = 11  # seed of the numbers that tell sources apart by when they were clamped


@dataclasses.dataclass
class Effects:
    """Estimated effects of every source on every target.

    All arrays are (sources, targets) except the counts (sources,). ``estimate`` is the mean outcome after the source
    was clamped to 1 minus that after 0; ``low`` and ``high`` bound it with `confidence`; ``p_values`` are two-sided,
    against no effect. ``together`` are groups of sources whose assignments never differed, or always did: the effect of
    one is as well that of the others.
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray
    ones: np.ndarray
    zeros: np.ndarray
    confidence: float
    together: tuple[tuple[int, ...], ...] = ()

    def discoveries(self, rate: float = 0.05) -> np.ndarray:
        """Return which effects stand when a share `rate` of those named may be false (Benjamini & Hochberg 1995)."""
        return discoveries(self.p_values, rate)


def discoveries(p_values: np.ndarray, rate: float = 0.05) -> np.ndarray:
    """Return the effects (boolean, shaped like `p_values`) with a false-discovery rate of at most `rate`.

    Raises
    ------
    BadInput
        When the rate is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise BadInput(f"the false-discovery rate is {rate:g}: it must lie between 0 and 1")
    known = np.isfinite(p_values)
    result = np.zeros(np.shape(p_values), dtype=bool)
    if known.any():
        result[known] = stats.false_discovery_control(np.asarray(p_values)[known]) <= rate
    return result


class EffectAccumulator:
    """Sums from which the effects of all sources on all targets follow, fed block by block in bounded memory.

    Only the samples at which the source itself was clamped enter its estimate: an unclamped source follows the same
    hidden and recurrent input as its targets, so thresholding its free activity is biased.

    Parameters
    ----------
    sources, targets : int
        Numbers of perturbed and of observed neurons.
    single_precision : bool
        Multiply blocks in 32 bits (twice as fast); block sums are kept in 64. The rounding is far below the standard
        error.
    """

    def __init__(self, sources: int, targets: int, single_precision: bool = True):
        self._type = np.float32 if single_precision else np.float64
        self._centre: np.ndarray | None = None
        self.steps = 0
        self._marks, self._marked = np.zeros((2, sources), np.int64), np.random.default_rng(MARKS)
        self._ones = np.zeros(sources)
        self._clamped = np.zeros(sources)
        self._sum = np.zeros(targets)
        self._square = np.zeros(targets)
        self._sum_ones = np.zeros((sources, targets))
        self._sum_free = np.zeros((sources, targets))  # over the steps at which the source was not clamped
        self._square_free = np.zeros((sources, targets))

    def update(self, assignments: np.ndarray, outcomes: np.ndarray) -> None:
        """Add samples: `assignments` (steps, sources) of 1, 0 or -1 (not clamped), `outcomes` (steps, targets) one
        step later.

        Raises
        ------
        BadInput
            When the shapes do not fit, an assignment is something else, or an outcome is not finite.
        """
        assignments, outcomes = np.asarray(assignments), np.asarray(outcomes)
        self._check(assignments, outcomes)
        for start in range(0, len(assignments), BLOCK_STEPS):
            with np.errstate(over="ignore", invalid="ignore"):  # an overflow is refused with a sentence below
                self._add(assignments[start : start + BLOCK_STEPS], outcomes[start : start + BLOCK_STEPS])
            if not np.isfinite(self._square).all():
                raise BadInput("outcomes holds values so large that their squares overflow; check its unit")

    def _check(self, assignments: np.ndarray, outcomes: np.ndarray) -> None:
        wanted = (self._ones.size, self._sum.size)
        if assignments.ndim != 2 or outcomes.ndim != 2 or (assignments.shape[1], outcomes.shape[1]) != wanted:
            raise BadInput(
                f"assignments {assignments.shape} and outcomes {outcomes.shape} must be (steps, {wanted[0]}) and "
                f"(steps, {wanted[1]})"
            )
        if len(assignments) != len(outcomes):
            raise BadInput(f"there are {len(assignments)} rows of assignments but {len(outcomes)} of outcomes")

    def _add(self, assignments: np.ndarray, outcomes: np.ndarray) -> None:
        whole = assignments.dtype.kind in "bi" or (assignments == np.rint(assignments)).all()
        if assignments.size and not (whole and assignments.min() >= -1 and assignments.max() <= 1):
            raise BadInput("assignments must be 1 (clamped to one), 0 (clamped to zero) or -1 (not clamped)")
        if not np.isfinite(outcomes).all():
            bad = self.steps + int(np.flatnonzero(~np.isfinite(outcomes).all(axis=1))[0])
            raise BadInput(f"outcomes holds values that are not finite, first in row {bad}")
        if self._centre is None:
            self._centre = outcomes.mean(axis=0, dtype=float).astype(self._type)
        centred = outcomes.astype(self._type) - self._centre
        if not assignments.size:
            return
        # sums of +-(whole numbers of 31 bits): two sources share both only if clamped alike, or always opposite
        numbers = self._marked.integers(1, 2**31, (2, len(assignments)))
        self._marks += numbers @ np.where(assignments < 0, 0, 2 * assignments.astype(np.int64) - 1)
        ones = (assignments == 1).astype(self._type)
        self._sum_ones += ones.T @ centred
        self._ones += ones.sum(axis=0, dtype=float)
        self._sum += centred.sum(axis=0)
        self._square += np.einsum("ij,ij->j", centred, centred)
        self._clamped += len(assignments)
        if assignments.min() < 0:
            free = (assignments < 0).astype(self._type)
            self._clamped -= np.count_nonzero(assignments < 0, axis=0)
            self._sum_free += free.T @ centred
            self._square_free += free.T @ (centred * centred)
        self.steps += len(assignments)

    def result(self, confidence: float = 0.95) -> Effects:
        """Return the effects so far, with pooled-variance t intervals.

        Raises
        ------
        BadInput
            When a neuron was never clamped, or never to one of the two values.
        """
        if not 0 < confidence < 1:
            raise BadInput(f"the confidence is {confidence:g}: it must lie between 0 and 1")
        ones, zeros = self._ones, self._clamped - self._ones
        self._check_arms(ones, zeros)
        sums, squares = self._sum - self._sum_free, self._square - self._square_free
        mean_one = self._sum_ones / ones[:, None]
        mean_zero = (sums - self._sum_ones) / zeros[:, None]
        freedom = (ones + zeros - 2)[:, None]
        within = squares - ones[:, None] * mean_one**2 - zeros[:, None] * mean_zero**2
        # a difference of large sums: what is below its rounding is not variance
        within = np.where(within > 1e-6 * np.abs(squares), within, 0.0)
        estimate = mean_one - mean_zero
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt(within / freedom * (1 / ones + 1 / zeros)[:, None])
            p_values = 2 * stats.t.sf(np.abs(estimate) / error, freedom)
        half = stats.t.ppf(0.5 + confidence / 2, freedom) * error
        return Effects(
            estimate, error, estimate - half, estimate + half, p_values, ones.astype(int), zeros.astype(int),
            confidence, self._together(),
        )  # fmt: skip

    def _together(self) -> tuple[tuple[int, ...], ...]:
        """Return the groups of sources that were always clamped alike, or always opposite."""
        marks = np.where(self._marks[0] < 0, -self._marks, self._marks)
        groups: dict[bytes, list[int]] = {}
        for source, mark in enumerate(marks.T):
            groups.setdefault(mark.tobytes(), []).append(source)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    def _check_arms(self, ones: np.ndarray, zeros: np.ndarray) -> None:
        for count, words in ((self._clamped, "clamped"), (ones, "clamped to 1"), (zeros, "clamped to 0")):
            never = np.flatnonzero(count == 0)
            if never.size:
                raise BadInput(
                    f"{never.size} of {count.size} neurons (first: {never[0]}) were never {words}, so their effect "
                    "cannot be estimated; perturb them or leave them out"
                )
        few = np.flatnonzero(self._clamped < 3)
        if few.size:
            raise BadInput(
                f"neuron {few[0]} was clamped only {int(self._clamped[few[0]])} times; at least 3 are needed"
            )

    def correlations(self) -> np.ndarray:
        """Return the stacked correlation (sources, targets) of assignment with outcome, over the samples clamped.

        Raises
        ------
        BadInput
            When an outcome is constant: its correlation is undefined.
        """
        effects = self.result()
        count = self._clamped[:, None]
        sums, squares = self._sum - self._sum_free, self._square - self._square_free
        variance = squares / count - (sums / count) ** 2
        constant = np.flatnonzero((variance <= 1e-12 * np.maximum(squares / count, 1e-300)).any(axis=0))
        if constant.size:
            raise BadInput(f"the outcome of neuron {constant[0]} never changes, so it has no correlation with anything")
        share = effects.ones[:, None] / count
        return effects.estimate * np.sqrt(share * (1 - share) / variance)


def difference_in_means(assignments, outcomes, confidence: float = 0.95) -> Effects:
    """Return the effects of all sources on all targets from whole arrays, in 64 bits (see
    :class:`EffectAccumulator`).
    """
    assignments, outcomes = np.atleast_2d(assignments), np.atleast_2d(outcomes)
    sums = EffectAccumulator(assignments.shape[1], outcomes.shape[1], single_precision=False)
    sums.update(assignments, outcomes)
    return sums.result(confidence)


def permutation_p_values(assignments, outcomes, rng: np.random.Generator, permutations: int = 1000) -> np.ndarray:
    """Return two-sided p-values (sources, targets) by shuffling each source's own assignments among its clamped trials.

    Exact under no effect whatever the distribution of outcomes, for a schedule that drew its assignments the same
    way; smallest possible value ``1 / (permutations + 1)``.
    """
    assignments, outcomes = np.asarray(assignments), np.asarray(outcomes, dtype=float)
    observed = np.abs(difference_in_means(assignments, outcomes).estimate)
    exceed = np.zeros_like(observed)
    for source in range(assignments.shape[1]):
        rows = assignments[:, source] >= 0
        treated, values = assignments[rows, source].astype(float), outcomes[rows]
        ones = treated.sum()
        shuffled = rng.permuted(np.tile(treated, (permutations, 1)), axis=1)
        first = shuffled @ values
        effects = first / ones - (values.sum(axis=0) - first) / (treated.size - ones)
        exceed[source] = (np.abs(effects) >= observed[source] * (1 - 1e-12)).sum(axis=0)
    return (exceed + 1) / (permutations + 1)


def agreement(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Return the correlation between a true and an estimated matrix laid out the same way.

    Raises
    ------
    BadInput
        When one of them is constant.
    """
    truth, estimate = np.asarray(truth, dtype=float), np.asarray(estimate, dtype=float)
    if truth.shape != estimate.shape:
        raise BadInput(f"the true matrix has shape {truth.shape}, the estimate {estimate.shape}")
    for values, name in ((truth, "true"), (estimate, "estimated")):
        if values.size < 2 or np.ptp(values) == 0:
            raise BadInput(f"the {name} matrix is constant, so its correlation with anything is undefined")
    return float(np.corrcoef(truth.ravel(), estimate.ravel())[0, 1])
