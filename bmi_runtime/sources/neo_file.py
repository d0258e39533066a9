"""Files of acquisition systems through neo: Blackrock, Plexon, Neuralynx, Spike2 and whatever else it reads.

Needs the extra ``nwb`` (neo). Nothing but headers and spike times is read into memory.
"""

from __future__ import annotations

import logging
import pathlib
import warnings

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.spike_file import SpikeFile

BLACKROCK_FIRST = (b"NEURALEV", b"BREVENTS", b"NEURALSG", b"NEURALCD", b"BRSMPGRP")


def read_neo(path: pathlib.Path) -> SpikeFile:
    """Return spike trains, segments, signals and events of a file.

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
            reader = _format(neo.rawio, path)(filename=str(path))
            reader.parse_header()
            return _spike_file(reader)
        except BadInput:
            raise
        except Exception as error:  # neo raises whatever its formats run into
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(f"{path.name}: neo cannot read this as a {path.suffix} file ({reason})") from None
        finally:
            quiet.setLevel(before)


def _format(rawio, path):
    """Return neo's class for a file; .nev is Neuralynx's suffix as well as Blackrock's."""
    possible = rawio.get_rawio(path, exclusive_rawio=False)
    if not possible:
        raise BadInput(f"{path.name}: neo knows no format of the suffix '{path.suffix}'")
    with open(path, "rb") as file:
        first = file.read(8)
    if rawio.BlackrockRawIO in possible:
        if first in BLACKROCK_FIRST:
            return rawio.BlackrockRawIO
        possible.remove(rawio.BlackrockRawIO)
    if not possible:
        raise BadInput(f"{path.name}: has a Blackrock suffix, but does not begin as a Blackrock file does")
    return possible[0]


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
