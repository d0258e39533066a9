"""Spikes of an NWB file: sorted units, or counts in bins."""

from __future__ import annotations

import pathlib

import numpy as np

from bmi_runtime.sources import nwb_checks, nwb_file
from bmi_runtime.sources.spike_file import SpikeFile


def read_nwb(path: pathlib.Path) -> SpikeFile:
    """Return the spikes (or binned counts) and a list of everything else in an NWB file, and what is odd.

    Raises
    ------
    BadInput
        When it is not NWB or holds neither units nor binned counts.
    """
    with nwb_file.opened(path) as content:
        series = nwb_file.series_of(content)
        found = _from_units(content) if nwb_file.has_units(content) else _from_counts(path, content, series)
        found.signals = [_described(name, item) for name, item in series.items()]
        found.events = {name: len(table) for name, table in (content.intervals or {}).items()}
        found.notes |= _notes(content)
        found.odd += nwb_checks.of_kinematics(series, found.segments_s) + nwb_checks.of_intervals(content)
        return found


def _notes(content) -> dict[str, str]:
    notes = {"session start": str(content.session_start_time), "identifier": str(content.identifier)}
    tables = {"columns of units": content.units, **(content.intervals or {})}
    for name, table in tables.items():
        if table is not None:
            known = ("start_time", "stop_time", "spike_times")
            columns = [column for column in table.colnames if column not in known]
            notes |= {name: ", ".join(columns)} if columns else {}
    return notes


def _from_units(content) -> SpikeFile:
    trains, names, odd = nwb_file.spike_trains(content)
    watched = nwb_file.observed(content)
    if watched and len({tuple(map(tuple, row)) for row in nwb_file.observed_by_unit(content)}) > 1:
        odd.append("units were observed for different stretches (obs_intervals); rates are over all of them together")
    segments = watched or [_extent(content, trains)]
    return SpikeFile(kind="NWB", trains_s=trains, names=names, segments_s=segments, odd=odd)


def _extent(content, trains) -> tuple[float, float]:
    """Return when the first and the last thing in the file happened: spikes, samples, intervals."""
    times = [edge for train in trains if len(train) for edge in (train.min(), train.max())]
    for item in nwb_file.series_of(content).values():
        times += list(nwb_file.span_of(item)) if len(item.data) else []
    for table in (content.intervals or {}).values():
        times += [*table["start_time"][:], *table["stop_time"][:]]
    known = np.asarray(times, dtype=float)
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def _from_counts(path, content, series) -> SpikeFile:
    found = nwb_file.counts_of(series)
    if found is None:
        raise nwb_file.no_spikes(path, content)
    name, item = found
    counts, times_s, bin_s = nwb_file.binned_counts(path, name, item)
    return SpikeFile(
        kind=f"NWB, binned {'counts' if (counts % 1 == 0).all() else 'features'} ({name})",
        trains_s=[],
        names=[str(unit) for unit in range(counts.shape[1])],
        segments_s=[(float(times_s[0]), float(times_s[-1]) + bin_s)],
        counts=counts,
        bin_times_s=times_s,
    )


def _described(name, series) -> str:
    shape = " x ".join(str(size) for size in series.data.shape)
    rate = f", {series.rate:g} Hz" if series.rate else ""
    return f"{name}: {shape}, {series.unit}{rate}"
