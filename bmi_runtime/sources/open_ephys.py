"""The Open Ephys GUI's ZMQ Interface plugin: spikes and continuous data from its PUB socket, a heartbeat to its REP.

Every message is an envelope (``DATA`` or ``EVENT``, with a closing NUL), a JSON header and mostly a payload. A block of
the GUI first sends its events and spikes, then its continuous data, channel by channel; a block of continuous data
therefore says how far the device has come. A spike whose waveform was not complete at a block's end comes with the next
one: how far before the end that begins is learned from what comes, and bins wait for it. Without any continuous channel
(choose at least one in the plugin) only spikes tell how far the device has come, and silence is taken as silence for
``source.stale_after_s``.

A spike names its electrode; unit k is the electrode whose name ends in k + 1 (``Electrode 1`` is unit 0; from 0 where
an electrode 0 comes), or as ``source.options.units`` lists: pairs of electrode name and sorted ID, in the order of the
units. TTL lines are recorded as events.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

import numpy as np
import zmq

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.delays import LearnedWait
from bmi_runtime.sources.live import LiveSource, address_of, check_trusted
from bmi_runtime.sources.open_ephys_messages import MAX_NUMBER, Block, Line, Spike, parse
from bmi_runtime.sources.packet import Packet
from bmi_runtime.sources.sequence import Sequence, Verdict
from bmi_runtime.sources.unit_names import UnitNames
from bmi_runtime.sources.waiting import await_message

ADDRESS = "tcp://127.0.0.1:5556"
HEARTBEAT_S = 2.0  # between two heartbeats, by which the GUI lists its clients
MAX_BYTES = 16 * 1024 * 1024  # of a message; a block of one channel takes some kB
MAX_TIME_S = 2e9  # of acquisition, sixty years; more is no sample number
LONGEST_TAIL_S = 0.03  # of a waveform: its spike comes with the next block
MOST_CHANNELS = 1000  # messages of one block taken at once
ALONE_AFTER_S = 0.3  # of spikes without continuous data
_NUMBER = re.compile(rb'"message_n(?:um|o)"\s*:\s*(\d{1,18})')
_CHANNEL = re.compile(
    rb'^\{\s*"message_n(?:um|o)"\s*:\s*(\d{1,15}),\s*"type"\s*:\s*"data".*?"sample_num"\s*:\s*(\d{1,15})[,\s]',
    re.DOTALL,
)
"""The numbers of a message of continuous data, without reading all of its JSON."""


def unit_map(config: Config) -> dict[tuple[str, int], int] | None:
    """Return which (electrode, sorted ID) is which unit, or None for the numbers in the electrodes' names.

    Raises
    ------
    BadInput
        When the option is not a list of as many pairs as there are units.
    """
    units = config.source.options.get("units")
    if units is None:
        return None
    good = isinstance(units, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], int)
        for pair in units
    )
    if not good or len(units) != config.session.units:
        raise BadInput(
            f"source.options.units must list session.units = {config.session.units} pairs [electrode name, sorted ID], "
            f"for example [['Electrode 1', 0]]"
        )
    return {(name, sorted_id): index for index, (name, sorted_id) in enumerate(units)}


class OpenEphysFeed:
    """Receives from the plugin and keeps its heartbeat going.

    Parameters
    ----------
    config : Config
        ``source.address`` (tcp://127.0.0.1:5556); ``source.options``: ``units``, ``first_channel``, ``sample_rate_hz``
        (30000; continuous data say their own), ``stream`` (take this one only), ``heartbeat`` (true).
    """

    OPTIONS: tuple[str, ...] = ("units", "sample_rate_hz", "stream", "heartbeat", "first_channel")

    def __init__(self, config: Config):
        self.config, options = config, config.source.options
        self.address = address_of(config, ADDRESS)
        self.n_units = config.session.units
        self.names = UnitNames(self.n_units, unit_map(config), options.get("first_channel"))
        self.tail = LearnedWait(0, round(LONGEST_TAIL_S * 1e9))
        self.sample_rate_hz = options.get("sample_rate_hz", 30_000.0)
        if not isinstance(self.sample_rate_hz, int | float) or not 100 <= self.sample_rate_hz <= 1e6:
            raise BadInput(f"source.options.sample_rate_hz must lie between 100 and 1e6, got {self.sample_rate_hz!r}")
        if config.continuous:
            raise BadInput(
                "open-ephys brings spikes, this session is set for features (session.likelihood = 'gaussian')"
            )
        self.stream = options.get("stream")
        self.sequence = Sequence(plausible_gap=0, first=1)
        self.socket: Any = None
        self.heart: Any = None
        self.heartbeats = self.answers = 0
        self._beat_ns = 0
        self._name = {"application": "bmi-runtime", "uuid": str(uuid.uuid4()), "type": "heartbeat"}
        self._times: list[int] = []
        self._units: list[int] = []
        self._last: int | None = None  # the end of the newest block
        self._block_first = -1
        self._until: int | None = None  # spikes before this sample are accounted for
        self._first: int | None = None
        self._doubt = self._blocks = False
        self._lost = self._contradicted = 0
        self._held: tuple[Spike | Block | Line, int, int] | None = None

    def open(self) -> None:
        """Connect to the plugin's data socket and, one port further, to its heartbeat socket."""
        check_trusted(self.address, self.config)
        head, _, port = self.address.rpartition(":")
        if not port.isdigit():
            raise BadInput(f"source.address = {self.address} must end in a port, for example {ADDRESS}")
        context: Any = zmq.Context.instance()
        self.socket = context.socket(zmq.SUB)
        self.socket.linger, self.socket.rcvhwm, self.socket.maxmsgsize = 0, 100_000, MAX_BYTES
        self.socket.subscribe(b"")
        self.heart = context.socket(zmq.REQ)
        self.heart.linger = 0
        self.heart.setsockopt(zmq.REQ_RELAXED, 1)  # an answer that never comes must not stop the next beat
        self.heart.setsockopt(zmq.REQ_CORRELATE, 1)
        try:
            self.socket.connect(self.address)
            self.heart.connect(f"{head}:{int(port) + 1}")
        except zmq.ZMQError as error:
            self.close()
            raise BadInput(f"source.address = {self.address} cannot be connected to ({error.strerror})") from None

    def receive(self, binner: Binner, timeout_s: float) -> bool:
        """Wait at most this long for one message and give what it brings to the binner."""
        assert self.socket is not None
        if time.monotonic_ns() - self._beat_ns > HEARTBEAT_S * 1e9:
            self._beat()
        if timeout_s > 0.0 and not await_message(self.socket, timeout_s):
            return False
        for _ in range(MOST_CHANNELS):
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return False
            if not self._same_block(frames, binner):
                self.accept(frames, time.monotonic_ns(), binner)
                break
        return True

    def _same_block(self, frames: list[bytes], binner: Binner) -> bool:
        """Return whether this is one more channel of the same block: counted, and nothing new (384 a block come)."""
        if self._last is None or frames[0] != b"DATA\0" or len(frames) != 3:
            return False
        match = _CHANNEL.search(frames[1])
        if match is None or int(match[2]) != self._block_first or int(match[1]) != self.sequence.last + 1:
            return False
        self._number(self.sequence.last + 1, binner)
        return True

    def _beat(self) -> None:
        self._beat_ns = time.monotonic_ns()
        if self.heart is None or self.config.source.options.get("heartbeat") is False:
            return
        try:
            while self.heart.poll(0):
                self.heart.recv(zmq.DONTWAIT)
                self.answers += 1
        except zmq.ZMQError:
            pass
        try:
            self.heart.send(json.dumps(self._name).encode(), zmq.DONTWAIT)
            self.heartbeats += 1
        except zmq.ZMQError:
            pass

    def accept(self, frames: list[bytes], arrived_ns: int, binner: Binner) -> None:
        """Check one message that arrived at this host time, and give what it brings to the binner."""
        try:
            message = parse(frames)
            unit = self.names.unit(message.electrode, message.sorted_id) if type(message) is Spike else -1
            verdict = self._number(message.number, binner)
        except BadInput as error:
            self._skip_number(frames, binner)
            binner.refuse(str(error))
            return
        if verdict is Verdict.DUPLICATE:
            binner.duplicate()
        elif verdict is Verdict.HELD:
            self._held = (message, unit, arrived_ns)
        else:
            if verdict is Verdict.RESTART:
                self._restart(binner)
            if verdict in (Verdict.RESTART, Verdict.CONFIRMED) and self._held is not None:
                self._use(*self._held, binner)
            self._use(message, unit, arrived_ns, binner)

    def _restart(self, binner: Binner) -> None:
        self._until, self._last, self._doubt = None, None, False
        self._times.clear()
        self._units.clear()
        binner.restart("acquisition-restarted")

    def _number(self, number: int, binner: Binner) -> Verdict:
        verdict = self.sequence.take(0, number)
        if self.sequence.lost != self._lost:
            binner.lose(self.sequence.lost - self._lost)
            self._lost = self.sequence.lost
            self._doubt = True
        if self.sequence.contradicted != self._contradicted:
            self._contradicted = self.sequence.contradicted
            binner.refuse("a message number that neither the message before nor the one after agrees with")
        return verdict

    def _skip_number(self, frames: list[bytes], binner: Binner) -> None:
        """Count a refused message as seen when its number can be read and is the next: it was not lost."""
        match = _NUMBER.search(frames[1][:200]) if len(frames) > 1 else None
        if match and self.sequence.start is not None and int(match.group(1)) == self.sequence.last + 1:
            self._number(self.sequence.last + 1, binner)

    def _use(self, message: Spike | Block | Line, unit: int, arrived_ns: int, binner: Binner) -> None:
        if self.stream is not None and message.stream and message.stream != self.stream:
            return
        block = type(message) is Block
        sample = message.first if block else message.sample  # type: ignore[union-attr]
        rate_hz = message.rate_hz if block else self.sample_rate_hz  # type: ignore[union-attr]
        if sample > MAX_TIME_S * rate_hz:
            binner.refuse(f"sample {sample} at {rate_hz:g} Hz is an impossible time")
        elif isinstance(message, Spike):
            self._spike(sample, unit, arrived_ns, binner)
        elif isinstance(message, Block):
            self._block(message, arrived_ns, binner)
        elif sample >= 0 and message.line >= 0:
            facts = {"line": message.line, "state": message.state, "source_node": message.source_node}
            binner.mark("ttl", self._ns(sample), facts)

    def _spike(self, sample: int, unit: int, arrived_ns: int, binner: Binner) -> None:
        behind_s = (self._last - sample) / self.sample_rate_hz if self._last is not None else 0.0
        if 0.0 < behind_s < LONGEST_TAIL_S:  # it lay at the end of a block and came with the next one
            self.tail.observe(round(behind_s * 1e9))
        if unit >= 0:
            self._times.append(sample)
            self._units.append(unit)
        if not self._blocks and self._alone(sample):
            self._until_spike(sample, arrived_ns, binner)

    def _alone(self, sample: int) -> bool:
        """Return whether spikes have come for a while and no continuous data among them."""
        if self._first is None or not 0 <= sample - self._first < MAX_NUMBER:
            self._first = sample
        return sample - self._first > ALONE_AFTER_S * self.sample_rate_hz

    def _block(self, block: Block, arrived_ns: int, binner: Binner) -> None:
        """Hand over the spikes of a block: its continuous data say how far the device has come."""
        last = block.first + block.samples
        if last == self._last or last == block.first:  # another channel of the same block
            return
        if block.rate_hz != self.sample_rate_hz:  # what is pending was counted at another rate
            self._times.clear()
            self._units.clear()
        self._blocks, self.sample_rate_hz, binner.sparse = True, block.rate_hz, False
        doubt, self._doubt = self._doubt, False
        follows, self._last, self._block_first = self._last == block.first, last, block.first
        until = last - round(self.tail.wanted_ns * 1e-9 * self.sample_rate_hz)
        start, self._until = (self._until if follows and self._until is not None else block.first), until
        if doubt:  # spikes of this block may be among the lost messages: what came of it is not the whole of it
            self._times.clear()
            self._units.clear()
            return
        self._hand_over(min(start, until), until, last, arrived_ns, binner)

    def _until_spike(self, sample: int, arrived_ns: int, binner: Binner) -> None:
        """Hand over a spike at once: no continuous channel is sent, so nothing else tells how far the device is."""
        binner.sparse = True
        start = self._until if self._until is not None and self._until <= sample else sample
        self._until = sample + 1
        self._hand_over(start, sample + 1, sample + 1, arrived_ns, binner)

    def _hand_over(self, start: int, end: int, last: int, arrived_ns: int, binner: Binner) -> None:
        times = np.array([self._ns(sample) for sample in self._times], np.int64)
        units = np.array(self._units, np.int64)
        self._times.clear()
        self._units.clear()
        packet = Packet(self._ns(start), self._ns(end), arrived_ns, times, units, inside=False, sent_ns=self._ns(last))
        binner.take(packet)

    def _ns(self, sample: int) -> int:
        return round(sample * 1e9 / self.sample_rate_hz)

    def report(self) -> dict[str, Any]:
        """Return what the device sends: its electrodes and their units, and how late spikes of a block's end come."""
        tail_s = self.tail.wanted_ns * 1e-9
        return {"units": self.names.table(), "tail_s": tail_s, "sample_rate_hz": self.sample_rate_hz}

    def close(self) -> None:
        """Close both sockets."""
        for socket in (self.socket, self.heart):
            if socket is not None:
                socket.close()
        self.socket = self.heart = None


class OpenEphysSource(LiveSource):
    """The Open Ephys GUI as a source."""

    def __init__(self, config: Config):
        super().__init__(config, OpenEphysFeed(config))
