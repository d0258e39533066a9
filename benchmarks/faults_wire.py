"""Hostile messages: each source is bombarded with mutated, cut, oversized, mistyped and random ones between good ones.

    python benchmarks/faults_wire.py [--messages 1000000] [--only NAME] [--seed 1]

Every protocol's good messages carry the spikes of 8 units in 5 ms bins, under a virtual clock; 4 to 12 hostile ones
come between two good ones. Wanted: no crash; every hostile message refused or seen as a duplicate, and counted; every
spike of the good ones in its bin; memory flat. Vendor libraries are not needed.
"""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgpack
import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime import wire
from bmi_runtime.messages import Bin
from bmi_runtime.sources.blackrock import BlackrockFeed
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.lsl import LSLFeed
from bmi_runtime.sources.open_ephys import OpenEphysFeed
from bmi_runtime.sources.redis_streams import RedisFeed
from bmi_runtime.sources.zeromq import ZeroMQFeed
from simulators.server import spread
from simulators.standins.blackrock import SPIKE_DELAY_NS, PacketWriter
from simulators.standins.open_ephys import OpenEphysFrames
from simulators.standins.redis_streams import entry

UNITS = 8
BIN_NS = 5_000_000
DEVICE_START_NS = 10**10
HOST_NS = 10**13
DISTANCE = 12  # a hostile message is made from one this many messages old


def mutate(rng, data):
    """Return these bytes flipped, cut, stretched, or replaced."""
    kind = rng.integers(6)
    if kind == 0 or not data:
        return rng.bytes(int(rng.integers(0, 200)))
    if kind == 1:
        return data[: int(rng.integers(len(data)))]
    if kind == 2:
        return data + rng.bytes(int(rng.integers(1, 50)))
    if kind == 3:
        return data * int(rng.integers(2, 20))
    flipped = bytearray(data)
    for position in rng.integers(0, len(data), int(rng.integers(1, 4))):
        flipped[position] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


class ZeroMQ:
    """Our own wire."""

    def __init__(self, config, rng):
        self.feed, self.rng, self.seq = ZeroMQFeed(config), rng, 0

    def good(self, from_ns, until_ns, counts):
        """Yield the messages of one bin."""
        self.seq += 1
        times, units = spread(counts, from_ns, until_ns, self.rng)
        fields = {"from_ns": from_ns, "until_ns": until_ns, "times_ns": times, "units": units.astype(np.uint16)}
        yield wire.encode("spikes", 7, self.seq, **fields)

    def hostile(self, frames):
        """Return a bad message made from a good one."""
        rng, kind = self.rng, self.rng.integers(5)
        if kind == 0:
            return [mutate(rng, frame) if rng.random() < 0.5 else frame for frame in frames[: rng.integers(1, 4)]] + [
                b""
            ]
        if kind == 1:
            return [mutate(rng, frames[0]), frames[1], frames[2]]
        if kind == 2:
            return [frames[0], mutate(rng, frames[1]), frames[2]]
        body = msgpack.unpackb(frames[1], strict_map_key=False)
        key = list(body)[rng.integers(len(body))]
        junk = [None, -1, 2**63, "x", [], {}, 1.5, True, b"abc", [[]] * 50, msgpack.ExtType(1, rng.bytes(20))]
        body[key] = junk[rng.integers(len(junk))]
        if kind == 3:
            body["v"] = 99
        return wire_frames(frames[0], msgpack.packb(body))


def wire_frames(kind, body):
    """Return frames whose checksum is right, whatever the body says."""
    import zlib

    return [kind, body, zlib.crc32(body).to_bytes(4, "little")]


class OpenEphys:
    """The Open Ephys plugin."""

    def __init__(self, config, rng):
        self.feed, self.rng, self.frames = OpenEphysFeed(config), rng, OpenEphysFrames(rng)

    def good(self, from_ns, until_ns, counts):
        """Yield the messages of one block."""
        yield from self.frames.block_frames(from_ns, until_ns, counts)

    def hostile(self, frames):
        """Return a bad message made from a good one."""
        rng, kind = self.rng, self.rng.integers(4)
        if kind == 0:
            return [mutate(rng, frame) for frame in frames[: rng.integers(1, 4)]]
        if kind == 1:
            return [frames[0], mutate(rng, frames[1]), frames[2]]
        if kind == 2:
            return [frames[0], frames[1], mutate(rng, frames[2])]
        header = json.loads(frames[1])
        target = header.get("spike") or header.get("content")
        target = target if rng.random() < 0.7 else header
        key = list(target)[rng.integers(len(target))]
        target[key] = [None, -1, 1e300, "x", [], {}, True, 2**80, "Elektröde"][rng.integers(9)]
        return [frames[0], json.dumps(header).encode(), frames[2]]


class Blackrock:
    """Blackrock's UDP."""

    def __init__(self, config, rng):
        self.feed, self.rng = BlackrockFeed(config), rng
        self.writer = PacketWriter(self.feed.protocol, self.feed.clock)
        self.pending = []

    def good(self, from_ns, until_ns, counts):
        """Yield the datagram of one bin: spikes whose waveform has ended, and a heartbeat."""
        times, units = spread(counts, from_ns, until_ns, self.rng)
        self.pending += zip(times.tolist(), units.tolist(), strict=True)
        leaving = [item for item in self.pending if item[0] + SPIKE_DELAY_NS < until_ns]
        self.pending = [item for item in self.pending if item[0] + SPIKE_DELAY_NS >= until_ns]
        spikes = b"".join(self.writer.spike(time_ns, unit + 1, 1) for time_ns, unit in leaving)
        yield spikes + self.writer.heartbeat(until_ns)

    def hostile(self, datagram):
        """Return a bad datagram; without a checksum only structure and times can give it away."""
        rng, kind, size = self.rng, self.rng.integers(4), self.writer.header.size
        if kind == 0:
            return rng.bytes(int(rng.integers(0, 300)))
        if kind == 1:
            return datagram[: int(rng.integers(len(datagram)))]
        if kind == 2:
            return datagram + rng.bytes(int(rng.integers(1, size)))
        absurd = int(rng.integers(1 << 50, 1 << 62))
        return self.writer.packet(absurd, int(rng.integers(0, 65536)), int(rng.integers(256)), bytes(112))


class Redis:
    """A BRAND stream."""

    def __init__(self, config, rng):
        self.feed, self.rng, self.index = RedisFeed(config), rng, 0

    def good(self, from_ns, until_ns, counts):
        """Yield the entry of one bin."""
        self.index += 1
        yield entry(self.feed, counts, until_ns, self.index, text_times=bool(self.index % 2))

    def hostile(self, fields):
        """Return a bad entry made from a good one."""
        rng, kind, bad = self.rng, self.rng.integers(5), dict(fields)
        if kind == 0:
            del bad[[self.feed.field, b"ts"][rng.integers(2)]]
        elif kind == 1:
            bad[self.feed.field] = rng.bytes(int(rng.integers(1, 8)))
        elif kind == 2:
            bad[self.feed.field] = bytes(7) + b"\xff"
        elif kind == 3:
            bad[self.feed.field] = bytes(8) * 2000
        else:
            bad[b"ts"] = rng.bytes(8)
        return bad


class LSL:
    """Samples of an event stream as liblsl hands them over."""

    def __init__(self, config, rng):
        self.feed, self.rng = LSLFeed(config), rng

    def good(self, from_ns, until_ns, counts):
        """Yield the chunk of one bin."""
        times, units = spread(counts, from_ns, until_ns, self.rng)
        yield [[unit + 1, 0] for unit in units.tolist()], [time_ns * 1e-9 for time_ns in times.tolist()]

    def hostile(self, chunk):
        """Return a bad chunk."""
        rng, kind = self.rng, self.rng.integers(4)
        stamp = (HOST_NS + DEVICE_START_NS) * 1e-9
        if kind == 0:
            return [[int(rng.choice([0, -5, UNITS + 1, 32767])), 0]], [stamp]
        if kind == 1:
            return [[1, 0]], [float(rng.choice([np.nan, np.inf, -1.0, 1e300]))]
        if kind == 2:
            return [[]], [stamp]
        return [[1, 0]], [float(rng.uniform(1e6, 3e9))]


PROTOCOLS = {"zeromq": ZeroMQ, "open-ephys": OpenEphys, "blackrock": Blackrock, "redis": Redis, "lsl": LSL}


class Bombardment:
    """Good bins and hostile messages under a virtual clock, as the receiving side of a feed."""

    def __init__(self, protocol, hostile, rng):
        self.protocol, self.rng, self.left = protocol, rng, hostile
        self.now_ns, self.sent = HOST_NS, []
        self.events = self._events()
        self.next = next(self.events)
        self.hostile = self.good_messages = 0
        self.right = self.checked = self.wrong = self.base = 0

    def _events(self):
        """Yield (host time, message, number of hostile ones to send after it)."""
        rng, k, old = self.rng, 0, []
        while self.left > 0 or k < 400:
            from_ns = DEVICE_START_NS + k * BIN_NS
            counts = rng.poisson(0.2, UNITS)
            counts[k % UNITS] += 1
            self.sent.append(counts)
            for message in self.protocol.good(from_ns, from_ns + BIN_NS, counts):
                yield HOST_NS + (k + 1) * BIN_NS + 100_000, message, None
                old.append(message)
                if len(old) > DISTANCE and k >= 200 and self.left > 0:  # half a second of good ones first
                    group = min(int(rng.integers(1, 4)) * 4, self.left)
                    self.left -= group
                    bad = [self.protocol.hostile(old[-DISTANCE]) for _ in range(group)]
                    yield HOST_NS + (k + 1) * BIN_NS + 100_000, None, bad
                del old[: -DISTANCE - 1]
            k += 1

    def open(self):
        """Do nothing."""

    close = open

    def receive(self, binner, timeout_s):
        """Hand over what has arrived by then."""
        until = self.now_ns + round(timeout_s * 1e9)
        if self.next is None or self.next[0] > until:
            self.now_ns = until
            return False
        host_ns, message, bad = self.next
        self.now_ns = max(self.now_ns, host_ns)
        if message is not None:
            self._give(message, host_ns, binner)
            self.good_messages += 1
        else:
            self._bombard(bad, host_ns, binner)
        self.next = next(self.events, None)
        return True

    def _bombard(self, bad, host_ns, binner):
        for message in bad:
            self._give(message, host_ns, binner)
        self.hostile += len(bad)

    def _give(self, message, host_ns, binner):
        if isinstance(message, tuple):
            self.protocol.feed.accept(*message, host_ns, binner)
        else:
            self.protocol.feed.accept(message, host_ns, binner)


def resident_mb():
    """Return the memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def bombard(name, hostile, seed=1):
    """Bombard one source; return what became of everything.

    Returns
    -------
    dict
        ``hostile``; ``refused``, ``duplicates`` and, of both together, ``counted``; ``good_spikes_sent``,
        ``good_spikes_binned`` (in the bin they belong to), ``wrong_counts``, ``stale_bins``, ``memory_growth_mb``,
        ``us_per_message``.
    """
    rng = np.random.default_rng(seed)
    options = ["source.options.kind=events"] if name == "lsl" else []
    config = configuration.load(None, [f"session.units={UNITS}", "source.options.wait_s=0", *options])
    protocol = PROTOCOLS[name](config, rng)
    flood = Bombardment(protocol, hostile, rng)
    flood.OPTIONS = protocol.feed.OPTIONS
    source = LiveSource(config, flood, lambda: flood.now_ns)
    into, found, stale, early_mb, begin = Bin(UNITS, False), {}, 0, None, time.process_time()
    while flood.next is not None or source.binner.complete():
        source.next_bin(into, None, None)
        if np.isfinite(into.fields.device_time_s[0]):
            index = round((into.fields.device_time_s[0] * 1e9 - DEVICE_START_NS) / BIN_NS) - 1
            found[index] = into.fields.counts.astype(int)
            stale += into.fields.stale[0] > 0 and flood.next is not None
        source.drain_events()
        if early_mb is None and flood.hostile > hostile // 4:
            early_mb = resident_mb()
        if len(found) > 1000:
            _compare(flood, found, 500)
    totals = source.binner.totals
    _compare(flood, found, 0)
    held = source.binner.holding or getattr(protocol.feed, "_held", None) is not None  # nothing came after it any more
    counted = min(totals["refused"] + totals["duplicates"] + held, flood.hostile)
    return {
        "source": name,
        "hostile": flood.hostile,
        "refused": totals["refused"],
        "duplicates": totals["duplicates"],
        "counted": counted,
        "good_messages": flood.good_messages,
        "good_spikes_sent": flood.checked,
        "good_spikes_binned": flood.right,
        "wrong_counts": flood.wrong,
        "stale_bins": int(stale),
        "segments": totals["segments"],
        "memory_growth_mb": round(resident_mb() - (early_mb or resident_mb()), 2),
        "us_per_message": 1e6 * (time.process_time() - begin) / max(flood.hostile + flood.good_messages, 1),
    }


def _compare(flood, found, keep):
    """Compare the bins that are old enough with what was sent, and forget them."""
    last = max(found)
    for index in sorted(found):
        if index > last - max(keep, 3):
            break
        sent, got = flood.sent[index - flood.base], found.pop(index)
        flood.checked += int(sent.sum())
        flood.right += int(np.minimum(sent, got).sum())
        flood.wrong += int(np.abs(got - sent).sum())
    drop = min(found) - flood.base
    del flood.sent[:drop]
    flood.base += drop


def main():
    """Bombard every source, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--only", choices=sorted(PROTOCOLS), action="append")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{'source':>11} {'hostile':>9} {'refused':>9} {'double':>8} {'counted':>9} {'good spikes':>19} {'stale':>5} "
          f"{'memory':>9} {'CPU':>12}")  # fmt: skip
    rows = []
    for name in given.only or PROTOCOLS:
        row = bombard(name, given.messages, given.seed)
        rows.append(row)
        print(
            f"{name:>11} {row['hostile']:9} {row['refused']:9} {row['duplicates']:8} {row['counted']:9} "
            f"{row['good_spikes_binned']:9}/{row['good_spikes_sent']:9} {row['stale_bins']:5} "
            f"{row['memory_growth_mb']:+6.1f} MB {row['us_per_message']:6.1f} us/msg",
            flush=True,
        )
    print(json.dumps({"faults_wire": rows}))


if __name__ == "__main__":
    main()
