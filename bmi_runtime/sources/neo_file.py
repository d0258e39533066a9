"""Files and folders of acquisition systems through neo (:mod:`bmi_runtime.sources.recognised` tells which they are).

Needs the extra ``nwb`` (neo). Nothing but headers and spike times is read into memory. Times are those of the
acquisition's clock, so that a file has the same ones alone and beside its neighbours.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import pathlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput, first_line
from bmi_runtime.sources.file_wholeness import cut_short, what_may_help
from bmi_runtime.sources.open_ephys_spikes import spikes_of
from bmi_runtime.sources.recognised import Recognised, recognised
from bmi_runtime.sources.spike_file import SpikeFile

OPEN_EPHYS_HEADER_BYTES, OPEN_EPHYS_BLOCK_BYTES = 1024, 2070  # of its older format
GAP_TOLERANCE_MS = 10.0  # a longer gap between samples begins a new segment
CASE_MATTERS = ("BlackrockRawIO", "IntanRawIO", "AlphaOmegaRawIO", "TdtRawIO")
SUFFIX_OF_NEO = {".tbk": ".Tbk", ".tdx": ".Tdx"}
ALWAYS_S = 1e12  # beyond any time: some of neo's default limits are in samples where seconds are meant
ANOTHER_CLOCK_S = 1.0  # beyond the recording, spikes are on another clock
Stretch = tuple[int, int]
"""Block and segment of neo: what was recorded without a break."""


def read_acquisition(path: pathlib.Path) -> SpikeFile:
    """Return spike trains, segments, signals and events of a file or folder of an acquisition system or sorter.

    Raises
    ------
    BadInput
        When neo is absent, or it cannot be read.
    """
    found = recognised(path)
    if is_ours(found):
        module, _, function = found.format.reader.partition(":")
        return getattr(importlib.import_module(module), function)(found.path)
    with opened(found) as acquisition:
        spikes = _spike_file(acquisition)
    spikes.odd += cut_short(found.path)
    return spikes


def is_ours(found: Recognised) -> bool:
    """Return whether a reader of ours, and not neo, reads it."""
    return ":" in found.format.reader


class Acquisition:
    """What neo has opened, with spikes and times as every format means them.

    Parameters
    ----------
    reader : neo.rawio.baserawio.BaseRawIO
        With its header read.

    Attributes
    ----------
    stretches : list of (block, segment)
    unit_names : list of str
    """

    def __init__(self, reader: Any):
        self.reader = reader
        self.kind = type(reader).__name__.removesuffix("RawIO")
        blocks = range(reader.block_count())
        self.stretches = [(block, segment) for block in blocks for segment in range(reader.segment_count(block))]
        self._saved: dict[Stretch, dict[str, np.ndarray]] = {}
        if self.kind == "OpenEphysBinary":
            self._saved = {stretch: _saved_spikes(reader, stretch) for stretch in self.stretches}
            self.unit_names = list(dict.fromkeys(name for spikes in self._saved.values() for name in spikes))
        else:
            channels = reader.header["spike_channels"]
            self._units = _units_of(reader)
            self.unit_names = [f"{channels[unit]['name']} ({channels[unit]['id']})" for unit in self._units]

    def trains_s(self, stretch: Stretch) -> list[np.ndarray]:
        """Return the spike times of every unit in a stretch, s."""
        if self._saved:
            return [self._saved[stretch].get(name, np.zeros(0)) for name in self.unit_names]
        return [self._train_s(unit, stretch) for unit in self._units]

    def _train_s(self, unit: int, stretch: Stretch) -> np.ndarray:
        limits = {}
        if self.kind == "OpenEphys":  # its default limits are in samples where seconds are meant
            limits = {"t_start": -ALWAYS_S, "t_stop": ALWAYS_S}
        block, segment = stretch
        try:
            ticks = self.reader.get_spike_timestamps(
                block_index=block, seg_index=segment, spike_channel_index=unit, **limits
            )
        except KeyError:
            if self.kind != "AlphaOmega":
                raise
            return np.zeros(0)  # neo looks a unit without a spike in a stretch up in vain
        if self.kind == "AlphaOmega":  # neo takes the whole part of a rate of 22,321.43 Hz: 20 ms off after 17 minutes
            return np.asarray(ticks, float) / float(self.reader.header["spike_channels"]["wf_sampling_rate"][unit])
        return np.asarray(self.reader.rescale_spike_timestamp(ticks, dtype="float64"))

    def span_s(self, stretch: Stretch) -> tuple[float, float]:
        """Return start and stop of a stretch, s: of its signals, where events may stand on another clock."""
        block, segment = stretch
        spans = [self.signal_span_s(stretch, stream) for stream in range(len(self.reader.header["signal_streams"]))]
        if spans and self.kind in ("OpenEphysBinary", "SpikeGLX"):
            return min(start for start, _ in spans), max(stop for _, stop in spans)
        return float(self.reader.segment_t_start(block, segment)), float(self.reader.segment_t_stop(block, segment))

    def signal_span_s(self, stretch: Stretch, stream: int) -> tuple[float, float]:
        """Return when a stream of signals begins and ends in a stretch, s."""
        start = float(self.reader.get_signal_t_start(*stretch, stream))
        return start, start + self.samples(stretch, stream) / self.rate_hz(stream)

    def samples(self, stretch: Stretch, stream: int) -> int:
        """Return how many samples a stream has in a stretch."""
        return int(self.reader.get_signal_size(*stretch, stream))

    def rate_hz(self, stream: int) -> float:
        """Return the sampling rate of a stream."""
        return float(self.reader.get_signal_sampling_rate(stream))

    def events(self) -> dict[str, int]:
        """Return the number of events by the name of their channel."""
        names = self.reader.header["event_channels"]["name"]
        counts: dict[str, int] = {}
        for index, name in enumerate(map(str, names)):
            for stretch in self.stretches:
                counts[name] = counts.get(name, 0) + int(self.reader.event_count(*stretch, index) or 0)
        return {name: count for name, count in counts.items() if count}

    def events_on_another_clock(self) -> list[str]:
        """Return a sentence for each channel whose events lie outside of what was recorded."""
        if self.kind != "OpenEphysBinary":
            return []
        odd = []
        for index, name in enumerate(map(str, self.reader.header["event_channels"]["name"])):
            for stretch in self.stretches:
                stamps = self.reader.get_event_timestamps(*stretch, index)[0]
                times_s = np.asarray(self.reader.rescale_event_timestamp(stamps, "float64", index))
                start, stop = self.span_s(stretch)
                outside = int(((times_s < start - ANOTHER_CLOCK_S) | (times_s > stop + ANOTHER_CLOCK_S)).sum())
                if outside:
                    odd.append(
                        f"{outside} of {len(times_s)} events of {name} lie outside of what was recorded, from "
                        f"{times_s.min():.3f} s on: they are on another clock"
                    )
        return odd


@contextlib.contextmanager
def opened(found: Recognised) -> Iterator[Acquisition]:
    """Open a file or folder with neo; what neo raises within becomes one sentence.

    Raises
    ------
    BadInput
        When neo is absent or cannot read it.
    """
    path = found.path
    try:
        import neo.rawio
    except ImportError:
        raise BadInput(f"{path.name}: reading {found.format.name} needs neo; pip install 'bmi-runtime[nwb]'") from None
    quiet = logging.getLogger("neo")
    before = quiet.level
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        quiet.setLevel(logging.CRITICAL)
        reader = None
        try:
            reader = _reader(neo.rawio, _in_usual_case(found, stack))
            with contextlib.redirect_stdout(sys.stderr):  # some of neo's readers print
                reader.parse_header()
            yield Acquisition(reader)
        except BadInput:
            raise
        except ModuleNotFoundError as error:
            raise BadInput(
                f"{path.name}: reading {found.format.name} needs {error.name}; pip install {error.name}"
            ) from None
        except Exception as error:  # neo raises whatever its formats run into
            raise BadInput(
                f"{path.resolve().name}: neo cannot read this as a file or folder of {found.format.name} "
                f"({type(error).__name__}: {first_line(error)}){what_may_help(found)}"
            ) from None
        finally:
            quiet.setLevel(before)
            _close(reader)


def _in_usual_case(found: Recognised, stack: contextlib.ExitStack) -> Recognised:
    """Return a file or folder under the suffixes that neo wants: from memory cards they come in capitals.

    Nothing is renamed: links under the other names stand in a folder that is removed with the stack.
    """
    folder = found.path if found.path.is_dir() else found.path.parent
    if found.format.reader not in CASE_MATTERS:
        return found
    usual = {
        file: file.with_suffix(SUFFIX_OF_NEO.get(file.suffix.lower(), file.suffix.lower())).name
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in found.format.suffixes
    }
    if all(file.name == name for file, name in usual.items()):
        return found
    links = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bmi-")))
    for file in sorted(folder.iterdir()):
        link = links / usual.get(file, file.name)
        if not link.exists():
            link.symlink_to(file.resolve())
    return Recognised(found.format, links if found.path == folder else links / usual.get(found.path, found.path.name))


def _close(reader) -> None:
    """Close the files that neo keeps open for later reading."""
    for held in list(vars(reader).values()) if reader is not None else ():
        for file in held.values() if isinstance(held, dict) else (held,):
            if isinstance(file, io.IOBase):
                file.close()


def _reader(rawio, found: Recognised):
    """Return neo's reader of a file or folder, before it has read anything."""
    kind, path = found.format.reader, found.path
    made = getattr(rawio, kind)
    takes = inspect.signature(made).parameters
    options: dict[str, Any] = {"progress_bar": False} if kind == "PlexonRawIO" else {}
    if "gap_tolerance_ms" in takes:  # without it some readers refuse a file with gaps
        options["gap_tolerance_ms"] = GAP_TOLERANCE_MS
    if "keep_original_times" in takes:  # else a file's times begin with the first of the files beside it
        options["keep_original_times"] = True
    if kind == "NeuralynxRawIO" and path.is_file():
        return made(dirname=str(path.parent), include_filenames=[path.name], **options)
    if kind == "TdtRawIO":
        return made(dirname=str(_tdt_index(path)), **options)
    if made.rawmode != "one-dir":
        return made(filename=str(path), **options)
    folder = path if path.is_dir() else _folder_of(path, found)
    if kind == "OpenEphysRawIO":
        _check_spike_files(folder)
    return made(dirname=str(folder), **options)


def _folder_of(file: pathlib.Path, found: Recognised) -> pathlib.Path:
    return file.parents[found.format.above]


def _tdt_index(path: pathlib.Path) -> pathlib.Path:
    """Return the .tsq of a TDT block, which neo wants in place of the block's folder."""
    index = next((file for file in sorted((path if path.is_dir() else path.parent).iterdir())
                  if file.suffix.lower() == ".tsq"), None)  # fmt: skip
    if index is None:
        raise BadInput(f"{path}: a TDT block has a .tsq, .tbk, .tev and .tdx, and there is no .tsq")
    return index


def _check_spike_files(folder) -> None:
    empty = [file.name for file in folder.glob("*.spikes") if file.stat().st_size <= OPEN_EPHYS_HEADER_BYTES]
    if empty:
        raise BadInput(f"{folder.name}: {', '.join(empty)} without a spike keep neo from reading; move them elsewhere")


def _saved_spikes(reader, stretch: Stretch) -> dict[str, np.ndarray]:
    """Return the spikes that Open Ephys saved in the folders of a stretch."""
    streams = reader._sig_streams[stretch[0]][stretch[1]].values()
    folders = dict.fromkeys(pathlib.Path(stream["raw_filename"]).parents[2] for stream in streams)
    return {name: times for folder in folders for name, times in spikes_of(folder).items()}


def _units_of(reader) -> list[int]:
    """Return the numbers of the units; of Neuralynx' tetrodes neo has each unit once a wire, and one is kept."""
    units = range(len(reader.header["spike_channels"]))
    if type(reader).__name__ != "NeuralynxRawIO":
        return list(units)
    kept: dict[tuple, int] = {}
    for unit, (channel, number) in zip(units, reader.internal_unit_ids, strict=True):
        kept.setdefault((reader.nse_ntt_filenames[channel], number), unit)
    return sorted(kept.values())


def _spike_file(acquisition: Acquisition) -> SpikeFile:
    by_stretch = [acquisition.trains_s(stretch) for stretch in acquisition.stretches]
    trains = [np.concatenate(parts) for parts in zip(*by_stretch, strict=True)]
    return SpikeFile(
        kind=f"{acquisition.kind} (neo)",
        trains_s=trains,
        names=acquisition.unit_names,
        segments_s=[acquisition.span_s(stretch) for stretch in acquisition.stretches],
        signals=[described(channel) for channel in acquisition.reader.header["signal_channels"]],
        events=acquisition.events(),
        notes=_sorting(acquisition),
        odd=_lost_blocks(acquisition.reader) + acquisition.events_on_another_clock(),
    )


def described(channel) -> str:
    """Return an analog channel as text."""
    return f"{channel['name']}: {channel['sampling_rate']:g} Hz, {channel['units'] or 'no unit'}"


def _sorting(acquisition: Acquisition) -> dict[str, str]:
    """Return how many units nobody sorted, where the format says so."""
    if acquisition.kind == "AlphaOmega" and acquisition.unit_names:
        return {"units": "an electrode each, with every unit that was sorted on it: neo does not tell them apart"}
    if acquisition.kind != "Blackrock":
        return {}
    classes = [str(channel["name"]).rpartition("#")[2] for channel in acquisition.reader.header["spike_channels"]]
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
