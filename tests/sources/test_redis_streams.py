"""Redis streams of a BRAND system: both time stamps, every dtype, jitter, and a real server where there is one."""

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.sources.brand_entries import DTYPES
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.redis_streams import RedisFeed, seconds_or_nanoseconds
from simulators.standins.redis_streams import entry

BIN_NS = 5_000_000
HOST = 10**12


@given(st.integers(10**9, 2**62 - 1))
def test_time_stamps_of_eight_bytes(nanoseconds):
    assert seconds_or_nanoseconds(nanoseconds.to_bytes(8, "little")) == nanoseconds


@given(st.floats(0.0, 1e9))
def test_time_stamps_as_text(seconds):
    assert seconds_or_nanoseconds(repr(seconds).encode()) == round(seconds * 1e9)


@pytest.mark.parametrize("ts", [b"", b"12x", b"-1.0", b"nan", bytes(7), bytes(9)])
def test_other_time_stamps_are_refused(ts):
    with pytest.raises(BadInput, match="neither 8 bytes of nanoseconds nor seconds as text"):
        seconds_or_nanoseconds(ts)


def bins_of(entries, *overrides):
    """Return the bins of (host time, fields) entries under a virtual clock, and the source."""
    config = configuration.load(None, ["session.units=4", "source.options.wait_s=0", *overrides])
    feed, state = RedisFeed(config), {"now": HOST, "position": 0}

    def receive(binner, timeout_s):
        until = state["now"] + round(timeout_s * 1e9)
        if state["position"] < len(entries) and entries[state["position"]][0] <= until:
            host_ns, fields = entries[state["position"]]
            state["position"] += 1
            state["now"] = max(state["now"], host_ns)
            feed.accept(fields, host_ns, binner)
            return True
        state["now"] = until
        return False

    feed.receive, feed.open = receive, lambda: None
    source = LiveSource(config, feed, lambda: state["now"])
    into, rows = Bin(4, config.continuous), []
    while state["position"] < len(entries) or source.binner.complete():
        source.next_bin(into, None, None)
        rows.append(into.array[0].copy())
    rows = np.array(rows)
    return rows[np.flatnonzero(rows["stale"] == 0)[0] :], source


@pytest.mark.parametrize("dtype", [name for name in DTYPES if not name.startswith("float")])
@pytest.mark.parametrize("text_times", [False, True])
def test_binned_spikes_one_entry_a_bin_whatever_the_jitter(dtype, text_times):
    rng = np.random.default_rng(2)
    feed = RedisFeed(configuration.load(None, ["session.units=4", f"source.options.dtype={dtype}"]))
    counts = rng.poisson(2.0, (400, 4))
    stamps = (np.arange(400) + 1) * BIN_NS + 10**10 + rng.exponential(400_000, 400).astype(int)
    entries = [
        (HOST + (k + 1) * BIN_NS + 2_000_000, entry(feed, counts[k], int(stamps[k]), k, text_times)) for k in range(400)
    ]
    rows, source = bins_of(entries, f"source.options.dtype={dtype}")
    np.testing.assert_array_equal(rows["counts"], counts)
    assert rows["stale"].sum() == source.binner.totals["refused"] == 0 and rows["segment"].max() == 0
    assert np.abs(rows["device_time_s"] * 1e9 - stamps).max() < 4e6


def test_threshold_values_of_a_millisecond_are_summed():
    options = ["source.options.stream=threshold_values", "source.options.dtype=int16"]
    feed = RedisFeed(configuration.load(None, ["session.units=4", *options]))
    assert feed.field == b"crossings" and feed.width_ns == 1_000_000
    entries = [
        (HOST + (k + 1) * 10**6, entry(feed, np.array([1, 0, k % 2, 0]), (k + 1) * 10**6 + 10**10, k))
        for k in range(1000)
    ]
    rows, _ = bins_of(entries, *options)
    assert len(rows) >= 198 and rows["stale"].sum() == 0
    assert set(rows["counts"][1:, 0].tolist()) == {5} and set(rows["counts"][1:, 2].tolist()) <= {2, 3}


def test_missing_entries_are_a_gap():
    feed = RedisFeed(configuration.load(None, ["session.units=4"]))
    keep = [k for k in range(300) if not 150 <= k < 170]
    entries = [(HOST + (k + 1) * BIN_NS, entry(feed, np.ones(4), (k + 1) * BIN_NS + 10**10, k)) for k in keep]
    rows, _ = bins_of(entries)
    assert (rows["stale"] > 0).sum() == 20 == rows["gap_bins"].sum()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({b"samples": None}, "without the field 'samples'"),
        ({b"samples": bytes(3)}, "3 bytes does not hold 4 channels of int8"),
        ({b"samples": b"\x01\x01\x01\xff"}, "negative, broken"),
        ({b"samples": bytes(8000)}, "longer than 1000 samples"),
        ({b"ts": None}, "without its time 'ts'"),
        ({b"ts": b"soon"}, "neither 8 bytes"),
        ({b"ts": b"\xff" * 8}, "impossible"),
    ],
)
def test_bad_entries_are_refused_and_counted(changes, sentence):
    config = configuration.load(None, ["session.units=4"])
    feed = RedisFeed(config)
    fields = {
        key: value for key, value in {**entry(feed, np.ones(4), 10**10, 1), **changes}.items() if value is not None
    }
    from bmi_runtime.sources.binner import Binner

    binner = Binner(config)
    feed.accept(fields, HOST, binner)
    assert binner.totals["refused"] == 1 and sentence in binner.events[0]["reason"]


def test_what_a_brand_node_writes_is_what_the_stand_in_writes():
    feed = RedisFeed(configuration.load(None, ["session.units=4"]))
    fields = entry(feed, np.array([1, 2, 0, 300]), 5 * 10**9, 17)
    assert fields[b"samples"] == bytes([1, 2, 0, 127]) and fields[b"ts"] == (5 * 10**9).to_bytes(8, "little")
    assert json.loads(fields[b"sync"]) == {"nsp_idx": 17}


def test_a_real_server_and_a_stream_that_starts_again():
    from tests.sources.redis_server import server

    with server() as port:
        import redis

        config = configuration.load(None, ["session.units=4", f"source.address=redis://127.0.0.1:{port}"])
        client, feed = redis.Redis(port=port), RedisFeed(config)
        client.xadd("binned_spikes", entry(feed, np.full(4, 9), 10**10, 0))  # old news: never decoded
        from bmi_runtime.sources.binner import Binner

        binner = Binner(config)
        feed.open()
        client.xadd("binned_spikes", entry(feed, np.ones(4), 10**10, 0), id="99999999999999-1")
        assert feed.receive(binner, 1.0) and binner.totals["refused"] == 0
        assert not feed.receive(binner, 0.0)
        client.delete("binned_spikes")
        client.xadd("binned_spikes", entry(feed, np.ones(4), 10**9, 0))
        feed._seen_at -= 5.0
        deadline = time.monotonic() + 5.0
        while binner.totals["segments"] == 0 and time.monotonic() < deadline:
            feed.receive(binner, 0.01)
        assert binner.totals["segments"] == 1
        client.xadd("binned_spikes", entry(feed, np.ones(4), 10**9 + BIN_NS, 1))
        assert feed.receive(binner, 1.0) and binner.started
        feed.close()
        client.close()


def brand(field, dtype, values, stamp, **more):
    """Return an entry as a BRAND node writes it."""
    return {
        field: np.ascontiguousarray(values.astype(dtype)).tobytes(),
        b"ts": int(stamp).to_bytes(8, "little"),
        **more,
    }


def told(source):
    """Return what a source said that it found out."""
    return [event["text"] for event in source.binner.events if event["name"] == "source-told"]


@pytest.mark.parametrize(
    ("field", "dtype"), [(b"crossings", "int16"), (b"thresholds", "int8"), (b"samples", "float32")]
)
def test_field_and_dtype_are_told_from_what_comes(field, dtype):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, (400, 4))
    entries = [
        (HOST + (k + 1) * BIN_NS, brand(field, dtype, counts[k], 10**10 + (k + 1) * BIN_NS, timestamps=b"12345678"))
        for k in range(400)
    ]
    rows, source = bins_of(entries)
    np.testing.assert_array_equal(rows["counts"].sum(0), counts.sum(0))
    assert source.feed.field == field and source.feed.dtype.name == dtype and source.binner.totals["refused"] == 0


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<i4", ">i4", ">f4", ">f8", "<i8"])
def test_numbers_of_either_byte_order(dtype, given):
    """A spike is one, and not 256; what the kernels are given is of this machine's order."""
    counts = np.random.default_rng(0).poisson(0.5, (400, 4))
    entries = [
        (HOST + (k + 1) * BIN_NS, brand(b"samples", dtype, counts[k], 10**10 + (k + 1) * BIN_NS)) for k in range(400)
    ]
    name = (">" if dtype[0] == ">" else "") + np.dtype(dtype).name
    rows, source = bins_of(entries, *[f"source.options.dtype={name}"] * given)
    np.testing.assert_array_equal(rows["counts"].sum(0), counts.sum(0))
    assert source.feed.report()["dtype"] == name and source.binner.totals["refused"] == 0
    assert any(f"read as {name}" in text for text in told(source)) == (not given)


def test_a_type_that_is_none_is_refused():
    with pytest.raises(BadInput, match="with > before it: big-endian"):
        RedisFeed(configuration.load(None, ["source.options.dtype=>int24"]))


def test_a_stream_that_two_write_is_counted_once():
    """Every entry is there twice; the first spikes tell it."""
    counts = np.random.default_rng(0).poisson(0.5, (400, 4))
    entries = [
        (HOST + (k + 1) * BIN_NS + again, brand(b"samples", "int8", counts[k], 10**10 + (k + 1) * BIN_NS))
        for k in range(400)
        for again in (0, 1000)
    ]
    rows, source = bins_of(entries, "source.options.dtype=int8")
    assert abs(int(rows["counts"].sum()) - int(counts.sum())) <= 12 and source.binner.totals["duplicates"] >= 390
    assert source.feed.steady.width_ns == pytest.approx(BIN_NS, rel=0.01)


def test_entries_of_one_coarse_stamp_are_not_the_same_entry():
    """Four entries of 5 ms under each stamp, which knows 20 ms: most of them zero, some by chance equal."""
    counts = np.random.default_rng(0).poisson(0.1, (400, 4))
    entries = [
        (HOST + (k + 1) * BIN_NS, brand(b"samples", "int8", counts[k], 10**10 + (k // 4 + 1) * 4 * BIN_NS))
        for k in range(400)
    ]
    rows, source = bins_of(entries, "source.options.dtype=int8")
    assert source.binner.totals["duplicates"] == 0 and abs(int(rows["counts"].sum()) - int(counts.sum())) <= 4


def test_a_field_that_was_asked_for_is_not_replaced():
    entries = [(HOST + k * BIN_NS, brand(b"thresholds", "int8", np.ones(4), 10**10 + k * BIN_NS)) for k in range(20)]
    entries += [(HOST + 10**8 + k, brand(b"crossings", "int8", np.ones(4), 10**10 + 10**8 + k)) for k in range(2)]
    _, source = bins_of(entries, "source.options.field=crossings")
    assert source.binner.totals["refused"] == 20
    assert source.refusals() == [
        "20 messages were refused: an entry without the field 'crossings', there is 'thresholds', 'ts' "
        "(source.options.field)"
    ]


def test_windows_that_roll_by_repeated_samples():
    """Each entry holds the last 5 ms in five samples, and comes every 1 ms: every spike once."""
    rng = np.random.default_rng(0)
    spikes = rng.poisson(0.05, (4, 4005))
    entries = [
        (HOST + (k + 1) * 10**6, brand(b"crossings", "int16", spikes[:, k : k + 5], 10**10 + (k + 1) * 10**6))
        for k in range(4000)
    ]
    options = ["source.options.stream=threshold_values", "source.options.dtype=int16"]
    rows, source = bins_of(entries, *options)
    late = rows["device_time_s"] > 10.5
    assert rows["counts"][late].sum() == pytest.approx(spikes[:, -3500:].sum(), rel=0.01)
    assert any("repeats 4 of its 5 samples (windows that roll)" in text for text in told(source))


def test_windows_that_roll_by_their_pace():
    """Counts of 10 ms (as configured) that come every 2 ms: every fifth is counted."""
    rng = np.random.default_rng(0)
    fine = rng.poisson(0.1, (4010, 4))
    entries = [
        (HOST + (k + 1) * 2 * 10**6, brand(b"samples", "int8", fine[k : k + 5].sum(0), 10**10 + (k + 1) * 2 * 10**6))
        for k in range(4000)
    ]
    rows, source = bins_of(entries, "source.options.width_s=0.01", "session.bin_s=0.01")
    late = rows["device_time_s"] > 11.0
    assert rows["counts"][late].sum() == pytest.approx(fine[-3500:].sum(), rel=0.03)
    assert any("their windows roll, and one in 5 is counted" in text for text in told(source))


def test_entries_that_come_faster_than_was_assumed_are_told():
    entries = [
        (HOST + (k + 1) * 10**6, brand(b"samples", "int8", np.ones(4), 10**10 + (k + 1) * 10**6)) for k in range(3000)
    ]
    rows, source = bins_of(entries)
    assert set(rows["counts"][-100:, 0].tolist()) == {5} and rows["stale"][-100:].sum() == 0
    assert any("come every 1 ms: each is counted for that long" in text for text in told(source))
