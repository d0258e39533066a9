"""The design matrix that is never formed: products with all units' coefficients at once, block by block."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bmi_runtime.analysis.glm.events import Events
from bmi_runtime.kernels import glm as kernels

IMPOSSIBLE = -1e8
"""Log-rate that stands for minus infinity: its exponential is exactly zero, its products stay finite."""


GROUP_BYTES = 1.5e8
"""Of the cross-correlograms that are held at once."""


def _groups(units: int, values_each: int) -> list[tuple[int, int]]:
    """Return the ranges of units whose values, so many each, are held at once."""
    size = max(1, int(GROUP_BYTES / (8 * max(values_each, 1))))
    return [(begin, min(begin + size, units)) for begin in range(0, units, size)]


def finite_part(weights: np.ndarray) -> np.ndarray:
    """Return coefficients with those that stand for infinity set to zero."""
    return np.where(np.abs(weights) < -0.1 * IMPOSSIBLE, weights, 0.0)


@dataclass(frozen=True)
class Covariates:
    """External covariates at leads and lags, standardised, read in blocks.

    Attributes
    ----------
    table : ndarray or memory map, shape (bins, k)
    leads : tuple of int
        Column ``c * len(leads) + n`` is covariate ``c`` at bin ``t + leads[n]``.
    mean, scale : ndarray, shape (k,)
        Subtracted from and divided out of each covariate inside the solver only.
    sign : ndarray of int, shape (k,)
        1 or -1 for covariates that are never negative or never positive but sometimes zero (those are not centred),
        else 0.
    """

    table: np.ndarray
    leads: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray
    sign: np.ndarray

    @property
    def columns(self) -> int:
        """Return the number of columns."""
        return self.table.shape[1] * len(self.leads)

    def rows(self, begin: int, end: int, stride: int) -> np.ndarray:
        """Return standardised columns at the bins ``begin, begin + stride, ... < end``, (rows, columns)."""
        pieces = [(self.table[begin + d : end + d : stride] - self.mean) / self.scale for d in self.leads]
        if len(pieces) == 1:
            return pieces[0]
        return np.stack(pieces, axis=2).reshape(len(pieces[0]), -1)

    def wide_mean(self) -> np.ndarray:
        """Return the subtracted mean of every column."""
        return np.repeat(self.mean, len(self.leads))

    def wide_scale(self) -> np.ndarray:
        """Return the divided scale of every column."""
        return np.repeat(self.scale, len(self.leads))


@dataclass(frozen=True)
class Design:
    """History of every source and covariates, at bins ``first, first + stride, ... < last``.

    Parameters (rows of every coefficient array) are ordered: intercept; source-major history coefficients,
    ``1 + j * functions + b``; covariate columns. Coefficient arrays are (parameters, units).

    Attributes
    ----------
    events : Events
        Events of the sources, in bins of the recording.
    basis : ndarray, shape (lags, functions)
    first, last : int
        The bins that enter the likelihood; those before `first` only condition it.
    covariates : Covariates or None
    refractory_bins : int
        Lags of a unit's own history at which its rate is exactly zero.
    own : ndarray of int
        Source index of each target unit, or -1.
    excluded : tuple of int
        First bin, and the bin after the last, of a stretch between `first` and `last` that is left out of the
        likelihood (it still conditions what follows): a held-out fold.
    stride : int
        1 for the likelihood; more for a quadrature of its integral over every `stride`-th bin.
    """

    events: Events
    basis: np.ndarray
    first: int
    last: int
    covariates: Covariates | None = None
    refractory_bins: int = 0
    own: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    stride: int = 1
    block: int = 1024
    threads: int = 1
    excluded: tuple[int, int] = (0, 0)
    _seen: Events = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        """Split the events by residue class once."""
        object.__setattr__(self, "_seen", self.events.decimated(self.stride, self.first))

    @property
    def rows(self) -> int:
        """Return the number of bins looked at."""
        return sum(end - begin for begin, end in self.stretches())

    def stretches(self) -> list[tuple[int, int]]:
        """Return the row ranges left by the excluded bins; row ``n`` is bin ``first + n * stride``."""
        whole = -(-(self.last - self.first) // self.stride)
        cut = [-(-(min(max(edge, self.first), self.last) - self.first) // self.stride) for edge in self.excluded]
        if cut[0] >= cut[1]:
            return [(0, whole)]
        return [(begin, end) for begin, end in ((0, cut[0]), (cut[1], whole)) if end > begin]

    @property
    def history_columns(self) -> int:
        """Return the number of history coefficients per unit."""
        return self.events.units * self.basis.shape[1]

    @property
    def parameters(self) -> int:
        """Return the number of coefficients per unit."""
        return 1 + self.history_columns + (self.covariates.columns if self.covariates else 0)

    def history(self, source: int) -> slice:
        """Return the rows of the coefficients of one source."""
        functions = self.basis.shape[1]
        return slice(1 + source * functions, 1 + (source + 1) * functions)

    def thinned(self, stride: int) -> Design:
        """Return the same design looked at every `stride`-th bin."""
        return dataclasses.replace(self, stride=stride)

    def filters(self, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the filters over lags, (sources, lags, targets), with the refractory lags impossible."""
        sources, (lags, functions) = self.events.units, self.basis.shape
        compact = weights[1 : 1 + self.history_columns].reshape(sources, functions, weights.shape[1])
        taps = np.matmul(self.basis, compact) if functions else np.zeros((sources, lags, weights.shape[1]))
        if self.refractory_bins:
            for column, unit in enumerate(targets):
                if self.own[unit] >= 0:
                    taps[self.own[unit], : self.refractory_bins, column] = IMPOSSIBLE
        return self._split(taps)

    def _split(self, taps: np.ndarray) -> np.ndarray:
        """Deal the lags out to the residue classes of the stride."""
        if self.stride == 1:
            return np.ascontiguousarray(taps)
        sources, lags, targets = taps.shape
        long = -(-lags // self.stride)
        padded = np.zeros((sources, long * self.stride, targets))
        padded[:, :lags] = taps
        dealt = padded.reshape(sources, long, self.stride, targets).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(dealt.reshape(sources * self.stride, long, targets))

    def _join(self, dealt: np.ndarray) -> np.ndarray:
        """Undo :meth:`_split`."""
        if self.stride == 1:
            return dealt
        long, targets = dealt.shape[1:]
        sources, lags = self.events.units, len(self.basis)
        taps = dealt.reshape(sources, self.stride, long, targets).transpose(0, 2, 1, 3)
        return taps.reshape(sources, long * self.stride, targets)[:, :lags]

    def covariate_rows(self, begin: int, end: int) -> np.ndarray:
        """Return the standardised covariate columns of rows ``begin ... end - 1`` of the design."""
        assert self.covariates is not None
        low, high = self.first + begin * self.stride, min(self.first + end * self.stride, self.last)
        return self.covariates.rows(low, high, self.stride)

    def predictor(self, weights: np.ndarray, taps: np.ndarray, begin: int, end: int, outside=None) -> np.ndarray:
        """Return ``X @ weights`` for some rows, given ``taps = filters(weights, targets)``.

        ``outside`` is ``covariate_rows(begin, end)`` if it is known.
        """
        if self.covariates:
            outside = self.covariate_rows(begin, end) if outside is None else outside
            out = outside @ weights[1 + self.history_columns :]
            out += weights[0]
        else:
            out = np.empty((end - begin, weights.shape[1]))
            out[:] = weights[0]
        if taps.shape[1]:
            seen = self._seen
            kernels.add_history(seen.starts, seen.times, seen.values, taps, begin, out)
        return out

    def new_sum(self, targets: int) -> tuple[np.ndarray, np.ndarray]:
        """Return empty accumulators for :meth:`add_transpose`."""
        extra = self.parameters - self.history_columns
        long = -(-len(self.basis) // self.stride)
        return np.zeros((extra, targets)), np.zeros((self.events.units * self.stride, long, targets))

    def add_transpose(self, total, residual: np.ndarray, begin: int, end: int, outside=None, sums=None) -> None:
        """Add ``X[begin:end].T @ residual`` to the accumulators (covariate rows and column sums if known)."""
        plain, dealt = total
        plain[0] += residual.sum(axis=0) if sums is None else sums
        if self.covariates:
            plain[1:] += (self.covariate_rows(begin, end) if outside is None else outside).T @ residual
        if dealt.shape[1]:
            seen = self._seen
            kernels.add_history_transpose(seen.starts, seen.times, seen.values, residual, begin, dealt)

    def collect(self, total: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return the accumulated product in coefficient order, (parameters, targets)."""
        plain, dealt = total
        taps = self._join(dealt)
        history = np.matmul(self.basis.T, taps).reshape(self.history_columns, taps.shape[-1])
        return np.concatenate([plain[:1], history, plain[1:]])

    def blocks(self) -> list[tuple[int, int]]:
        """Return the row ranges of the blocks."""
        return [
            (begin, min(begin + self.block, end))
            for first, end in self.stretches()
            for begin in range(first, end, self.block)
        ]

    def user_gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to coefficients of the covariates as given, not standardised."""
        if not self.covariates:
            return gradient
        out = gradient.copy()
        rows = slice(1 + self.history_columns, None)
        scale, mean = self.covariates.wide_scale()[:, None], self.covariates.wide_mean()[:, None]
        out[rows] = scale * gradient[rows] + mean * gradient[0]
        return out

    def each_block(self, work, targets: int):
        """Run ``work(begin, end, total)`` over all blocks, in threads, and return the collected product."""
        blocks = self.blocks()
        shares = [blocks[k :: self.threads] for k in range(self.threads)]

        def run(share):
            total = self.new_sum(targets)
            values = [work(begin, end, total) for begin, end in share]
            return total, values

        if self.threads == 1:
            done = [run(shares[0])]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                done = list(pool.map(run, shares))
        plain = sum(total[0] for total, _ in done)
        dealt = sum(total[1] for total, _ in done)
        return self.collect((plain, dealt)), [value for _, values in done for value in values]

    def features(self, begin: int, end: int) -> np.ndarray:
        """Return the dense rows ``begin ... end - 1`` of the design matrix, (rows, parameters)."""
        out = np.empty((end - begin, self.parameters))
        out[:, 0] = 1.0
        if self.history_columns:
            history = np.empty((end - begin, self.history_columns))
            seen = self._seen
            kernels.history_features(seen.starts, seen.times, seen.values, self._dealt_basis(), begin, history)
            out[:, 1 : 1 + self.history_columns] = history
        if self.covariates:
            out[:, 1 + self.history_columns :] = self.covariate_rows(begin, end)
        return out

    def _dealt_basis(self) -> np.ndarray:
        """Return the basis dealt out to the residue classes, (stride, lags per class, functions)."""
        long = -(-len(self.basis) // self.stride)
        padded = np.zeros((long * self.stride, self.basis.shape[1]))
        padded[: len(self.basis)] = self.basis
        return np.ascontiguousarray(padded.reshape(long, self.stride, -1).transpose(1, 0, 2))

    def fitted(self, targets: Events) -> Events:
        """Return the events that lie in the likelihood's bins."""
        return targets.between(self.first, self.last).without(*self.excluded)

    def cross_product(self, targets: Events) -> np.ndarray:
        """Return ``X.T @ Y`` over the likelihood's bins for the counts of the target units, (parameters, units).

        The history rows are cross-correlograms of spikes, exactly; the covariate rows are gathered at the spikes.
        """
        kept = self.fitted(targets)
        if self.crowded():
            return sum(self.features(*block).T @ kept.dense(*self._bins(*block)) for block in self.blocks())
        lags, functions = self.basis.shape
        ours = (self.events.starts, self.events.times, self.events.values)
        history = np.empty((self.history_columns, kept.units))
        for begin, end in _groups(kept.units, self.events.units * lags):
            pairs = np.zeros((self.events.units, end - begin, lags))
            kernels.correlogram(*ours, kept.starts[begin : end + 1], kept.times, kept.values, 1, pairs)
            taken = np.matmul(self.basis.T, pairs.transpose(0, 2, 1))
            history[:, begin:end] = taken.reshape(self.events.units * functions, end - begin)
        plain = np.zeros((self.parameters - self.history_columns, kept.units))
        plain[0] = kept.totals()
        for begin, end in self.blocks() if self.covariates else []:
            plain[1:] += self.covariate_rows(begin, end).T @ kept.dense(*self._bins(begin, end))
        return np.concatenate([plain[:1], history, plain[1:]])

    def crowded(self) -> bool:
        """Return whether so many bins hold spikes that dense products beat counting pairs of spikes."""
        return len(self.events.times) > 0.08 * self.events.bins * max(self.events.units, 1)

    def _bins(self, begin: int, end: int) -> tuple[int, int]:
        return self.first + begin, self.first + end

    def gram(self) -> np.ndarray:
        """Return ``X.T @ X`` as if silence surrounded the recording, (parameters, parameters).

        History entries follow from the spikes' cross-correlograms alone: extended by silence on both sides the raw-lag
        product is Toeplitz, ``G[(j, m), (l, n)] = c_jl(m - n)`` with ``c_jl(d) = sum_s y_j(s) y_l(s + d)``, projected
        on the basis. The extension keeps it a Gram matrix (of a slightly longer design), which is what a
        preconditioner needs. Crowded recordings (wide bins) take the plain product of dense blocks instead.
        """
        if self.crowded():
            return sum(rows.T @ rows for rows in (self.features(*block) for block in self.blocks()))
        total = self.new_sum(self.parameters - self.history_columns)
        for begin, end in self.blocks():
            columns = np.ones((end - begin, total[0].shape[1]))
            if self.covariates:
                columns[:, 1:] = self.covariate_rows(begin, end)
            self.add_transpose(total, columns, begin, end)
        border = self.collect(total)
        gram = np.empty((self.parameters, self.parameters))
        outside = np.r_[0, 1 + self.history_columns : self.parameters].astype(int)
        gram[:, outside] = border
        gram[outside, :] = border.T
        inside = slice(1, 1 + self.history_columns)
        gram[inside, inside] = self._history_gram()
        return gram

    def _history_gram(self) -> np.ndarray:
        lags, functions = self.basis.shape
        sources = self.events.units
        if not self.history_columns:
            return np.zeros((0, 0))
        shifts = np.zeros((2 * lags - 1, functions, functions))
        for shift in range(-(lags - 1), lags):
            late, early = max(0, shift), max(0, -shift)
            size = lags - abs(shift)
            shifts[shift + lags - 1] = self.basis[late : late + size].T @ self.basis[early : early + size]
        events = self.events
        gram = np.empty((sources, functions, sources, functions))
        for begin, end in _groups(sources, sources * (2 * lags - 1)):  # c_jl(d) = c_lj(-d): the other half is a mirror
            later = sources - begin
            pairs = np.zeros((end - begin, later, 2 * lags - 1))
            ours, others = events.starts[begin : end + 1], events.starts[begin:]
            kernels.correlogram(ours, events.times, events.values, others, events.times, events.values, 1 - lags, pairs)
            blocks = pairs.reshape(-1, 2 * lags - 1) @ shifts.reshape(2 * lags - 1, -1)
            part = blocks.reshape(end - begin, later, functions, functions).transpose(0, 2, 1, 3)
            gram[begin:, :, begin:end] = part.transpose(2, 3, 0, 1)
            gram[begin:end, :, begin:] = part
        return gram.reshape(self.history_columns, self.history_columns)
