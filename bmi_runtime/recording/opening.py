"""Reads what a recording starts with, and rebuilds it when its bytes are damaged.

The opening is there twice: as MCAP's header, schema and channel records, and as the table ``recording_format`` of the
configuration message behind them. Either one is enough to read the steps. The configuration message itself is there
twice, too, byte for byte (recordings of earlier versions hold it once).
"""

import dataclasses
import struct
import zlib
from io import BytesIO
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.records import Channel, Header, Schema

from bmi_runtime.codec import MAX_MESSAGE_BYTES
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import unpack
from bmi_runtime.recording import frames

SEARCH_BYTES = 256 * 1024  # a damaged opening is given up when no configuration starts in the first so many bytes


class Broken(Exception):
    """A record that cannot be read: the byte at which it starts, and why."""


@dataclasses.dataclass(frozen=True)
class Damage:
    """A stretch of a recording that cannot be read: where it starts, how long it is, and why."""

    offset: int
    size_bytes: int
    reason: str


@dataclasses.dataclass
class Opening:
    """How a recording starts."""

    schema: Schema
    channels: dict[int, Channel]
    layout: frames.StepLayout
    header: dict[str, Any]
    log_time_ns: int
    configuration: tuple[int, int, int]  # channel, first byte, size; size 0 when it is damaged
    messages_start: int
    damage: list[Damage]
    copies: int = 1  # of the configuration, whole ones

    @property
    def step_channel(self) -> int:
        """The channel of the steps."""
        return next(number for number, channel in self.channels.items() if channel.topic == "step")


def read_opening(data, past_damage: bool = False) -> Opening:
    """Return how the recording in `data` starts.

    Parameters
    ----------
    data : bytes-like
        The whole file.
    past_damage : bool
        True does without the configuration when its bytes are damaged but what stands before it is whole.

    Raises
    ------
    BadInput
        When the bytes are not the beginning of a recording, or too little of it is left.
    """
    view = memoryview(data)
    if len(view) == 0:
        raise BadInput("the file is empty: nothing was recorded")
    try:
        schema, channels, start = _read_preamble(view)
        layout = frames.parse_layout(schema.data)
    except Broken as broken:
        return _rebuilt(view, f"at byte {broken.args[0]}, before the first message, {broken.args[1]}")
    except ValueError as error:
        return _rebuilt(view, str(error))
    found = _configuration_at(view, start)
    if found is None:
        try:
            return _rebuilt(view, "the first message is not a whole configuration")
        except BadInput:
            if not past_damage:
                raise
        number = next(channel.id for channel in channels.values() if channel.topic == "configuration")
        return Opening(schema, channels, layout, {}, 0, (number, start, 0), start, [])
    channel, size, log_time_ns, header = found
    end, damage = _behind_copies(view, start, size, header)
    whole = (end - start) // size - len(damage)
    opening = Opening(schema, channels, layout, header, log_time_ns, (channel, start, size), end, damage, whole)
    if zlib.crc32(view[:start]) != header["recording_format"].get("preamble_crc32"):
        return _rebuilt(view, "the checksum of what stands before the first message is wrong")
    return opening


def _behind_copies(view: memoryview, start: int, size: int, header: dict[str, Any]) -> tuple[int, list[Damage]]:
    """Return where the messages behind the last copy of the configuration start, and what of the copies is damaged."""
    end, damage = start + size, []
    for _ in range(1, header["recording_format"].get("copies", 1)):
        copy = view[end : end + size]
        if copy != view[start : start + size]:
            damage.append(Damage(end, len(copy), "the second copy of the configuration is not as the first"))
        end += len(copy)
    return end, damage


def record_at(view: memoryview, position: int) -> tuple[int, int]:
    """Return opcode and end of the record at `position`; its length is held against the end of the file.

    Raises
    ------
    Broken
        When the file ends inside it.
    """
    left = len(view) - position
    if left < frames.RECORD_HEAD.size:
        raise Broken(position, "the file ends inside a record")
    opcode, length = frames.RECORD_HEAD.unpack_from(view, position)
    if length > left - frames.RECORD_HEAD.size:
        raise Broken(position, "the file ends inside a record, or its length is wrong")
    return opcode, position + frames.RECORD_HEAD.size + length


def _read_preamble(view: memoryview) -> tuple[Schema, dict[int, Channel], int]:
    """Return step schema, channels, and where the first message starts."""
    if bytes(view[:8]) != frames.MAGIC:
        raise Broken(0, "the file does not start like an MCAP file")
    schema: Schema | None = None
    channels: dict[int, Channel] = {}
    position = len(frames.MAGIC)
    while True:
        try:
            opcode, end = record_at(view, position)
            if opcode == frames.HEADER:
                _check_profile(_parse(Header, view, position, end).profile)
            elif opcode == frames.SCHEMA:
                schema = _parse(Schema, view, position, end)
            elif opcode == frames.CHANNEL:
                channel = _parse(Channel, view, position, end)
                channels[channel.id] = channel
            else:
                raise Broken(position, f"a record of kind {opcode} does not belong there")
            position = end
        except Broken:  # the first message, or damage; which of the two, its checksum will tell
            if schema is None or not {"step", "configuration"} <= {found.topic for found in channels.values()}:
                raise
            return schema, channels, position


def _check_profile(profile: str) -> None:
    if profile != frames.PROFILE:
        raise Broken(len(frames.MAGIC), f"the profile of the MCAP file is '{profile}', not '{frames.PROFILE}'")


def _parse(kind: Any, view: memoryview, start: int, end: int) -> Any:
    """Return the MCAP record of type `kind` between two bytes, never reading past its end."""
    if end - start > SEARCH_BYTES:
        raise Broken(start, "a record is absurdly long")
    try:
        return kind.read(ReadDataStream(BytesIO(bytes(view[start + frames.RECORD_HEAD.size : end]))))
    except Exception as error:
        raise Broken(start, f"a record cannot be read ({type(error).__name__})") from None


def _configuration_at(view: memoryview, position: int) -> tuple[int, int, int, dict] | None:
    """Return channel, size, log time and content of the configuration at `position`, or None if it is not whole."""
    if len(view) - position < frames.MESSAGE_HEAD.size:
        return None
    opcode, length, channel, checksum, log_time_ns, _ = frames.MESSAGE_HEAD.unpack_from(view, position)
    end = position + frames.RECORD_HEAD.size + length
    if opcode != frames.MESSAGE or not frames.MESSAGE_FIELDS_BYTES < length <= MAX_MESSAGE_BYTES or end > len(view):
        return None
    if zlib.crc32(view[position + frames.CHECKED_FROM : end], frames.checksum_seed(channel)) != checksum:
        return None
    try:
        header = unpack(bytes(view[position + frames.MESSAGE_HEAD.size : end]))
    except BadInput:
        return None
    described = header.get("recording_format") if isinstance(header, dict) else None
    return (channel, end - position, log_time_ns, header) if isinstance(described, dict) else None


def _rebuilt(view: memoryview, reason: str) -> Opening:
    """Return the opening from the configuration's own description of it, wherever the configuration starts."""
    for start in range(min(len(view), SEARCH_BYTES)):
        if view[start] != frames.MESSAGE:
            continue
        found = _configuration_at(view, start)
        if found is not None:
            channel, size, log_time_ns, header = found
            break
    else:
        raise BadInput(f"not a recording, or nothing of it can be read: {reason}")
    try:
        described = header["recording_format"]
        schema, channels = frames.described_records(described)
        layout = frames.parse_layout(schema.data)
    except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise BadInput(f"the recording does not describe its own layout ({type(error).__name__}): {reason}") from None
    numbered = {channel.id: channel for channel in channels}
    end, damage, copies = start + size, [Damage(0, start, reason)], 1
    if view[end : end + size] == view[start:end]:  # it was the first copy
        end, copies = end + size, 2
    return Opening(schema, numbered, layout, header, log_time_ns, (channel, start, size), end, damage, copies)
