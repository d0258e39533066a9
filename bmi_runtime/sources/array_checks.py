"""Arrays of a recording that come from anywhere: shapes and values checked, each refused in a sentence."""

import os
from typing import Any

import numpy as np

from bmi_runtime.constants import NARROWEST_BIN_S, WIDEST_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.state_space import MOST_AXES

MAX_COUNT = 100_000  # per bin and unit: no neuron, multi-unit or threshold-crossing channel comes near
MIN_BINS = 40  # half of them to learn from
KINDS = {"U": "text", "S": "text", "O": "an object", "b": "true or false", "c": "a complex number"}
COPIES = 3  # of all counts, at once in memory
LARGEST_NUMBER = 1e100  # of a movement, in any unit: squares of larger ones overflow, of their inverse vanish


def memory_bytes() -> float:
    """Return how much memory this machine has."""
    return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")


def checked_width_s(name: str, bin_s: Any) -> float:
    """Return the width of a bin as one number of seconds.

    Raises
    ------
    BadInput
        When it is not a number, or cannot be seconds; milliseconds are named as such.
    """
    given = np.asarray(bin_s)
    width = given.astype(float) if given.dtype.kind in "iuf" else np.array(np.nan)
    alike = width.size and (width == width.flat[0]).all()
    value = float(width.flat[0]) if alike or width.size == 1 else float("nan")
    if NARROWEST_BIN_S <= value <= WIDEST_BIN_S:
        return value
    alone = f"; it is {value:g}" if given.dtype.kind == "f" else f"; it is {KINDS.get(given.dtype.kind, given.dtype)}"
    hint = alone if given.size == 1 else f"; it is {given.size} different ones" if given.size else "; it is empty"
    if np.isfinite(value):
        hint = f"; it is {value:g}"
        for most, divisor, what in ((1e3, 1e3, "milliseconds"), (1e6, 1e6, "microseconds"), (1e9, 1e9, "nanoseconds")):
            if 1.0 < value <= most:
                hint += f": if these are {what}, save {value / divisor:g}"
                break
    raise BadInput(
        f"{name}: bin_s must be one number of seconds between {NARROWEST_BIN_S:g} and {WIDEST_BIN_S:g}{hint}"
    )


def check_turned(name, counts, tables) -> None:
    """Refuse tables that have their bins in columns, as is usual in MATLAB, and say which."""
    shape = np.shape(counts)
    for what, values in tables.items():
        other = np.shape(values)
        if values is None or len(shape) != 2 or len(other) != 2 or other[0] == shape[0]:
            continue
        which = next(
            (
                said
                for said, same in (
                    ("counts", shape[1] == other[0]),
                    (what, shape[0] == other[1]),
                    (f"counts and {what}", shape[1] == other[1]),
                )
                if same
            ),
            None,
        )
        if which is not None:
            raise BadInput(
                f"{name}: counts is {shape[0]} x {shape[1]} and {what} {other[0]} x {other[1]}: {which} "
                "must be transposed (counts is bins x units, kinematics bins x axes)"
            )


def table_of_counts(name: str, counts: Any) -> np.ndarray:
    """Return counts as floats, shape (bins, units).

    Raises
    ------
    BadInput
        When they are no table of numbers, or have too few bins.
    """
    counts = np.asarray(counts)
    if counts.ndim == 3:
        raise BadInput(
            f"{name}: counts of three dimensions are trials x bins x units, beside kinematics of trials x bins x axes; "
            f"they are {' x '.join(map(str, counts.shape))}"
        )
    if counts.ndim != 2 or counts.dtype.kind not in "biuf" or counts.shape[1] < 1:
        raise BadInput(
            f"{name}: counts must be a table of numbers, bins x units; it is {counts.dtype} of shape {counts.shape}"
        )
    _check_enough(name, counts)
    if (need := 8.0 * counts.size * COPIES) > memory_bytes():  # a view may have more rows than it takes memory for
        raise BadInput(
            f"{name}: {len(counts):,} bins of {counts.shape[1]} units need {need / 1e9:.0f} GB, more than this machine "
            "has; take wider bins, or a part of the recording"
        )
    return np.ascontiguousarray(counts, dtype=float)


def _check_enough(name: str, counts: np.ndarray) -> None:
    if len(counts) < MIN_BINS:
        raise BadInput(
            f"{name}: {len(counts)} bins are too few to learn from and decode; at least {MIN_BINS} are needed"
        )


def check_counts(name: str, counts: np.ndarray) -> None:
    """Refuse counts (bins, units) that no neuron has: not finite, of an impossible size, or negative whole numbers.

    Raises
    ------
    BadInput
        Naming the first of them, and the units in which they are.
    """
    _check_enough(name, counts)
    bad = ~np.isfinite(counts) | (np.abs(counts) > MAX_COUNT)
    if bad.any():
        row, unit = np.argwhere(bad)[0]
        units = np.flatnonzero(bad.any(axis=0))
        named = ", ".join(map(str, units[:8])) + (", ..." if len(units) > 8 else "")
        raise BadInput(
            f"{name}: counts of bin {row}, unit {unit} is {counts[row, unit]:g}; {_so_many(int(bad.sum()))}, in "
            f"{'unit' if len(units) == 1 else 'units'} {named}: leave them out, or make all units of those bins NaN: "
            "such bins are left out"
        )
    if (counts < 0).any() and (counts == np.round(counts)).all():
        row, unit = np.argwhere(counts < 0)[0]
        raise BadInput(f"{name}: the count of bin {row}, unit {unit} is negative ({counts[row, unit]:g})")


def _so_many(number: int) -> str:
    return f"{number} such value{'' if number == 1 else 's'}"


def checked_kinematics(name: str, what: str, values: Any, bins: int) -> np.ndarray | None:
    """Return positions or velocities, shape (bins, axes); a bin in which one axis is missing is NaN in all.

    Parameters
    ----------
    name, what : str
        The file, and what of it this is, for messages.
    values : array, shape (bins, axes) or (bins,), or None
        None comes back as it is.
    bins : int
        How many the counts have.

    Raises
    ------
    BadInput
        When they are no numbers, of another length, infinite, of an absurd size, or one column is a clock.
    """
    if values is None:
        return None
    values = np.asarray(values)
    values = values[:, None] if values.ndim == 1 else values
    fits = values.ndim == 2 and len(values) == bins and 1 <= values.shape[1] <= MOST_AXES
    if values.dtype.kind not in "biuf":
        raise BadInput(f"{name}: {what} must hold numbers, bins x axes; it holds {values.dtype}")
    if not fits:
        one_off = abs(len(values) - bins) == 1 and values.ndim == 2
        hint = "; a difference leaves one out: repeat its first row" if one_off and len(values) < bins else ""
        raise BadInput(
            f"{name}: {what} must have the shape ({bins}, axes), 1 to {MOST_AXES} of them, as counts has {bins} bins; "
            f"it has {values.shape}{hint}"
        )
    values = np.ascontiguousarray(values, dtype=float)
    _check_no_clock(name, what, values)
    if np.isinf(values).any():
        raise BadInput(f"{name}: {what} of bin {int(np.argwhere(np.isinf(values))[0][0])} is infinite")
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if largest and not 1.0 / LARGEST_NUMBER < largest < LARGEST_NUMBER:
        raise BadInput(f"{name}: the largest {what} is {largest:g}; give it in a unit that makes it an ordinary number")
    recorded = np.isfinite(values)
    return np.where(recorded[:, recorded.any(axis=0)].all(axis=1)[:, None], values, np.nan)


def _check_no_clock(name: str, what: str, values: np.ndarray) -> None:
    """Refuse a column that grows by the same in every bin: a time or a number of the bin, and no axis of a movement."""
    if len(values) < MIN_BINS:
        return
    for column, row in enumerate(values.T):
        steps = np.diff(row)
        if np.isfinite(steps).all() and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=0.0):
            others = [other for other in range(values.shape[1]) if other != column]
            raise BadInput(
                f"{name}: column {column} of {what} grows by {steps[0]:g} in every bin: a clock, not a movement; "
                + (f"save columns {others} without it" if others else "save the movement in its place")
            )


def checked_starts(name: str, trial_start: Any, bins: int) -> np.ndarray:
    """Return at which bins a trajectory starts, (bins,), the first of all included.

    Parameters
    ----------
    name : str
    trial_start : array, or None
        Indices of bins; or one value a bin: whether a trial starts there, or the number of its trial.
    bins : int

    Raises
    ------
    BadInput
        When an index is no bin.
    """
    starts = np.zeros(bins, dtype=bool)
    starts[0] = True
    if trial_start is None:
        return starts
    indices = np.asarray(trial_start)
    indices = np.squeeze(indices) if indices.ndim > 1 else indices
    if indices.shape == (bins,):
        if indices.dtype.kind == "b" or np.isin(indices, (0, 1)).all():  # a flag of every bin
            return starts | (indices != 0)
        if indices.dtype.kind in "iuf" and not (np.diff(indices) > 0).all():  # the number of every bin's trial
            return np.r_[True, indices[1:] != indices[:-1]]
    whole = indices.dtype.kind in "iu" or (
        indices.dtype.kind == "f" and np.isfinite(indices).all() and (indices % 1 == 0).all()
    )
    if indices.ndim > 1 or not whole or (indices.size and (indices.min() < 0 or indices.max() >= bins)):
        raise BadInput(f"{name}: trial_start must list bin indices from 0 to {bins - 1}")
    starts[np.atleast_1d(indices).astype(int)] = True
    return starts
