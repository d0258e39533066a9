"""Counts narrower than a bin, wider, jittered, drifting, bursting: every spike once, in time, and no bin stale."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime import config as configuration
from bmi_runtime import wire
from bmi_runtime.messages import Bin
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.lsl import LSLFeed
from bmi_runtime.sources.redis_streams import RedisFeed
from bmi_runtime.sources.steady import SteadyStream
from bmi_runtime.sources.zeromq import ZeroMQFeed
from simulators.standins.redis_streams import entry

HOST = 10**12
DEVICE = 10**11
UNITS = 4
SECONDS = 5.0


def deliver(feed, arrivals, config):
    """Return the rows of a live source whose feed is given (host ns, arguments of accept)."""
    state = {"now": HOST, "position": 0}

    def receive(binner, timeout_s):
        until = state["now"] + round(timeout_s * 1e9)
        if state["position"] < len(arrivals) and arrivals[state["position"]][0] <= until:
            host_ns, arguments = arrivals[state["position"]]
            state["position"] += 1
            state["now"] = max(state["now"], host_ns)
            feed.accept(*arguments, host_ns, binner)
            return True
        state["now"] = until
        return False

    feed.receive, feed.open = receive, lambda: None
    source = LiveSource(config, feed, lambda: state["now"])
    into, rows = Bin(UNITS, config.continuous), []
    while state["position"] < len(arrivals) or source.binner.complete():
        source.next_bin(into, None, None)
        rows.append(into.array[0].copy())
    return np.array(rows), source


def stamps_of(entries, width_s, jitter, ppm, rng):
    """Return true ends and jittered, ascending stamps (ns) of entries."""
    true = np.arange(1, entries + 1) * width_s * (1 + ppm * 1e-6) * 1e9
    off = np.clip(rng.normal(0, 0.6 * jitter, entries), -jitter, jitter)
    return true, np.maximum.accumulate(true + off * width_s * 1e9)


def by_redis(counts, width_s, stamps, extra):
    """Return feed, configuration and arrivals of a BRAND stream."""
    options = ["source.options.stream=threshold_values", "source.options.dtype=int16"]
    config = setting(*options, f"source.options.width_s={width_s}", *extra)
    feed = RedisFeed(config)
    return feed, config, [(entry(feed, row, DEVICE + round(t), k),) for k, (row, t) in enumerate(zip(counts, stamps))]


def by_lsl(counts, width_s, stamps, extra):
    """Return feed, configuration and arrivals of an LSL stream of counts."""
    config = setting("source.options.kind=counts", *extra)
    feed = LSLFeed(config)
    feed.width_s = width_s
    return feed, config, [([row.tolist()], [100.0 + t * 1e-9]) for row, t in zip(counts, stamps)]


def by_wire(counts, width_s, stamps, extra):
    """Return feed, configuration and arrivals of our own wire: pieces of one width at jittered times."""
    config, width = setting(*extra), round(width_s * 1e9)
    made = []
    for k, (row, t) in enumerate(zip(counts, stamps)):
        until = DEVICE + round(t)
        fields = {"from_ns": until - width, "until_ns": until, "counts": row.astype(np.uint16)}
        made.append((wire.encode("counts", 7, k + 1, **fields),))
    return ZeroMQFeed(config), config, made


def by_wire_edges(counts, width_s, stamps, extra):
    """Return feed, configuration and arrivals of our own wire: each piece begins where the one before ended."""
    config, made, before = setting(*extra), [], DEVICE
    for k, (row, t) in enumerate(zip(counts, stamps)):
        until = max(DEVICE + round(t), before + 1)
        fields = {"from_ns": before, "until_ns": until, "counts": row.astype(np.uint16)}
        made.append((wire.encode("counts", 7, k + 1, **fields),))
        before = until
    return ZeroMQFeed(config), config, made


def setting(*extra):
    """Return a configuration of four units that does not wait for data."""
    return configuration.load(None, [f"session.units={UNITS}", "source.options.wait_s=0", *extra])


SENDERS = {"redis": by_redis, "lsl": by_lsl, "wire": by_wire, "wire-edges": by_wire_edges}
CASES = [  # width of an entry (s), width of a bin (s), jitter (of the width), drift (ppm)
    (0.001, 0.005, 0.0, 0.0),
    (0.001, 0.005, 0.5, 0.0),
    (0.001, 0.005, 0.1, 1000.0),
    (0.001, 0.005, 0.2, -1000.0),
    (0.002, 0.005, 0.0, 0.0),
    (0.002, 0.005, 0.3, -100.0),
    (0.004, 0.005, 0.5, 0.0),
    (0.005, 0.005, 0.5, 0.0),
    (0.005, 0.005, 0.1, 1000.0),
    (1 / 512, 0.005, 0.3, 0.0),
    (0.02, 0.02, 0.5, 0.0),
    (0.02, 0.005, 0.1, 0.0),
    (0.01, 0.02, 0.02, 0.0),
    (1 / 60, 0.02, 0.2, 0.0),
]


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("case", CASES)
def test_every_spike_once_and_no_bin_stale(sender, case):
    width_s, bin_s, jitter, ppm = case
    rng = np.random.default_rng(3)
    entries = round(SECONDS / width_s)
    counts = rng.poisson(40.0 * width_s, (entries, UNITS))
    true, stamps = stamps_of(entries, width_s, jitter, ppm, rng)
    feed, config, arguments = SENDERS[sender](counts, width_s, stamps, [f"session.bin_s={bin_s}"])
    arrived = np.maximum.accumulate(np.maximum(true, stamps) + 200_000 + rng.exponential(100_000, entries))
    rows, source = deliver(feed, [(HOST + round(t), a) for t, a in zip(arrived, arguments)], config)
    begun = np.flatnonzero(rows["stale"] == 0)[0]
    rows = rows[begun:]
    assert rows["segment"].max() == 0 and source.binner.totals["refused"] == 0
    # the first blocks teach the wait; after the last there is silence; of 10 ms of jitter, one may come late
    settled = rows[round(0.5 / bin_s) : -round(0.1 / bin_s)]
    assert (settled["stale"] > 0).sum() <= max(0.001 * len(settled), width_s >= 0.02)
    # what the last, incomplete bin and the remainders of rounding hold is not lost: it is not out yet
    open_still = int(np.ceil(counts[-int(np.ceil(2 * bin_s / width_s)) - 1 :].sum(0).max())) + 1
    assert np.all(np.abs(rows["counts"].sum(0, dtype=int) - counts.sum(0)) <= open_still)
    whole = rows["counts"].sum(0, dtype=int) + source.binner.ring.values.sum(0) + source.binner.ring.remainder
    dropped = counts.sum(0) - (whole + source.binner.ring.late_values)
    assert np.all(dropped > -1e-6)
    np.testing.assert_allclose(dropped.sum(), source.binner.totals["late_dropped"], atol=1e-6)
    assert dropped.sum() <= (2 if width_s >= 0.02 else 0)


def test_a_step_of_the_rate_appears_when_it_happened():
    """A unit begins to fire at 6 s: no bin before has a spike, every one after has the rate."""
    rng = np.random.default_rng(0)
    counts = np.zeros((12_000, UNITS), int)
    counts[6000:, 2] = 1
    true, stamps = stamps_of(12_000, 0.001, 0.3, 0.0, rng)
    feed, config, arguments = by_redis(counts, 0.001, stamps, [])
    rows, _ = deliver(feed, [(HOST + round(t) + 300_000, a) for t, a in zip(true, arguments)], config)
    rows = rows[rows["stale"] == 0]
    device_s = rows["device_time_s"] - DEVICE * 1e-9
    assert rows["counts"][device_s < 5.995, 2].sum() == 0
    assert set(rows["counts"][device_s > 6.012, 2].tolist()) == {5}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.003, 0.0073, 0.02]), st.floats(-900, 900))
def test_rates_keep_their_totals(seed, width_s, ppm):
    """LSL rates of 0.1 to 80 Hz at any pace: what is counted is the rate times the time, to within one spike."""
    rng = np.random.default_rng(seed)
    config = setting("source.options.kind=rates")
    feed = LSLFeed(config)
    feed.width_s = width_s
    rates = rng.uniform(0.1, 80.0, UNITS)
    entries = round(4.0 / width_s)
    true, stamps = stamps_of(entries, width_s, 0.1, ppm, rng)
    chunks = [(HOST + round(t) + 10**6, ([rates.tolist()], [50.0 + s * 1e-9])) for t, s in zip(true, stamps)]
    rows, source = deliver(feed, chunks, config)
    ring = source.binner.ring
    total = rows["counts"].sum(0, dtype=int) + ring.values.sum(0) + ring.remainder + ring.late_values
    np.testing.assert_allclose(total, rates * entries * width_s, rtol=2e-3)
    assert np.abs(ring.remainder).max() <= 0.5 + 1e-9


def test_rates_are_features_in_a_gaussian_session():
    config = setting("source.options.kind=rates", "session.likelihood=gaussian", "session.bin_s=0.05")
    feed = LSLFeed(config)
    feed.width_s = 0.01
    chunks = [(HOST + (k + 1) * 10**7, ([[0.25, 3.5, 30.0, 100.0]], [50.0 + 0.01 * (k + 1)])) for k in range(500)]
    rows, _ = deliver(feed, chunks, config)
    rows = rows[rows["stale"] == 0]
    assert len(rows) >= 99
    np.testing.assert_allclose(rows["counts"], np.tile([0.25, 3.5, 30.0, 100.0], (len(rows), 1)), rtol=1e-9)


def test_missing_entries_leave_a_hole_of_their_size():
    stream = SteadyStream(1e6)
    stamps = [k * 1_000_000 for k in range(1, 2001) if not 1000 <= k < 1003]
    pieces = [stream.place(stamp) for stamp in stamps]
    holes = [(a[1], b[0]) for a, b in itertools.pairwise(pieces) if b[0] > a[1]]
    assert len(holes) == 1 and holes[0][1] - holes[0][0] == pytest.approx(3e6, rel=0.02) and stream.missing == 3


def held_up(stamps, at, for_entries, pace):
    """Return stamps (widths) of a sender that stood still at some entries and caught up, one entry each `pace`."""
    stamps = np.array(stamps, float)
    for begun, long in zip(at, for_entries):
        stamps[begun:] = np.maximum(stamps[begun:], stamps[begun] + long + pace * np.arange(stamps.size - begun))
    return stamps


@pytest.mark.parametrize("pace", [0.0, 0.1, 0.4, 0.8])
def test_a_sender_that_is_held_up_and_catches_up_has_lost_nothing(pace):
    """A processor taken away for 2 to 18 ms, then entry upon entry until nothing is owed; jitter of 0.05 ms besides."""
    rng = np.random.default_rng(5)
    at = np.arange(500, 20_000, 400) + rng.integers(0, 200, 49)
    stamps = held_up(np.arange(1.0, 20_001), at, rng.uniform(2, 18, at.size), pace) + rng.uniform(0, 0.05, 20_000)
    stream = SteadyStream(1e6)
    pieces = np.array([stream.place(round(stamp * 1e6)) for stamp in np.maximum.accumulate(stamps)])
    assert stream.missing == 0 and np.all(pieces[1:, 0] == pieces[:-1, 1])
    assert np.abs(pieces[:, 1] * 1e-6 - np.arange(1, 20_001))[100:].max() < 1.0


def test_a_stall_every_six_seconds_makes_no_bin_stale_once_it_is_known():
    """The waiting time remembers bins, not entries: of entries of 1 ms the last four thousand are four seconds."""
    true = np.arange(1.0, 40_001)
    stamps = held_up(true, range(3000, 39_000, 6000), [12] * 6, 0.1)
    counts = np.random.default_rng(2).poisson(0.02, (true.size, UNITS))
    feed, config, arguments = by_redis(counts, 0.001, stamps * 1e6, [])
    rows, _ = deliver(feed, [(HOST + round(t * 1e6) + 300_000, a) for t, a in zip(stamps, arguments)], config)
    assert (rows["stale"][2000:-20] > 0).sum() == 0  # two stalls have been seen


def test_entries_lost_while_the_sender_was_held_up_are_missed():
    """It stood for 9 ms, gave up four entries, and caught up with the other five."""
    stamps = np.delete(held_up(np.arange(1.0, 3001), [1000], [9], 0.1), range(1000, 1004))
    stream = SteadyStream(1e6)
    pieces = np.array([stream.place(round(stamp * 1e6)) for stamp in stamps])
    assert stream.missing == 4 and pieces[-1, 1] * 1e-6 == pytest.approx(3000, abs=0.1)


def test_bursts_are_jitter_not_loss():
    """512 samples a second handed over 32 at a time, each stamped when it was handed over."""
    rng = np.random.default_rng(1)
    width = 1e9 / 512
    stream = SteadyStream(width)
    ends = np.arange(1, 512 * 40 + 1) * width
    stamps = np.ceil(np.arange(1, ends.size + 1) / 32) * 32 * width + rng.exponential(200_000, ends.size)
    pieces = np.array([stream.place(round(stamp)) for stamp in stamps])
    assert np.all(pieces[1:, 0] == pieces[:-1, 1]) and stream.missing == 0
    assert np.ptp((pieces[:, 1] - ends)[30 * 512 :]) < width


def test_another_pace_than_was_said_is_learned():
    """Entries said to be of 5 ms come every 1 ms."""
    stream = SteadyStream(5e6)
    pieces = [stream.place(10**9 + k * 1_000_000) for k in range(1, 1400)]
    assert stream.width_ns == pytest.approx(1e6, rel=0.02)
    assert all(b[0] == a[1] for a, b in itertools.pairwise(pieces[1000:]))


@pytest.mark.parametrize(("said_ms", "came_ms"), [(1, 20), (1, 5), (20, 2), (50, 5)])
def test_a_pace_that_is_plainly_another_is_learned_within_a_second(said_ms, came_ms):
    stream = SteadyStream(said_ms * 1e6)
    rng, ends = np.random.default_rng(1), 10**9 + came_ms * 1_000_000 * np.arange(1, 1000 // came_ms + 1)
    for end in ends + rng.normal(0.0, 0.1e6, len(ends)):
        stream.place(round(end))
    assert stream.width_ns == pytest.approx(came_ms * 1e6, rel=0.02)


def in_blocks(ends_ns, block, said_ns):
    """Return stamps as LSL gives those of a chunk: its last sample's, and the others by the rate that was said."""
    last = np.minimum((np.arange(ends_ns.size) // block + 1) * block - 1, ends_ns.size - 1)
    return ends_ns[last] - (last - np.arange(ends_ns.size)) * said_ns


@pytest.mark.parametrize("block_ms", [0, 40])
@pytest.mark.parametrize("off", [-0.3, -0.1, -0.01, 0.04, 0.1, 0.3])
@pytest.mark.parametrize("width_ms", [1.0, 20.0])
def test_a_rate_that_is_a_little_off_loses_no_spike_once_it_is_measured(width_ms, off, block_ms):
    """What an LSL outlet says of its rate is what its author typed; from two seconds on nothing is late or lost."""
    rng, bin_s, block = np.random.default_rng(3), max(0.005, width_ms * 1e-3), max(1, round(block_ms / width_ms))
    real_ns, seconds = width_ms * 1e6 * (1.0 + off), 6.0
    entries = round(seconds * 1e9 / real_ns)
    counts = rng.poisson(40.0 * real_ns * 1e-9, (entries, UNITS))
    ends = np.arange(1, entries + 1) * real_ns
    stamps = in_blocks(ends, block, width_ms * 1e6) if block > 1 else ends + rng.uniform(-0.1, 0.1, entries) * real_ns
    handed = ends[np.minimum((np.arange(entries) // block + 1) * block - 1, entries - 1)]
    feed, config, arguments = by_lsl(counts, width_ms * 1e-3, stamps, [f"session.bin_s={bin_s}"])
    rows, source = deliver(feed, [(HOST + round(t) + 300_000, a) for t, a in zip(handed, arguments)], config)
    assert feed.width_s * 1e9 == pytest.approx(real_ns, rel=0.015)
    assert rows["segment"].max() <= (abs(off) > 0.1) and source.binner.totals["refused"] <= (abs(off) > 0.1)
    ring = source.binner.ring
    total = rows["counts"].sum(dtype=int) + ring.values.sum() + ring.remainder.sum() + ring.late_values.sum()
    begun = counts[: round(1.0e9 / real_ns)].sum()
    assert counts.sum() - total <= 0.4 * begun  # in the first second, until the rate is known
    told = [event["text"] for event in source.binner.events if event["name"] == "source-told"]
    assert len(told) == (abs(off) > 0.02)
    if told:
        assert f"says {1e3 / width_ms:.4g} Hz and sends" in told[0]


@pytest.mark.parametrize("block", [64, 128])
def test_blocks_that_are_stamped_when_they_are_handed_over_are_no_other_pace(block):
    """A quarter of a second of samples under one stamp each: the rate is the one that was said."""
    stream = SteadyStream(1e9 / 512)
    for k in range(512 * 20):
        stream.place(round((k // block + 1) * block * 1e9 / 512))
        assert stream.nominal_ns == 1e9 / 512


@pytest.mark.parametrize("came_hz", [900, 960, 1100])
def test_another_pace_of_blocks_under_one_stamp_each_is_learned_in_two_seconds(came_hz):
    """By their first entries, which are a block ahead of their stamps, it had taken six."""
    stream, rng = SteadyStream(1e6), np.random.default_rng(4)
    for block in range(1, 21):
        stamp = round(block * 1e8 + abs(rng.normal(0.0, 2e6)))
        for _ in range(came_hz // 10):
            stream.place(stamp)
    assert 1e9 / stream.nominal_ns == pytest.approx(came_hz, rel=0.005)


@pytest.mark.parametrize(("limit_s", "told"), [(0.1, True), (0.2, False)])
def test_bins_that_may_not_wait_as_long_as_the_data_need_are_told_with_the_setting_that_mends_it(limit_s, told):
    """Chunks of 100 samples come every 111 ms from a stream of 1 kHz that is a tenth slow."""
    rng, real_ns, seconds = np.random.default_rng(5), 1e9 / 900, 12.0
    entries = round(seconds * 1e9 / real_ns)
    counts, ends = rng.poisson(0.02, (entries, UNITS)), np.arange(1, entries + 1) * real_ns
    handed = ends[np.minimum((np.arange(entries) // 100 + 1) * 100 - 1, entries - 1)]
    feed, config, arguments = by_lsl(counts, 1e-3, in_blocks(ends, 100, 1e6), [f"realtime.wait_limit_s={limit_s}"])
    rows, source = deliver(feed, [(HOST + round(t) + 300_000, a) for t, a in zip(handed, arguments)], config)
    said = [event["text"] for event in source.drain_events() if "realtime.wait_limit_s" in event.get("text", "")]
    assert len(said) == told
    settled = rows[len(rows) // 2 :]
    assert np.mean(settled["stale"] > 0) < (0.2 if told else 0.001)
    if told:
        assert 0.12 < float(said[0].split("= ")[1].split()[0]) < 0.2


def test_a_hole_or_a_stall_is_no_other_pace():
    """One second that was lost, then entries held up for 50 ms every second: neither is a slower sender."""
    stamps = np.delete(held_up(np.arange(1.0, 20_001), range(5000, 19_000, 1000), [50] * 14, 0.1), range(3000, 4000))
    stream = SteadyStream(1e6)
    for stamp in stamps:
        stream.place(round(stamp * 1e6))
        assert stream.nominal_ns == 1e6


def test_stamps_in_another_unit_are_no_pace():
    """Milliseconds read as seconds: that is told by how fast they run, and not taken for entries of a second."""
    stream = SteadyStream(1e6)
    for k in range(1, 60):
        stream.place(k * 1_000_000_000)
    assert stream.width_ns == pytest.approx(1e6, rel=0.03)


def test_events_on_our_wire_are_recorded_with_fitted_host_time():
    config = setting()
    feed, arrivals = ZeroMQFeed(config), []
    for k in range(400):
        at, counts = DEVICE + k * 5_000_000, np.zeros(UNITS, np.uint16)
        fields = {"from_ns": at, "until_ns": at + 5_000_000, "counts": counts}
        arrivals.append((HOST + (k + 1) * 5_000_000, (wire.encode("counts", 7, 2 * k + 1, **fields),)))
        facts = {"t_ns": at + 1_000_000, "event": "photodiode", "value": [1, 0.5, "up", None, True][k % 5]}
        if k == 399:
            facts |= {"value": float("nan")}
        arrivals.append((HOST + (k + 1) * 5_000_000 + 10, (wire.encode("event", 7, 2 * k + 2, **facts),)))
    rows, source = deliver(feed, arrivals, config)
    events = [event for event in source.binner.events if event["name"] == "device-event"]
    assert len(events) == 399 and source.binner.totals["refused"] == 1 and rows["invalid"].sum() <= 1
    assert [event["value"] for event in events[:5]] == [1, 0.5, "up", None, True]
    last = events[-1]
    assert last["host_time_ns"] == pytest.approx(HOST + 398 * 5_000_000 + 1_000_000, abs=1000)
    assert last["uncertainty_s"] < 1e-5 and last["event"] == "photodiode"
