"""Files of acquisition systems through neo: Blackrock, Plexon, Neuralynx, SpikeGLX, Open Ephys and others it reads.

Some systems write one file, some a folder. A folder is known by what lies in it, and may be given as a whole or by one
of its files. Needs the extra ``nwb`` (neo). Nothing but headers and spike times is read into memory.
"""

from __future__ import annotations

import logging
import pathlib
import warnings

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.spike_file import SpikeFile

FOLDERS = {  # what is in a folder: the class of neo that reads it
    "structure.oebin": "OpenEphysBinaryRawIO",
    "*.continuous": "OpenEphysRawIO",
    "*.spikes": "OpenEphysRawIO",
    "*.meta": "SpikeGLXRawIO",
    "*.ncs": "NeuralynxRawIO",
    "*.nse": "NeuralynxRawIO",
    "*.ntt": "NeuralynxRawIO",
    "*.nev": "NeuralynxRawIO",
}
OPEN_EPHYS_DEPTH = 2  # levels between structure.oebin and the folder of the experiments
NEURALYNX_FIRST = b"########"
BLACKROCK_FIRST = (b"NEURALEV", b"BREVENTS", b"NEURALSG", b"NEURALCD", b"BRSMPGRP")


def read_neo(path: pathlib.Path) -> SpikeFile:
    """Return spike trains, segments, signals and events of a file or folder.

    Raises
    ------
    BadInput
        When neo is absent or cannot read the file.
    """
    try:
        import neo.rawio
    except ImportError:
        raise BadInput(f"{path.name}: reading {path.suffix} needs neo; pip install 'bmi-runtime[nwb]'") from None
    quiet = logging.getLogger("neo")
    before = quiet.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quiet.setLevel(logging.ERROR)
        try:
            reader = _reader(neo.rawio, path)
            reader.parse_header()
            return _spike_file(reader)
        except BadInput:
            raise
        except Exception as error:  # neo raises whatever its formats run into
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            what = "a folder that it knows" if path.is_dir() else f"a {path.suffix} file"
            raise BadInput(f"{path.name}: neo cannot read this as {what} ({reason})") from None
        finally:
            quiet.setLevel(before)


def _reader(rawio, path):
    """Return neo's reader of a file or folder, before it has read anything."""
    kind = folder_kind(path) if path.is_dir() else _file_kind(rawio, path)
    if kind == "NeuralynxRawIO" and path.is_file():
        return rawio.NeuralynxRawIO(dirname=str(path.parent), include_filenames=[path.name])
    if kind == "PlexonRawIO":
        return rawio.PlexonRawIO(filename=str(path), progress_bar=False)
    made = getattr(rawio, kind)
    if made.rawmode == "one-dir":
        return made(dirname=str(_folder_of(path)))
    return made(filename=str(path))


def folder_kind(folder: pathlib.Path) -> str:
    """Return the class of neo for a folder, by what lies in it.

    Raises
    ------
    BadInput
        When nothing in it is of a format that comes in folders.
    """
    for pattern, kind in FOLDERS.items():
        if next(folder.rglob(pattern), None) is not None:
            return kind
    raise BadInput(f"{folder} is a folder without a recording that is known; it would hold one of {', '.join(FOLDERS)}")


def _folder_of(path):
    if path.is_dir():
        return path
    return path.parents[OPEN_EPHYS_DEPTH] if path.name == "structure.oebin" else path.parent


def _file_kind(rawio, path) -> str:
    """Return the name of neo's class for a file; .nev is Neuralynx's suffix as well as Blackrock's."""
    with open(path, "rb") as file:
        first = file.read(8)
    suffix = path.suffix.lower()
    if suffix in (".ncs", ".nse", ".ntt") or (suffix == ".nev" and first == NEURALYNX_FIRST):
        return "NeuralynxRawIO"
    named = {".oebin": "OpenEphysBinaryRawIO", ".continuous": "OpenEphysRawIO", ".spikes": "OpenEphysRawIO"}
    if suffix in named:
        return named[suffix]
    if suffix in (".meta", ".bin"):
        return "SpikeGLXRawIO"
    possible = rawio.get_rawio(path, exclusive_rawio=False) or []
    if rawio.BlackrockRawIO in possible:
        if first not in BLACKROCK_FIRST:
            raise BadInput(f"{path.name}: has a Blackrock suffix, but does not begin as a Blackrock file does")
        return "BlackrockRawIO"
    if not possible:
        raise BadInput(f"{path.name}: neo knows no format of the suffix '{path.suffix}'")
    return possible[0].__name__


def _spike_file(reader) -> SpikeFile:
    header, segments = reader.header, range(reader.segment_count(0))
    trains = [_train(reader, unit, segments) for unit in range(len(header["spike_channels"]))]
    names = [f"{channel['name']} ({channel['id']})" for channel in header["spike_channels"]]
    events = {
        str(channel["name"]): sum(reader.event_count(0, s, index) for s in segments)
        for index, channel in enumerate(header["event_channels"])
    }
    signals = [f"{c['name']}: {c['sampling_rate']:g} Hz, {c['units'] or 'no unit'}" for c in header["signal_channels"]]
    return SpikeFile(
        kind=f"{type(reader).__name__.removesuffix('RawIO')} (neo)",
        trains_s=trains,
        names=names,
        segments_s=[(float(reader.segment_t_start(0, s)), float(reader.segment_t_stop(0, s))) for s in segments],
        signals=signals,
        events={name: count for name, count in events.items() if count},
    )


def _train(reader, unit, segments) -> np.ndarray:
    parts = []
    for segment in segments:
        ticks = reader.get_spike_timestamps(block_index=0, seg_index=segment, spike_channel_index=unit)
        parts.append(np.asarray(reader.rescale_spike_timestamp(ticks, dtype="float64")))
    return np.concatenate(parts) if parts else np.zeros(0)
