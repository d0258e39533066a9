"""The map of a message on our own wire, read and checked in one pass over its bytes.

Only what a well-behaved sender writes is read; anything else is left to the reader that says in a sentence what is
wrong (`bmi_runtime.wire`). What is accepted here is accepted there, with the same content.
"""

import numpy as np

from bmi_runtime.kernels.jit import kernel

VERSION, START, SEQ, FROM_NS, UNTIL_NS, SPIKES, KINEMATICS = range(7)
"""Places of the numbers that `read_body` gives; the last two are how many spikes and kinematic values there are."""
NUMBERS = 7
SPIKES_KIND, COUNTS_KIND, FEATURES_KIND = range(3)
MOST_NS = 1 << 62
MOST_COVERED_NS = 1_000_000_000
MOST_COUNT = 65535
MOST_SPIKES = 200_000
UNSIGNED, SIGNED, FLOATING = ord("u"), ord("i"), ord("f")

_KEYS = (b"v", b"start", b"seq", b"from_ns", b"until_ns", b"times_ns", b"units", b"counts", b"features", b"kinematics")
_KEY_BYTES = np.frombuffer(b"".join(_KEYS), np.uint8)
_KEY_ENDS = np.cumsum([len(key) for key in _KEYS])
_TIMES, _UNITS, _COUNTS, _FEATURES, _KINEMATICS = range(5, 10)


@kernel(inline="always")
def _big_endian(body, at, size):
    value = np.uint64(0)
    for k in range(size):
        value = (value << np.uint64(8)) | np.uint64(body[at + k])
    return value


@kernel
def _key_at(body, at, size):
    """Return which of the keys these bytes are, -1 for none."""
    begin = 0
    for key in range(_KEY_ENDS.size):
        end = _KEY_ENDS[key]
        if end - begin == size:
            same = True
            for k in range(size):
                if body[at + k] != _KEY_BYTES[begin + k]:
                    same = False
                    break
            if same:
                return key
        begin = end
    return -1


@kernel
def _whole_at(body, at, any_unsigned):
    """Return a whole number and where it ends; an end of -1 where there is none that 64 bits with a sign hold.

    With `any_unsigned` it is the 64 bits of a number without a sign.
    """
    code, left = body[at], body.size - at - 1
    if code < 0x80:
        return np.int64(code), at + 1
    if 0xCC <= code <= 0xCF and left >= 1 << (code - 0xCC):
        size = 1 << (code - 0xCC)
        value = np.int64(_big_endian(body, at + 1, size))
        return value, at + 1 + size if value >= 0 or any_unsigned else -1
    if any_unsigned:
        return np.int64(0), -1
    if code >= 0xE0:
        return np.int64(code) - 256, at + 1
    if 0xD0 <= code <= 0xD3 and left >= 1 << (code - 0xD0):
        size = 1 << (code - 0xD0)
        shift = 64 - 8 * size
        return (np.int64(_big_endian(body, at + 1, size)) << shift) >> shift, at + 1 + size
    return np.int64(0), -1


@kernel
def _array_at(body, at):
    """Return kind, item size, length, first byte and end of a vector of numbers; an end of -1 where there is none."""
    none = (0, 0, 0, 0, -1)
    code = body[at]
    if 0xC7 <= code <= 0xC9:
        width = 1 << (code - 0xC7)
        if at + 2 + width > body.size:
            return none
        size, at = np.int64(_big_endian(body, at + 1, width)), at + 1 + width
    elif 0xD4 <= code <= 0xD8:
        size, at = np.int64(1) << (code - 0xD4), at + 1
    else:
        return none
    # extension 1: [dtype, [length]], then the bytes
    end = at + 1 + size
    if end > body.size or size < 7 or body[at] != 1 or body[at + 1] != 0x92 or body[at + 2] != 0xA3:
        return none
    if (body[at + 3] != 0x3C and body[at + 3] != 0x7C) or body[at + 6] != 0x91:  # "<" or "|"
        return none
    kind, item = np.int64(body[at + 4]), np.int64(body[at + 5]) - 0x30
    if item != 1 and item != 2 and item != 4 and item != 8:
        return none
    if (item == 1) != (body[at + 3] == 0x7C):
        return none
    length, start = np.int64(body[at + 7]) if size > 6 else 0, at + 8
    if length >= 0x80:
        if not 0xCC <= length <= 0xCE:
            return none
        width = 1 << (length - 0xCC)
        if start + width > end:
            return none
        length, start = np.int64(_big_endian(body, start, width)), start + width
    if end - start != length * item:
        return none
    return kind, item, length, start, end


@kernel
def _unsigned(body, at, item):
    value = np.uint64(0)
    for k in range(item):
        value |= np.uint64(body[at + k]) << np.uint64(8 * k)
    return value


@kernel
def _read_spikes(body, times, units, n_units, from_ns, until_ns, out):
    """Copy spikes into ``out[0]`` (times) and ``out[1]`` (units); return how many, -1 when one of them cannot be."""
    count, item = times[2], units[1]
    whole = units[0] == UNSIGNED or (units[0] == SIGNED and item == 8)
    if times[0] != SIGNED or times[1] != 8 or not whole or count != units[2] or count > min(MOST_SPIKES, out.shape[1]):
        return -1
    stamps = body[times[3] : times[3] + 8 * count].view(np.int64)
    for spike in range(count):
        time_ns = stamps[spike]
        unit = _unsigned(body, units[3] + item * spike, item)  # a negative one reads as a very large one
        if time_ns < from_ns or time_ns >= until_ns or unit >= np.uint64(n_units):
            return -1
        out[0, spike], out[1, spike] = time_ns, np.int64(unit)
    return count


@kernel
def _read_counts(body, vector, values):
    """Copy counts; return whether they are as many as there are units, and each a possible count."""
    item = vector[1]
    if vector[0] != UNSIGNED or vector[2] != values.size:
        return False
    for unit in range(values.size):
        number = _unsigned(body, vector[3] + item * unit, item)
        if number > np.uint64(MOST_COUNT):
            return False
        values[unit] = np.float64(number)
    return True


@kernel
def _read_floats(body, vector, values):
    """Copy floating-point numbers; return whether they are that."""
    item, count, at = vector[1], vector[2], vector[3]
    if vector[0] != FLOATING or count > values.size:
        return False
    if item == 8:
        values[:count] = body[at : at + 8 * count].view(np.float64)
    elif item == 4:
        values[:count] = body[at : at + 4 * count].view(np.float32)
    return item >= 4


@kernel
def read_body(body, kind, n_units, numbers, spikes, values, kinematics):
    """Read and check the map of spikes, counts or features.

    Parameters
    ----------
    body : ndarray of uint8
        The whole map, in msgpack.
    kind : int
        `SPIKES_KIND`, `COUNTS_KIND` or `FEATURES_KIND`.
    n_units : int
    numbers : ndarray of int64, shape (7,)
        Filled: see `VERSION` and those after it.
    spikes : ndarray of int64, shape (2, room)
        Filled with times and units of spikes.
    values : ndarray of float64, shape (units,)
        Filled with counts or features.
    kinematics : ndarray of float64, shape (room,)
        Filled with the kinematics, where the message brings them.

    Returns
    -------
    bool
        False where anything is not as a well-behaved sender writes it; nothing that was filled is to be used then.
    """
    if body.size < 2 or not 0x80 < body[0] <= 0x8F:
        return False
    seen, at = 0, 1
    times = units = vector = motion = (0, 0, 0, 0, -1)
    for _ in range(body[0] - 0x80):
        if at >= body.size or not 0xA0 < body[at] <= 0xBF:
            return False
        size = np.int64(body[at]) - 0xA0
        if at + 1 + size >= body.size:
            return False
        key, at = _key_at(body, at + 1, size), at + 1 + size
        if key < 0 or seen & (1 << key):
            return False
        seen |= 1 << key
        if key <= UNTIL_NS:
            numbers[key], at = _whole_at(body, at, key == START)
            if at < 0:
                return False
            continue
        found = _array_at(body, at)
        at = found[4]
        if at < 0:
            return False
        if key == _TIMES:
            times = found
        elif key == _UNITS:
            units = found
        elif key == _KINEMATICS:
            motion = found
        else:
            vector = found
    needed = (1 << (UNTIL_NS + 1)) - 1
    if kind == SPIKES_KIND:
        needed |= (1 << _TIMES) | (1 << _UNITS)
    else:
        needed |= 1 << (_COUNTS if kind == COUNTS_KIND else _FEATURES)
    if at != body.size or seen & ~(1 << _KINEMATICS) != needed:
        return False
    numbers[SPIKES], numbers[KINEMATICS] = 0, motion[2]
    if motion[4] >= 0 and (motion[2] == 0 or motion[2] % 2 or not _read_floats(body, motion, kinematics)):
        return False
    from_ns, until_ns = numbers[FROM_NS], numbers[UNTIL_NS]
    if numbers[VERSION] != 1 or not 1 <= numbers[SEQ] <= MOST_NS or abs(from_ns) > MOST_NS or abs(until_ns) > MOST_NS:
        return False
    if not 0 < until_ns - from_ns <= MOST_COVERED_NS:
        return False
    if kind == SPIKES_KIND:
        numbers[SPIKES] = _read_spikes(body, times, units, n_units, from_ns, until_ns, spikes)
        return numbers[SPIKES] >= 0
    if kind == COUNTS_KIND:
        return _read_counts(body, vector, values)
    return vector[2] == values.size and _read_floats(body, vector, values)
