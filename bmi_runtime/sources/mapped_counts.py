"""Binned counts and kinematics of a file's variables, as a mapping says they lie: pieces joined, tables turned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from bmi_runtime.constants import NARROWEST_BIN_S, WIDEST_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.mapping import (
    FEWEST_BINS,
    LENGTHS,
    MOST_AXES,
    SPEEDS,
    TIMES,
    Counts,
    FileMapping,
    Kinematics,
    Order,
    Width,
    check_plausible,
    pieces,
)
from bmi_runtime.sources.oddities import breaks_of, time_breaks


def arrays_of(name: str, variables: Mapping[str, Any], mapping: FileMapping) -> dict[str, Any]:
    """Return counts, bin_s, velocity, position (SI where the unit is known), trial_start, restart, odd of a file.

    Every piece that ``[*]`` joins, every trial of a table of three dimensions, every change of the mapping's `trial`
    and every break of its `time` starts again.

    Raises
    ------
    BadInput
        When a variable is missing, has too few columns, or holds values that its unit makes impossible.
    """
    if mapping.counts is None or any(part and part.channels for part in (mapping.velocity, mapping.position)):
        raise BadInput(f"{name}: it needs a mapping with [counts] or [spikes], and variables in place of channels")
    tables = _Tables(name, variables, mapping)
    counts, lengths = tables.joined(mapping.counts.variable, tables.flipped)
    bin_s, time_s = _width(name, variables, mapping.bin, len(counts))
    starts = np.zeros(len(counts), dtype=bool)
    starts[np.cumsum([0, *lengths[:-1]])] = True
    if mapping.bin.trial is not None:
        starts |= _trial_starts(name, variables, mapping.bin.trial, len(counts))
    if time_s is not None:
        starts |= np.r_[False, breaks_of(time_s)]
    odd = tuple(time_breaks(time_s)) + tables.described(lengths)
    arrays: dict[str, Any] = {"counts": counts, "trial_start": starts, "restart": starts, "bin_s": bin_s, "odd": odd}
    for what, part, scales in (("velocity", mapping.velocity, SPEEDS), ("position", mapping.position, LENGTHS)):
        arrays[what] = None
        if part is not None:
            table, beside = tables.columns(part)
            _check_pieces(name, mapping.counts.variable, lengths, " and ".join(part.places), beside)
            arrays[what] = table * part.scale * scales.get(part.unit, 1.0)
    check_plausible(name, mapping, arrays["velocity"], arrays["position"], arrays["bin_s"])
    return arrays


class _Tables:
    """The tables that a mapping names, one after the other and with their bins in rows.

    Raises
    ------
    BadInput
        When they lie the other way than the mapping says.
    """

    def __init__(self, name: str, variables: Mapping[str, Any], mapping: FileMapping):
        assert mapping.counts is not None
        self.name, self.variables = name, variables
        self.flipped = mapping.counts.order == "units x bins"
        self.middle = _columns_in_the_middle(variables, mapping)
        self.apart = lies_turned(variables, mapping)
        if self.apart and not _counts_alone_lie_so(variables, mapping):
            other = "bins x units" if self.flipped else "units x bins"
            raise BadInput(f"{name}: its tables lie the other way than the mapping says; give counts.order = '{other}'")

    def described(self, lengths: list[int]) -> tuple[str, ...]:
        """Return a sentence on tables of three dimensions with their units in the middle: the ends may be mistaken."""
        if not self.middle:
            return ()
        order = "trials x units x bins" if self.flipped else "bins x units x trials"
        return (f"the tables are taken for {order}: {len(lengths)} trials of {lengths[0]} bins (counts.order)",)

    def joined(self, path: str, flipped: bool) -> tuple[np.ndarray, list[int]]:
        """Return the pieces of a path one after the other, (bins, columns), and the bins of each."""
        try:
            parts = pieces(self.variables, path)
        except KeyError:
            hint = starred(self.variables, path)
            raise BadInput(f"{self.name}: the mapping names '{path}', which the file does not have{hint}") from None
        cells = next((part for part in parts if part.dtype == object and part.size), None)
        if cells is not None:
            raise BadInput(
                f"{self.name}: '{path}' is an array of {cells.size} cells; write '{path}[*]' for all of them"
            )
        parts = [part for whole in parts if np.size(whole) for part in _tables(whole, flipped, self.middle)]
        if not parts:
            raise BadInput(f"{self.name}: '{path}' is empty")
        try:
            return np.concatenate(parts), [len(part) for part in parts]
        except ValueError:
            held = sorted({part.shape[1:] for part in parts})
            sizes = ", ".join(" x ".join(map(str, shape)) for shape in held[:4])
            raise BadInput(
                f"{self.name}: the pieces of '{path}' differ in their number of columns ({sizes}); is counts.order "
                "right?"
            ) from None

    def columns(self, part: Kinematics) -> tuple[np.ndarray, list[int]]:
        """Return the columns of a velocity or position as numbers, and the bins of each of its pieces."""
        flipped = self.flipped != self.apart
        if part.variables is not None:
            found = [self.joined(path, flipped) for path in part.variables]
            columns = [table.T if len(table) == 1 else table for table, _ in found]  # vectors, whichever way they lie
            sizes = sorted({column.shape for column in columns})
            if len(sizes) != 1 or sizes[0][1] != 1:
                raise BadInput(
                    f"{self.name}: {', '.join(part.variables)} must be columns of one length; they are "
                    + ", ".join(" x ".join(map(str, size)) for size in sizes)
                )
            return self._numbers(part, np.hstack(columns)), found[0][1]
        table, lengths = self.joined(str(part.variable), flipped)
        if max(part.columns) >= table.shape[1] or min(part.columns) < 0:
            raise BadInput(
                f"{self.name}: '{part.variable}' has {table.shape[1]} columns, the mapping names {list(part.columns)} "
                "(counted from 0); is counts.order right?"
            )
        return self._numbers(part, table[:, list(part.columns)]), lengths

    def _numbers(self, part: Kinematics, table: np.ndarray) -> np.ndarray:
        try:
            if table.dtype.kind != "c":
                return table.astype(float)
        except ValueError:
            pass
        raise BadInput(f"{self.name}: '{' and '.join(part.places)}' holds {table.dtype}, not the numbers of a movement")


def starred(variables: Mapping[str, Any], path: str) -> str:
    """Return a hint where a path that is not there is one through an array of structs or cells: ``D[*].counts``."""
    for spot in re.finditer(r"\.", path):
        tried = f"{path[: spot.start()]}[*]{path[spot.start() :]}"
        try:
            pieces(variables, tried)
        except (KeyError, TypeError, IndexError):
            continue
        return f"; '{path[: spot.start()]}' has several elements: write '{tried}'"
    return ""


def _check_pieces(name: str, counted: str, lengths: list[int], moved: str, beside: list[int]) -> None:
    """Refuse pieces of counts and kinematics that are not as long as each other: what belongs to what is not known."""
    if len(lengths) == 1 or len(beside) == 1 or lengths == beside:
        return
    if len(lengths) != len(beside):
        raise BadInput(f"{name}: '{counted}' has {len(lengths)} pieces, and '{moved}' has {len(beside)}")
    which = next(index for index, pair in enumerate(zip(lengths, beside, strict=True)) if pair[0] != pair[1])
    raise BadInput(
        f"{name}: piece {which + 1} of '{counted}' has {lengths[which]} bins, and that of '{moved}' {beside[which]}"
    )


def _trial_starts(name: str, variables: Mapping[str, Any], path: str, bins: int) -> np.ndarray:
    """Return whether another trial begins, of every bin; values that are not known are one trial."""
    try:
        whose = np.concatenate([np.ravel(part) for part in pieces(variables, path)])
    except KeyError:
        raise BadInput(f"{name}: the mapping names '{path}', which the file does not have") from None
    if len(whose) != bins:
        raise BadInput(f"{name}: '{path}' has {len(whose)} values for {bins} bins")
    unknown = np.isnan(whose) if whose.dtype.kind == "f" else np.zeros(bins, dtype=bool)
    return np.r_[True, (whose[1:] != whose[:-1]) & ~(unknown[1:] & unknown[:-1])]


def _tables(table: np.ndarray, turned: bool, middle: bool = False) -> list[np.ndarray]:
    """Return a table as (bins, columns); of three dimensions one for each trial.

    Trials are the first of three dimensions, the last where it is `turned`; the other way round where the columns lie
    in the `middle` (bins x units x trials, as MATLAB users keep them).
    """
    if table.ndim == 3:
        trials = list(np.moveaxis(table, 2, 0) if turned != middle else table)
        return [part.T for part in trials] if turned else trials
    if table.ndim < 2:
        return [np.reshape(table, (-1, 1))]
    return [table.T if turned else table]


def _columns_in_the_middle(variables: Mapping[str, Any], mapping: FileMapping) -> bool:
    """Return whether tables of three dimensions have units and axes second: only there they differ."""
    if not mapping.fits(variables) or mapping.counts is None:
        return False
    counts = [np.shape(whole) for whole in pieces(variables, mapping.counts.variable)]
    paths = [part.variable for part in (mapping.velocity, mapping.position) if part is not None and part.variable]
    others = [np.shape(whole) for path in paths for whole in pieces(variables, path)]
    if not others or any(len(shape) != 3 for shape in (*counts, *others)):
        return False
    return all(shape[::2] == counts[0][::2] and shape[1] != counts[0][1] for shape in others)


def lies_turned(variables: Mapping[str, Any], mapping: FileMapping) -> bool:
    """Return whether the kinematics lie the other way than the mapping's order says: at most eight bins, many columns.

    Parameters
    ----------
    variables : mapping
        Of the file, which the mapping fits.
    mapping : FileMapping
        With ``counts``.
    """
    turned = mapping.counts is not None and mapping.counts.order == "units x bins"
    paths = [part.variable for part in (mapping.velocity, mapping.position) if part is not None and part.variable]
    if not paths or not mapping.fits(variables) or _columns_in_the_middle(variables, mapping):
        return False
    wholes = [whole for path in paths for whole in pieces(variables, path)]
    tables = [table for whole in wholes if whole.dtype != object for table in _tables(whole, turned)]
    return bool(tables) and all(
        table.ndim == 2 and len(table) <= MOST_AXES < FEWEST_BINS <= table.shape[1] for table in tables
    )


def _counts_alone_lie_so(variables: Mapping[str, Any], mapping: FileMapping) -> bool:
    """Return whether counts lie as the mapping says and kinematics, of as many bins, the other way."""
    assert mapping.counts is not None
    flipped = mapping.counts.order == "units x bins"
    part = next(part for part in (mapping.velocity, mapping.position) if part is not None and part.variable)

    def bins(path, turn):
        return [len(table) for whole in pieces(variables, path) for table in _tables(whole, turn)]

    return bins(mapping.counts.variable, flipped) == bins(part.variable, not flipped)


def turned(mapping: FileMapping) -> FileMapping:
    """Return the mapping, one with ``counts``, with its tables the other way."""
    assert mapping.counts is not None
    order: Order = "bins x units" if mapping.counts.order == "units x bins" else "units x bins"
    return mapping.model_copy(update={"counts": Counts(variable=mapping.counts.variable, order=order)})


def _width(name: str, variables: Mapping[str, Any], part: Width, bins: int) -> tuple[float, np.ndarray | None]:
    """Return the width of a bin, s, and the file's time of every bin where it has one."""
    if part.time is None or part.time not in variables:
        return part.width_s, None
    try:
        time_s = np.asarray(variables[part.time], dtype=float).ravel() * TIMES[part.time_unit]
    except (TypeError, ValueError):
        raise BadInput(f"{name}: '{part.time}' holds no numbers, so it cannot be the time of the bins") from None
    step = float(np.median(np.diff(time_s))) if len(time_s) > 1 else float("nan")
    if not NARROWEST_BIN_S <= step <= WIDEST_BIN_S:
        raise BadInput(f"{name}: '{part.time}' in {part.time_unit} makes bins of {step:g} s; is bin.time_unit right?")
    return round(step, 9), time_s if len(time_s) == bins else None
