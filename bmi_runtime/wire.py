"""Our own wire: what spikes, counts, features, kinematics and decoded state look like on ZeroMQ, and every check of it.

A message is three ZeroMQ frames: the kind (ASCII, so that a subscriber can choose), a msgpack map, and the CRC-32 of
that map (4 bytes, little-endian). The map always holds ``v`` (this version), ``start`` (a random number that the sender
draws when it starts: tells a restarted sender from a loss) and ``seq`` (1, 2, 3, ... over all kinds of one start).
Times are integer nanoseconds of the acquisition clock. Arrays are msgpack extension 1: ``[dtype, shape]`` in msgpack,
then raw bytes. ``docs/wire.md`` shows all of it with a sender to copy.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import wire_body
from bmi_runtime.messages import WIRE_VERSION, pack, unpack
from bmi_runtime.state_space import MOST_AXES

MAX_BODY_BYTES = 4 * 1024 * 1024  # of the map
MAX_SPIKES = 200_000  # of one message
MAX_UNITS = 100_000  # as session.units allows
MAX_COVER_NS = 1_000_000_000  # one message covers at most a second
MAX_TIME_NS = 1 << 62
MAX_SEQUENCE = 1 << 62

_LARGEST, _SMALLEST = np.maximum.reduce, np.minimum.reduce  # as the methods max and min, in half the time
_NO_TIMES, _NO_UNITS = np.empty(0, np.int64), np.empty(0, np.int64)
_NO_SPIKES, _NO_VALUES, _NO_BODY = np.empty((2, 0), np.int64), np.empty(0), {}  # type: ignore[var-annotated]
_QUICK = {b"spikes": wire_body.SPIKES_KIND, b"counts": wire_body.COUNTS_KIND, b"features": wire_body.FEATURES_KIND}
_ALL_64 = (1 << 64) - 1


@dataclasses.dataclass(slots=True)
class WireMessage:
    """One checked message.

    Attributes
    ----------
    kind : str
        ``spikes``, ``counts``, ``features``, ``kinematics``, ``event``, ``decoded`` or ``end``.
    start, seq : int
        Which start of the sender, and the message's number in it.
    from_ns, until_ns : int
        The piece of the acquisition clock that the message is complete for (a point in time for kinematics).
    times_ns, units : ndarray, shape (spikes,)
        Of ``spikes``: when, and by which unit (from 0).
    values : ndarray, shape (units,), or None
        Counts (unsigned integers) or features (floats).
    kinematics : ndarray, shape (2 axes,), or None
        Positions in m, then velocities in m/s.
    body : dict
        The whole map; empty for spikes, counts and features, of which everything stands above.
    """

    kind: str
    start: int
    seq: int
    from_ns: int = 0
    until_ns: int = 0
    times_ns: np.ndarray = dataclasses.field(default_factory=lambda: _NO_TIMES)
    units: np.ndarray = dataclasses.field(default_factory=lambda: _NO_UNITS)
    values: np.ndarray | None = None
    kinematics: np.ndarray | None = None
    body: dict[str, Any] = dataclasses.field(default_factory=dict)


def encode(kind: str, start: int, seq: int, **fields: Any) -> list[bytes]:
    """Return the three frames of a message of this kind."""
    body = pack({"v": WIRE_VERSION, "start": start, "seq": seq, **fields})
    return frames_of(kind.encode("ascii"), body)


def frames_of(kind: bytes, body: bytes) -> list[bytes]:
    """Return the three frames of a packed map."""
    return [kind, body, zlib.crc32(body).to_bytes(4, "little")]


def decode(frames: Sequence[bytes], n_units: int) -> WireMessage:
    """Check the frames of one message and return what they say.

    Parameters
    ----------
    frames : sequence of bytes
        As ZeroMQ delivered them.
    n_units : int
        Units of this session; counts must have as many, spikes must name smaller numbers.

    Raises
    ------
    BadInput
        One sentence saying what is wrong with the message. Nothing of it has been used then.
    """
    if len(frames) != 3:
        raise BadInput(f"a message has 3 frames (kind, map, CRC-32), this one has {len(frames)}")
    kind_bytes, body, checksum = frames
    if type(body) is not bytes:
        body = bytes(body)
    if len(body) > MAX_BODY_BYTES:
        raise BadInput(f"a message of {len(body)} bytes is larger than the limit of {MAX_BODY_BYTES}")
    if len(checksum) != 4 or zlib.crc32(body) != int.from_bytes(checksum, "little"):
        raise BadInput("the CRC-32 in the third frame is not that of the second")
    if (code := _QUICK.get(kind_bytes)) is not None and (message := _quick(kind_bytes, code, body, n_units)):
        return message
    if kind_bytes not in KINDS:
        raise BadInput(f"unknown kind {bytes(kind_bytes[:20])!r}; known: {', '.join(k.decode() for k in KINDS)}")
    kind, check = KINDS[kind_bytes]
    values = unpack(body)
    if not isinstance(values, dict):
        raise BadInput("the second frame is not a map")
    if values.get("v") != WIRE_VERSION:
        raise BadInput(f"wire version {str(values.get('v'))[:20]} is not {WIRE_VERSION}")
    message = WireMessage(
        kind,
        _integer(values, "start", 0, (1 << 64) - 1),
        _integer(values, "seq", 1, MAX_SEQUENCE),
        body=values,
    )
    check(message, values, n_units)
    return message


def _quick(kind: bytes, code: int, body: bytes, n_units: int) -> WireMessage | None:
    """Return a message as a well-behaved sender writes it, read in one compiled pass; None for every other."""
    spikes = _NO_SPIKES if code else np.empty((2, len(body) // 9), np.int64)  # a spike takes nine bytes at least
    values = np.empty(n_units) if code else _NO_VALUES
    numbers, kinematics = np.empty(wire_body.NUMBERS, np.int64), np.empty(2 * MOST_AXES)
    if not wire_body.read_body(np.frombuffer(body, np.uint8), code, n_units, numbers, spikes, values, kinematics):
        return None
    _, start, seq, from_ns, until_ns, count, moves = numbers.tolist()
    return WireMessage(
        kind.decode(),
        start & _ALL_64,
        seq,
        from_ns,
        until_ns,
        spikes[0, :count],
        spikes[1, :count],
        values if code else None,
        kinematics[:moves] if moves else None,
        _NO_BODY,
    )


def _integer(values: dict, key: str, low: int, high: int) -> int:
    value = values.get(key)
    if type(value) is not int or not low <= value <= high:
        raise BadInput(f"'{key}' must be a whole number from {low} to {high}, got {str(value)[:40]}")
    return value


def _array(values: dict, key: str, kinds: str, length: int | None, largest: int = MAX_SPIKES) -> np.ndarray:
    value = values.get(key)
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in kinds:
        what = f"dtype {value.dtype}, shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise BadInput(f"'{key}' must be a one-dimensional array of kind {'/'.join(kinds)}, got {what}")
    if length is not None and value.size != length:
        raise BadInput(f"'{key}' has {value.size} entries, {length} are expected")
    if value.size > largest:
        raise BadInput(f"'{key}' has {value.size} entries, the limit is {largest}")
    return value


def _interval(message: WireMessage, values: dict) -> None:
    message.from_ns = _integer(values, "from_ns", -MAX_TIME_NS, MAX_TIME_NS)
    message.until_ns = _integer(values, "until_ns", -MAX_TIME_NS, MAX_TIME_NS)
    if not 0 < message.until_ns - message.from_ns <= MAX_COVER_NS:
        raise BadInput(
            f"a message must cover more than nothing and at most one second, from_ns to until_ns is "
            f"{message.until_ns - message.from_ns} ns"
        )


def _kinematics(message: WireMessage, values: dict, needed: bool = False) -> None:
    if needed or values.get("kinematics") is not None:
        found = message.kinematics = _array(values, "kinematics", "f", None, 2 * MOST_AXES)
        if not found.size or found.size % 2:
            raise BadInput(f"'kinematics' has {found.size} entries; it holds all positions, then as many velocities")


def _spikes(message: WireMessage, values: dict, n_units: int) -> None:
    _interval(message, values)
    _kinematics(message, values)
    times, units = _array(values, "times_ns", "i", None), _array(values, "units", "ui", None)
    if times.size != units.size:
        raise BadInput(f"'times_ns' has {times.size} entries and 'units' has {units.size}")
    if times.size:
        signed = units.dtype.kind == "i"
        if _LARGEST(units) >= n_units or (signed and units.min() < 0):
            raise BadInput(f"'units' holds numbers outside 0 to {n_units - 1} (session.units = {n_units})")
        if _LARGEST(times) >= message.until_ns or _SMALLEST(times) < message.from_ns:
            raise BadInput("'times_ns' holds times outside from_ns (included) to until_ns (excluded)")
    message.times_ns, message.units = times.astype(np.int64), units.astype(np.int64)


def _counts(message: WireMessage, values: dict, n_units: int) -> None:
    _interval(message, values)
    _kinematics(message, values)
    counts = _array(values, "counts", "u", n_units, MAX_UNITS)
    if counts.itemsize > 2 and counts.size and counts.max() > 65535:
        raise BadInput("'counts' holds a count above 65535")
    message.values = counts


def _features(message: WireMessage, values: dict, n_units: int) -> None:
    _interval(message, values)
    _kinematics(message, values)
    message.values = _array(values, "features", "f", n_units, MAX_UNITS)


def _kinematics_alone(message: WireMessage, values: dict, n_units: int) -> None:
    message.from_ns = message.until_ns = _integer(values, "t_ns", -MAX_TIME_NS, MAX_TIME_NS)
    _kinematics(message, values, needed=True)
    if message.kinematics is None or not np.all(np.isfinite(message.kinematics)):
        raise BadInput("'kinematics' holds values that are not finite")


def _decoded(message: WireMessage, values: dict, n_units: int) -> None:
    axes = len(values["target"]) - 1 if isinstance(values.get("target"), list) else 0
    if not 1 <= axes <= MOST_AXES:
        raise BadInput(f"'target' must be a list of 2 to {MOST_AXES + 1} numbers: its position, then its radius")
    for key, length in (("cursor", 2 * axes), ("target", axes + 1)):
        value = values.get(key)
        if not isinstance(value, list) or len(value) != length or not all(type(x) is float for x in value):
            raise BadInput(f"'{key}' must be a list of {length} numbers")
        if not np.all(np.isfinite(value)):
            raise BadInput(f"'{key}' holds values that are not finite")
    _integer(values, "bin", 0, MAX_SEQUENCE)


def _event(message: WireMessage, values: dict, n_units: int) -> None:
    message.from_ns = message.until_ns = _integer(values, "t_ns", -MAX_TIME_NS, MAX_TIME_NS)
    name, value = values.get("event"), values.get("value")
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        raise BadInput(f"'event' must be a name of up to 200 characters, got {str(name)[:40]}")
    plain = value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    if not plain or len(str(value)) > 500:
        raise BadInput("'value' of an event must be a finite number, a text of up to 500 characters, or not there")


def _end(message: WireMessage, values: dict, n_units: int) -> None:
    """Take the end of the data: nothing more to check."""


KINDS = {
    name.encode(): (name, check)
    for name, check in {
        "spikes": _spikes,
        "counts": _counts,
        "features": _features,
        "kinematics": _kinematics_alone,
        "decoded": _decoded,
        "event": _event,
        "end": _end,
    }.items()
}
"""The kinds of message, with the name and the check of each."""
