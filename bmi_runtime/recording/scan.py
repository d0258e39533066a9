"""Walks the bytes of a recording and finds what is whole; trusts no length, no checksum, no order."""

import dataclasses
import mmap
import struct
import zlib

from bmi_runtime.recording import frames
from bmi_runtime.recording.frames import (
    CHANNEL,
    DATA_END,
    FOOTER,
    FOOTER_BYTES,
    MESSAGE,
    SCHEMA,
    STATISTICS,
    SUMMARY_OFFSET,
)
from bmi_runtime.recording.opening import Broken, Damage, Opening, read_opening, record_at

SUMMARY_OPCODES = {SCHEMA, CHANNEL, STATISTICS, SUMMARY_OFFSET}  # what stands between the data end and the footer
RELEASE_BYTES = 16 << 20  # of the file, after which what was read is let go of


@dataclasses.dataclass
class Contents:
    """What a walk over the bytes of a recording found."""

    opening: Opening
    step_runs: list[tuple[int, int]]  # (first byte, number of frames without anything between them)
    messages: list[tuple[int, int, int]]  # (channel, first byte, size), the configuration first
    damage: list[Damage]
    closed: bool = False  # data end, summary, footer and magic are whole


def scan(data, past_damage: bool = False) -> Contents:
    """Find every whole record in the bytes of a recording.

    Parameters
    ----------
    data : bytes or mmap
        The whole file.
    past_damage : bool
        False stops at the first incomplete record; True goes on at the next whole step behind it.

    Raises
    ------
    BadInput
        When the bytes are not the beginning of a recording, or too little of it is left.
    """
    opening = read_opening(data, past_damage)
    first = [opening.configuration] if opening.configuration[2] else []
    contents = Contents(opening, [], first, list(opening.damage))
    view, position = memoryview(data), opening.messages_start
    while position < len(view):
        try:
            position, at_data_end = _scan_messages(view, position, contents)
            if at_data_end:
                position = _scan_closing(view, position, contents)
            continue
        except Broken as broken:
            start, reason = broken.args
        position = _next_step(data, start + 1, opening) if past_damage else len(view)
        contents.damage.append(Damage(start, position - start, reason))
    return contents


def _scan_messages(view: memoryview, position: int, contents: Contents) -> tuple[int, bool]:
    """Walk over whole messages; return where they end and whether the data end stands there."""
    opening = contents.opening
    step_channel, step_bytes = opening.step_channel, frames.MESSAGE_HEAD.size + opening.layout.dtype.itemsize
    run_start, run_length = position, 0
    try:
        for channel, start, end in _messages(view, position, opening):
            position = end
            if channel == step_channel:
                if end - start != step_bytes:
                    raise Broken(start, "a step has the wrong size")
                run_length += 1
            else:
                _keep_run(contents, run_start, run_length)
                contents.messages.append((channel, start, end - start))
                run_start, run_length = end, 0
    finally:
        _keep_run(contents, run_start, run_length)
    return position, position < len(view)


def _messages(view: memoryview, position: int, opening: Opening):
    """Yield channel, start and end of message after message until the data end or the end of the file."""
    seeds = {number: frames.checksum_seed(number) for number in opening.channels}
    release = _releasing(view.obj)
    unpack, crc32, size = frames.MESSAGE_HEAD.unpack_from, zlib.crc32, len(view)
    released = position
    while position < size:
        if position - released > RELEASE_BYTES:
            release(position)
            released = position
        if view[position] != MESSAGE or size - position < frames.MESSAGE_HEAD.size:
            opcode, end = record_at(view, position)
            if opcode == DATA_END and end - position == frames.RECORD_HEAD.size + 4:
                return
            raise Broken(position, f"no record of kind {opcode} belongs here")
        _, length, channel, checksum, _, _ = unpack(view, position)
        end = position + frames.RECORD_HEAD.size + length
        if end > size:
            raise Broken(position, "the file ends inside a message, or its length is wrong")
        if channel not in seeds or length < frames.MESSAGE_FIELDS_BYTES:
            raise Broken(position, f"a message of {length} bytes on channel {channel} cannot be")
        if crc32(view[position + frames.CHECKED_FROM : end], seeds[channel]) != checksum:
            raise Broken(position, f"the checksum of a message on '{opening.channels[channel].topic}' is wrong")
        yield channel, position, end
        position = end


def _releasing(data):
    """Return a function that lets go of the pages of a file before a byte, so that a walk takes little memory."""
    if not isinstance(data, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return lambda position: None
    return lambda position: data.madvise(mmap.MADV_DONTNEED, 0, position)


def _keep_run(contents: Contents, start: int, length: int) -> None:
    if length:
        contents.step_runs.append((start, length))


def _scan_closing(view: memoryview, start: int, contents: Contents) -> int:
    """Check data end, summary, footer and magic; return the end of the file."""
    try:
        _, summary_start = record_at(view, start)
        position = summary_start
        while (found := record_at(view, position))[0] in SUMMARY_OPCODES:
            position = found[1]
        opcode, end = found
        if opcode != FOOTER or end - position != frames.RECORD_HEAD.size + FOOTER_BYTES:
            raise Broken(position, "there is no footer")
        recorded_start, _, checksum = struct.unpack_from("<QQI", view, position + frames.RECORD_HEAD.size)
        if recorded_start != summary_start or zlib.crc32(view[summary_start : end - 4]) != checksum:
            raise Broken(position, "its checksum is wrong")
        if bytes(view[end:]) != frames.MAGIC:
            raise Broken(end, "the file does not end with MCAP's magic")
    except Broken as broken:
        raise Broken(start, f"the summary behind the last message is incomplete: {broken.args[1]}") from None
    contents.closed = True
    return len(view)


def _next_step(data, position: int, opening: Opening) -> int:
    """Return where the next whole step starts at or behind `position`, or the end of the data."""
    length = frames.MESSAGE_FIELDS_BYTES + opening.layout.dtype.itemsize
    pattern = struct.pack("<BQH", MESSAGE, length, opening.step_channel)
    seed, view = frames.checksum_seed(opening.step_channel), memoryview(data)
    while (position := data.find(pattern, position)) >= 0:
        end = position + frames.RECORD_HEAD.size + length
        if end > len(view):
            break
        (checksum,) = struct.unpack_from("<I", view, position + frames.CHECKSUM_OFFSET)
        if zlib.crc32(view[position + frames.CHECKED_FROM : end], seed) == checksum:
            return position
        position += 1
    return len(view)
