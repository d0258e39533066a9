"""The compiled reader of our wire against the one that says what is wrong: what it takes, the other takes alike."""

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime import wire
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import pack

UNITS = 6
FROM_NS, UNTIL_NS = 10**10, 10**10 + 5_000_000


def whole(kind, rng, spikes=4, dtype="<u2"):
    """A message as a well-behaved sender writes it."""
    fields = {"v": 1, "start": int(rng.integers(0, 2**64, dtype=np.uint64)), "seq": int(rng.integers(1, 2**40))}
    fields |= {"from_ns": FROM_NS, "until_ns": UNTIL_NS}
    if kind == b"spikes":
        fields["times_ns"] = rng.integers(FROM_NS, UNTIL_NS, spikes)
        fields["units"] = rng.integers(0, UNITS, spikes).astype(dtype)
    elif kind == b"counts":
        fields["counts"] = rng.integers(0, 200, UNITS).astype(dtype)
    else:
        fields["features"] = rng.normal(size=UNITS).astype(dtype)
    if rng.random() < 0.5:
        fields["kinematics"] = rng.normal(size=2 * int(rng.integers(1, 9)))
    return fields


def slowly(kind, body):
    """What the reader in plain Python makes of it, or None when it refuses."""
    quick, wire._QUICK = wire._QUICK, {}
    try:
        return wire.decode(wire.frames_of(kind, body), UNITS)
    except BadInput:
        return None
    finally:
        wire._QUICK = quick


def assert_alike(quick, slow):
    assert slow is not None
    for name in ("kind", "start", "seq", "from_ns", "until_ns"):
        assert getattr(quick, name) == getattr(slow, name)
    for name in ("times_ns", "units", "values", "kinematics"):
        ours, theirs = getattr(quick, name), getattr(slow, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *((b"spikes", name) for name in ("<u2", "<i8", "|u1", "<u4")),
        *((b"counts", name) for name in ("<u2", "|u1", "<u8")),
        *((b"features", name) for name in ("<f8", "<f4")),
    ],
)
@pytest.mark.parametrize("spikes", [0, 1, 40, 300, 70_000])
def test_a_well_behaved_message_is_read_in_one_pass(kind, dtype, spikes):
    for seed in range(5):
        body = pack(whole(kind, np.random.default_rng(seed), spikes, dtype))
        quick = wire._quick(kind, wire._QUICK[kind], body, UNITS)
        assert quick is not None
        assert_alike(quick, slowly(kind, body))


TYPES = ("<i8", "<i2", "|i1", "|u1", "<u2", "<u4", "<u8", "<f8", "<f4", "<f2", ">u2", ">f8", "|b1")
NUMBERS = (0, 1, 5, 6, -1, 70000, 2**40, FROM_NS, UNTIL_NS)


@st.composite
def vectors(draw):
    values = np.array(draw(st.lists(st.sampled_from(NUMBERS), max_size=8)), np.float64)
    with np.errstate(all="ignore"):
        return values.astype(draw(st.sampled_from(TYPES)))


JUNK = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([None, True, 1.5, "x", [], {}, b"abc", FROM_NS - 1, UNTIL_NS, 0, 1, -1, 2**62, 2**62 + 1, 2**63]),
    vectors(),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([b"spikes", b"counts", b"features"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["v", "start", "seq", "from_ns", "until_ns", "times_ns", "units", "counts", "features", "other"]),
    JUNK,
    st.booleans(),
)
def test_nothing_is_taken_that_the_careful_reader_refuses(kind, seed, key, junk, remove):
    fields = whole(kind, np.random.default_rng(seed), dtype="<f8" if kind == b"features" else "<u2")
    if remove:
        fields.pop(key, None)
    else:
        fields[key] = junk
    body = pack(fields)
    quick = wire._quick(kind, wire._QUICK[kind], body, UNITS)
    if quick is not None:
        assert_alike(quick, slowly(kind, body))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from([b"spikes", b"counts", b"features"]), st.integers(0, 2**32 - 1), st.data())
def test_bytes_turned_over_or_cut_are_read_alike_or_not_at_all(kind, seed, data):
    body = bytearray(pack(whole(kind, np.random.default_rng(seed), dtype="<f8" if kind == b"features" else "<u2")))
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=3)):
        body[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(body), len(body), len(body) - 1, len(body) // 2, 3, 0]))
    torn = bytes(body[:cut])
    quick = wire._quick(kind, wire._QUICK[kind], torn, UNITS)
    if quick is not None:
        assert_alike(quick, slowly(kind, torn))


def test_an_unknown_key_or_an_order_of_ones_own_is_still_read():
    fields = whole(b"spikes", np.random.default_rng(1))
    for body in (pack({**fields, "note": "mine"}), pack(dict(reversed(fields.items()))), msgpack.packb({"v": 1})):
        quick, slow = wire._quick(b"spikes", 0, body, UNITS), slowly(b"spikes", body)
        if quick is not None:
            assert_alike(quick, slow)
    assert wire.decode(wire.frames_of(b"spikes", pack({**fields, "note": "mine"})), UNITS).body["note"] == "mine"
