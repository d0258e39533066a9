"""Neurodata Without Borders files: spike trains of the units table, series, trials; and counts with kinematics.

Needs the extra ``nwb`` (pynwb).
"""

from __future__ import annotations

import contextlib
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.spike_file import SpikeFile

BIN_S = 0.05
LONGEST_GAP_S = 0.2  # kinematics are interpolated within, and not recorded beyond
LENGTHS_M = {"m": 1.0, "meters": 1.0, "metres": 1.0, "meter": 1.0, "cm": 0.01, "centimeters": 0.01, "mm": 1e-3}


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[Any]:
    """Open an NWB file for reading.

    Raises
    ------
    BadInput
        When pynwb is absent or the file is not NWB.
    """
    try:
        from pynwb import NWBHDF5IO
    except ImportError:
        raise BadInput(f"{path.name}: reading NWB needs pynwb; pip install 'bmi-runtime[nwb]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cached older schemas, which read well
        try:
            handle = NWBHDF5IO(str(path), "r", load_namespaces=True)
            content = handle.read()
        except Exception as error:  # h5py, hdmf and pynwb raise many kinds on a damaged or foreign file
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(f"{path.name}: not a readable NWB file ({reason})") from None
        try:
            yield content
        finally:
            handle.close()


def read_nwb(path: pathlib.Path) -> SpikeFile:
    """Return the spike trains and a list of everything else in an NWB file.

    Raises
    ------
    BadInput
        When it is not NWB or holds no units.
    """
    with opened(path) as content:
        trains, names = _trains(path, content)
        stop = max((float(train.max()) for train in trains if len(train)), default=0.0)
        signals = [_described(name, series) for name, series in series_of(content).items()]
        tables = {name: len(table) for name, table in content.intervals.items()} if content.intervals else {}
        return SpikeFile(
            kind="NWB",
            trains_s=trains,
            names=names,
            segments_s=[(0.0, stop)],
            signals=signals,
            events=tables,
            notes={"session start": str(content.session_start_time), "identifier": str(content.identifier)},
        )


def _trains(path, content) -> tuple[list[np.ndarray], list[str]]:
    units = content.units
    if units is None or len(units) == 0:
        raise BadInput(f"{path.name}: this NWB file has no units, so there are no spikes to read; sort it first")
    if "spike_times" not in units.colnames:
        raise BadInput(f"{path.name}: the units table of this NWB file has no spike_times")
    trains = [np.asarray(units["spike_times"][row], dtype=float) for row in range(len(units))]
    return trains, [str(name) for name in units.id[:]]


def series_of(content) -> dict[str, Any]:
    """Return every time series of a file by its path."""
    from pynwb import TimeSeries

    return {
        "/".join(_path_of(item)): item
        for item in content.objects.values()
        if isinstance(item, TimeSeries) and getattr(item, "data", None) is not None
    }


def _path_of(item) -> list[str]:
    names = []
    while item is not None and item.parent is not None:
        names.append(item.name)
        item = item.parent
    return names[::-1]


def _described(name, series) -> str:
    shape = " x ".join(str(size) for size in series.data.shape)
    rate = f", {series.rate:g} Hz" if series.rate else ""
    return f"{name}: {shape}, {series.unit}{rate}"


def binned_recording(path: pathlib.Path, bin_s: float = BIN_S):
    """Return counts and kinematics of an NWB file in bins of `bin_s`, on the time of its behaviour.

    Velocity and position are the first series of two or more columns whose names say so ("vel"; "pos", "cursor",
    "hand"), averaged over the samples of a bin, in m where the unit is one of length.

    Raises
    ------
    BadInput
        When there are no units or no such series.
    """
    from bmi_runtime.sources.datafile import recording_from_arrays

    with opened(path) as content:
        trains, _ = _trains(path, content)
        found = series_of(content)
        velocity, position = _named(found, ("vel",)), _named(found, ("pos", "cursor", "hand"), ("vel",))
        if velocity is None and position is None:
            listed = ", ".join(found) or "none"
            raise BadInput(
                f"{path.name}: no velocity or position of two columns is among its series ({listed}); it can be "
                "inspected, not decoded"
            )
        sampled = {"velocity": velocity, "position": position}
        tables = {name: _samples(series) for name, series in sampled.items() if series is not None}
    start = max(times[0] for times, _ in tables.values())
    stop = min(times[-1] for times, _ in tables.values())
    bins = int((stop - start) / bin_s)
    edges = start + bin_s * np.arange(bins + 1)
    counts = np.column_stack([np.histogram(train, edges)[0] for train in trains])
    kinematics = {name: _averaged(edges, *table) for name, table in tables.items()}
    return recording_from_arrays(path.name, counts, bin_s, kinematics.get("velocity"), kinematics.get("position"))


def _named(found, words, but=()):
    for name, series in found.items():
        last = name.lower()
        wanted = any(word in last for word in words) and not any(word in last.rpartition("/")[2] for word in but)
        if wanted and series.data.ndim == 2 and series.data.shape[1] >= 2:
            return series
    return None


def _samples(series) -> tuple[np.ndarray, np.ndarray]:
    data = np.asarray(series.data[:, :2], dtype=float) * float(series.conversion or 1.0)
    data = data * LENGTHS_M.get(str(series.unit).split("/")[0].strip().lower(), 1.0)
    if series.timestamps is not None:
        return np.asarray(series.timestamps[:], dtype=float), data
    return float(series.starting_time or 0.0) + np.arange(len(data)) / float(series.rate), data


def _averaged(edges, times_s, values) -> np.ndarray:
    """Return the mean of the samples of each bin, interpolated in bins without one, NaN beyond `LONGEST_GAP_S`."""
    bins, width_s = len(edges) - 1, edges[1] - edges[0]
    which = np.floor((times_s - edges[0]) / width_s + 1e-6).astype(np.int64)  # a sample on an edge opens its bin
    inside = (which >= 0) & (which < bins) & np.isfinite(values).all(axis=1)
    number = np.bincount(which[inside], minlength=bins)
    out = np.full((bins, 2), np.nan)
    centres = 0.5 * (edges[1:] + edges[:-1])
    if not inside.any():
        return out
    for axis in range(2):
        total = np.bincount(which[inside], values[inside, axis], minlength=bins)
        filled = number > 0
        out[filled, axis] = total[filled] / number[filled]
        out[~filled, axis] = np.interp(centres[~filled], times_s[inside], values[inside, axis])
    kept = times_s[inside]
    after = np.clip(np.searchsorted(kept, centres), 1, len(kept) - 1) if len(kept) > 1 else np.zeros(bins, int)
    gap = np.minimum(np.abs(centres - kept[after - 1]), np.abs(centres - kept[after]))
    out[gap > LONGEST_GAP_S] = np.nan
    return out
