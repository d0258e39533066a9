"""Blackrock's packets to the byte, in all protocols, and real recordings through stand-in and parser."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmi_runtime import config as configuration
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from bmi_runtime.sources.blackrock import HEADERS, BlackrockFeed, packets
from bmi_runtime.sources.live import LiveSource
from simulators.standins.blackrock import NevReplay, PacketWriter, datagrams

BIN_NS = 5_000_000
HOST = 10**12


def test_headers_have_the_published_sizes():
    assert {name: header.size for name, header in HEADERS.items()} == {"3.11": 8, "4.0": 16, "4.1": 16, "4.2": 16}


def test_the_bytes_of_a_spike():
    old = PacketWriter("3.11", "ticks").spike(1_000_000_000, 7, 2)
    assert old[:8] == struct.pack("<IHBB", 30_000, 7, 2, 28) and len(old) == 8 + 28 * 4
    new = PacketWriter("4.1", "nanoseconds").spike(1_000_000_000, 7, 2)
    assert new[:16] == struct.pack("<QHHHBB", 1_000_000_000, 7, 2, 28, 0, 0) and len(new) == 16 + 28 * 4
    middle = PacketWriter("4.0", "nanoseconds").heartbeat(5)
    assert middle == struct.pack("<QHBHB2B", 5, 0x8000, 0, 0, 0, 0, 0)


@given(st.sampled_from(sorted(HEADERS)), st.lists(st.tuples(st.integers(0, 2**31), st.integers(1, 256)), max_size=30))
def test_packets_come_back_from_datagrams(protocol, spikes):
    writer = PacketWriter(protocol, "nanoseconds" if protocol != "3.11" else "ticks")
    sent = [writer.spike(time_ns, chid, 1) for time_ns, chid in spikes] + [writer.heartbeat(7)]
    found = [packet for datagram in datagrams(sent) for packet in packets(datagram, protocol)]
    assert [packet.chid for packet in found] == [chid for _, chid in spikes] + [0x8000]
    assert all(len(datagram) <= 1400 for datagram in datagrams(sent))


@pytest.mark.parametrize(
    ("datagram", "sentence"),
    [
        (b"", "an empty datagram"),
        (bytes(15), "15 bytes into a header of 16"),
        (PacketWriter("4.1", "ticks").spike(0, 1, 0)[:-1], "cut off after 111"),
        (PacketWriter("4.1", "ticks").packet(0, 3, 1, bytes(8)), "a spike of 8 bytes, unit 1, is impossible"),
        (PacketWriter("4.1", "ticks").packet(0, 3, 99, bytes(112)), "unit 99, is impossible"),
        (PacketWriter("4.1", "ticks").packet(0, 0x8000, 1), "without its number"),
    ],
)
def test_bad_datagrams_are_refused(datagram, sentence):
    with pytest.raises(BadInput, match=sentence):
        packets(datagram, "4.1")


class Rig:
    """Datagrams under a virtual clock."""

    def __init__(self, units, *overrides):
        self.config = configuration.load(None, [f"session.units={units}", "source.options.wait_s=0", *overrides])
        self.feed = BlackrockFeed(self.config)
        self.feed.open = self.feed.close = lambda: None
        self.feed.receive = self.receive
        self.source = LiveSource(self.config, self.feed, lambda: self.now_ns)
        self.now_ns, self.arrivals, self.position, self.events = HOST, [], 0, []

    def receive(self, binner, timeout_s):
        until = self.now_ns + round(timeout_s * 1e9)
        if self.position < len(self.arrivals) and self.arrivals[self.position][0] <= until:
            host_ns, datagram = self.arrivals[self.position]
            self.position, self.now_ns = self.position + 1, max(self.now_ns, host_ns)
            self.feed.accept(datagram, host_ns, binner)
            return True
        self.now_ns = until
        return False

    def run(self):
        into, rows = Bin(self.config.session.units, False), []
        while self.position < len(self.arrivals) or self.source.binner.complete():
            self.source.next_bin(into, None, None)
            self.now_ns += 30_000
            rows.append(into.array[0].copy())
            self.events += self.source.drain_events()
        rows = np.array(rows)
        good = np.flatnonzero(rows["stale"] == 0)
        return rows[good[0] : good[-1] + 1]


def replay(path, rig):
    """Put what the stand-in sends of a NEV file on the rig, and return its spikes."""
    standin = NevReplay(rig.config, str(path))
    at = [0]
    standin.send = lambda packets: rig.arrivals.extend((HOST + at[0] + 50_000, data) for data in datagrams(packets))
    while not standin.done:
        at[0] += BIN_NS
        standin.emit(at[0] - BIN_NS, at[0], None)
    standin.close()
    for k in range(1, 20):  # the device goes on after the last spike
        rig.arrivals.append((HOST + at[0] + k * 10_000_000, standin.writer.heartbeat(at[0] + k * 10_000_000)))
    return standin.file


@pytest.mark.parametrize("protocol", ["3.11", "4.0", "4.1"])
@pytest.mark.parametrize(("name", "pause_s"), [("l101210-001.nev", 0.0), ("pause_correct.nev", 27.0)])
def test_real_recordings_through_stand_in_and_parser(recordings, protocol, name, pause_s):
    """Every spike of every sorted unit lands in the bin that its time stamp says, pause and all."""
    pytest.importorskip("neo", reason="neo is not installed")
    if protocol == "4.0" and pause_s:
        pytest.skip("the same packets as 4.1 but for the header; the short file shows it")
    from simulators.standins.blackrock import NevFile

    path = recordings / "acquisition" / name
    units = [list(pair) for pair in NevFile(str(path)).units]
    rig = Rig(len(units), f"source.options.protocol='{protocol}'", f"source.options.units={units}")
    file = replay(path, rig)
    rows = rig.run()
    bins = np.round(rows["device_time_s"] / 0.005).astype(int) - 1
    assert np.array_equal(np.diff(bins), np.ones(len(bins) - 1, int))
    expected = np.zeros((bins[-1] + 1, len(units)), int)
    np.add.at(expected, (file.times_ns // BIN_NS, file.owner), 1)
    assert file.times_ns.size == expected[bins].sum() + expected[: bins[0]].sum()
    first = expected[: bins[0]].sum()
    double = file.times_ns.size - np.unique(np.stack([file.times_ns, file.owner]), axis=1).shape[1]
    assert first <= 20 and rig.source.binner.totals["duplicates"] == double
    np.testing.assert_array_equal(np.minimum(rows["counts"], expected[bins]), rows["counts"])
    assert rows["counts"].sum() == file.times_ns.size - first - double
    assert rows["late"].sum() == rows["stale"].sum() == rig.source.binner.totals["refused"] == 0
    silent = rows["counts"].sum(1) == 0
    longest = max(len(run) for run in "".join("x" if quiet else " " for quiet in silent).split()) * 0.005
    assert longest >= pause_s - 0.1
    assert rig.source.binner.totals["lost"] == 0  # the protocol monitors agree


def test_packets_that_the_monitor_misses_are_counted():
    rig, writer = Rig(4), PacketWriter("4.1", "nanoseconds")
    for k in range(400):
        packets_ = [writer.spike(k * BIN_NS + 10, 1, 0), writer.heartbeat((k + 1) * BIN_NS)]
        if k % 100 == 99:
            packets_.append(writer.monitor((k + 1) * BIN_NS, 200 + (k > 99)))
        if k == 250:
            packets_ = packets_[1:]
        rig.arrivals.append((HOST + (k + 1) * BIN_NS, b"".join(packets_)))
    rig.run()
    assert rig.source.binner.totals["lost"] == 1


def test_doubled_datagrams_are_used_once():
    rig, writer = Rig(4), PacketWriter("4.1", "nanoseconds")
    for k in range(100):
        data = writer.spike(k * BIN_NS + 10, 2, 0) + writer.heartbeat((k + 1) * BIN_NS)
        rig.arrivals += [(HOST + (k + 1) * BIN_NS, data)] * (1 + (k % 10 == 5))
    rows = rig.run()
    assert rig.source.binner.totals["duplicates"] == 10
    assert set(rows["counts"][:, 1].tolist()) == {1}


def test_32_bit_ticks_start_again_every_40_hours():
    rig, writer = Rig(4, "source.options.protocol='3.11'"), PacketWriter("3.11", "ticks")
    start = (2**32 - 30_000) * 10**9 // 30_000 // BIN_NS * BIN_NS  # a second before
    for k in range(600):
        at = start + k * BIN_NS
        data = writer.spike(at + 10**6, 3, 0) + writer.heartbeat(at + BIN_NS)
        rig.arrivals.append((HOST + (k + 1) * BIN_NS, data))
    rows = rig.run()
    assert rows["segment"].max() == 0 and rows["stale"].sum() == 0
    assert set(rows["counts"][:, 2].tolist()) == {1}


def test_noise_and_unlisted_units_are_not_counted():
    rig, writer = Rig(2, "source.options.units=[[1, 1], [1, 2]]"), PacketWriter("4.1", "nanoseconds")
    for k in range(60):
        kinds = b"".join(writer.spike(k * BIN_NS + 10 + kind, 1, kind) for kind in (0, 1, 2, 2, 255))
        rig.arrivals.append((HOST + (k + 1) * BIN_NS, kinds + writer.heartbeat((k + 1) * BIN_NS)))
    rows = rig.run()
    assert set(map(tuple, rows["counts"].tolist())) == {(1, 1)}  # the second spike of unit 2 is the same packet


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["source.options.protocol='5'"], "must be one of 3.11, 4.0, 4.1, 4.2"),
        (["source.options.clock=seconds"], "ticks or nanoseconds"),
        (["source.options.units=[[1]]"], "must list session.units = 4 pairs"),
        (["source.options.unit=[[1]]"], "the nearest valid one is 'units'"),
    ],
)
def test_bad_configurations_are_one_sentence(overrides, sentence):
    with pytest.raises(BadInput, match=sentence):
        Rig(4, *overrides)


def beating(rig, writer, bins, stamp=lambda ns: ns, instrument=0, chid=lambda k: k % 4 + 1, start=10**9):
    """Send a spike in the middle of every bin and a heartbeat at its end."""
    for k in range(bins):
        spike = writer.spike(stamp(start + k * BIN_NS + BIN_NS // 2), chid(k), 1)
        data = bytearray(spike + writer.heartbeat(stamp(start + (k + 1) * BIN_NS + 2_000_000)))
        if instrument:
            data[14] = data[len(spike) + 14] = instrument
        rig.arrivals.append((HOST + (k + 1) * BIN_NS + 100_000, bytes(data)))
    rig.arrivals.sort(key=lambda item: item[0])


@pytest.mark.parametrize("says", ["nothing", "ticks"])
def test_ticks_are_told_from_nanoseconds_by_the_clocks_speed(says):
    rig = Rig(4, *(["source.options.clock=ticks"] if says == "ticks" else []))
    beating(rig, PacketWriter("4.1", "ticks"), 600)
    rows = rig.run()
    assert rig.feed.clock == "ticks" and rig.source.binner.totals["refused"] == 0
    assert rows["counts"].sum() >= (530 if says == "nothing" else 595)
    told = [event["text"] for event in rig.events if event["name"] == "source-told"]
    assert len(told) == (says == "nothing") and all("counts 3e+04 a second: read as ticks" in text for text in told)


def test_another_protocol_is_named_and_taken():
    rig = Rig(4)
    beating(rig, PacketWriter("3.11", "ticks"), 500)
    rows = rig.run()
    assert rig.feed.protocol == "3.11" and rows["counts"].sum() > 350
    assert "it fits protocol 3.11 (source.options.protocol)" in rig.source.refusals()[0]


def test_two_instruments_are_not_mixed():
    rig = Rig(4)
    beating(rig, PacketWriter("4.1", "nanoseconds"), 200)
    beating(rig, PacketWriter("4.1", "nanoseconds"), 200, instrument=1)
    rows = rig.run()
    assert rows["counts"].sum() <= 200 and rig.source.binner.totals["refused"] == 200
    assert "a spike of instrument 1, the session takes instrument 0" in rig.source.refusals()[0]


def test_two_instruments_by_list():
    listed = [[0, 1, 1], [1, 1, 1], [0, 2, 1], [1, 2, 1]]
    rig = Rig(4, f"source.options.units={listed}")
    beating(rig, PacketWriter("4.1", "nanoseconds"), 200, chid=lambda k: 1)
    beating(rig, PacketWriter("4.1", "nanoseconds"), 200, instrument=1, chid=lambda k: 2)
    counts = rig.run()["counts"].sum(0)
    assert counts[0] >= 198 and counts[3] >= 198 and counts[1] == counts[2] == 0


@pytest.mark.parametrize("port", [151, 279])
def test_digital_inputs_and_comments_are_events(port):
    rig, writer = Rig(4), PacketWriter("4.1", "nanoseconds")
    beating(rig, writer, 300)
    digital = writer.packet(10**9 + 200 * BIN_NS, port, 0, struct.pack("<3I", 0b101, 0b001, 1))
    comment = writer.packet(10**9 + 210 * BIN_NS, 0x8000, 0x31, bytes(16) + b"reward\0".ljust(128, b"\0"))
    rig.arrivals.append((HOST + 200 * BIN_NS + 150_000, digital))
    rig.arrivals.append((HOST + 210 * BIN_NS + 150_000, comment))
    rig.arrivals.sort(key=lambda item: item[0])
    rig.run()
    first, second = [event for event in rig.events if event["name"] == "device-event"]
    assert (first["kind"], first["port"], first["value"], first["bits_changed"]) == ("digital-input", port, 5, 1)
    assert first["host_time_ns"] == pytest.approx(HOST + 200 * BIN_NS, abs=3_000_000)
    assert (second["kind"], second["text"]) == ("comment", "reward")
    assert rig.source.binner.totals["refused"] == 0


def test_an_event_of_a_doubled_datagram_is_one_event():
    """A trial that begins with a digital input must not begin twice because the network doubled the datagram."""
    rig = Rig(4)
    for k in range(200):
        data = HEADERS["4.1"].pack(k * BIN_NS, 151, 0, 3, 0, 0) + struct.pack("<3I", k % 2, 1, 0)
        rig.arrivals += [(HOST + k * BIN_NS + 50_000, data), (HOST + k * BIN_NS + 80_000, data)]
    rig.run()
    values = [event["value"] for event in rig.events if event.get("kind") == "digital-input"]
    assert values == [k % 2 for k in range(200)] and rig.source.binner.totals["duplicates"] == 200
