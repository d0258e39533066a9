"""What travels: the table of streams, the layout of a step, the codec (msgpack, arrays as raw bytes; no pickle).

Every consumer (recording, telemetry, control, replay, windows) uses this module and none defines a layout of its own.
"""

import dataclasses
import enum
import struct
from typing import Any

import msgpack
import numpy as np

from bmi_runtime.errors import BadInput

WIRE_VERSION = 1
ARRAY_EXTENSION = 1
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_DIMENSIONS = 4


@dataclasses.dataclass(frozen=True)
class Stream:
    """One stream of the session: what it carries, whether it is recorded, and how often viewers get it."""

    carries: str
    recorded: bool
    published: bool
    publish_hz: float = 0.0  # 0: every message


STREAMS = {
    "step": Stream("one bin: everything that the step consumed and produced", True, True, 60.0),
    "event": Stream("a named event: trial ends, safety states, warnings, notes", True, True),
    "command": Stream("a command, the bin at which it took effect, and its answer", True, True),
    "snapshot": Stream("every parameter of the session's state, enough to go on from", True, False),
    "model": Stream(
        "weights and covariances of the encoding model, with predicted and true ones where known", False, True, 4.0
    ),
    "health": Stream("latency histograms, deadline misses, gaps, data age, clock, viewers' losses", True, True, 2.0),
    "configuration": Stream(
        "the full configuration and the live parameters, for viewers that may not ask", True, True, 0.5
    ),
}


class TrialState(enum.IntEnum):
    """Where a trial is."""

    REACH = 0
    HOLD = 1
    SUCCESS = 2
    TIMEOUT = 3
    PAUSE = 4


class SafetyState(enum.IntEnum):
    """Whether the output may be trusted; only ``ACTIVE``, ``CALIBRATING`` and ``DEGRADED`` move the cursor."""

    STARTING = 0
    CALIBRATING = 1
    ACTIVE = 2
    DEGRADED = 3
    FROZEN = 4
    STOPPED = 5


STAGES = ("source", "decode", "task", "adapt", "record", "publish")
"""The stages of a bin whose durations are recorded, in order."""


def input_dtype(n_units: int, continuous: bool) -> np.dtype:
    """Return the layout of what the step consumes in one bin.

    Parameters
    ----------
    n_units : int
        Number of units.
    continuous : bool
        True for real-valued features, False for spike counts.
    """
    return np.dtype(
        [
            ("bin_index", "<u8"),
            ("device_time_s", "<f8"),  # end of the bin on the acquisition clock, never rewritten
            ("host_time_ns", "<i8"),  # host monotonic clock when the bin closed
            ("clock_offset_s", "<f8"),  # fitted host minus device time
            ("clock_uncertainty_s", "<f8"),
            ("data_age_s", "<f8"),
            ("gap_bins", "<u4"),  # bins lost just before this one
            ("late", "<u4"),
            ("duplicates", "<u4"),
            ("invalid", "<u4"),  # counts or features refused in this bin
            ("stale", "<u4"),  # bins since the source last delivered
            ("behind", "<u4"),  # deadlines missed just before this bin
            ("segment", "<u4"),  # grows with every reset or jump of the device clock
            ("kinematics", "<f8", (4,)),  # recorded x, y (m), vx, vy (m/s); NaN where there are none
            ("counts", "<f8" if continuous else "<u2", (n_units,)),
        ]
    )


INPUT_HEAD = struct.Struct("<Qd q 3d 5I")
"""The first fields of a bin, ``bin_index`` to ``stale``, for one fast write; `input_dtype` names them."""
assert INPUT_HEAD.size == input_dtype(1, False).fields["behind"][1]  # type: ignore[index]

OUTPUT_DTYPE = np.dtype(
    [
        ("decoded", "<f8", (4,)),  # x, y (m), vx, vy (m/s)
        ("decoded_variance", "<f8", (4,)),
        ("cursor", "<f8", (4,)),  # what the subject sees, after assist
        ("target", "<f8", (3,)),  # x, y, radius (m)
        ("intended", "<f8", (2,)),  # m/s
        ("hold_fraction", "<f8"),
        ("assist", "<f8"),
        ("learning_rate", "<f8"),
        ("log_likelihood", "<f8"),  # of this bin under the model before its update, nats
        ("model_checksum", "<u8"),  # of the weights after the update
        ("trial", "<u4"),
        ("successes", "<u4"),
        ("timeouts", "<u4"),
        ("trial_state", "<u1"),
        ("safety", "<u1"),
        ("adapting", "<u1"),
        ("stimulated", "<u1"),
        ("padding", "<u4"),
    ]
)

OUTPUT_STRUCT = struct.Struct("<21d Q 3I 4B I")
"""The same layout for one fast write; `OUTPUT_DTYPE` names the fields."""
assert OUTPUT_STRUCT.size == OUTPUT_DTYPE.itemsize

TIMING_DTYPE = np.dtype([("stage_ns", "<i8", (len(STAGES),)), ("lateness_ns", "<i8"), ("deadline_missed", "<u8")])


def step_dtype(n_units: int, continuous: bool) -> np.dtype:
    """Return the layout of a recorded step: ``input``, ``output`` (compared by replay), ``timing`` (not compared)."""
    return np.dtype([("input", input_dtype(n_units, continuous)), ("output", OUTPUT_DTYPE), ("timing", TIMING_DTYPE)])


class Views:
    """Views of the fields of one part of a record, so that reading and writing one costs nothing.

    Arrays are views; scalars are one-element views (``views.trial[0] = 3``).
    """

    def __init__(self, part: np.ndarray):
        for name in part.dtype.names or ():
            field = part[name]
            setattr(self, name, field[0] if field.ndim > 1 else field)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the record has no field '{name}'")


class Bin:
    """The input of one step: memory that a source fills, with a view of every field of `input_dtype`."""

    def __init__(self, n_units: int, continuous: bool):
        self.array = np.zeros(1, input_dtype(n_units, continuous))
        self.bytes = self.array.data.cast("B")
        self.fields = Views(self.array)
        self.fields.kinematics[:] = np.nan


class StepRecord:
    """The memory of one step: input, output and timing, as bytes and as views."""

    def __init__(self, n_units: int, continuous: bool):
        self.dtype = step_dtype(n_units, continuous)
        self.array = np.zeros(1, self.dtype)
        self.bytes = self.array.data.cast("B")
        start, middle, end = (self.dtype.fields[name][1] for name in ("input", "output", "timing"))  # type: ignore[index]
        self.input_bytes = self.bytes[start:middle]
        self.output_bytes = self.bytes[middle:end]
        self.input, self.output, self.timing = (Views(self.array[name]) for name in ("input", "output", "timing"))


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"an array of dtype {value.dtype} cannot travel")
        head = msgpack.packb([value.dtype.str, list(value.shape)])
        return msgpack.ExtType(ARRAY_EXTENSION, head + np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} cannot travel")


_PLAIN = {text.encode(): np.dtype(text) for text in ("<i8", "<u8", "<f8", "<i4", "<u4", "<f4", "<i2", "<u2")}
_LENGTH_BYTES = {0xCC: 1, 0xCD: 2, 0xCE: 4}


def _plain_vector(data: bytes) -> np.ndarray | None:
    """Return a one-dimensional array of a plain dtype without msgpack's help (ten times quicker), or None."""
    dtype = _PLAIN.get(data[2:5])
    if dtype is None or data[:2] != b"\x92\xa3" or len(data) < 7 or data[5] != 0x91:
        return None
    count, start = data[6], 7
    if count >= 0x80:
        size = _LENGTH_BYTES.get(count, 0)
        count, start = int.from_bytes(data[7 : 7 + size], "big"), 7 + size
        if not size:
            return None
    if len(data) - start != count * dtype.itemsize:
        return None
    return np.frombuffer(data, dtype, count, start)


def _decode(code: int, data: bytes) -> Any:
    if code == ARRAY_EXTENSION and (vector := _plain_vector(data)) is not None:
        return vector
    if code != ARRAY_EXTENSION:
        raise ValueError(f"unknown extension type {code}")
    reader = msgpack.Unpacker(strict_map_key=False)
    reader.feed(data[:128])
    dtype_name, shape = reader.unpack()
    dtype = np.dtype(dtype_name)
    if dtype.kind not in "biuf" or not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("an array of a refused dtype or shape")
    if any(not isinstance(size, int) or size < 0 or size > MAX_MESSAGE_BYTES for size in shape):
        raise ValueError("an array of a refused shape")
    count = 1
    for size in shape:
        count *= size
    body = memoryview(data)[reader.tell() :]
    if count * dtype.itemsize != len(body):
        raise ValueError("an array whose bytes do not fit its shape")
    return np.frombuffer(body, dtype).reshape(shape)


def pack(message: Any) -> bytes:
    """Return `message` (dicts, lists, strings, numbers, bytes, arrays) as msgpack bytes."""
    return msgpack.packb(message, default=_encode)


def unpack(data: bytes) -> Any:
    """Return the message in `data`.

    Raises
    ------
    BadInput
        When the bytes are not one whole message of this codec. Arrays come back read-only.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadInput(f"a message of {len(data)} bytes is larger than the limit of {MAX_MESSAGE_BYTES}")
    try:
        return msgpack.unpackb(data, ext_hook=_decode, strict_map_key=False)
    except Exception as error:
        raise BadInput(f"not a message of this codec: {type(error).__name__}: {error}") from None
