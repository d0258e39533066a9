"""Counts and kinematics of NWB files: which series is the velocity, which the position, and both in bins."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources import nwb_checks, nwb_file
from bmi_runtime.sources.binned_file import (
    BIN_S,
    FINDERS,
    Part,
    Pieces,
    Sampled,
    Track,
    averaged,
    binned,
    check_forward,
    lost_sentences,
    span_of,
    units_of,
)
from bmi_runtime.sources.from_arrays import recording_from_arrays
from bmi_runtime.sources.mapping import FILE_UNIT, FileMapping, Kinematics, check_plausible
from bmi_runtime.sources.nwb_pairs import Pair, chosen, columns_of, length_of, lies_turned, named, others

ROWS = 1_000_000  # read at once
EVAL_MASK = "eval_mask"


def binned_recording(path: pathlib.Path, mapping: FileMapping | None = None) -> Any:
    """Return counts and kinematics of an NWB file in bins, on the time of its behaviour.

    Without a mapping velocity and position are found by their names and units, those of a hand before those of a
    cursor, and the bins are 50 ms. Samples are averaged over a bin, in SI where the unit is one of length.

    Raises
    ------
    BadInput
        When there are no spikes or no kinematics.
    """
    with nwb_file.opened(path) as content:
        series = nwb_file.series_of(content)
        counts = _counts(path, content, series, mapping)
        pairs = chosen(series) if mapping is None else named(path, series, mapping)
        if not pairs:
            raise BadInput(
                f"{path.name}: no velocity or position is known by its name among its series "
                f"({', '.join(series) or 'none'}); where one of these is, a mapping says so (docs/formats.md)"
            )
        parts = {"velocity": mapping.velocity, "position": mapping.position} if mapping else {}
        open_choices = others(series, pairs) if mapping is None else []
        for pair in pairs.values():
            _check_times(path, pair)
        kept = _kept(series)
        sampled = {what: _sampled(pair, parts.get(what), kept) for what, pair in pairs.items()}
        if counts is not None:
            recording = _row_by_row(path, counts, pairs, sampled)
        else:
            trains, _, _ = nwb_file.spike_trains(content)
            stretches = _stretches(content, trains, sampled, pairs)
            recording = binned(
                path.name, [Part(one, trains, sampled) for one in stretches], mapping.bin.width_s if mapping else BIN_S
            )
        recording = dataclasses.replace(
            recording, odd=(*recording.odd, *open_choices, *nwb_checks.of_pairs(pairs.values()))
        )
    if mapping is not None:
        check_plausible(path.name, mapping, recording.velocity, recording.position, recording.bin_s)
    return recording


def _counts(path, content, series, mapping):
    """Return the series of counts to decode, None where the units table holds spikes.

    Raises
    ------
    BadInput
        When there is neither.
    """
    if mapping is not None and mapping.counts is not None:
        wanted = mapping.counts.variable
        if wanted not in series:
            raise BadInput(
                f"{path.name}: there is no series '{wanted}', which the mapping names; it has {', '.join(series)}"
            )
        return wanted, series[wanted]
    if nwb_file.has_units(content):
        return None
    found = nwb_file.counts_of(series)
    if found is None:
        raise nwb_file.no_spikes(path, content)
    return found


def _row_by_row(path, counts, pairs, sampled):
    """Return binned counts with the kinematics beside them: of the same row, or averaged where their times differ."""
    table, times_s, bin_s = nwb_file.binned_counts(path, *counts)
    if table.ndim != 2:
        raise BadInput(f"{path.name}: '{counts[0]}' is not a table of bins x units")
    breaks = np.r_[True, (np.diff(times_s) > 1.5 * bin_s) | (np.diff(times_s) <= 0)]
    averages = {}
    lost: dict[str, list[int]] = {what: [] for what in pairs}
    for what, pair in pairs.items():
        beside = nwb_file.times_of(pair.series)
        if pair.together and len(beside) == len(times_s) and np.allclose(beside, times_s, rtol=0, atol=1e-3 * bin_s):
            whole = [track.pieces(-np.inf, np.inf) for track in sampled[what].tracks]
            averages[what] = np.hstack([np.concatenate([values for _, values in pieces]) for pieces in whole])
            continue
        averages[what] = np.concatenate([
            averaged(np.r_[part, part[-1] + bin_s], sampled[what], lost[what], FINDERS[what])
            for part in np.split(times_s, np.flatnonzero(breaks)[1:])
        ])  # fmt: skip
    origins = {what: signal.origin for what, signal in sampled.items()}
    starts = np.flatnonzero(breaks)
    return recording_from_arrays(
        path.name, table, bin_s, averages.get("velocity"), averages.get("position"), starts, breaks, origins=origins,
        odd=lost_sentences(lost), **units_of(sampled),
    )  # fmt: skip


def _check_times(path, pair: Pair) -> None:
    for series, _ in pair.parts:
        if lies_turned(series):
            rows, columns = series.data.shape
            raise BadInput(
                f"{path.name}: {pair.origin} is {rows} x {columns}: its samples lie in columns, "
                "and NWB has them in rows; it must be transposed"
            )
        times_s, samples = nwb_file.times_of(series), len(series.data)
        if len(times_s) != samples:
            raise BadInput(f"{path.name}: {pair.origin} has {samples} samples and {len(times_s)} times")
        check_forward(f"{path.name}: the time of {pair.origin}", times_s)


def _kept(series: dict[str, Any]) -> np.ndarray | None:
    """Return which samples a file wants evaluated (FALCON's ``eval_mask``), None where it does not say."""
    mask = next((item for path, item in series.items() if path.rpartition("/")[2] == EVAL_MASK), None)
    return None if mask is None or mask.data.ndim != 1 else np.asarray(mask.data[:]) != 0


def _sampled(pair: Pair, part: Kinematics | None, kept: np.ndarray | None = None) -> Sampled:
    """Return the columns as a signal in SI where the unit, the mapping's or the file's, is known.

    Columns of one series share its times; of several series each has its own. Samples that are not `kept` are NaN.
    """
    together = all(series is pair.series for series, _ in pair.parts)
    groups = [pair.parts] if together else [(one,) for one in pair.parts]
    scales, units = zip(*(_scale(str(group[0][0].unit).strip(), part) for group in groups), strict=True)
    if len(set(units)) > 1:
        raise BadInput(f"{pair.origin}: one is in '{units[0]}' and one in '{units[1]}'; a mapping says their unit")
    tracks = [_track(group, scale, kept) for group, scale in zip(groups, scales, strict=True)]
    return Sampled(tuple(tracks), units[0], pair.origin)


def _track(parts: tuple[tuple[Any, int | None], ...], scale: float, kept: np.ndarray | None) -> Track:
    times_s = nwb_file.times_of(parts[0][0])
    ordered = bool((np.diff(times_s) >= 0).all())
    kept = kept if kept is not None and len(kept) == len(times_s) and not kept.all() else None
    return Track(functools.partial(_read, parts, scale, times_s, ordered, kept), span_of(times_s), len(parts))


def _scale(named: str, part: Kinematics | None) -> tuple[float, str]:
    if part is not None and part.unit != FILE_UNIT:
        return part.si_scale, part.si_unit
    measured, extra = length_of(named), 1.0 if part is None else part.scale
    if measured is None:
        return extra, named or "the file's unit"
    return extra * measured[0], "m/s" if measured[1] else "m"


def _read(parts, scale: float, times_s, ordered: bool, kept, from_s: float, to_s: float) -> Pieces:
    first, last = np.searchsorted(times_s, [from_s, to_s]).tolist() if ordered else (0, len(times_s))
    for begin in range(first, last, ROWS):
        rows = slice(begin, min(begin + ROWS, last))
        values = scale * columns_of(parts, rows)
        yield times_s[rows], values if kept is None else np.where(kept[rows, None], values, np.nan)


def _stretches(content, trains, sampled, pairs) -> list[tuple[float, float]]:
    """Return the stretches to bin: those that were observed and not marked invalid, cut where nothing was recorded."""
    everything = (min(s.span_s[0] for s in sampled.values()), max(s.span_s[1] for s in sampled.values()))
    stretches = nwb_file.observed(content) or [everything]
    for start, stop in _invalid(content) + _silences(trains, pairs):
        cut = [part for first, last in stretches for part in ((first, min(last, start)), (max(first, stop), last))]
        stretches = [part for part in cut if part[0] < part[1]]
    return stretches


def _invalid(content) -> list[tuple[float, float]]:
    table = content.invalid_times
    if table is None:
        return []
    rows = zip(table["start_time"][:], table["stop_time"][:], strict=True)
    return [(float(start), float(stop)) for start, stop in rows if stop > start]


def _silences(trains, pairs, shortest_s: float = 1.0) -> list[tuple[float, float]]:
    """Return the gaps between samples in which no unit fires either: pauses of the recording."""
    spikes = np.sort(np.concatenate(trains)) if trains else np.zeros(0)
    holes = []
    for pair in pairs.values():
        steps = np.diff(times_s := nwb_file.times_of(pair.series))
        usual = float(np.median(steps)) if len(steps) else 0.0
        for index in np.flatnonzero(steps > max(shortest_s, 3 * usual)):
            start, stop = float(times_s[index]) + usual, float(times_s[index + 1])
            inside = np.searchsorted(spikes, [start, stop - usual])
            if inside[0] == inside[1]:
                holes.append((start, stop))
    return holes
