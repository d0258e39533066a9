"""Loss, doubling, reordering, silence, restarts, and clocks that jump: states and counts exactly as docs/wire.md says.

The own wire under a virtual host clock: one message per 5 ms bin, each with one spike of unit 0 and `k % 4` of unit 1.
"""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime import wire
from bmi_runtime.messages import Bin
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.zeromq import ZeroMQFeed

BIN_NS = 5_000_000
HOST = 10**12
DELAY_NS = 200_000


class Rig:
    """A sender, a network and the source, all in virtual time."""

    def __init__(self, *overrides):
        self.config = configuration.load(None, ["session.units=4", "source.options.wait_s=0", *overrides])
        self.feed = ZeroMQFeed(self.config)
        self.feed.open = self.feed.close = lambda: None
        self.feed.receive = self.receive
        self.source = LiveSource(self.config, self.feed, lambda: self.now_ns)
        self.now_ns, self.arrivals, self.position, self.events = HOST, [], 0, []

    def send(self, k, start=1, seq=None, device_shift_ns=0, host_shift_ns=0):
        """Send bin `k`: it arrives a little after its end, both clocks running alike but for the shifts."""
        from_ns = k * BIN_NS + device_shift_ns
        units = np.array([0] + [1] * (k % 4), np.uint16)
        times = np.full(units.size, from_ns + BIN_NS // 2)
        frames = wire.encode(
            "spikes", start, seq or k + 1, from_ns=from_ns, until_ns=from_ns + BIN_NS, times_ns=times, units=units
        )
        self.arrivals.append((HOST + (k + 1) * BIN_NS + DELAY_NS + host_shift_ns, frames))

    def receive(self, binner, timeout_s):
        until = self.now_ns + round(timeout_s * 1e9)
        if self.position < len(self.arrivals) and self.arrivals[self.position][0] <= until:
            host_ns, frames = self.arrivals[self.position]
            self.position += 1
            self.now_ns = max(self.now_ns, host_ns)
            self.feed.accept(frames, host_ns, binner)
            return True
        self.now_ns = until
        return False

    def run(self):
        self.arrivals.sort(key=lambda item: item[0])
        into, rows = Bin(4, False), []
        while self.position < len(self.arrivals) or self.source.binner.complete():
            self.source.next_bin(into, None, None)
            self.now_ns += 30_000
            rows.append(into.array[0].copy())
            self.events += self.source.drain_events()
        rows = np.array(rows)
        return rows[np.flatnonzero(rows["stale"] == 0)[0] :]

    def named(self, name):
        return [event for event in self.events if event["name"] == name]

    @property
    def totals(self):
        return self.source.binner.totals


def spikes_of(bins):
    return sum(1 + k % 4 for k in bins)


def test_loss_is_counted_and_the_bins_of_it_are_not_decoded():
    rig, lost = Rig(), {50, 51, 52, 90, 140}
    for k in range(200):
        if k not in lost:
            rig.send(k)
    rows = rig.run()
    assert rig.totals["lost"] == 5 == sum(event["count"] for event in rig.named("messages-lost"))
    assert set(np.flatnonzero(rows["stale"])) == lost
    assert {k: int(n) for k, n in enumerate(rows["gap_bins"]) if n} == {53: 3, 91: 1, 141: 1}
    assert rows["counts"].sum() == spikes_of(set(range(200)) - lost)
    assert rows["segment"].max() == 0 and len(rows) == 200


def test_doubled_messages_are_used_once_and_counted():
    rig = Rig()
    for k in range(200):
        rig.send(k)
        if k % 10 == 0:
            rig.send(k, host_shift_ns=1_000_000)
            rig.send(k, host_shift_ns=12_000_000)
    rows = rig.run()
    assert rig.totals["duplicates"] == 40 and 38 <= rows["duplicates"].sum() <= 40
    assert rows["counts"].sum() == spikes_of(range(200))
    assert rows["stale"].sum() == rows["late"].sum() == 0


def test_messages_out_of_order_within_the_wait_are_put_right():
    rig = Rig()
    for k in range(198):
        rig.send(k, host_shift_ns=6_000_000 if k % 7 == 3 else 0)  # arrives after its successor
    rows = rig.run()
    # such a bin may wait for 5 ms and would have to wait for 6: it is closed, and its spikes are late
    assert rig.totals["lost"] == 0
    assert set(np.flatnonzero(rows["stale"])) == set(range(3, 198, 7))
    assert rows["late"].sum() == spikes_of(range(3, 198, 7)) == rig.totals["late"]
    assert rows["counts"].sum() == spikes_of(range(198))  # moved into the next bin
    prompt = Rig("realtime.max_wait_s=0.01")
    for k in range(198):
        prompt.send(k, host_shift_ns=6_000_000 if k % 7 == 3 else 0)
    rows = prompt.run()
    assert rows["stale"].sum() == rows["late"].sum() == prompt.totals["lost"] == 0
    np.testing.assert_array_equal(rows["counts"][:, 1], np.arange(198) % 4)


def test_two_seconds_of_silence():
    rig = Rig()
    for k in [*range(100), *range(500, 700)]:
        rig.send(k, seq=k + 1 if k < 100 else k - 399)
    rows = rig.run()
    assert len(rows) == 700  # the session's time goes on with the device's
    assert np.array_equal(np.flatnonzero(rows["stale"]), np.arange(100, 500))
    assert rows["stale"][499] == 400 and rows["gap_bins"][500] == 400
    assert rows["data_age_s"][499] == pytest.approx(2.0, abs=0.01)
    assert rig.totals["lost"] == 0 and rows["segment"].max() == 0
    np.testing.assert_allclose(np.diff(rows["host_time_ns"][101:499]) * 1e-9, 0.005, atol=1e-4)


@pytest.mark.parametrize("new_clock_ns", [0, 5 * 10**9, -(10**9)])
def test_a_source_that_restarts(new_clock_ns):
    """After 0.5 s of silence another start, whose clock says something else."""
    rig = Rig()
    for k in range(100):
        rig.send(k)
    for k in range(200, 300):
        rig.send(k, start=2, seq=k - 199, device_shift_ns=new_clock_ns - 200 * BIN_NS)
    rows = rig.run()
    assert [event["name"] for event in rig.events if "segment" in event] == ["source-restarted"]
    assert rows["segment"][0] == 0 and rows["segment"][-1] == 1
    new = rows[rows["segment"] == 1]
    assert new["stale"].sum() == 0 and len(new) == 100
    assert new["device_time_s"][0] == pytest.approx((new_clock_ns + BIN_NS) * 1e-9)
    np.testing.assert_array_equal(new["counts"][:, 1], np.arange(200, 300) % 4)
    assert rows["counts"].sum() == spikes_of([*range(100), *range(200, 300)])
    assert rig.totals["lost"] == 0


@pytest.mark.parametrize(("jump_ns", "name"), [(300_000_000, "clock-jump"), (-300_000_000, "clock-jump")])
def test_a_device_clock_that_jumps(jump_ns, name):
    rig = Rig()
    for k in range(400):
        rig.send(k, device_shift_ns=jump_ns if k >= 200 else 0)
    rows = rig.run()
    jumps = [event for event in rig.events if "segment" in event]
    assert [event["name"] for event in jumps] == [name]
    assert jumps[0]["jump_s"] == pytest.approx(jump_ns * 1e-9, abs=0.001)
    assert rows["segment"].max() == 1
    assert rows["counts"].sum() == spikes_of(range(400))  # nothing is lost over it
    assert rig.totals["refused"] == rig.totals["late"] == 0
    new = rows[rows["segment"] == 1]
    assert new["device_time_s"][0] == pytest.approx((201 * BIN_NS + jump_ns) * 1e-9)
    assert abs(new["clock_offset_s"][-1] - rows["clock_offset_s"][50] + jump_ns * 1e-9) < 1e-4
    assert rows["stale"].max() <= 2  # while the second message was awaited


def test_a_device_clock_that_stood_still_for_a_second():
    """A pause of the acquisition: one second of silence, then device time goes on where it was."""
    rig = Rig()
    for k in range(100):
        rig.send(k)
    for k in range(300, 500):
        rig.send(k, seq=k - 199, device_shift_ns=-200 * BIN_NS)
    rows = rig.run()
    stood = [event for event in rig.events if "segment" in event]
    assert [event["name"] for event in stood] == ["clock-stood"]
    assert stood[0]["jump_s"] == pytest.approx(-1.0, abs=0.001)
    new = rows[rows["segment"] == 1]
    # 50 ms pass until this cannot be a burst of delayed messages any more; what came until then was late
    assert len(new) == pytest.approx(190, abs=1) and new["stale"].sum() == 0
    assert rig.totals["late"] == spikes_of(range(300, 500 - len(new)))


def test_one_wrong_time_stamp_is_refused_and_moves_nothing():
    rig = Rig()
    for k in range(200):
        rig.send(k, device_shift_ns=10**12 if k == 100 else 0)
    rows = rig.run()
    assert rig.totals["contradicted"] == 1 == rig.totals["refused"] == rows["invalid"].sum()
    assert rows["segment"].max() == 0
    assert np.flatnonzero(rows["stale"]).tolist() == [100]
    assert rows["counts"].sum() == spikes_of(set(range(200)) - {100})


def test_a_clock_that_runs_fast_is_followed():
    """100 ppm over a minute is 6 ms, more than a bin: without the skew the waits would be wrong by that."""
    rig = Rig()
    for k in range(12_000):
        rig.send(k, host_shift_ns=-k * 500)
    rows = rig.run()
    assert rows["stale"].sum() <= 1 and rig.totals["segments"] == 0
    assert rig.source.binner.clock.skew == pytest.approx(-1e-4, rel=0.01)
    assert np.abs(rows["data_age_s"][2000:]).max() < 3e-4
