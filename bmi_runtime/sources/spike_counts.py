"""Spike trains of a file counted in bins: what an analysis of spikes alone needs."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binned_file import bin_edges, counted
from bmi_runtime.sources.spike_file import SpikeFile, distinct, read_spikes

EDGE = 1e-6  # of a bin: spikes so close before an edge are on it, and rounding has moved them
MOST_COUNTS = 4e9  # bins times units; more does not fit in memory


@dataclasses.dataclass
class SpikeCounts:
    """Counts of one stretch of a file.

    Attributes
    ----------
    counts : ndarray of uint16, (bins, units)
    unit_names : list of str
    segment, segments : int
        Which stretch without a break this is, from 1, and of how many.
    segment_s : (start, stop)
        Its times in the file, s.
    left_out : int
        Spikes of these units in other segments, or behind the last whole bin.
    """

    counts: np.ndarray
    unit_names: list[str]
    segment: int
    segments: int
    segment_s: tuple[float, float]
    left_out: int

    @property
    def spikes(self) -> int:
        """How many spikes were counted."""
        return int(self.counts.sum(dtype=np.int64))


def count_spikes(
    path: pathlib.Path,
    bin_s: float,
    units: list[str] | None = None,
    segment: int | None = None,
    tick_s: float | None = None,
) -> SpikeCounts:
    """Count the spikes of a file in bins.

    Parameters
    ----------
    path : path
        A file of spike trains (``bmi inspect`` shows what is in it).
    bin_s : float
        Width of a bin, s.
    units : list of str, optional
        Names of the wanted units, in this order; by default all, in the file's order.
    segment : int, optional
        Which stretch without a break, from 1; by default the longest.
    tick_s : float, optional
        What a tick of a ``.gdf`` file is, s.

    Raises
    ------
    BadInput
        When the file has no spike trains, or not these units, or not this segment, or the bins do not fit it.
    """
    found = read_spikes(path, tick_s)
    if not found.trains_s:
        raise BadInput(f"{path.name}: there are no spike trains in it; `bmi inspect` shows what is")
    names = distinct(found.names)
    missing = [name for name in units or () if name not in names]
    if missing:
        raise BadInput(f"{path.name}: has no unit {', '.join(missing)}; it has {', '.join(names)}")
    if units is not None and (not units or len(set(units)) < len(units)):
        raise BadInput(f"{path.name}: name each wanted unit once; it has {', '.join(names)}")
    wanted = names if units is None else units
    trains = [found.trains_s[names.index(name)] for name in wanted]
    chosen = _segment(path, found, segment)
    counts = bin_trains(trains, found.segments_s[chosen], bin_s)
    left_out = sum(len(train) for train in trains) - int(counts.sum(dtype=np.int64))
    return SpikeCounts(counts, wanted, chosen + 1, len(found.segments_s), found.segments_s[chosen], left_out)


def _segment(path: pathlib.Path, found: SpikeFile, segment: int | None) -> int:
    """Return the index of the segment that was asked for, of the longest if none was."""
    spans = found.segments_s
    if segment is None:
        return max(range(len(spans)), key=lambda k: spans[k][1] - spans[k][0])
    if not 1 <= segment <= len(spans):
        raise BadInput(f"{path.name}: has segments 1 to {len(spans)}, not {segment}")
    return segment - 1


def bin_trains(trains_s: list[np.ndarray], span_s: tuple[float, float], bin_s: float) -> np.ndarray:
    """Count the spikes of a stretch in whole bins, from its start on.

    A spike on an edge belongs to the bin that begins there. What follows the last whole bin is left out.

    Parameters
    ----------
    trains_s : list of ndarray
        Spike times of every unit, s.
    span_s : (start, stop)
        The stretch, s.
    bin_s : float
        Width of a bin, s.

    Returns
    -------
    ndarray of uint16, (bins, units)

    Raises
    ------
    BadInput
        When the bin is not a positive time, no bin fits, or the counts would not fit into memory.
    """
    if not (np.isfinite(bin_s) and bin_s > 0):
        raise BadInput(f"bins of {bin_s:g} s: the width of a bin must be above zero")
    start, stop = span_s
    wanted = (stop - start) / bin_s + EDGE
    if wanted * len(trains_s) > MOST_COUNTS:
        raise BadInput(
            f"bins of {bin_s:g} s: {wanted:.2g} of them for {len(trains_s)} units are too many; take wider ones"
        )
    if wanted < 1:
        raise BadInput(f"bins of {bin_s:g} s are longer than the recording ({stop - start:g} s)")
    edges_s = bin_edges(start, stop, bin_s) - EDGE * bin_s
    counts = np.zeros((len(edges_s) - 1, len(trains_s)), dtype=np.uint16)
    for unit, train_s in enumerate(trains_s):
        counts[:, unit] = np.minimum(counted(train_s, edges_s), np.iinfo(np.uint16).max)
    return counts
