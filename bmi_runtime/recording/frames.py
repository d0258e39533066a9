"""The layout of a recording's bytes: which MCAP records it holds, and the checksum that each message carries.

A recording is an unchunked MCAP file with the profile ``bmi-runtime``: magic, header, one schema and one channel per
recorded stream, then messages in the order of writing, then (when it was closed) the data end, a summary and a footer.
The first message is the ``configuration``. One message record is::

    u8 opcode = 5 | u64 length | u16 channel | u32 checksum | u64 log time (ns) | u64 publish time (ns) | payload

MCAP gives unchunked messages no checksum, so the field that MCAP calls `sequence` ("message counter, if there is one")
holds the CRC-32 of the channel's two bytes followed by everything after the field. What stands before the first message
(magic, header, schemas, channels) is covered by ``recording_format.preamble_crc32`` inside the configuration, and the
summary by MCAP's own CRC in the footer: no bit of a closed recording can flip unseen, except in the data-end record.

The payload of the ``step`` channel is one raw record of `bmi_runtime.messages.step_dtype`. Packed little-endian fields
and arrays of fixed length are just what a ROS 1 message is made of, so the channel's schema is a ROS 1 message
definition and any tool that shows MCAP shows steps; its first line, a comment to such tools, is the layout as JSON.
Recordings made before have that JSON alone. Every other payload is msgpack (`bmi_runtime.messages.pack`).
"""

import dataclasses
import json
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Channel, DataEnd, Footer, Header, Schema, Statistics, SummaryOffset

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import PLANE, STREAMS, StateSpace, step_dtype

FORMAT_VERSION = 1  # grows when a reader of today could not read what is written
PROFILE = "bmi-runtime"
STEP_ENCODINGS = {True: ("ros1", "ros1msg", "bmi_runtime/Step"), False: ("raw-record", "record-layout-json", "step")}
"""Encoding of steps, encoding of their schema, name of the schema: as they are written, and as they were first."""
LAYOUT_LINE = b"# layout "
CHECKSUM_RULE = "sequence = crc32(channel_id u16, log_time u64, publish_time u64, payload), little-endian"

MAGIC = b"\x89MCAP0\r\n"
RECORD_HEAD = struct.Struct("<BQ")  # opcode, length of what follows
MESSAGE_HEAD = struct.Struct("<BQHIQQ")  # opcode, length, channel, checksum, log time, publish time
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, STATISTICS, SUMMARY_OFFSET, DATA_END = (
    int(Opcode[kind])  # an enumeration compares at a fraction of the speed, once for every message of a recording
    for kind in ("HEADER", "FOOTER", "SCHEMA", "CHANNEL", "MESSAGE", "STATISTICS", "SUMMARY_OFFSET", "DATA_END")
)
MESSAGE_FIELDS_BYTES = MESSAGE_HEAD.size - RECORD_HEAD.size
FOOTER_BYTES = 20  # two offsets and a CRC-32
CHECKSUM_OFFSET = 11  # of the field that MCAP calls `sequence`
CHECKED_FROM = 15  # what the checksum covers begins behind it

CHANNELS = {name: number for number, name in enumerate((name for name in STREAMS if STREAMS[name].recorded), start=1)}
"""The channel of each recorded stream. A reader takes them from the file, never from here."""


def checksum_seed(channel: int) -> int:
    """Return the CRC-32 of the two bytes of `channel`, from which the checksum of its messages goes on."""
    return zlib.crc32(struct.pack("<H", channel))


def message_frame(channel: int, log_time_ns: int, payload: bytes) -> bytes:
    """Return one whole message record, checksum included."""
    length = MESSAGE_FIELDS_BYTES + len(payload)
    frame = bytearray(MESSAGE_HEAD.pack(MESSAGE, length, channel, 0, log_time_ns, log_time_ns))
    frame += payload
    checksum = zlib.crc32(memoryview(frame)[CHECKED_FROM:], checksum_seed(channel))
    struct.pack_into("<I", frame, CHECKSUM_OFFSET, checksum)
    return bytes(frame)


def describe_dtype(dtype: np.dtype) -> list:
    """Return a packed structured dtype as nested lists ``[name, type, shape]``, which JSON can hold."""
    fields: list[list] = []
    for name in dtype.names or ():
        base, shape = dtype[name].base, dtype[name].shape
        fields.append([name, describe_dtype(base) if base.names else base.str, list(shape)])
    return fields


def parse_dtype(fields: Any) -> np.dtype:
    """Return the dtype that `describe_dtype` described.

    Raises
    ------
    ValueError
        When the description is not one, or holds anything but fixed-size numbers.
    """
    if not isinstance(fields, list) or not fields:
        raise ValueError("the layout of a step is not a list of fields")
    parsed = []
    for name, kind, shape in fields:
        inner = parse_dtype(kind) if isinstance(kind, list) else np.dtype(str(kind))
        if inner.names is None and inner.kind not in "iuf":
            raise ValueError(f"the field {name!r} of a step is not a number")
        if any(not isinstance(size, int) or not 0 <= size <= 1_000_000 for size in shape):
            raise ValueError(f"the field {name!r} of a step has a refused shape")
        parsed.append((str(name), inner, tuple(shape)))
    return np.dtype(parsed)


@dataclasses.dataclass(frozen=True)
class StepLayout:
    """What the schema of the step channel says."""

    n_units: int
    continuous: bool
    dtype: np.dtype
    space: StateSpace = PLANE
    n_features: int = 0


def step_layout(n_units: int, continuous: bool, space: StateSpace = PLANE, n_features: int = 0) -> bytes:
    """Return the schema of the step channel: format version, units, kind of input, and the layout of the record."""
    more: dict[str, Any] = {"n_features": n_features} if n_features else {}
    if space != PLANE:
        more |= {"axes": list(space.axes), "click": space.click, "units": list(space.units)}
    layout = {
        "format_version": FORMAT_VERSION,
        "n_units": n_units,
        "continuous": continuous,
        **more,
        "fields": describe_dtype(step_dtype(n_units, continuous, space, n_features)),
    }
    described = json.dumps(layout, separators=(",", ":")).encode()
    dtype = step_dtype(n_units, continuous, space, n_features)
    return LAYOUT_LINE + described + b"\n" + ros_definition(dtype).encode()


def ros_definition(dtype: np.dtype) -> str:
    """Return a packed structured dtype as a ROS 1 message definition: the same bytes, described for other tools.

    Arrays of several dimensions are given as one, in C order.
    """
    parts, nested = [], []
    for name in dtype.names or ():
        base, shape = dtype[name].base, dtype[name].shape
        size = f"[{int(np.prod(shape))}]" if shape else ""
        if base.names:
            kind = name.title().replace("_", "")
            nested.append(f"{'=' * 80}\nMSG: bmi_runtime/{kind}\n{ros_definition(base)}")
        else:
            kind = base.name
        parts.append(f"{kind}{size} {name}")
    return "\n".join([*parts, *nested])


def parse_layout(schema_data: bytes) -> StepLayout:
    """Return what `step_layout` wrote.

    Raises
    ------
    ValueError
        When the bytes are not such a schema.
    """
    try:
        layout = json.loads(schema_data.split(b"\n", 1)[0].removeprefix(LAYOUT_LINE))
        axes = tuple(layout.get("axes", PLANE.axes))
        space = StateSpace(axes, bool(layout.get("click", False)), tuple(layout.get("units", ())))
        dtype, n_features = parse_dtype(layout["fields"]), int(layout.get("n_features", 0))
        return StepLayout(int(layout["n_units"]), bool(layout["continuous"]), dtype, space, n_features)
    except Exception as error:
        raise ValueError(f"the layout of a step cannot be read ({type(error).__name__})") from None


def opening_records(layout: bytes, channels: dict[str, int]) -> tuple[Schema, list[Channel]]:
    """Return the schema and channel records for the streams with these channel numbers."""
    encoding, schema_encoding, schema_name = STEP_ENCODINGS[layout.startswith(LAYOUT_LINE)]
    schema = Schema(id=1, name=schema_name, encoding=schema_encoding, data=layout)
    return schema, [_channel(name, number, encoding) for name, number in channels.items()]


def _channel(name: str, number: int, step_encoding: str) -> Channel:
    is_step = name == "step"
    carries = STREAMS[name].carries if name in STREAMS else "?"
    return Channel(
        id=number,
        topic=name,
        message_encoding=step_encoding if is_step else "msgpack",
        schema_id=1 if is_step else 0,
        metadata={"carries": carries, "checksum": CHECKSUM_RULE},
    )


def preamble(schema: Schema, channels: list[Channel], library: str) -> bytes:
    """Return everything that stands before the first message."""
    return MAGIC + record_bytes([Header(profile=PROFILE, library=library), schema, *channels])


def describe_opening(start: bytes, schema: Schema, channels: list[Channel]) -> dict[str, Any]:
    """Return the configuration's table ``recording_format``: a second copy of what `start` says, and its CRC-32."""
    return {
        "version": FORMAT_VERSION,
        "preamble_crc32": zlib.crc32(start),
        "channels": {channel.topic: channel.id for channel in channels},
        "step_layout": schema.data.decode(),
    }


def described_records(described: dict[str, Any]) -> tuple[Schema, list[Channel]]:
    """Return schema and channels from the table that `describe_opening` made.

    Raises
    ------
    ValueError
        When there is no channel of steps.
    """
    channels = {str(name): int(number) for name, number in described["channels"].items()}
    if "step" not in channels:
        raise ValueError("the channel of the steps is not named")
    return opening_records(described["step_layout"].encode(), channels)


def record_bytes(records: Iterable[Any]) -> bytes:
    """Return MCAP records as bytes."""
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    return builder.end()


def closing(schema: Schema, channels: list[Channel], statistics: Statistics, data_end: int) -> bytes:
    """Return the data end, summary, footer and magic that close a recording whose messages end at byte `data_end`."""
    end = record_bytes([DataEnd(data_section_crc=0)])
    summary_start = data_end + len(end)
    summary, offsets = b"", []
    for opcode, group in ((SCHEMA, [schema]), (CHANNEL, channels), (STATISTICS, [statistics])):
        data = record_bytes(group)
        offsets.append(SummaryOffset(opcode, group_start=summary_start + len(summary), group_length=len(data)))
        summary += data
    offsets_start = summary_start + len(summary)
    summary += record_bytes(offsets)
    checked = summary + struct.pack("<BQQQ", FOOTER, FOOTER_BYTES, summary_start, offsets_start)
    return end + summary + record_bytes([Footer(summary_start, offsets_start, zlib.crc32(checked))]) + MAGIC


def check_n_units(n_units: int) -> int:
    """Return `n_units` as an int, or refuse it.

    Raises
    ------
    BadInput
        When it is not between 1 and 1,000,000.
    """
    if not 1 <= int(n_units) <= 1_000_000:
        raise BadInput(f"a recording of {n_units} units cannot be written; give between 1 and 1,000,000")
    return int(n_units)
