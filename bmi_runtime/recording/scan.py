"""Walks the bytes of a recording and finds what is whole; trusts no length, no checksum, no order."""

import dataclasses
import json
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from mcap.data_stream import ReadDataStream
from mcap.records import Channel, Header, Schema

from bmi_runtime.errors import BadInput
from bmi_runtime.recording import frames

HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, DATA_END = 1, 2, 3, 4, 5, 15
SUMMARY_OPCODES = {SCHEMA, CHANNEL, 11, 14}  # what may stand between the data end and the footer
FOOTER_BYTES = 20
MAX_PREAMBLE_RECORD_BYTES = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Damage:
    """A stretch of a recording that cannot be read: where it starts, how long it is, and why."""

    offset: int
    size_bytes: int
    reason: str


@dataclasses.dataclass
class Contents:
    """What a walk over the bytes of a recording found."""

    schema: Schema | None = None
    channels: dict[int, Channel] = dataclasses.field(default_factory=dict)
    preamble_bytes: int = 0
    step_dtype: np.dtype | None = None
    n_units: int = 0
    continuous: bool = False
    step_runs: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # (first byte, number of frames)
    messages: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)  # (channel, first byte, bytes)
    damage: list[Damage] = dataclasses.field(default_factory=list)
    closed: bool = False  # data end, summary, footer and magic are whole


class _Broken(Exception):
    """A record that cannot be read, and why."""


def scan(data, past_damage: bool = False) -> Contents:
    """Find every whole record in the bytes of a recording.

    Parameters
    ----------
    data : bytes-like
        The whole file (a memory map will do).
    past_damage : bool
        False stops at the first record that is not whole; True looks for the next whole step behind it.

    Raises
    ------
    BadInput
        When the bytes are not the beginning of a recording.
    """
    view = memoryview(data)
    contents = Contents()
    position = _scan_preamble(view, contents)
    while position < len(view):
        try:
            position, done = _scan_messages(view, position, contents)
            if done:
                position = _scan_closing(view, position, contents)
            continue
        except _Broken as broken:
            start, reason = broken.args
        position = _next_step(data, start + 1, contents) if past_damage else len(view)
        contents.damage.append(Damage(start, position - start, reason))
    return contents


def _record(view: memoryview, position: int) -> tuple[int, int]:
    """Return opcode and end of the record at `position`."""
    left = len(view) - position
    if left < frames.RECORD_HEAD.size:
        raise _Broken(position, "the file ends inside a record")
    opcode, length = frames.RECORD_HEAD.unpack_from(view, position)
    if length > left - frames.RECORD_HEAD.size:
        raise _Broken(position, "the file ends inside a record, or its length is wrong")
    return opcode, position + frames.RECORD_HEAD.size + length


def _parse(kind: Any, view: memoryview, start: int, end: int) -> Any:
    """Return the MCAP record of type `kind` between two bytes, never reading past its end."""
    if end - start > MAX_PREAMBLE_RECORD_BYTES:
        raise _Broken(start, "a record before the first message is absurdly long")
    body = bytes(view[start + frames.RECORD_HEAD.size : end])
    try:
        return kind.read(ReadDataStream(BytesIO(body)))
    except Exception as error:
        raise _Broken(start, f"a record before the first message is damaged ({type(error).__name__})") from None


def _scan_preamble(view: memoryview, contents: Contents) -> int:
    """Read magic, header, schema and channels; return where the messages start."""
    if len(view) == 0:
        raise BadInput("the file is empty: nothing was recorded")
    if bytes(view[:8]) != frames.MAGIC[: len(view)]:
        raise BadInput("the file does not start like an MCAP file: it is not a recording")
    position = min(len(frames.MAGIC), len(view))
    try:
        while True:
            opcode, end = _record(view, position)
            if opcode == MESSAGE:
                break
            _take_preamble_record(opcode, view, position, end, contents)
            position = end
    except _Broken as broken:
        place, reason = broken.args
        raise BadInput(f"nothing can be read: at byte {place}, before the first message, {reason}") from None
    _read_layout(contents)
    contents.preamble_bytes = position
    return position


def _take_preamble_record(opcode: int, view: memoryview, start: int, end: int, contents: Contents) -> None:
    if opcode == HEADER:
        profile = _parse(Header, view, start, end).profile
        if profile != frames.PROFILE:
            raise BadInput(
                f"an MCAP file with the profile '{profile}', not '{frames.PROFILE}': not a recording of ours"
            )
    elif opcode == SCHEMA:
        schema = _parse(Schema, view, start, end)
        if schema.name == "step":
            contents.schema = schema
    elif opcode == CHANNEL:
        channel = _parse(Channel, view, start, end)
        contents.channels[channel.id] = channel
    elif opcode in (FOOTER, DATA_END):
        raise BadInput("the recording was closed without a single message: nothing was recorded")


def _read_layout(contents: Contents) -> None:
    """Take units, kind of input and layout of a step from the schema."""
    try:
        layout = json.loads(contents.schema.data)
        contents.n_units, contents.continuous = int(layout["n_units"]), bool(layout["continuous"])
        contents.step_dtype = frames.parse_dtype(layout["fields"])
    except Exception as error:
        raise BadInput(f"the layout of a step cannot be read ({type(error).__name__}): a damaged recording") from None


def _step_channel(contents: Contents) -> int:
    return next((number for number, channel in contents.channels.items() if channel.topic == "step"), -1)


def _scan_messages(view: memoryview, position: int, contents: Contents) -> tuple[int, bool]:
    """Walk over whole messages; return where they end and whether the data end stands there."""
    step = _step_channel(contents)
    step_bytes = frames.MESSAGE_HEAD.size + contents.step_dtype.itemsize
    seeds = {number: frames.checksum_seed(number) for number in contents.channels}
    unpack, crc32, size = frames.MESSAGE_HEAD.unpack_from, zlib.crc32, len(view)
    run_start, run_length = position, 0
    try:
        while position < size:
            if view[position] != MESSAGE or size - position < frames.MESSAGE_HEAD.size:
                opcode, _ = _record(view, position)
                if opcode == DATA_END:
                    return position, True
                raise _Broken(position, f"no record of kind {opcode} belongs here")
            _, length, channel, checksum, _, _ = unpack(view, position)
            end = position + frames.RECORD_HEAD.size + length
            if end > size:
                raise _Broken(position, "the file ends inside a message, or its length is wrong")
            if channel not in seeds or length < frames.MESSAGE_FIELDS_BYTES:
                raise _Broken(position, f"a message of {length} bytes on channel {channel} cannot be")
            if crc32(view[position + frames.CHECKED_FROM : end], seeds[channel]) != checksum:
                raise _Broken(position, f"the checksum of a message on '{contents.channels[channel].topic}' is wrong")
            if channel == step:
                if end - position != step_bytes:
                    raise _Broken(position, "a step of the wrong size")
                run_length += 1
            else:
                _keep_run(contents, run_start, run_length)
                contents.messages.append((channel, position, end - position))
                run_start, run_length = end, 0
            position = end
    finally:
        _keep_run(contents, run_start, run_length)
    return position, False


def _keep_run(contents: Contents, start: int, length: int) -> None:
    if length:
        contents.step_runs.append((start, length))


def _scan_closing(view: memoryview, position: int, contents: Contents) -> int:
    """Check data end, summary, footer and magic; return the end of the file or raise at the first fault."""
    start = position
    _, position = _record(view, position)
    summary_start = position
    while True:
        opcode, end = _record(view, position)
        if opcode == FOOTER:
            break
        if opcode not in SUMMARY_OPCODES:
            raise _Broken(position, f"no record of kind {opcode} belongs into the summary")
        position = end
    if end - position != frames.RECORD_HEAD.size + FOOTER_BYTES:
        raise _Broken(position, "a footer of the wrong size")
    recorded_start, _, checksum = struct.unpack_from("<QQI", view, position + frames.RECORD_HEAD.size)
    if recorded_start != summary_start or zlib.crc32(view[summary_start : end - 4]) != checksum:
        raise _Broken(start, "the checksum of the summary is wrong")
    if bytes(view[end:]) != frames.MAGIC:
        raise _Broken(end, "the file does not end with MCAP's magic")
    contents.closed = True
    return len(view)


def _next_step(data, position: int, contents: Contents) -> int:
    """Return where the next whole step starts at or behind `position`, or the end of the data."""
    length = frames.MESSAGE_FIELDS_BYTES + contents.step_dtype.itemsize
    pattern = struct.pack("<BQH", MESSAGE, length, _step_channel(contents))
    seed = frames.checksum_seed(_step_channel(contents))
    view = memoryview(data)
    while (position := data.find(pattern, position)) >= 0:
        end = position + frames.RECORD_HEAD.size + length
        if end > len(view):
            break
        (checksum,) = struct.unpack_from("<I", view, position + frames.CHECKSUM_OFFSET)
        if zlib.crc32(view[position + frames.CHECKED_FROM : end], seed) == checksum:
            return position
        position += 1
    return len(view)
