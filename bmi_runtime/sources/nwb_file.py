"""Neurodata Without Borders files: spike trains of the units table or binned counts, series, trials, what is odd.

Needs the extra ``nwb`` (pynwb).
"""

from __future__ import annotations

import contextlib
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput, first_line

COUNTS = ("count", "spike", "binned", "crossing", "feature")
MOST_BIN_S = 1.0  # nobody counts in wider ones
TOUCHING_S = 1e-3  # intervals no farther apart are one
LONGEST_SESSION_S = 3 * 86400.0  # a series that lasts longer has a wrong rate
A_STEP_S, LONGEST_OF_SLOW_S = 0.1, 6 * 3600.0
"""A rate up to the first is taken for a step if the series would outlast the second: no hand is sampled so slowly."""


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
            reason = first_line(error)
            raise BadInput(f"{path.name}: not a readable NWB file ({reason})") from None
        try:
            yield content
        except OSError as error:  # of h5py, where a part of a truncated file is missing
            raise BadInput(f"{path.name}: damaged, a part of it cannot be read ({error})") from None
        finally:
            handle.close()


def has_units(content) -> bool:
    """Return whether there are units with spike times."""
    return content.units is not None and len(content.units) > 0 and "spike_times" in content.units.colnames


def no_spikes(path, content) -> BadInput:
    """Return the error of a file in which there is nothing to decode."""
    if content.units is not None and len(content.units):
        return BadInput(f"{path.name}: the units table of this NWB file has no spike_times")
    return BadInput(
        f"{path.name}: this NWB file has no units and no series of counts, so there are no spikes to read; sort it "
        "first"
    )


def spike_trains(content) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Return the spike times of every unit (s), their names, and what is odd about them."""
    units, odd = content.units, []
    trains = [np.asarray(units["spike_times"][row], dtype=float) for row in range(len(units))]
    lost = sum(int((~np.isfinite(train)).sum()) for train in trains)
    if lost:
        odd.append(f"{lost} spike times are not finite numbers; they are left out")
        trains = [train[np.isfinite(train)] for train in trains]
    return trains, [str(name) for name in units.id[:]], odd


def observed_by_unit(content) -> list[np.ndarray]:
    """Return when each unit was observed, s: (stretches, 2) for every unit."""
    units = content.units
    return [np.asarray(units["obs_intervals"][row], dtype=float).reshape(-1, 2) for row in range(len(units))]


def observed(content) -> list[tuple[float, float]]:
    """Return the stretches in which at least one unit was observed, in order; none where the file does not say."""
    if content.units is None or "obs_intervals" not in content.units.colnames:
        return []
    rows = np.concatenate([np.zeros((0, 2)), *observed_by_unit(content)])
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 1] > rows[:, 0])]
    joined: list[tuple[float, float]] = []
    for start, stop in rows[np.argsort(rows[:, 0])].tolist():
        if joined and start <= joined[-1][1] + TOUCHING_S:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def counts_of(series: dict[str, Any]) -> tuple[str, Any] | None:
    """Return path and series of the counts per bin and unit (two dimensions, named so, no voltage), None if absent."""
    from pynwb.ecephys import ElectricalSeries

    for name, item in series.items():
        words = name.rpartition("/")[2].lower()
        named = any(word in words for word in COUNTS)
        if named and item.data.ndim == 2 and len(item.data) > 1 and not isinstance(item, ElectricalSeries):
            return name, item
    return None


def binned_counts(path, name: str, item) -> tuple[np.ndarray, np.ndarray, float]:
    """Return counts (bins, units), the time of each bin and the width of a bin, s.

    Raises
    ------
    BadInput
        When its rows are not bins.
    """
    times_s = times_of(item)
    bin_s = float(np.median(np.diff(times_s)))
    if not 1e-4 <= bin_s <= MOST_BIN_S:
        raise BadInput(f"{path.name}: the rows of '{name}' are {bin_s:g} s apart, which cannot be the width of a bin")
    return values_of(item, slice(None)), times_s, bin_s


def series_of(content) -> dict[str, Any]:
    """Return every time series of a file by its path, in alphabetical order: pynwb's own changes from run to run."""
    from pynwb import TimeSeries

    found = {
        "/".join(_path_of(item)): item
        for item in content.objects.values()
        if isinstance(item, TimeSeries) and getattr(getattr(item, "data", None), "ndim", 0) > 0
    }
    return dict(sorted(found.items()))


def _path_of(item) -> list[str]:
    names = []
    while item is not None and item.parent is not None:
        names.append(item.name)
        item = item.parent
    return names[::-1]


def times_of(series) -> np.ndarray:
    """Return the time of every sample, s."""
    if series.timestamps is not None:
        return np.asarray(series.timestamps[:], dtype=float)
    return _start_of(series) + np.arange(len(series.data)) * step_of(series)


def _start_of(series) -> float:
    """Return the time of the first sample; those files keep it where the offset of the values belongs."""
    start = float(series.starting_time or 0.0)
    return start or float(getattr(series, "offset", 0.0) or 0.0) if is_step(series) else start


def step_of(series) -> float:
    """Return the time from sample to sample of a series with a rate, s.

    Some files (FALCON's H1) keep the step where the rate belongs: at 0.02 Hz their half hour would last two months. A
    rate at which a series would last longer than any session is taken for the step.

    Raises
    ------
    BadInput
        When the rate is not above zero.
    """
    rate_hz = float(series.rate)
    if not (np.isfinite(rate_hz) and rate_hz > 0.0):
        raise BadInput(f"the series '{series.name}' says that it has {rate_hz:g} samples a second, so it has no times")
    return rate_hz if is_step(series) else 1.0 / rate_hz


def is_step(series) -> bool:
    """Return whether what stands as the rate of a series can only be the time from sample to sample."""
    if series.rate is None or not 0 < series.rate < 1:
        return False
    lasts_s = len(series.data) / series.rate
    return lasts_s > (LONGEST_OF_SLOW_S if series.rate <= A_STEP_S else LONGEST_SESSION_S)


def span_of(series) -> tuple[float, float]:
    """Return the time of the first and of the last sample, s."""
    if series.timestamps is not None:
        return float(series.timestamps[0]), float(series.timestamps[len(series.timestamps) - 1])
    start = _start_of(series)
    return start, start + (len(series.data) - 1) * step_of(series)


def values_of(series, rows: slice) -> np.ndarray:
    """Return some rows of a series in the unit that it names."""
    data = np.asarray(series.data[rows], dtype=float)
    offset = 0.0 if is_step(series) else float(getattr(series, "offset", 0.0) or 0.0)
    return data * float(series.conversion or 1.0) + offset
