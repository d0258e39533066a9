"""Bins against histograms of the same spikes, and every count of what went wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.options import BinnerOptions
from bmi_runtime.sources.packet import Packet

BIN_NS = 5_000_000
HOST = 10**12


def spikes(from_ns, until_ns, times=(), units=(), **more):
    """Return an action that delivers spikes of a piece of device time (which starts at 0)."""

    def action(binner, host_ns):
        packet = Packet(from_ns, until_ns, host_ns, np.array(times, np.int64), np.array(units, np.uint16), **more)
        binner.take(packet)

    return action


def regular(script, bins, first=0, unit=0, delay_ns=300_000):
    """One message per bin with one spike of `unit` in its middle, each arriving a little after its end."""
    for k in range(first, first + bins):
        middle = k * BIN_NS + BIN_NS // 2
        script.at(HOST + (k + 1) * BIN_NS + delay_ns, spikes(k * BIN_NS, (k + 1) * BIN_NS, [middle], [unit]))


def started(rows):
    """Rows since the first that carries data (before it there are stale ones: nothing was known)."""
    first = int(np.flatnonzero(rows["stale"] == 0)[0])
    return rows[first:]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans())
def test_bins_equal_the_histogram_whatever_the_messages_sizes(seed, mean_messages_per_4_bins, aligned):
    """Messages cover arbitrary pieces of time and arrive when their piece is over: every bin is exact and prompt."""
    from tests.sources.conftest import Bench, Script

    rng = np.random.default_rng(seed)
    bins = 60
    end = bins * BIN_NS
    cuts = rng.integers(1, end, bins * mean_messages_per_4_bins // 4)
    edges = np.unique(np.r_[0, cuts, end, np.arange(bins + 1) * BIN_NS if aligned else []]).astype(np.int64)
    times = np.sort(rng.integers(0, end, 300))
    units = rng.integers(0, 4, 300)
    script = Script(HOST)
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist()):
        inside = (times >= start) & (times < stop)
        script.at(HOST + stop + 100_000, spikes(start, stop, times[inside], units[inside]))
    bench = Bench(script, "realtime.max_wait_s=0.5")
    rows = started(bench.run())
    assert rows["stale"][bins:].all()  # the last bin may close before a last message of less than a microsecond
    rows = rows[:bins]
    expected = np.zeros((bins, 4))
    np.add.at(expected, (times // BIN_NS, units), 1)
    np.testing.assert_array_equal(rows["counts"], expected)
    assert rows["stale"].sum() == rows["late"].sum() == rows["gap_bins"].sum() == 0
    np.testing.assert_allclose(rows["device_time_s"], (np.arange(len(rows)) + 1) * 0.005)
    if aligned:  # a bin closes when its last message is in, not when the next one comes
        assert rows["data_age_s"].max() < 200e-6


def test_a_bin_waits_no_longer_than_allowed_and_the_gap_is_counted(script, bench):
    regular(script, 50)
    del script.actions[20:23]
    run = bench(script)
    rows = started(run.run())
    assert rows["stale"].tolist() == [0] * 20 + [1, 2, 3] + [0] * 27
    assert rows["gap_bins"].tolist() == [0] * 23 + [3] + [0] * 26
    assert rows["counts"][:, 0].tolist() == [1] * 20 + [0] * 3 + [1] * 27
    # bins 20 and 21 close max_wait (5 ms) after they were due, 22 as soon as 23's message says nothing about it, so too
    late_ns = rows["host_time_ns"][20:23] - (HOST + (np.arange(20, 23) + 1) * BIN_NS + 300_000)
    assert np.all(late_ns >= 5_000_000) and np.all(late_ns < 5_100_000)
    assert [event["stale_bins"] for event in run.named("data-back")][-1] == 3


def test_a_message_that_comes_within_the_wait_costs_nothing(script, bench):
    regular(script, 30)
    host_ns, action = script.actions[10]
    script.actions[10] = (host_ns + 4_000_000, action)
    rows = started(bench(script).run())
    assert rows["stale"].sum() == rows["late"].sum() == 0
    assert rows["counts"][:, 0].tolist() == [1] * 30
    assert rows["data_age_s"][10] == pytest.approx(0.004, abs=1e-4)


@pytest.mark.parametrize("policy", ["next", "drop"])
def test_late_spikes_go_by_policy(script, bench, policy):
    regular(script, 30)
    host_ns, action = script.actions[10]
    script.actions[10] = (host_ns + 8_000_000, action)  # 3 ms after bin 10 was closed without it
    run = bench(script, f"realtime.late_policy={policy}")
    rows = started(run.run())
    assert rows["stale"].nonzero()[0].tolist() == [10]
    assert rows["late"].sum() == 1 and rows["late"][11:13].sum() == 1
    moved = policy == "next"
    assert rows["counts"][:, 0].sum() == (30 if moved else 29)
    assert run.source.binner.totals["late_dropped"] == (0 if moved else 1)
    if moved:
        assert rows["counts"][rows["late"] == 1, 0] == [2]


def test_spikes_too_late_to_mean_anything_are_dropped_and_counted(script, bench):
    regular(script, 60)
    host_ns, action = script.actions[10]
    script.actions[10] = (host_ns + 40_000_000, action)
    run = bench(script)
    rows = started(run.run())
    assert rows["late"].sum() == 1
    assert rows["counts"][:, 0].sum() == 59
    assert run.source.binner.totals["late_dropped"] == 1


def test_a_late_spike_waits_for_a_bin_that_is_decoded(script, bench):
    """Bins 10 and 11 close empty; the spike of 10 arrives before 11 is given up and must not vanish in it."""
    regular(script, 30)
    host_ns, action = script.actions[10]
    script.actions[10] = (host_ns + 6_000_000, action)
    del script.actions[11]
    rows = started(bench(script).run())
    assert rows["stale"][10:13].tolist() == [1, 2, 0]
    assert rows["counts"][10:13, 0].tolist() == [0, 0, 2]


def test_counts_and_shorter_counts_are_summed(script, bench):
    for k in range(80):  # 2.5 ms of counts each

        def action(binner, host_ns, k=k):
            values = np.array([k, 0, 1, 0], np.uint16)
            binner.take(Packet(k * BIN_NS // 2, (k + 1) * BIN_NS // 2, host_ns, values=values))

        script.at(HOST + (k + 1) * BIN_NS // 2 + 1000, action)
    rows = started(bench(script).run())
    assert rows["counts"].tolist() == [[2 * j + 2 * j + 1, 0, 2, 0] for j in range(len(rows))]
    assert len(rows) == 40 and rows["stale"].sum() == 0


def test_bins_of_a_sender_that_rounds_differently_stay_prompt(bench):
    """1/60 s is not a whole number of ns; the sender rounds edges, we round the width: no bin waits for another."""
    from tests.sources.conftest import Script

    script, edges = Script(HOST), [round(k * 1e9 / 60) for k in range(601)]
    for k in range(600):

        def action(binner, host_ns, k=k):
            binner.take(Packet(edges[k], edges[k + 1], host_ns, values=np.array([1, 0, 0, 0], np.uint16)))

        script.at(HOST + edges[k + 1] + 1000, action)
    rows = started(bench(script, f"session.bin_s={1 / 60!r}").run())
    assert rows["counts"].tolist() == [[1, 0, 0, 0]] * 600
    assert rows["data_age_s"].max() < 100e-6


def test_features_are_averaged_over_the_bin(script, bench):
    for k in range(40):

        def action(binner, host_ns, k=k):
            binner.take(Packet(k * 25_000_000, (k + 1) * 25_000_000, host_ns, values=np.array([k, -1.0, 0.5, 2.0])))

        script.at(HOST + (k + 1) * 25_000_000 + 1000, action)
    rows = started(bench(script, "session.likelihood=gaussian").run())
    np.testing.assert_allclose(rows["counts"], [[2 * j + 0.5, -1.0, 0.5, 2.0] for j in range(20)])


def test_kinematics_hold_until_there_are_newer(script, bench):
    regular(script, 10)
    script.at(HOST + 3 * BIN_NS, lambda binner, host: binner.kinematics(3 * BIN_NS + 1, np.array([1.0, 2.0, 3.0, 4.0])))
    rows = started(bench(script).run())
    assert np.isnan(rows["kinematics"][:3]).all()
    np.testing.assert_array_equal(rows["kinematics"][3:], [[1.0, 2.0, 3.0, 4.0]] * 7)


def test_a_backlog_is_skipped_to_the_newest_and_counted(script, bench):
    """This process was stopped for two seconds: the messages are all there, and are not decoded as if they were new."""
    regular(script, 600)
    run = bench(script)
    script.open()
    original, stalled = script.receive, []

    def receive(binner, timeout_s):
        if run.source.binner.closed > 100 and not stalled:
            stalled.append(True)
            script.now_ns += 2_000_000_000
        return original(binner, timeout_s)

    script.receive = receive
    rows = started(run.run())
    skipped = run.named("bins-skipped")
    assert sum(event["count"] for event in skipped) == rows["gap_bins"].sum() > 300
    assert rows["data_age_s"].max() < 0.26 + 0.005
    times = np.round(rows["device_time_s"] / 0.005).astype(int)
    assert np.array_equal(np.diff(times) - 1, rows["gap_bins"][1:])  # time is accounted for to the bin
    assert rows["segment"].max() == 0  # and nobody blames the device's clock


def test_before_any_data_bins_are_stale_at_the_pace_of_the_host(script, bench):
    script.at(HOST + 10**9, lambda binner, host: None)
    rows = bench(script).run()
    assert rows["stale"].tolist() == list(range(1, len(rows) + 1))
    assert np.isnan(rows["device_time_s"]).all() and np.isinf(rows["data_age_s"]).all()
    assert len(rows) == pytest.approx(200, abs=2)


def test_counts_do_not_wrap():
    config = configuration.load(None, ["session.units=4"])
    binner = Binner(config)
    from bmi_runtime.messages import Bin

    into = Bin(4, False)
    for _ in range(3):
        binner.take(Packet(0, BIN_NS // 3, HOST, values=np.array([60000, 1, 0, 0], np.uint16)))
    binner.close(into, HOST)
    assert into.fields.counts.tolist() == [65535, 3, 0, 0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jump": 1}, "unknown key 'source.options.jump'; the nearest valid one is 'jump_s'"),
        ({"jump_s": "x"}, "source.options.jump_s must be a number of seconds above 0, got 'x'"),
        ({"max_backlog_s": -1}, "must be a number of seconds above 0"),
    ],
)
def test_bad_options_are_one_sentence(options, sentence):
    config = configuration.from_dict({"source": {"options": options}})
    with pytest.raises(BadInput, match=sentence):
        BinnerOptions.of(config)


@pytest.mark.parametrize(("given", "kept"), [((), True), (("source.options.late_limit_s=0.02",), False)])
def test_a_spike_of_a_blocks_end_that_comes_with_the_next_block_is_kept(script, bench, given, kept):
    """Blocks of 30 ms, and one spike that came a block late: what 20 ms alone would drop."""
    block = 6 * BIN_NS
    for k in range(20):
        times = [k * block - 5 * BIN_NS - BIN_NS // 2] if k == 12 else []
        action = spikes(k * block, (k + 1) * block, times, [0] * len(times), inside=False)
        script.at(HOST + (k + 1) * block + 300_000, action)
    rows = started(bench(script, "realtime.wait_limit_s=0.05", *given).run())
    assert rows["late"].sum() == 1
    assert rows["counts"].sum() == kept


def test_an_event_of_the_device_keeps_the_host_time_that_its_protocol_knows():
    binner = Binner(configuration.load(None, ["session.units=2"]), BinnerOptions())
    binner.mark("ttl", 5_000_000, {"line": 3}, host_ns=HOST + 7)
    binner.mark("ttl", 6_000_000, {"line": 4})
    known, unknown = [event for event in binner.events if event["name"] == "device-event"]
    assert known["host_time_ns"] == HOST + 7 and known["line"] == 3 and known["device_time_s"] == 0.005
    assert "host_time_ns" not in unknown, "the clock is not known yet, so nothing is said"
