"""Stand-ins with the habits of devices: what is sent adds up, and the sources take it."""

import itertools

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime import wire
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.zeromq import ZeroMQFeed
from simulators.server import spread
from simulators.standins.habits import Habits, WithHabits

UNITS, BIN_NS, START_NS, HOST_NS = 6, 5_000_000, 10**10, 10**13


class Wire:
    """Our own wire, without a socket: messages with the host time at which they left."""

    starts = 0

    def __init__(self, out, clock):
        Wire.starts += 1
        self.out, self.clock, self.start, self.seq = out, clock, Wire.starts, 0
        self.messages = self.spikes = 0
        self.rng = np.random.default_rng(Wire.starts)

    def emit(self, from_ns, until_ns, values):
        self.seq += 1
        times, units = spread(values, from_ns, until_ns, self.rng)
        fields = {"from_ns": from_ns, "until_ns": until_ns, "times_ns": times, "units": units.astype(np.uint16)}
        self.out.append((self.clock[0], wire.encode("spikes", self.start, self.seq, **fields)))
        self.messages, self.spikes = self.messages + 1, self.spikes + int(values.sum())

    def close(self):
        pass


def sent(seconds, **habits):
    """Return what leaves, the emitter, and all counts."""
    out, clock, rng = [], [HOST_NS], np.random.default_rng(1)

    def sleep(s):
        clock[0] += round(s * 1e9)

    emitter = WithHabits(lambda: Wire(out, clock), Habits(**habits), False, np.random.default_rng(2), sleep)
    total = np.zeros(UNITS, int)
    for k in range(round(seconds / 0.005)):
        clock[0] = max(clock[0], HOST_NS + (k + 1) * BIN_NS)
        counts = rng.poisson(0.2, UNITS)
        total += counts
        emitter.emit(START_NS + k * BIN_NS, START_NS + (k + 1) * BIN_NS, counts)
    return out, emitter, total


class Device:
    """Hands messages over at their time."""

    OPTIONS = ()

    def __init__(self, feed, messages):
        self.feed, self.messages, self.now_ns = feed, list(messages), HOST_NS

    def open(self):
        pass

    close = open

    def receive(self, binner, timeout_s):
        until_ns = self.now_ns + round(timeout_s * 1e9)
        if not self.messages or self.messages[0][0] > until_ns:
            self.now_ns = until_ns
            return False
        host_ns, frames = self.messages.pop(0)
        self.now_ns = max(self.now_ns, host_ns)
        self.feed.accept(frames, host_ns, binner)
        return True


def received(messages):
    config = configuration.load(None, [f"session.units={UNITS}", "source.options.wait_s=0"])
    device = Device(ZeroMQFeed(config), messages)
    source = LiveSource(config, device, lambda: device.now_ns)
    into, rows = Bin(UNITS, False), []
    while device.messages or source.binner.complete():
        source.next_bin(into, None, None)
        rows.append(into.array[0].copy())
    return np.array(rows), source


@pytest.mark.parametrize(
    "habits", [{"block_s": 0.0232}, {"block_s": 0.0007}, {"block_s": 0.0232, "jitter_s": 0.004}, {}]
)
def test_blocks_follow_one_another_and_every_spike_is_sent_and_binned_once(habits):
    out, emitter, total = sent(12.0, **habits)
    pieces = [wire.decode(frames, UNITS) for _, frames in out]
    assert all(before.until_ns == after.from_ns for before, after in itertools.pairwise(pieces))
    waiting = sum(int(values.sum()) for _, _, values in emitter._pending)
    assert emitter.spikes + waiting == total.sum()
    rows, source = received(out)
    later = rows[600:]  # the wait has been learned by then
    assert np.mean(later["stale"] > 0) < 0.001
    assert rows["counts"].sum() + source.binner.ring.values.sum() == emitter.spikes


def test_a_device_that_is_switched_off_and_on_begins_its_clock_again():
    out, emitter, _ = sent(6.0, restart_every_s=2.0)
    pieces = [wire.decode(frames, UNITS) for _, frames in out]
    assert emitter.restarts == 2 and len({piece.start for piece in pieces}) == 3
    assert sum(piece.from_ns == START_NS for piece in pieces) == 3
    rows, source = received(out)
    assert source.binner.totals["segments"] == 2 and rows["segment"].max() == 2
    assert rows["counts"].sum() + source.binner.ring.values.sum() >= emitter.spikes - 30


def test_a_pause_is_a_gap():
    out, _, _ = sent(6.0, pause_every_s=2.0, pause_s=0.3)
    rows, _ = received(out)
    assert rows["gap_bins"].sum() == pytest.approx(2 * 60, abs=4)


def test_features_are_averaged_over_a_block():
    got = []

    class Features:
        messages = spikes = 0

        def emit(self, from_ns, until_ns, values):
            got.append((until_ns - from_ns, values))

        def close(self):
            pass

    emitter = WithHabits(Features, Habits(block_s=0.02), True, np.random.default_rng(0))
    for k in range(8):
        emitter.emit(k * BIN_NS, (k + 1) * BIN_NS, np.array([float(k), 1.0]))
    assert [width for width, _ in got] == [20_000_000] * 2
    np.testing.assert_allclose([values for _, values in got], [[1.5, 1.0], [5.5, 1.0]])


def test_a_habit_that_is_no_number_of_seconds_is_refused():
    with pytest.raises(BadInput, match=r"source\.options\.block_s must be a number of seconds"):
        Habits.of(configuration.load(None, ["source.options.block_s='long'"]))
