"""Spike times of a file's variables, counted in bins beside kinematics that were sampled at times of their own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binned_file import Part, Pieces, Sampled, Track, binned, check_forward, span_of
from bmi_runtime.sources.mapping import (
    TIMES,
    FileMapping,
    Kinematics,
    Spikes,
    check_plausible,
    pieces,
)
from bmi_runtime.sources.open_loop import OpenLoopRecording


def recording_of_spikes(name: str, variables: Mapping[str, Any], mapping: FileMapping) -> OpenLoopRecording:
    """Return counts and kinematics in the bins of a mapping that names spike times.

    Cells without a spike in the whole file are not units (an electrode's table has a cell for every unit that it could
    have had); which are left is said.

    Parameters
    ----------
    name : str
        Of the file.
    variables : mapping
        Of the file, by name.
    mapping : FileMapping
        With ``spikes``, and a ``time`` for each of its kinematics.

    Raises
    ------
    BadInput
        When a variable is missing, times go back, or spikes and kinematics share no time.
    """
    assert mapping.spikes is not None
    by_trial = _trains_s(name, variables, mapping.spikes)
    cells = len(by_trial[0])
    if any(len(trains) != cells for trains in by_trial):
        raise BadInput(f"{name}: the trials of '{mapping.spikes.variable}' differ in their number of units")
    kept = [unit for unit in range(cells) if any(len(trains[unit]) for trains in by_trial)]
    if not kept:
        raise BadInput(f"{name}: '{mapping.spikes.variable}' has no spike")
    named = {"velocity": mapping.velocity, "position": mapping.position}
    sampled = {what: _sampled(name, variables, part, len(by_trial)) for what, part in named.items() if part is not None}
    parts = []
    for trial, trains in enumerate(by_trial):
        signals = {what: signal[trial] for what, signal in sampled.items()}
        span = (max(s.span_s[0] for s in signals.values()), min(s.span_s[1] for s in signals.values()))
        parts.append(Part(span, [trains[unit] for unit in kept], signals))
    recording = binned(name, parts, mapping.bin.width_s)
    check_plausible(name, mapping, recording.velocity, recording.position, recording.bin_s)
    return recording


def _trains_s(name, variables, spikes: Spikes) -> list[list[np.ndarray]]:
    """Return the spike times of every unit of every trial (one where the file has none), s, in order."""
    if spikes.units is not None:
        times, whose = (np.ravel(_joined(name, variables, path)) for path in spikes.places)
        if len(times) != len(whose):
            raise BadInput(
                f"{name}: '{spikes.variable}' has {len(times)} times and '{spikes.units}' {len(whose)} units"
            )
        return [[_in_order(name, times[whose == unit], spikes) for unit in np.unique(whose)]]
    outer = spikes.variable.removesuffix("[*]")
    if "[*]" not in outer:
        return [[_in_order(name, train, spikes) for train in _pieces(name, variables, spikes.variable)]]
    trials = []
    for cells in _pieces(name, variables, outer):
        alone = cells.dtype != object  # a cell array of one unit is what is in it
        trains = [cells] if alone else _pieces(name, {"cells": cells}, "cells[*]")
        trials.append([_in_order(name, train, spikes) for train in trains])
    return trials


def _in_order(name: str, train: np.ndarray, spikes: Spikes) -> np.ndarray:
    """Return spike times in order, s, without the NaN or the zeros that fill up a table of trains of unlike lengths."""
    if train.dtype.kind not in "iuf":
        raise BadInput(f"{name}: '{spikes.variable}' holds {train.dtype}, not times")
    times_s = np.ravel(train) * spikes.scale
    times_s = times_s[np.isfinite(times_s)]
    last = np.flatnonzero(times_s)
    if len(last) and times_s[last[-1]] > 0.0:  # what stands at 0 after a later time is not a spike
        times_s = times_s[: last[-1] + 1]
    return np.sort(times_s)


def _pieces(name, variables, path) -> list[np.ndarray]:
    try:
        return pieces(variables, path)
    except KeyError:
        raise BadInput(f"{name}: the mapping names '{path}', which the file does not have") from None


def _joined(name, variables, path) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in _pieces(name, variables, path)])


def _sampled(name, variables, part: Kinematics, trials: int) -> list[Sampled]:
    """Return a signal of every trial, in SI where its unit is known."""
    assert part.time is not None
    tables, times = _kinematic_tables(name, variables, part), _pieces(name, variables, part.time)
    if len(tables) != len(times) or len(tables) not in (1, trials):
        raise BadInput(
            f"{name}: there are {trials} pieces of spikes, {len(tables)} of '{part.variable}' and {len(times)} of "
            f"'{part.time}'"
        )
    found = [_signal(name, *pair, part) for pair in zip(tables, times, strict=True)]
    return found if len(found) == trials else found * trials


def _kinematic_tables(name, variables, part: Kinematics) -> list[np.ndarray]:
    """Return the pieces of a velocity or position: of one variable, or columns of several laid side by side."""
    if part.variable is not None:
        return _pieces(name, variables, part.variable)
    columns = [[np.ravel(piece) for piece in _pieces(name, variables, path)] for path in part.places]
    if any(len({len(piece) for piece in same}) > 1 for same in zip(*columns, strict=False)):
        raise BadInput(f"{name}: {', '.join(part.places)} must be columns of one length")
    return [np.column_stack(same) for same in zip(*columns, strict=False)]


def _signal(name, table: np.ndarray, time: np.ndarray, part: Kinematics) -> Sampled:
    times_s = np.ravel(time).astype(float) * TIMES[part.time_unit]
    table = np.atleast_2d(np.asarray(table, dtype=float))
    columns, what = list(part.columns), " and ".join(part.places)
    if part.variables is not None:
        columns = list(range(len(part.variables)))
    table = table.T if table.shape[0] != len(times_s) and table.shape[1] == len(times_s) else table
    if len(table) != len(times_s):
        raise BadInput(
            f"{name}: '{what}' is {' x '.join(map(str, table.shape))}, and '{part.time}' has {len(times_s)} times"
        )
    if max(columns) >= table.shape[1] or min(columns) < 0:
        raise BadInput(f"{name}: '{what}' has {table.shape[1]} columns, the mapping names {columns} (counted from 0)")
    check_forward(f"{name}: '{part.time}'", times_s)
    values = table[:, columns] * part.si_scale
    pieces_of = functools.partial(_whole, times_s, values)
    return Sampled((Track(pieces_of, span_of(times_s), values.shape[1]),), part.si_unit, what)


def _whole(times_s: np.ndarray, values: np.ndarray, _from_s: float, _to_s: float) -> Pieces:
    yield times_s, values
