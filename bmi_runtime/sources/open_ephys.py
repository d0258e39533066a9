"""The Open Ephys GUI's ZMQ Interface plugin: spikes and continuous data from its PUB socket, a heartbeat to its REP.

Every message is an envelope (``DATA`` or ``EVENT``, with a closing NUL), a JSON header and mostly a payload. A block of
the GUI first sends its spikes, then its continuous data, channel by channel; a block of continuous data therefore says
that all spikes until its end are here. Without any continuous channel (choose at least one in the plugin) only spikes
tell how far the device has come, and silence is taken as silence for ``source.stale_after_s``.

A spike names its electrode; unit k is the electrode whose name ends in k + 1 (``Electrode 1`` is unit 0), or as
``source.options.units`` lists: pairs of electrode name and sorted ID, in the order of the units.
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
from bmi_runtime.sources.binner import Binner, Packet
from bmi_runtime.sources.live import LiveSource, address_of, check_trusted
from bmi_runtime.sources.sequence import Sequence, Verdict
from bmi_runtime.sources.waiting import await_message

ADDRESS = "tcp://127.0.0.1:5556"
HEARTBEAT_S = 2.0
MAX_BYTES = 16 * 1024 * 1024
MAX_SAMPLE = 1 << 53
MAX_BLOCK_S = 1.0
ALONE_AFTER_S = 0.3  # of spikes without continuous data
_NUMBER = re.compile(rb'"message_num"\s*:\s*(\d{1,18})')
_TRAILING = re.compile(r"(\d{1,6})\s*$")


def unit_map(config: Config) -> dict[tuple[str, int], int] | None:
    """Return which (electrode, sorted ID) is which unit, or None for the numbers in the electrodes' names."""
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
        ``source.address`` (tcp://127.0.0.1:5556); ``source.options``: ``units``, ``sample_rate_hz`` (30000; continuous
        data say their own), ``stream`` (take this one only), ``heartbeat`` (true).
    """

    OPTIONS: tuple[str, ...] = ("units", "sample_rate_hz", "stream", "heartbeat")

    def __init__(self, config: Config):
        self.config, options = config, config.source.options
        self.address = address_of(config, ADDRESS)
        self.n_units = config.session.units
        self.units = unit_map(config)
        self.sample_rate_hz = options.get("sample_rate_hz", 30_000.0)
        if not isinstance(self.sample_rate_hz, int | float) or not 100 <= self.sample_rate_hz <= 1e6:
            raise BadInput(f"source.options.sample_rate_hz must lie between 100 and 1e6, got {self.sample_rate_hz!r}")
        if config.continuous:
            raise BadInput("open-ephys brings spikes, this session wants features (session.likelihood = 'gaussian')")
        self.stream = options.get("stream")
        self.sequence = Sequence(plausible_gap=0, first=1)
        self.socket: Any = None
        self.heart: Any = None
        self.heartbeats = self.answers = 0
        self._beat_ns = 0
        self._name = {"application": "bmi-runtime", "uuid": str(uuid.uuid4()), "type": "heartbeat"}
        self._times: list[int] = []
        self._units: list[int] = []
        self._until: int | None = None  # samples before this one are accounted for
        self._first: int | None = None
        self._doubt = self._blocks = False
        self._lost = self._contradicted = 0
        self._held: tuple[dict, int] | None = None

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
        try:
            frames = self.socket.recv_multipart(zmq.DONTWAIT)
        except zmq.Again:
            return False
        self.accept(frames, time.monotonic_ns(), binner)
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
            header = self._header(frames)
            verdict = self._number(header["message_num"], binner)
        except BadInput as error:
            self._skip_number(frames, binner)
            binner.refuse(str(error))
            return
        if verdict is Verdict.DUPLICATE:
            binner.duplicate()
        elif verdict is Verdict.HELD:
            self._held = (header, arrived_ns)
        else:
            if verdict is Verdict.RESTART:
                self._restart(binner)
            if verdict in (Verdict.RESTART, Verdict.CONFIRMED) and self._held is not None:
                self._use(*self._held, binner)
            self._use(header, arrived_ns, binner)

    def _restart(self, binner: Binner) -> None:
        self._until, self._doubt = None, False
        self._times.clear()
        self._units.clear()
        binner.restart("acquisition-restarted")

    def _header(self, frames: list[bytes]) -> dict[str, Any]:
        """Return the checked header; raise `BadInput` saying what is wrong with the message."""
        if len(frames) not in (2, 3) or frames[0] not in (b"DATA\0", b"EVENT\0"):
            raise BadInput(f"not an Open Ephys message: {len(frames)} frames, envelope {bytes(frames[0][:20])!r}")
        try:
            header = json.loads(frames[1])
        except (ValueError, RecursionError):
            raise BadInput(
                "the JSON header is cut off or broken; the plugin cuts it when a name is not ASCII"
            ) from None
        if not isinstance(header, dict) or type(header.get("message_num")) is not int or header["message_num"] < 0:
            raise BadInput("the JSON header has no 'message_num'")
        kind = header.get("type")
        if kind not in ("data", "event", "spike"):
            raise BadInput(f"unknown type {str(kind)[:40]!r}")
        if (kind == "data") != (frames[0] == b"DATA\0"):
            raise BadInput(f"type '{kind}' in an envelope {frames[0]!r}")
        check = {"data": self._check_data, "spike": self._check_spike, "event": self._check_event}[kind]
        check(header, len(frames[2]) if len(frames) == 3 else 0)
        return header

    def _check_data(self, header: dict, n_bytes: int) -> None:
        content = header.get("content")
        keys = ("num_samples", "sample_num")
        if not isinstance(content, dict) or any(type(content.get(key)) is not int for key in keys):
            raise BadInput("continuous data without a usable 'num_samples' and 'sample_num'")
        if not 0 <= content["sample_num"] < MAX_SAMPLE or not 0 <= content["num_samples"] < MAX_SAMPLE:
            raise BadInput("continuous data without a usable 'num_samples' and 'sample_num'")
        rate: Any = content.get("sample_rate")
        if type(rate) not in (int, float) or not 100 <= rate <= 1e6:
            raise BadInput(f"continuous data with a sample rate of {str(rate)[:30]}")
        if content["num_samples"] > MAX_BLOCK_S * rate:
            raise BadInput(f"a block of {content['num_samples']} samples is longer than {MAX_BLOCK_S:g} s")
        if n_bytes != 4 * content["num_samples"] or header.get("data_size") != n_bytes:
            raise BadInput(f"{content['num_samples']} samples announced, {n_bytes} bytes came")

    def _check_spike(self, header: dict, n_bytes: int) -> None:
        spike = header.get("spike")
        if not isinstance(spike, dict):
            raise BadInput("a spike without its body 'spike'")
        sample, electrode = spike.get("sample_num"), spike.get("electrode")
        if type(sample) is not int or not 0 <= sample < MAX_SAMPLE or not isinstance(electrode, str):
            raise BadInput("a spike without a usable 'sample_num' and 'electrode'")
        if type(spike.get("sorted_id")) is not int:
            raise BadInput("a spike without a 'sorted_id'")
        shape: Any = (spike.get("num_channels"), spike.get("num_samples"))
        if any(type(size) is not int or not 0 < size < 100_000 for size in shape) or n_bytes != 4 * shape[0] * shape[1]:
            raise BadInput(f"a waveform of {str(shape)[:40]} announced, {n_bytes} bytes came")
        header["unit"] = self._unit(electrode, spike["sorted_id"])

    def _check_event(self, header: dict, n_bytes: int) -> None:
        if header.get("data_size") != n_bytes:
            raise BadInput(f"an event of {str(header.get('data_size'))[:20]} bytes announced, {n_bytes} came")

    def _unit(self, electrode: str, sorted_id: int) -> int:
        if self.units is not None:
            return self.units.get((electrode, sorted_id), -1)
        match = _TRAILING.search(electrode)
        number = int(match.group(1)) - 1 if match else -1
        if not 0 <= number < self.n_units:
            raise BadInput(
                f"electrode {electrode[:60]!r} is none of {self.n_units} units (its name must end in 1 to "
                f"{self.n_units}, or be in source.options.units)"
            )
        return number

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

    def _use(self, header: dict, arrived_ns: int, binner: Binner) -> None:
        body = header.get("spike") or header.get("content") or {}
        if self.stream is not None and body.get("stream") != self.stream:
            return
        if header["type"] == "spike":
            if header["unit"] >= 0:
                self._times.append(body["sample_num"])
                self._units.append(header["unit"])
            if not self._blocks and self._alone(body["sample_num"]):
                self._until_spike(body["sample_num"], arrived_ns, binner)
        elif header["type"] == "data":
            self._block(body, arrived_ns, binner)

    def _alone(self, sample: int) -> bool:
        """Return whether spikes have come for a while and no continuous data among them."""
        if self._first is None or not 0 <= sample - self._first < MAX_SAMPLE:
            self._first = sample
        return sample - self._first > ALONE_AFTER_S * self.sample_rate_hz

    def _block(self, content: dict, arrived_ns: int, binner: Binner) -> None:
        """Hand over the spikes of a block: its continuous data say that there are no more of them."""
        first, last = content["sample_num"], content["sample_num"] + content["num_samples"]
        if last == self._until or last == first:  # another channel of the same block
            return
        self._blocks, self.sample_rate_hz, binner.sparse = True, float(content["sample_rate"]), False
        doubt, self._doubt = self._doubt, False
        self._until = last
        if doubt:  # spikes of this block may be among the lost messages: what came of it is not the whole of it
            self._times.clear()
            self._units.clear()
            return
        self._hand_over(first, last, arrived_ns, binner)

    def _until_spike(self, sample: int, arrived_ns: int, binner: Binner) -> None:
        """Hand over a spike at once: no continuous channel is sent, so nothing else tells how far the device is."""
        binner.sparse = True
        start = self._until if self._until is not None and self._until <= sample else sample
        self._until = sample + 1
        self._hand_over(start, sample + 1, arrived_ns, binner)

    def _hand_over(self, start: int, end: int, arrived_ns: int, binner: Binner) -> None:
        times = np.array([self._ns(sample) for sample in self._times], np.int64)
        units = np.array(self._units, np.int64)
        self._times.clear()
        self._units.clear()
        binner.take(Packet(self._ns(start), self._ns(end), arrived_ns, times, units, inside=False))

    def _ns(self, sample: int) -> int:
        return round(sample * 1e9 / self.sample_rate_hz)

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
