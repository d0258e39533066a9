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

import select
import socket
import time
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.blackrock_packets import (
    CONFIGURATION,
    HEADERS,
    MONITOR,
    SPIKE_CHANNELS,
    RawPacket,
    fitting_protocols,
    packets,
)
from bmi_runtime.sources.live import LiveSource, address_of, check_trusted
from bmi_runtime.sources.packet import Packet
from bmi_runtime.wire import MAX_TIME_NS

ADDRESS = "udp://127.0.0.1:51002"
MAX_DATAGRAM = 65_536  # the largest that UDP can carry
TICK_HZ = 30_000  # sample rate of the hardware
RECENT_S = 0.1  # within which a doubled datagram is recognised
JUDGE_NS = 100_000_000  # of host time, over which the device's clock is compared with the host's
CLOCKS_HZ = {"ticks": float(TICK_HZ), "nanoseconds": 1e9}
MISFITS = 20  # datagrams in a row that another protocol's layout fits and ours does not


class BlackrockFeed:
    """Receives the UDP packets.

    Parameters
    ----------
    config : Config
        ``source.address`` (udp://127.0.0.1:51002): where to listen. ``source.options``: ``protocol`` (4.1, or what
        fits), ``clock`` (``ticks`` or ``nanoseconds``; else told by its speed), ``units``, ``spike_delay_s``,
        ``instrument`` (as sent, from 0; else the first that sends a spike).
    """

    OPTIONS: tuple[str, ...] = ("protocol", "clock", "units", "spike_delay_s", "instrument")

    def __init__(self, config: Config):
        options = config.source.options
        self.config, self.address, self.n_units = config, address_of(config, ADDRESS), config.session.units
        self.protocol = str(options.get("protocol", "4.1"))
        if self.protocol not in HEADERS:
            raise BadInput(f"source.options.protocol must be one of {', '.join(HEADERS)}, got {self.protocol!r}")
        self.clock = options.get("clock", "ticks" if self.protocol == "3.11" else "nanoseconds")
        if self.clock not in CLOCKS_HZ:
            raise BadInput(f"source.options.clock must be ticks or nanoseconds, got {self.clock!r}")
        self.delay_ns = round(1e9 * float(options.get("spike_delay_s", 0.002)))
        if config.continuous:
            raise BadInput(
                "blackrock brings spikes, this session is set for features (session.likelihood = 'gaussian')"
            )
        self.instrument = options.get("instrument")
        if self.instrument is not None and (type(self.instrument) is not int or not 0 <= self.instrument < 256):
            raise BadInput(f"source.options.instrument must be a number from 0 as sent, got {self.instrument!r}")
        self.unit_of = self._units(options.get("units"))
        self.several = any(len(key) == 3 for key in self.unit_of)
        self.socket: socket.socket | None = None
        self.monitored: dict[int, int] = {}  # packets of each instrument since its last protocol monitor
        self.found: dict[tuple[int, int, int], int] = {}  # spikes by instrument, channel, sorted unit
        self._judged = "clock" in options
        self._judge: tuple[int, int] | None = None
        self._votes = self._misfits = 0
        self._until_ns: int | None = None
        self._recent: tuple[set[tuple[int, int, int, int]], set[tuple[int, int, int, int]]] = (set(), set())
        self._recent_since = 0

    def _units(self, listed) -> dict[tuple[int, ...], int]:
        if listed is None:
            every = ((chid, kind) for chid in range(1, min(self.n_units, SPIKE_CHANNELS) + 1) for kind in range(17))
            return {(chid, kind): chid - 1 for chid, kind in every}
        good = isinstance(listed, list) and all(
            isinstance(row, list) and len(row) in (2, 3) and all(isinstance(number, int) for number in row)
            for row in listed
        )
        if not good or len(listed) != self.n_units or len({len(row) for row in listed}) != 1:
            raise BadInput(
                f"source.options.units must list session.units = {self.n_units} pairs [channel, sorted unit], for "
                "example [[1, 1], [1, 2], [2, 1]]; or, of several instruments, [instrument, channel, sorted unit]"
            )
        return {tuple(row): index for index, row in enumerate(listed)}

    def unit(self, packet: RawPacket) -> int:
        """Return the unit of a spike, -1 for none; raise `BadInput` for an instrument that nobody asked for."""
        if self.several:
            return self.unit_of.get((packet.instrument, packet.chid, packet.type), -1)
        return self.unit_of.get((packet.chid, packet.type), -1)

    def _ours(self, packet: RawPacket, binner: Binner) -> bool:
        """Return whether a packet is of the instrument (or of one of those) that this session listens to."""
        if self.several:
            return True
        if self.instrument is None and packet.spike:
            self.instrument = packet.instrument
        if self.instrument is None or packet.instrument == self.instrument:
            return True
        if packet.spike:
            binner.refuse(
                f"a spike of instrument {packet.instrument}, the session takes instrument {self.instrument}: say "
                "source.options.instrument, or list source.options.units as [instrument, channel, sorted unit]"
            )
        return False

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
            binner.refuse(str(error) + self._other_protocol(datagram))
            return
        self._misfits = 0
        times, units, newest, doubled = [], [], None, False
        for packet in found:
            self._monitor(packet, binner)
            if not self._ours(packet, binner):
                continue
            time_ns = self._ns(packet.time)
            if time_ns > MAX_TIME_NS:
                binner.refuse(f"a time of {time_ns} ns is impossible", of_time=True)
                continue
            newest = time_ns if newest is None else max(newest, time_ns)
            if packet.spike:
                if self._twice(packet, time_ns, binner):
                    doubled = True
                elif (unit := self._note(packet)) >= 0:
                    times.append(time_ns)
                    units.append(unit)
            else:
                self._event(packet, time_ns, binner)
        if newest is not None and (times or not doubled):  # a datagram that came twice says nothing about time
            self._judge_clock(found[-1].time, arrived_ns, binner)
            self._hand_over(times, units, newest, arrived_ns, binner)

    def _note(self, packet: RawPacket) -> int:
        """Count a spike in the table of what was found, and return its unit."""
        key = (packet.instrument, packet.chid, packet.type)
        if key in self.found or len(self.found) < 4000:
            self.found[key] = self.found.get(key, 0) + 1
        return self.unit(packet)

    def _event(self, packet: RawPacket, time_ns: int, binner: Binner) -> None:
        digital, comment = packet.digital, packet.comment(self.protocol)
        if (digital is not None or comment is not None) and self._twice(packet, time_ns, binner):
            return
        if digital is not None:
            value, changed = digital
            port = {"port": packet.chid, "instrument": packet.instrument}
            binner.mark("digital-input", time_ns, facts={**port, "value": value, "bits_changed": changed})
        elif comment is not None:
            binner.mark("comment", time_ns, facts={"text": comment, "instrument": packet.instrument})

    def _other_protocol(self, datagram: bytes) -> str:
        """Return what to say when datagrams fit another protocol's layout; take it over where none was configured."""
        fits = [name for name in fitting_protocols(datagram) if name != self.protocol]
        self._misfits = self._misfits + 1 if fits else 0
        if not fits:
            return ""
        if self._misfits >= MISFITS and "protocol" not in self.config.source.options:
            self.protocol = fits[-1]
        return f"; it fits protocol {fits[-1]} (source.options.protocol)"

    def _judge_clock(self, stamp: int, arrived_ns: int, binner: Binner) -> None:
        """Tell ticks from nanoseconds by how fast the device's clock runs, unless the configuration says."""
        if self._judged:
            return
        if self._judge is None:
            self._judge = (stamp, arrived_ns)
            return
        first, since_ns = self._judge
        if arrived_ns - since_ns < JUDGE_NS:
            return
        self._judge = (stamp, arrived_ns)
        hertz = (stamp - first) / ((arrived_ns - since_ns) * 1e-9)
        nearest = next((name for name, rate in CLOCKS_HZ.items() if 0.5 < hertz / rate < 2.0), self.clock)
        self._votes = self._votes + 1 if nearest != self.clock else self._votes - 1
        if self._votes == 2:
            text = f"the device's clock counts {hertz:.4g} a second: read as {nearest} (source.options.clock)"
            self.clock, self._judged, self._until_ns = nearest, True, None
            binner.restart_told("clock-unit", text)
        self._judged = self._judged or self._votes <= -2

    def _ns(self, ticks: int) -> int:
        if self.clock == "nanoseconds":
            return ticks
        if self.protocol == "3.11" and self._until_ns is not None:  # 32 bits of 30 kHz start again every 39.8 hours
            now = self._until_ns * TICK_HZ // 1_000_000_000
            ticks += max((now - ticks + (1 << 31)) >> 32, 0) << 32
        return ticks * 1_000_000_000 // TICK_HZ

    def _monitor(self, packet: RawPacket, binner: Binner) -> None:
        """Compare the packets that a device says it sent with those that came."""
        if packet.chid == CONFIGURATION and packet.type == MONITOR:
            sent = int.from_bytes(packet.body[:4], "little")
            missing = sent - self.monitored.get(packet.instrument, sent)
            if 0 < missing < 1_000_000:
                binner.lose(missing)
            self.monitored[packet.instrument] = 1
        elif packet.instrument in self.monitored:
            self.monitored[packet.instrument] += 1

    def _twice(self, packet: RawPacket, time_ns: int, binner: Binner) -> bool:
        """Return whether this very spike or event was here before: the network doubled a datagram."""
        key = (time_ns, packet.instrument, packet.chid, packet.type if packet.spike else hash(bytes(packet.body)))
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

    def report(self) -> dict[str, Any]:
        """Return what the device was found to send."""
        rows = [
            {
                "name": f"instrument {key[0]} channel {key[1]}",
                "sorted_ids": [key[2]],
                "spikes": count,
                "unit": self._row(key),
            }
            for key, count in self.found.items()
        ]
        told = {"protocol": self.protocol, "clock": self.clock, "instrument": self.instrument}
        return {**told, "units": sorted(rows, key=lambda row: -row["spikes"])}

    def _row(self, key: tuple[int, int, int]) -> int:
        return self.unit_of.get(key if self.several else key[1:], -1)

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class BlackrockSource(LiveSource):
    """A Blackrock system as a source."""

    def __init__(self, config: Config):
        super().__init__(config, BlackrockFeed(config))
