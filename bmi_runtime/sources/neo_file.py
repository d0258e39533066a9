"""Files of acquisition systems through neo: Blackrock, Plexon, Neuralynx, SpikeGLX, Open Ephys and others it reads.

Some systems write one file, some a folder. A folder is known by what lies in it, and may be given as a whole or by one
of its files. Needs the extra ``nwb`` (neo). Nothing but headers and spike times is read into memory.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput, first_line
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
NEURALYNX, OPEN_EPHYS = b"########", b"header."
BLACKROCK = (b"NEURALEV", b"BREVENTS", b"NEURALSG", b"NEURALCD", b"BRSMPGRP")
FIRST = {  # suffix: (whose file, the class of neo, how such a file begins)
    ".plx": ("Plexon", "PlexonRawIO", (b"PLEX",)),
    ".nex": ("NeuroExplorer", "NeuroExplorerRawIO", (b"NEX1",)),
    ".smr": ("Spike2", "Spike2RawIO", tuple(bytes((version, 0)) + b"(C) CED 87" for version in range(1, 10))),
    **dict.fromkeys((".ncs", ".nse", ".ntt"), ("Neuralynx", "NeuralynxRawIO", (NEURALYNX,))),
    **dict.fromkeys((".continuous", ".spikes"), ("Open Ephys", "OpenEphysRawIO", (OPEN_EPHYS,))),
    **dict.fromkeys((".nev", *(f".ns{n}" for n in range(1, 7))), ("Blackrock", "BlackrockRawIO", BLACKROCK)),
}
OTHERS = {".oebin": "OpenEphysBinaryRawIO", ".meta": "SpikeGLXRawIO", ".bin": "SpikeGLXRawIO"}
OPEN_EPHYS_DEPTH = 2  # levels between structure.oebin and the folder of the experiments
OPEN_EPHYS_HEADER_BYTES, OPEN_EPHYS_BLOCK_BYTES = 1024, 2070
GAP_TOLERANCE_MS = 10.0  # a longer gap between samples begins a new segment
ALWAYS_S = 1e9


def read_neo(path: pathlib.Path) -> SpikeFile:
    """Return spike trains, segments, signals and events of a file or folder.

    Raises
    ------
    BadInput
        When neo is absent or cannot read the file.
    """
    with opened(path) as reader:
        return _spike_file(reader)


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[Any]:
    """Open a file or folder with neo; what neo raises within becomes one sentence.

    Yields
    ------
    neo.rawio.baserawio.BaseRawIO
        With its header read.

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
        reader = None
        try:
            reader = _reader(neo.rawio, path)
            reader.parse_header()
            yield reader
        except BadInput:
            raise
        except Exception as error:  # neo raises whatever its formats run into
            reason = first_line(error)
            what = "a folder that it knows" if path.is_dir() else f"a {path.suffix} file"
            raise BadInput(f"{path.name}: neo cannot read this as {what} ({reason})") from None
        finally:
            quiet.setLevel(before)
            _close(reader)


def _close(reader) -> None:
    """Close the files that neo keeps open for later reading."""
    for held in list(vars(reader).values()) if reader is not None else ():
        for file in held.values() if isinstance(held, dict) else (held,):
            if isinstance(file, io.IOBase):
                file.close()


def _reader(rawio, path):
    """Return neo's reader of a file or folder, before it has read anything."""
    kind = folder_kind(path) if path.is_dir() else _file_kind(path)
    made = getattr(rawio, kind)
    options: dict[str, Any] = {"progress_bar": False} if kind == "PlexonRawIO" else {}
    if "gap_tolerance_ms" in inspect.signature(made).parameters:  # without it some readers refuse a file with gaps
        options["gap_tolerance_ms"] = GAP_TOLERANCE_MS
    if kind == "NeuralynxRawIO" and path.is_file():
        return made(dirname=str(path.parent), include_filenames=[path.name], **options)
    if made.rawmode != "one-dir":
        return made(filename=str(path), **options)
    folder = _folder_of(path, kind)
    if kind == "OpenEphysRawIO":
        _check_spike_files(folder)
    return made(dirname=str(folder), **options)


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


def _folder_of(path, kind):
    """Return the folder that neo wants: for some systems the one in which the files themselves lie."""
    if path.is_file():
        return path.parents[OPEN_EPHYS_DEPTH] if path.name == "structure.oebin" else path.parent
    if kind not in ("NeuralynxRawIO", "OpenEphysRawIO"):
        return path
    patterns = [pattern for pattern, made in FOLDERS.items() if made == kind]
    return next(found for pattern in patterns for found in sorted(path.rglob(pattern))).parent


def _check_spike_files(folder) -> None:
    empty = [file.name for file in folder.glob("*.spikes") if file.stat().st_size <= OPEN_EPHYS_HEADER_BYTES]
    if empty:
        raise BadInput(f"{folder.name}: {', '.join(empty)} without a spike keep neo from reading; move them elsewhere")


def _file_kind(path) -> str:
    """Return the name of neo's class for a file, which must begin as such a file does.

    Raises
    ------
    BadInput
        When it does not, or neo knows no such suffix.
    """
    with open(path, "rb") as file:
        first = file.read(12)
    suffix = path.suffix.lower()
    if suffix == ".nev" and first.startswith(NEURALYNX):  # their event files have the suffix of Blackrock's spikes
        return "NeuralynxRawIO"
    if suffix in OTHERS:
        if suffix == ".bin" and not path.with_suffix(".meta").is_file():
            raise BadInput(f"{path.name}: a SpikeGLX .bin needs its .meta beside it")
        return OTHERS[suffix]
    if suffix not in FIRST:
        raise BadInput(
            f"{path.name}: no format of the suffix '{suffix}' is read; known: {', '.join([*FIRST, *OTHERS])}"
        )
    whose, kind, begins = FIRST[suffix]
    if not first:
        raise BadInput(f"{path.name}: the file is empty")
    if not first.startswith(begins):
        raise BadInput(f"{path.name}: has a suffix of {whose}, but does not begin as a {whose} file does")
    return kind


def _spike_file(reader) -> SpikeFile:
    header, segments = reader.header, range(reader.segment_count(0))
    units = units_of(reader)
    trains = [np.concatenate([train(reader, unit, segment) for segment in segments]) for unit in units]
    names = [f"{header['spike_channels'][unit]['name']} ({header['spike_channels'][unit]['id']})" for unit in units]
    events = {
        str(channel["name"]): sum(reader.event_count(0, s, index) for s in segments)
        for index, channel in enumerate(header["event_channels"])
    }
    return SpikeFile(
        kind=f"{type(reader).__name__.removesuffix('RawIO')} (neo)",
        trains_s=trains,
        names=names,
        segments_s=[span(reader, segment) for segment in segments],
        signals=[described(channel) for channel in header["signal_channels"]],
        events={name: count for name, count in events.items() if count},
        notes=_sorting(reader),
        odd=_lost_blocks(reader),
    )


def described(channel) -> str:
    """Return an analog channel in words."""
    return f"{channel['name']}: {channel['sampling_rate']:g} Hz, {channel['units'] or 'no unit'}"


def span(reader, segment: int) -> tuple[float, float]:
    """Return start and stop of a segment, s."""
    return float(reader.segment_t_start(0, segment)), float(reader.segment_t_stop(0, segment))


def units_of(reader) -> list[int]:
    """Return the numbers of the units; of Neuralynx' tetrodes neo has each unit once a wire, and one is kept."""
    units = range(len(reader.header["spike_channels"]))
    if type(reader).__name__ != "NeuralynxRawIO":
        return list(units)
    kept: dict[tuple, int] = {}
    for unit, (channel, number) in zip(units, reader.internal_unit_ids, strict=True):
        kept.setdefault((reader.nse_ntt_filenames[channel], number), unit)
    return sorted(kept.values())


def train(reader, unit: int, segment: int) -> np.ndarray:
    """Return the spike times of a unit in one segment, s."""
    limits = {}
    if type(reader).__name__ == "OpenEphysRawIO":  # its default limits are in samples where seconds are meant
        limits = {"t_start": -ALWAYS_S, "t_stop": ALWAYS_S}
    ticks = reader.get_spike_timestamps(block_index=0, seg_index=segment, spike_channel_index=unit, **limits)
    return np.asarray(reader.rescale_spike_timestamp(ticks, dtype="float64"))


def _sorting(reader) -> dict[str, str]:
    """Return how many units are none that somebody sorted, where the format says so."""
    if type(reader).__name__ != "BlackrockRawIO":
        return {}
    classes = [str(channel["name"]).rpartition("#")[2] for channel in reader.header["spike_channels"]]
    unsorted, noise = classes.count("0"), classes.count("255")
    parts = [f"{unsorted} unsorted (#0)"] * (unsorted > 0) + [f"{noise} noise (#255)"] * (noise > 0)
    return {"of these": ", ".join(parts)} if parts else {}


def _lost_blocks(reader) -> list[str]:
    """Return a sentence on blocks that are missing from Open Ephys .continuous files; neo fills them with zeros."""
    if type(reader).__name__ != "OpenEphysRawIO":
        return []
    block = np.dtype([("time", "<i8"), ("rest", f"V{OPEN_EPHYS_BLOCK_BYTES - 8}")])
    odd = []
    for file in sorted(pathlib.Path(reader.dirname).glob("*.continuous"))[:1]:
        blocks = (file.stat().st_size - OPEN_EPHYS_HEADER_BYTES) // OPEN_EPHYS_BLOCK_BYTES
        times = np.memmap(file, block, "r", OPEN_EPHYS_HEADER_BYTES, (blocks,))["time"]
        missing = np.diff(times) // 1024 - 1
        if (missing > 0).any():
            rate_hz = float(reader.header["signal_channels"]["sampling_rate"][0])
            at = float(times[np.flatnonzero(missing > 0)[0]]) / rate_hz
            odd.append(
                f"{int(missing.sum()) * 1024 / rate_hz:.3f} s of samples are missing in {int((missing > 0).sum())} "
                f"places, the first after {at:.3f} s (lost by the acquisition)"
            )
    return odd
