"""Spike counts as lists of events, which is how a sparse recording is held in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.errors import BadInput

BLOCK = 1 << 16


@dataclass(frozen=True)
class Events:
    """The non-zero counts of several units.

    Attributes
    ----------
    starts : ndarray of int64, shape (units + 1,)
        Events of unit ``j`` are ``starts[j]:starts[j + 1]``.
    times : ndarray of int64
        Their bins, increasing within a unit.
    values : ndarray of float64
        Their counts, at least 1.
    bins : int
        Length of the recording in bins.
    """

    starts: np.ndarray
    times: np.ndarray
    values: np.ndarray
    bins: int

    @property
    def units(self) -> int:
        """Return the number of units."""
        return len(self.starts) - 1

    def totals(self, begin: int = 0, end: int | None = None) -> np.ndarray:
        """Return the sum of the counts of each unit over the bins ``begin ... end - 1``."""
        kept = (self.times >= begin) & (self.times < (self.bins if end is None else end))
        return np.bincount(self.owner()[kept], weights=self.values[kept], minlength=self.units)

    def owner(self) -> np.ndarray:
        """Return the unit of every event."""
        return np.repeat(np.arange(self.units), np.diff(self.starts))

    def of(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the bins and the counts of one unit's events."""
        part = slice(self.starts[unit], self.starts[unit + 1])
        return self.times[part], self.values[part]

    def between(self, begin: int, end: int) -> Events:
        """Return the events of the bins ``begin ... end - 1``, at their own times."""
        return self._kept((self.times >= begin) & (self.times < end))

    def without(self, begin: int, end: int) -> Events:
        """Return the events outside the bins ``begin ... end - 1``."""
        return self if begin >= end else self._kept((self.times < begin) | (self.times >= end))

    def _kept(self, kept: np.ndarray) -> Events:
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts].astype(np.int64)
        return Events(starts, self.times[kept], self.values[kept], self.bins)

    def take(self, units: np.ndarray) -> Events:
        """Return the events of some units, in the order given."""
        pieces = [self.of(unit) for unit in units]
        starts = np.concatenate([[0], np.cumsum([len(times) for times, _ in pieces])]).astype(np.int64)
        times = np.concatenate([times for times, _ in pieces]) if pieces else np.zeros(0, np.int64)
        values = np.concatenate([values for _, values in pieces]) if pieces else np.zeros(0)
        return Events(starts, times, values, self.bins)

    def dense(self, begin: int, end: int) -> np.ndarray:
        """Return the counts of the bins ``begin ... end - 1`` as floats, (bins, units)."""
        counts = np.zeros((end - begin, self.units))
        for unit in range(self.units):
            times, values = self.of(unit)
            low, high = np.searchsorted(times, [begin, end])
            counts[times[low:high] - begin, unit] = values[low:high]
        return counts

    def decimated(self, stride: int, phase: int) -> Events:
        """Return events whose history, at every `stride`-th bin only, is a history of ``units * stride`` sources.

        The bins looked at are ``phase + n * stride``. An event at bin ``s`` is seen from them at lags of one residue
        class modulo `stride`; splitting each unit's events by that class gives sources with the common stride, so the
        same kernels evaluate a quadrature of the likelihood at a fraction of the cost. Source ``j * stride + c`` holds
        the events that are seen at lags ``m`` with ``(m - 1) % stride == c``; event times are counted in strides such
        that lag ``m`` lies ``(m - 1) // stride + 1`` strides back.
        """
        residue = (phase - self.times - 1) % stride
        source = self.owner() * stride + residue
        strides = (self.times + 1 + residue - phase) // stride - 1
        order = np.lexsort((strides, source))
        starts = np.searchsorted(source[order], np.arange(self.units * stride + 1)).astype(np.int64)
        return Events(starts, strides[order], self.values[order], -(-(self.bins - phase) // stride))


def from_counts(counts: np.ndarray, names: list[str] | None = None, real: bool = False) -> Events:
    """Return the events of a (bins, units) array of counts, read in blocks so that a memory map is never loaded whole.

    With `real` any finite numbers are taken: features of the Gaussian family.

    Raises
    ------
    BadInput
        For a wrong shape, counts that are not numbers, negative, or not whole; the unit and bin are named.
    """
    if getattr(counts, "ndim", 0) != 2:
        raise BadInput(f"counts must be (bins, units), not of shape {np.shape(counts)}")
    bins, units = counts.shape
    rows, columns, values = [], [], []
    for begin in range(0, bins, BLOCK):
        block = np.asarray(counts[begin : begin + BLOCK])
        _check_block(block, begin, names, real)
        row, column = np.nonzero(block)
        rows.append(row.astype(np.int64) + begin)
        columns.append(column.astype(np.int32))
        values.append(block[row, column].astype(float))
    column = np.concatenate(columns) if columns else np.zeros(0, np.int32)
    order = np.argsort(column, kind="stable")
    starts = np.searchsorted(column[order], np.arange(units + 1)).astype(np.int64)
    joined = (np.concatenate(rows), np.concatenate(values)) if rows else (np.zeros(0, np.int64), np.zeros(0))
    return Events(starts, joined[0][order], joined[1][order], bins)


def _check_block(block: np.ndarray, begin: int, names: list[str] | None, real: bool) -> None:
    if block.dtype.kind in "bu":
        return
    if block.dtype.kind not in "if":
        raise BadInput(f"counts must be numbers, not {block.dtype}")
    for wrong, what in (
        (~np.isfinite(block) if block.dtype.kind == "f" else None, "not a number"),
        (None if real else block < 0, "negative"),
        (block != np.floor(block) if block.dtype.kind == "f" and not real else None, "not whole"),
    ):
        if wrong is not None and wrong.any():
            row, unit = np.argwhere(wrong)[0]
            name = names[unit] if names else f"unit {unit}"
            raise BadInput(
                f"the count of {name} at bin {begin + row} is {what} ({block[row, unit]}); "
                + ("features must be finite" if real else "counts must be whole numbers of spikes, zero or more")
            )
