"""Sorted spikes that MClust leaves beside a Neuralynx recording: a ``.t`` file a unit, in tenths of a millisecond."""

from __future__ import annotations

import pathlib

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.spike_file import SpikeFile

SUFFIXES = (".t", "._t", ".t32", "._t32", ".t64", "._t64")
BEGINS, ENDS = b"%%BEGINHEADER", b"%%ENDHEADER"
TICK_S = 1e-4  # of the time stamps in a .t file


def read_mclust(path: pathlib.Path) -> SpikeFile:
    """Read every ``.t`` file of a folder; those of a file's neighbours too when one of them is given.

    A file is a header of lines and then unsigned integers, the high byte first, of 32 bits, or of 64 (told from the
    suffix, or where every other 32 bits are zero: some laboratories write 64 bits into ``.t``). The times are those of
    the acquisition's clock (source: the ``LoadSpikes`` and ``WriteTFiles`` that come with MClust 3.5 and 4.3).

    Raises
    ------
    BadInput
        When a file has no whole header, or ends within a time.
    """
    folder = path if path.is_dir() else path.parent
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    trains = [_train_s(file) for file in files]
    all_s = np.concatenate([train for train in trains if len(train)] or [np.zeros(1)])
    doubtful = sum(file.suffix.lower().startswith("._t") for file in files)
    notes = {"of these": f"{doubtful} in ._t files"} if doubtful else {}
    names = [file.name if file.suffix.startswith("._") else file.stem for file in files]
    return SpikeFile("MClust", trains, names, [(float(all_s.min()), float(all_s.max()))], notes=notes)


def _train_s(file: pathlib.Path) -> np.ndarray:
    data = file.read_bytes()
    _, end, rest = data.partition(ENDS)
    if not data.startswith(BEGINS) or not end:
        raise BadInput(f"{file.name}: no whole header of MClust (%%BEGINHEADER to %%ENDHEADER), so no times are read")
    ticks = rest[2:] if rest.startswith(b"\r\n") else rest[1:]
    width = 8 if file.suffix.endswith("64") or _is_wide(ticks) else 4
    if len(ticks) % width:
        raise BadInput(f"{file.name}: ends {len(ticks) % width} bytes into a time of {width}: it was cut short")
    return np.frombuffer(ticks, f">u{width}").astype(float) * TICK_S


def _is_wide(ticks: bytes) -> bool:
    """Return whether 32-bit words are the halves of 64-bit ones: each second one, from the first on, is zero."""
    if len(ticks) % 8 or not ticks:
        return False
    words = np.frombuffer(ticks, ">u4")
    return bool((words[::2] == 0).all() and (words[1::2] != 0).any())
