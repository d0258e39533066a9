"""Salvages a truncated or damaged recording into a new, complete one."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mcap.records import Statistics

from bmi_runtime import __version__
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.messages import pack
from bmi_runtime.recording import frames
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.writer import COPIES

COPY_BYTES = 4 * 1024 * 1024  # read and written at once


def recover(path, out) -> dict:
    """Write everything readable in a recording to a new one that is complete and valid.

    Messages are copied byte for byte, those behind a damaged stretch too. The new configuration message is the old one
    with the key ``recovered``: what was lost, and which bins are missing between the ones that are there.

    Parameters
    ----------
    path : str or Path
        The recording to salvage; never changed.
    out : str or Path
        The file to create; an existing one is never touched.

    Returns
    -------
    dict
        ``complete`` (was it whole before), ``bins``, ``lost_bytes``, ``missing_bins`` (within the span of those saved),
        ``damage`` (list of offset, size and reason), ``provenance``, ``recording`` (the new file).

    Raises
    ------
    BadInput
        When nothing can be read, or `out` exists or cannot be created.
    BmiError
        When `out` could not be written whole; it is removed then.
    """
    recording, out = Recording(path, past_damage=True), Path(out)
    result = {
        "complete": recording.complete,
        "bins": recording.n_steps,
        "lost_bytes": recording.lost_bytes,
        "missing_bins": recording.missing_bins,
        "damage": [
            {"offset": damage.offset, "size_bytes": damage.size_bytes, "reason": damage.reason}
            for damage in recording.damage
        ],
    }
    note = {"source": str(path), "source_bytes": recording.size_bytes, **result}
    try:
        with open(out, "xb") as file:
            _write(recording, note, file)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise BadInput(f"{out} exists already; recordings are never overwritten, so choose another name") from None
    except OSError as error:
        if error.errno is not None and out.exists():
            out.unlink()
            raise BmiError(f"{out} could not be written whole and was removed: {error.strerror}") from None
        raise BadInput(f"{out} cannot be created: {error.strerror}; choose a folder that can be written") from None
    return {**result, "provenance": recording.header.get("provenance"), "recording": str(out)}


def _write(recording: Recording, note: dict, file) -> None:
    """Write preamble, configuration, every other message, and the closing."""
    opening, channels = recording.opening, list(recording.opening.channels.values())
    start = frames.preamble(opening.schema, channels, f"bmi-runtime {__version__} (recovered)")
    described = frames.describe_opening(start, opening.schema, channels)
    described = {**recording.header.get("recording_format", {}), **described, "copies": COPIES}
    configuration = {**recording.header, "recording_format": described, "recovered": note}
    times_ns = np.concatenate([recording.step_log_times_ns(), recording.message_log_times_ns()])
    first_ns = opening.log_time_ns if recording.header else int(times_ns.min())  # rewritten when it was damaged
    file.write(start + COPIES * frames.message_frame(opening.configuration[0], first_ns, pack(configuration)))
    for piece in _pieces(recording):
        file.write(piece)
    file.write(frames.closing(opening.schema, channels, _statistics(recording, times_ns), file.tell()))


def _pieces(recording: Recording) -> Iterator[memoryview]:
    """Yield the bytes of every whole message behind the configuration, in the order of the file."""
    view = memoryview(recording.data)
    for start, stop in recording.whole_ranges():
        for position in range(start, stop, COPY_BYTES):
            yield view[position : min(position + COPY_BYTES, stop)]


def _statistics(recording: Recording, times_ns: np.ndarray) -> Statistics:
    channels = recording.opening.channels.values()
    counts = Counter({channel.id: recording.stream_counts[channel.topic] for channel in channels})
    counts[recording.opening.configuration[0]] = COPIES
    return Statistics(
        attachment_count=0,
        channel_count=len(channels),
        channel_message_counts={number: count for number, count in counts.items() if count},
        chunk_count=0,
        message_count=counts.total(),
        message_end_time=int(times_ns.max()),
        message_start_time=int(times_ns.min()),
        metadata_count=0,
        schema_count=1,
    )
