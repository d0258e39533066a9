"""Blackrock's UDP packets (Cerebus, Gemini), protocols 3.11, 4.0 and 4.1 / 4.2.

A datagram holds packets one after the other; a packet is a header, then ``dlen`` words of 4 bytes. `HEADERS` lists the
layouts: time, channel, type, length (and instrument). On channels 1 to 256 a packet is a spike whose type is its
unit (0: unsorted, 255: noise); channel 0x8000 with type 0 is the heartbeat that says how far the device's clock is,
with type 1 the protocol monitor that says how many packets were sent. Times are ticks of 30 kHz or nanoseconds, by the
hardware.

Unit k is channel k + 1 whatever its sorted unit, without noise, or as ``source.options.units`` lists: pairs of channel
and sorted unit, in the order of the units. A spike is sent when its waveform is complete, so a bin closes
``source.options.spike_delay_s`` (0.002) after its end at the earliest; heartbeats come every 10 ms only, so what was
not heard of by the bin's deadline is silence, until nothing at all has come for ``source.stale_after_s``.
"""

from __future__ import annotations

import dataclasses
import select
import socket
import struct
import time

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binner import Binner, Packet
from bmi_runtime.sources.live import LiveSource, address_of, check_trusted

ADDRESS = "udp://127.0.0.1:51002"
HEADERS = {
    "3.11": struct.Struct("<IHBB"),  # time, chid, type, dlen
    "4.0": struct.Struct("<QHBHB2B"),  # time, chid, type, dlen, instrument, reserved
    "4.1": struct.Struct("<QHHHBB"),  # time, chid, type, dlen, instrument, reserved
    "4.2": struct.Struct("<QHHHBB"),
}
"""The header of a packet in each protocol."""
CONFIGURATION = 0x8000
HEARTBEAT, MONITOR = 0, 1
NOISE = 255
SPIKE_CHANNELS = 256
MAX_DATAGRAM = 65_536
MAX_TIME_NS = 1 << 62
TICK_HZ = 30_000
RECENT_S = 0.1


@dataclasses.dataclass(slots=True)
class RawPacket:
    """One packet: its header's fields and its body."""

    time: int
    chid: int
    type: int
    body: memoryview


def packets(datagram: bytes, protocol: str) -> list[RawPacket]:
    """Return the packets of a datagram.

    Raises
    ------
    BadInput
        When the lengths in the headers do not add up to the datagram, or a spike has an impossible body.
    """
    header, view, position, found = HEADERS[protocol], memoryview(datagram), 0, []
    while position < len(view):
        if len(view) - position < header.size:
            raise BadInput(f"a datagram ends {len(view) - position} bytes into a header of {header.size}")
        time_, chid, kind, dlen, *_ = header.unpack_from(view, position)
        end = position + header.size + 4 * dlen
        if end > len(view):
            raise BadInput(f"a packet of {4 * dlen} bytes is cut off after {len(view) - position - header.size}")
        body = view[position + header.size : end]
        if 1 <= chid <= SPIKE_CHANNELS:
            if not 16 <= len(body) <= 1024 or (kind > 16 and kind != NOISE):
                raise BadInput(f"a spike of {len(body)} bytes, unit {kind}, is impossible")
        elif chid & CONFIGURATION and kind == MONITOR and len(body) < 4:
            raise BadInput("a protocol monitor packet without its number")
        found.append(RawPacket(time_, chid, kind, body))
        position = end
    if not found:
        raise BadInput("an empty datagram")
    return found


class BlackrockFeed:
    """Receives the UDP packets.

    Parameters
    ----------
    config : Config
        ``source.address`` (udp://127.0.0.1:51002): where to listen. ``source.options``: ``protocol`` (4.1), ``clock``
        (``ticks`` or ``nanoseconds``; by default ticks for 3.11), ``units``, ``spike_delay_s``.
    """

    OPTIONS: tuple[str, ...] = ("protocol", "clock", "units", "spike_delay_s")

    def __init__(self, config: Config):
        options = config.source.options
        self.config, self.address, self.n_units = config, address_of(config, ADDRESS), config.session.units
        self.protocol = str(options.get("protocol", "4.1"))
        if self.protocol not in HEADERS:
            raise BadInput(f"source.options.protocol must be one of {', '.join(HEADERS)}, got {self.protocol!r}")
        self.clock = options.get("clock", "ticks" if self.protocol == "3.11" else "nanoseconds")
        if self.clock not in ("ticks", "nanoseconds"):
            raise BadInput(f"source.options.clock must be ticks or nanoseconds, got {self.clock!r}")
        self.delay_ns = round(1e9 * float(options.get("spike_delay_s", 0.002)))
        if config.continuous:
            raise BadInput("blackrock brings spikes, this session wants features (session.likelihood = 'gaussian')")
        self.unit_of = self._units(options.get("units"))
        self.socket: socket.socket | None = None
        self.received = 0  # packets since the last protocol monitor
        self._monitored = False
        self._until_ns: int | None = None
        self._recent: tuple[set[tuple[int, int, int]], set[tuple[int, int, int]]] = (set(), set())
        self._recent_since = 0

    def _units(self, pairs) -> dict[tuple[int, int], int]:
        if pairs is None:
            every = ((chid, kind) for chid in range(1, min(self.n_units, SPIKE_CHANNELS) + 1) for kind in range(17))
            return {(chid, kind): chid - 1 for chid, kind in every}
        good = isinstance(pairs, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(number, int) for number in pair)
            for pair in pairs
        )
        if not good or len(pairs) != self.n_units:
            raise BadInput(
                f"source.options.units must list session.units = {self.n_units} pairs [channel, sorted unit], for "
                "example [[1, 1], [1, 2], [2, 1]]"
            )
        return {(chid, kind): index for index, (chid, kind) in enumerate(pairs)}

    def open(self) -> None:
        """Listen."""
        check_trusted(self.address.replace("udp://", "tcp://"), self.config)
        transport, _, rest = self.address.partition("://")
        host, _, port = rest.rpartition(":")
        if transport not in ("udp", "tcp") or not port.isdigit():
            raise BadInput(f"source.address = {self.address} must look like {ADDRESS}")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self.socket.setblocking(False)
        try:
            self.socket.bind((host, int(port)))
        except OSError as error:
            self.close()
            raise BadInput(f"source.address = {self.address} cannot be listened on ({error.strerror})") from None

    def receive(self, binner: Binner, timeout_s: float) -> bool:
        """Wait at most this long for one datagram and give what it brings to the binner."""
        assert self.socket is not None
        if timeout_s > 0.0 and not select.select([self.socket], [], [], timeout_s)[0]:
            return False
        try:
            datagram = self.socket.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return False
        self.accept(datagram, time.monotonic_ns(), binner)
        return True

    def accept(self, datagram: bytes, arrived_ns: int, binner: Binner) -> None:
        """Check one datagram that arrived at this host time, and give what it brings to the binner."""
        try:
            found = packets(datagram, self.protocol)
        except BadInput as error:
            binner.refuse(str(error))
            return
        times, units, newest, doubled = [], [], None, False
        for packet in found:
            time_ns = self._ns(packet.time)
            if time_ns > MAX_TIME_NS:
                binner.refuse(f"a time of {time_ns} ns is impossible")
                continue
            self._monitor(packet, binner)
            newest = time_ns if newest is None else max(newest, time_ns)
            if 1 <= packet.chid <= SPIKE_CHANNELS:
                unit = self.unit_of.get((packet.chid, packet.type), -1)
                if self._twice(packet, time_ns, binner):
                    doubled = True
                elif unit >= 0:
                    times.append(time_ns)
                    units.append(unit)
        if newest is not None and (times or not doubled):  # a datagram that came twice says nothing about time
            self._hand_over(times, units, newest, arrived_ns, binner)

    def _ns(self, ticks: int) -> int:
        if self.clock == "nanoseconds":
            return ticks
        if self.protocol == "3.11" and self._until_ns is not None:  # 32 bits of 30 kHz start again every 39.8 hours
            now = self._until_ns * TICK_HZ // 1_000_000_000
            ticks += max((now - ticks + (1 << 31)) >> 32, 0) << 32
        return ticks * 1_000_000_000 // TICK_HZ

    def _monitor(self, packet: RawPacket, binner: Binner) -> None:
        """Compare the packets that the device says it sent with those that came."""
        self.received += 1
        if packet.chid == CONFIGURATION and packet.type == MONITOR:
            sent = int.from_bytes(packet.body[:4], "little")
            if self._monitored and 0 < sent - self.received + 1 < 1_000_000:
                binner.lose(sent - self.received + 1)
            self.received, self._monitored = 1, True

    def _twice(self, packet: RawPacket, time_ns: int, binner: Binner) -> bool:
        """Return whether this very spike was here before: the network doubled a datagram."""
        key = (time_ns, packet.chid, packet.type)
        new, old = self._recent
        if key in new or key in old:
            binner.duplicate()
            return True
        new.add(key)
        now = self._until_ns or 0
        if len(new) > 100_000 or abs(now - self._recent_since) > RECENT_S * 1e9:
            self._recent, self._recent_since = (set(), new), now
        return False

    def _hand_over(self, times: list, units: list, newest_ns: int, arrived_ns: int, binner: Binner) -> None:
        binner.sparse = True  # heartbeats come every 10 ms only
        until = newest_ns - self.delay_ns
        start, in_order = self._until_ns, True
        if start is None or until < start - binner.clock.jump_ns or until > start + 10**9:  # the clock jumped, or began
            start = until - 1
        elif until <= start:  # nothing new about time
            start, until, in_order = start, start, False
        packet = Packet(
            start,
            until,
            arrived_ns,
            np.array(times, np.int64),
            np.array(units, np.int64),
            in_order=in_order,
            inside=False,
        )
        if binner.take(packet):
            self._until_ns = until

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class BlackrockSource(LiveSource):
    """A Blackrock system as a source."""

    def __init__(self, config: Config):
        super().__init__(config, BlackrockFeed(config))
