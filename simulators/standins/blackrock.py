"""A stand-in for a Blackrock system: its UDP packets to the byte, from simulated units or from a NEV file."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.blackrock import ADDRESS, TICK_HZ
from bmi_runtime.sources.blackrock_packets import CONFIGURATION, HEADERS, HEARTBEAT, MONITOR
from bmi_runtime.sources.live import address_of
from simulators.server import spread

WAVE_SAMPLES = 48  # of a spike, 1.6 ms
HEARTBEAT_NS = 10_000_000  # 100 a second, as the hardware
MONITOR_NS = 1_000_000_000  # one a second
SPIKE_DELAY_NS = 1_600_000  # a spike is sent when its 48 samples are complete
DATAGRAM_BYTES = 1400  # that fit an Ethernet frame
SPIKE_BODY = struct.Struct(f"<3f2h{WAVE_SAMPLES}h")


class PacketWriter:
    """Makes packets of one protocol and clock.

    Parameters
    ----------
    protocol : str
        A key of `HEADERS`.
    clock : {"ticks", "nanoseconds"}
    """

    def __init__(self, protocol: str, clock: str):
        self.header, self.ticks = HEADERS[protocol], clock == "ticks"
        self.wraps = protocol == "3.11"
        self.rest = (0,) * (len(self.header.unpack(bytes(self.header.size))) - 4)

    def packet(self, time_ns: int, chid: int, kind: int, body: bytes = b"") -> bytes:
        """Return one packet; `body` must be whole words of 4 bytes."""
        stamp = time_ns * TICK_HZ // 1_000_000_000 if self.ticks else time_ns
        if self.wraps:
            stamp &= 0xFFFFFFFF
        return self.header.pack(stamp, chid, kind, len(body) // 4, *self.rest) + body

    def spike(self, time_ns: int, chid: int, unit: int, wave: np.ndarray | None = None) -> bytes:
        """Return a spike on a channel (from 1) of a sorted unit, with its waveform (samples,) in int16."""
        wave = np.zeros(WAVE_SAMPLES, np.int16) if wave is None else np.resize(wave, WAVE_SAMPLES).astype(np.int16)
        body = SPIKE_BODY.pack(0.0, 0.0, 0.0, int(wave.max()), int(wave.min()), *wave.tolist())
        return self.packet(time_ns, chid, unit, body)

    def heartbeat(self, time_ns: int) -> bytes:
        """Return a heartbeat."""
        return self.packet(time_ns, CONFIGURATION, HEARTBEAT)

    def monitor(self, time_ns: int, sent: int) -> bytes:
        """Return a protocol monitor: how many packets were sent since the one before."""
        return self.packet(time_ns, CONFIGURATION, MONITOR, struct.pack("<I", sent))


def datagrams(packets: list[bytes]) -> Iterator[bytes]:
    """Yield the packets joined into datagrams that fit a network frame."""
    joined = b""
    for packet in packets:
        if joined and len(joined) + len(packet) > DATAGRAM_BYTES:
            yield joined
            joined = b""
        joined += packet
    if joined:
        yield joined


class BlackrockStandIn:
    """Sends bins of spikes as a Blackrock system does.

    Parameters
    ----------
    config : Config
        ``source.address`` (udp://127.0.0.1:51002) is where to send; ``source.options``: ``protocol``, ``clock``,
        ``units`` as for the source.
    rng : numpy.random.Generator
    what : str
        Unused: the protocol knows spikes.
    """

    def __init__(self, config: Config, rng: np.random.Generator, what: str = "spikes"):
        from bmi_runtime.sources.blackrock import BlackrockFeed

        feed = BlackrockFeed(config)  # checks the options, and knows which channel is which unit
        if feed.unit_of and config.session.units > len(set(feed.unit_of.values())):
            raise BadInput("blackrock has 256 channels; list source.options.units for more than 256 units")
        self.writer = PacketWriter(feed.protocol, feed.clock)
        self.channel_of = {unit: pair for pair, unit in reversed(feed.unit_of.items())}
        host, _, port = address_of(config, ADDRESS).partition("://")[2].rpartition(":")
        self.target = (host, int(port))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rng, self.messages, self.spikes = rng, 0, 0
        self.sent_since_monitor = 0
        self._pending: list[tuple[int, bytes]] = []  # spikes whose waveform is not complete yet
        self._next_beat_ns = self._next_monitor_ns = 0

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Send what a device sends in a piece of its time: spikes as their waveforms end, heartbeats, monitors."""
        times, units = spread(values, from_ns, until_ns, self.rng)
        for time_ns, unit in zip(times.tolist(), units.tolist(), strict=True):
            chid, kind = self.channel_of[unit]
            self._pending.append((time_ns + SPIKE_DELAY_NS, self.writer.spike(time_ns, chid, kind)))
        self.spikes += int(values.sum())
        self.send(self.due(from_ns, until_ns))

    def due(self, from_ns: int, until_ns: int) -> list[bytes]:
        """Return the packets that leave before a device time, in order."""
        leaving = [item for item in self._pending if item[0] < until_ns]
        self._pending = [item for item in self._pending if item[0] >= until_ns]
        if self._next_beat_ns < from_ns:
            self._next_beat_ns, self._next_monitor_ns = from_ns, from_ns + MONITOR_NS
        while self._next_beat_ns <= until_ns:
            leaving.append((self._next_beat_ns, self.writer.heartbeat(self._next_beat_ns)))
            self._next_beat_ns += HEARTBEAT_NS
        leaving.sort(key=lambda item: item[0])
        packets = [packet for _, packet in leaving]
        self.sent_since_monitor += len(packets)
        if until_ns >= self._next_monitor_ns:
            self._next_monitor_ns += MONITOR_NS
            packets.append(self.writer.monitor(until_ns, self.sent_since_monitor))
            self.sent_since_monitor = 1
        return packets

    def send(self, packets: list[bytes]) -> None:
        """Send packets; nobody listening is no error."""
        for datagram in datagrams(packets):
            try:
                self.socket.sendto(datagram, self.target)
            except OSError:
                continue
            self.messages += 1

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class NevFile:
    """The spikes of a NEV file, read with neo.

    Attributes
    ----------
    times_ns : ndarray, shape (spikes,)
        On the file's clock, sorted.
    channels, kinds : ndarray, shape (spikes,)
        Channel (from 1) and sorted unit.
    owner : ndarray, shape (spikes,)
        Index into `units`.
    units : list of (channel, sorted unit)
    """

    def __init__(self, path: str):
        try:
            from neo.rawio import BlackrockRawIO
        except ImportError:
            raise BadInput("reading .nev files needs neo: pip install 'bmi-runtime[nwb]'") from None
        try:
            reader = BlackrockRawIO(filename=str(path))
            reader.parse_header()
        except Exception as error:
            raise BadInput(
                f"{path} cannot be read as a Blackrock recording ({type(error).__name__}: {error})"
            ) from None
        found = [re.fullmatch(r"ch(\d+)#(\d+)", str(unit["name"])) for unit in reader.header["spike_channels"]]
        self.units = [(int(match.group(1)), int(match.group(2))) for match in found if match]
        stamps, owners, waves = [], [], []
        for segment in range(reader.segment_count(0)):
            for index, match in enumerate(found):
                if match is None:
                    continue
                ticks = np.asarray(reader.get_spike_timestamps(0, segment, index), np.int64)
                stamps.append(ticks)
                owners.append(np.full(ticks.size, len(stamps) - 1))
                waves.append(np.asarray(reader.get_spike_raw_waveforms(0, segment, index))[:, 0])
        self._waves = waves
        ticks, block = np.concatenate(stamps), np.concatenate(owners)
        within = np.concatenate([np.arange(len(stamp)) for stamp in stamps])
        order = np.argsort(ticks, kind="stable")
        self.times_ns = -(-ticks[order] * 1_000_000_000 // TICK_HZ)  # rounded up: back in ticks it is the same
        self.block, self.within = block[order], within[order]
        self.owner = self.block % len(self.units)
        self.channels = np.array([chid for chid, _ in self.units])[self.owner]
        self.kinds = np.array([kind for _, kind in self.units])[self.owner]

    def wave(self, spike: int) -> np.ndarray:
        """Return the waveform (samples,) of a spike, in int16."""
        return self._waves[self.block[spike]][self.within[spike]]


class NevReplay(BlackrockStandIn):
    """Sends the spikes of a NEV file on the file's own clock, its pauses included.

    Parameters
    ----------
    config : Config
    path : str
    """

    def __init__(self, config: Config, path: str):
        self.file = NevFile(path)
        super().__init__(config, np.random.default_rng(0))
        self.position, self.done = 0, False

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Send what the file holds of a piece of its time; `values` are not used."""
        file = self.file
        while self.position < file.times_ns.size and file.times_ns[self.position] < until_ns:
            k = self.position
            time_ns = int(file.times_ns[k])
            packet = self.writer.spike(time_ns, int(file.channels[k]), int(file.kinds[k]), file.wave(k))
            self._pending.append((time_ns + SPIKE_DELAY_NS, packet))
            self.position += 1
            self.spikes += 1
        self.send(self.due(from_ns, until_ns))
        self.done = self.position == file.times_ns.size and not self._pending
