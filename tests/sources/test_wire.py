"""Our own wire: every message comes back as it was sent, or is refused in one sentence."""

import zlib

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bmi_runtime import wire
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import pack

NO_SPIKES = {"times_ns": np.empty(0, np.int64), "units": np.empty(0, np.uint16)}


@settings(deadline=None)
@given(st.data())
def test_spikes_survive_the_wire(data):
    start, seq = data.draw(st.integers(0, 2**64 - 1)), data.draw(st.integers(1, 2**62))
    from_ns = data.draw(st.integers(-(2**60), 2**60))
    width = data.draw(st.integers(1, 10**9))
    n = data.draw(st.integers(0, 50))
    times = from_ns + data.draw(arrays(np.int64, n, elements=st.integers(0, width - 1)))
    units = data.draw(arrays(np.uint16, n, elements=st.integers(0, 95)))
    frames = wire.encode("spikes", start, seq, from_ns=from_ns, until_ns=from_ns + width, times_ns=times, units=units)
    message = wire.decode(frames, 96)
    assert (message.kind, message.start, message.seq) == ("spikes", start, seq)
    assert (message.from_ns, message.until_ns) == (from_ns, from_ns + width)
    np.testing.assert_array_equal(message.times_ns, times)
    np.testing.assert_array_equal(message.units, units)


def test_counts_features_and_kinematics_survive():
    kinematics = np.array([0.1, -0.2, 0.3, 0.4])
    frames = wire.encode(
        "counts", 1, 1, from_ns=0, until_ns=5, counts=np.arange(4, dtype=np.uint16), kinematics=kinematics
    )
    message = wire.decode(frames, 4)
    np.testing.assert_array_equal(message.values, [0, 1, 2, 3])
    np.testing.assert_array_equal(message.kinematics, kinematics)
    frames = wire.encode("features", 1, 2, from_ns=0, until_ns=5, features=np.array([np.nan, 1.0], np.float32))
    np.testing.assert_array_equal(wire.decode(frames, 2).values, np.array([np.nan, 1.0], np.float32))
    frames = wire.encode("kinematics", 1, 3, t_ns=77, kinematics=kinematics)
    assert wire.decode(frames, 2).until_ns == 77


def _spikes(**changes):
    fields = {"from_ns": 0, "until_ns": 100, **NO_SPIKES, **changes}
    return wire.encode("spikes", fields.pop("start", 1), fields.pop("seq", 1), **fields)


def _raw(body, kind=b"spikes"):
    return [kind, body, zlib.crc32(body).to_bytes(4, "little")]


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        ([b"spikes", b""], "3 frames"),
        ([b"spikes", b"abc", b"1234"], "CRC-32"),
        ([b"spikes", b"abc", b""], "CRC-32"),
        (_raw(b"", b"noise"), "unknown kind b'noise'; known: spikes, counts"),
        (_raw(b"\xc1"), "not a message of this codec"),
        (_raw(b"\x93\x01\x02\x03"), "not a map"),
        (_raw(pack({"v": 2, "start": 1, "seq": 1})), "wire version 2 is not 1"),
        (_raw(pack({"v": 1, "start": -1, "seq": 1})), "'start' must be a whole number"),
        (_spikes(seq=0), "'seq' must be a whole number from 1"),
        (_spikes(seq=1.5), "'seq' must be a whole number"),
        (_spikes(seq=True), "'seq' must be a whole number"),
        (_spikes(from_ns="0"), "'from_ns' must be a whole number"),
        (_spikes(from_ns=100), "must cover more than nothing"),
        (_spikes(until_ns=2 * 10**9), "at most one second"),
        (_spikes(times_ns=[1, 2], units=[0, 0]), "'times_ns' must be a one-dimensional array of kind i, got list"),
        (_spikes(times_ns=np.zeros(2)), "got dtype float64"),
        (_spikes(times_ns=np.zeros((1, 2), np.int64)), r"shape \(1, 2\)"),
        (_spikes(times_ns=np.zeros(2, np.int64)), "'times_ns' has 2 entries and 'units' has 0"),
        (_spikes(times_ns=np.array([100]), units=np.array([0])), "outside from_ns"),
        (_spikes(times_ns=np.array([-1]), units=np.array([0])), "outside from_ns"),
        (_spikes(times_ns=np.array([1]), units=np.array([4])), "'units' holds numbers outside 0 to 3"),
        (_spikes(times_ns=np.array([1]), units=np.array([-1])), "'units' holds numbers outside 0 to 3"),
        (
            wire.encode("counts", 1, 1, from_ns=0, until_ns=5, counts=np.zeros(3, np.uint16)),
            "3 entries, 4 are expected",
        ),
        (wire.encode("counts", 1, 1, from_ns=0, until_ns=5, counts=np.zeros(4)), "kind u, got dtype float64"),
        (wire.encode("counts", 1, 1, from_ns=0, until_ns=5, counts=np.full(4, 2**20, np.uint32)), "above 65535"),
        (wire.encode("features", 1, 1, from_ns=0, until_ns=5, features=np.zeros(4, np.int8)), "kind f"),
        (wire.encode("kinematics", 1, 1, t_ns=1, kinematics=np.full(4, np.nan)), "not finite"),
        (wire.encode("kinematics", 1, 1, t_ns=1), "'kinematics' must be"),
        (wire.encode("decoded", 1, 1, bin=1, cursor=[0.0] * 3, target=[0.0] * 3), "'cursor' must be a list of 4"),
        ([b"spikes", b"x" * (wire.MAX_BODY_BYTES + 1), b"1234"], "larger than the limit"),
    ],
)
def test_bad_messages_are_refused_in_one_sentence(frames, sentence):
    with pytest.raises(BadInput, match=sentence):
        wire.decode(frames, 4)


@pytest.mark.parametrize(
    "head",
    [
        ["|O", [1]],
        ["<i8", [2**40]],
        ["<i8", [-1]],
        ["<i8", [1, 1, 1, 1, 1, 1]],
        ["<f8", "x"],
        [["a"], [1]],
        ["<i8,<f8", [1]],
        [{"names": ["a"], "formats": ["O"]}, [1]],
        ["S5", [1]],
        7,
    ],
)
def test_arrays_cannot_smuggle_objects_or_sizes(head):
    array = msgpack.ExtType(1, msgpack.packb(head) + b"12345678")
    body = msgpack.packb({"v": 1, "start": 1, "seq": 1, "from_ns": 0, "until_ns": 5, "times_ns": array, "units": array})
    with pytest.raises(BadInput, match="not a message of this codec"):
        wire.decode(_raw(body), 4)
