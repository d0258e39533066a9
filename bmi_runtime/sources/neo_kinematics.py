"""Counts and kinematics of acquisition systems' files: spikes, and the two analog channels that a mapping names."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binned_file import Part, Pieces, Sampled, Track, binned
from bmi_runtime.sources.mapping import FileMapping, Kinematics, check_plausible
from bmi_runtime.sources.neo_file import Acquisition, Stretch, is_ours, opened
from bmi_runtime.sources.recognised import recognised

PIECE_S = 60.0  # of an analog channel in memory at once


def binned_acquisition(path: pathlib.Path, mapping: FileMapping | None) -> Any:
    """Return counts and kinematics of a file or folder that neo reads, in the bins of the mapping.

    Parameters
    ----------
    path : path
    mapping : FileMapping
        Names two analog ``channels`` for a velocity and/or a position.

    Returns
    -------
    OpenLoopRecording

    Raises
    ------
    BadInput
        When there are no units, no mapping, or no such channels.
    """
    found = recognised(path)
    if is_ours(found):
        raise BadInput(
            f"{path.name}: a {found.format.name} recording holds sorted spikes and no kinematics; for a GLM of spikes "
            "alone count them with 'bmi glm bin', to decode save counts, bin_s, velocity and position as .npz"
        )
    with opened(found) as acquisition:
        signals = [str(channel["name"]) for channel in acquisition.reader.header["signal_channels"]]
        if not acquisition.unit_names:
            raise BadInput(f"{path.name}: there are no spikes in it, so there is nothing to decode; sort it first")
        wanted = {} if mapping is None else {"velocity": mapping.velocity, "position": mapping.position}
        named = {what: part for what, part in wanted.items() if part is not None}
        if mapping is None or not all(part.channels for part in named.values()) or mapping.counts is not None:
            raise BadInput(
                f"{path.name}: nothing in it says which channels are the hand; give a --mapping with, for example, "
                f"[position] channels = {_example(signals)} (and no [counts])"
            )
        places = {what: _places(path, acquisition.reader, part) for what, part in named.items()}
        parts = []
        for stretch in acquisition.stretches:
            sampled = {what: _sampled(acquisition, stretch, places[what], part) for what, part in named.items()}
            parts.append(Part(acquisition.span_s(stretch), acquisition.trains_s(stretch), sampled))
        recording = binned(path.name, parts, mapping.bin.width_s)
    check_plausible(path.name, mapping, recording.velocity, recording.position, recording.bin_s)
    return recording


def _example(signals: list[str]) -> str:
    likely = [name for name in signals if "hand" in name.lower() or "cursor" in name.lower()]
    shown = next((names[:2] for names in (likely, signals) if len(names) > 1), ["x", "y"])
    return "[" + ", ".join(f'"{name}"' for name in shown) + "]"


def _places(path, reader, part: Kinematics) -> list[tuple[int, int]]:
    """Return (stream, channel within it) of both channels of a mapping, found by name or by number."""
    header, places = reader.header, []
    for wanted in part.channels or ():
        channels = header["signal_channels"]
        rows = np.flatnonzero((channels["name"] == wanted) | (channels["id"] == wanted))
        if len(rows) != 1:
            held = ", ".join(map(str, channels["name"])) or "none"
            what = "no channel" if len(rows) == 0 else f"{len(rows)} channels"
            raise BadInput(f"{path.name}: {what} of the name '{wanted}', which the mapping names; it has {held}")
        stream = channels["stream_id"][rows[0]]
        inside = np.flatnonzero(channels["stream_id"] == stream)
        places.append(
            (int(np.flatnonzero(header["signal_streams"]["id"] == stream)[0]), int(np.searchsorted(inside, rows[0])))
        )
    return places


def _sampled(acquisition: Acquisition, stretch: Stretch, places, part: Kinematics) -> Sampled:
    """Return the channels of a mapping, each with the rate and the start of its own stream."""
    tracks = tuple(
        Track(
            functools.partial(_read, acquisition, stretch, stream, channel, part.si_scale),
            acquisition.signal_span_s(stretch, stream),
        )
        for stream, channel in places
    )
    return Sampled(tracks, part.si_unit, " and ".join(part.channels or ()))


def _read(acquisition: Acquisition, stretch: Stretch, stream, channel, scale, from_s, to_s) -> Pieces:
    reader, rate_hz = acquisition.reader, acquisition.rate_hz(stream)
    start_s, _ = acquisition.signal_span_s(stretch, stream)
    first = max(0, int((from_s - start_s) * rate_hz) - 1)
    last = min(acquisition.samples(stretch, stream), int((to_s - start_s) * rate_hz) + 2)
    step = max(1, int(PIECE_S * rate_hz))
    for begin in range(first, last, step):
        end = min(begin + step, last)
        raw = reader.get_analogsignal_chunk(*stretch, begin, end, stream, channel_indexes=[channel])
        values = reader.rescale_signal_raw_to_float(raw, stream_index=stream, channel_indexes=[channel])
        yield start_s + np.arange(begin, end) / rate_hz, scale * values.astype(float)
