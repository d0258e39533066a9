"""The codec of everything that travels: msgpack with arrays as raw bytes; no pickle."""

import enum
from typing import Any

import msgpack
import numpy as np

from bmi_runtime.errors import BadInput, described

ARRAY_EXTENSION = 1  # code of arrays among msgpack's extension types
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_DIMENSIONS = 4  # of an array that travels


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


def why_not_recordable(value: Any) -> str:
    """Return why something is no content of a message, or nothing where it comes back from one."""
    try:
        unpack(pack(value))
    except Exception as error:
        return described(error)
    return ""


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
