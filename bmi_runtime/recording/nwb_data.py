"""Data of an NWB file a piece at a time: an export of any length takes the memory of a piece."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bmi_runtime.messages import without_missing
from bmi_runtime.recording.reader import Recording

ROWS_PER_CHUNK = 16_384  # read, compressed and written at once


def compressed(read: Callable[[int, int], np.ndarray], shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a compressed HDF5 dataset that is read as it is written.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` returns these rows.
    shape : tuple of int
        Of the whole.
    dtype : numpy.dtype
    """
    from hdmf.data_utils import GenericDataChunkIterator
    from pynwb import H5DataIO

    class Rows(GenericDataChunkIterator):
        """The rows in order."""

        def _get_data(self, selection):
            return read(selection[0].start, selection[0].stop)

        def _get_maxshape(self):
            return shape

        def _get_dtype(self):
            return np.dtype(dtype)

    if 0 in shape:  # h5py has no chunk for what is empty
        return np.zeros(shape, dtype)
    piece = (min(shape[0], ROWS_PER_CHUNK), *shape[1:])
    data = Rows(buffer_shape=piece, chunk_shape=piece)
    return H5DataIO(data, compression="gzip", compression_opts=1, shuffle=True, chunks=piece)


class SpikeTimes:
    """Spike times of all units, one unit after the other, in a file of their own until they are exported.

    Parameters
    ----------
    recording : Recording
    ends_s : ndarray, (bins,)
        End of each bin.
    bin_s : float
    folder : Path
        Where there is room for eight bytes a spike.

    Attributes
    ----------
    stops : ndarray, (units,)
        Where each unit's spikes end.
    """

    def __init__(self, recording: Recording, ends_s: np.ndarray, bin_s: float, folder: Path):
        per_unit = sum(
            (without_missing(block["input"]["counts"]).sum(axis=0, dtype=np.int64) for block in recording.blocks()),
            np.zeros(recording.n_units, np.int64),
        )
        self.stops = np.cumsum(per_unit)
        with tempfile.TemporaryFile(dir=folder, prefix=".bmi-export-") as file:  # the map keeps it
            make_room(file.fileno(), 8 * max(int(self.stops[-1]), 1))
            self._map = mmap.mmap(file.fileno(), 0)
        self._times = np.frombuffer(self._map, "<f8")
        self._fill(recording, ends_s, bin_s, self.stops - per_unit)

    def _fill(self, recording: Recording, ends_s, bin_s: float, at: np.ndarray) -> None:
        begin = 0
        for block in recording.blocks():
            counts = np.ascontiguousarray(without_missing(block["input"]["counts"]).T)
            ends = ends_s[begin : begin + len(block)]
            for unit, row in enumerate(counts):
                train = spike_times(row, ends, bin_s)
                self._times[at[unit] : at[unit] + len(train)] = train
                at[unit] += len(train)
            begin += len(block)
            self._release()

    def _release(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def dataset(self) -> Any:
        """Return all spike times as a dataset to write."""
        return compressed(self._read, (int(self.stops[-1]),), "<f8")

    def _read(self, start: int, stop: int) -> np.ndarray:
        self._release()
        return self._times[start:stop].copy()


def make_room(file: int, size: int) -> None:
    """Give an empty file its size on the disk, so that no page of its map lacks room later (which would be a SIGBUS).

    Raises
    ------
    OSError
        When there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    for start in range(0, size, 1 << 20):
        os.write(file, bytes(min(1 << 20, size - start)))


def spike_times(counts: np.ndarray, ends_s: np.ndarray, bin_s: float) -> np.ndarray:
    """Return spike times (s) for the counts of one unit: evenly spread inside each bin, one spike in its middle.

    Parameters
    ----------
    counts : ndarray, (bins,)
    ends_s : ndarray, (bins,)
        End of each bin.
    bin_s : float
    """
    bins = np.flatnonzero(counts)
    repeats = counts[bins].astype(np.int64)
    first = np.repeat(np.cumsum(repeats) - repeats, repeats)
    order = np.arange(int(repeats.sum())) - first
    share = (order + 0.5) / np.repeat(repeats, repeats)
    return np.repeat(ends_s[bins] - bin_s, repeats) + share * bin_s
