"""A stand-in for the Open Ephys GUI's ZMQ Interface plugin: its frames, its heartbeat socket, its quirks."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import numpy as np
import zmq

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.sources.live import address_of
from bmi_runtime.sources.open_ephys import ADDRESS
from simulators.server import spread

SAMPLE_RATE_HZ = 30_000.0
STREAM = "acquisition_board"
SPIKE_SAMPLES = 40
SOURCE_NODE = 105


def juce_json(value: Any) -> bytes:
    """Return JSON as the plugin writes it: two spaces a level, CR LF, cut to as many bytes as there are characters."""
    text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\r\n")
    return text.encode()[
        : len(text)
    ]  # the plugin sends length() bytes: every non-ASCII character costs some at the end


class OpenEphysFrames:
    """Makes the plugin's messages: numbered, and restarted at 1 with every start of acquisition.

    Parameters
    ----------
    rng : numpy.random.Generator
    """

    def __init__(self, rng: np.random.Generator):
        self.rng, self.number = rng, 0
        self._waveform = np.zeros(SPIKE_SAMPLES, np.float32).tobytes()
        self._held: list[tuple[int, int]] = []  # spikes whose waveform was not complete at the end of a block

    def start_acquisition(self) -> None:
        """Start again: message numbers begin at 1."""
        self.number = 0

    def spike_frames(self, sample: int, unit: int, electrode: str | None = None) -> list[bytes]:
        """Return the frames of one spike at a sample number, of electrode ``unit + 1``."""
        self.number += 1
        spike = {
            "stream": STREAM,
            "source_node": SOURCE_NODE,
            "electrode": electrode or f"Electrode {unit + 1}",
            "sample_num": sample,
            "num_channels": 1,
            "num_samples": SPIKE_SAMPLES,
            "sorted_id": 0,
            "threshold": [-50.0],
        }
        header = {"message_num": self.number, "type": "spike", "spike": spike, "timestamp": int(time.time() * 1000)}
        return [b"EVENT\0", juce_json(header), self._waveform]

    def data_frames(self, sample: int, n_samples: int, channel: int = 0) -> list[bytes]:
        """Return the frames of a block of one continuous channel."""
        self.number += 1
        content = {
            "stream": STREAM,
            "channel_num": channel,
            "channel_name": f"CH{channel + 1}",
            "num_samples": n_samples,
            "sample_num": sample,
            "sample_rate": SAMPLE_RATE_HZ,
        }
        header = {"message_num": self.number, "type": "data", "content": content, "data_size": 4 * n_samples}
        header["timestamp"] = int(time.time() * 1000)
        return [b"DATA\0", juce_json(header), np.zeros(n_samples, np.float32).tobytes()]

    def ttl_frames(self, sample: int, line: int, state: bool) -> list[bytes]:
        """Return the frames of a TTL event."""
        self.number += 1
        content = {"stream": STREAM, "source_node": SOURCE_NODE, "type": 3, "sample_num": sample}
        header = {"message_num": self.number, "type": "event", "content": content, "data_size": 2}
        header["timestamp"] = int(time.time() * 1000)
        return [b"EVENT\0", juce_json(header), bytes([line, state])]

    def block_frames(
        self, from_ns: int, until_ns: int, values: np.ndarray, channels: int = 1, tail: int = 0
    ) -> list[list[bytes]]:
        """Return all messages of one block: spikes first, then its continuous channels.

        The detector needs `tail` samples behind a spike's peak to complete its waveform: spikes of a block's last ones
        come with the next block.
        """
        times, units = spread(values, from_ns, until_ns, self.rng)
        first, last = (round(t * SAMPLE_RATE_HZ / 1e9) for t in (from_ns, until_ns))
        samples = np.clip((times * SAMPLE_RATE_HZ / 1e9).astype(np.int64), first, last - 1)
        spikes = [*self._held, *zip(samples.tolist(), units.tolist(), strict=True)]
        self._held = [spike for spike in spikes if spike[0] >= last - tail]
        messages = [self.spike_frames(sample, unit) for sample, unit in spikes if sample < last - tail]
        return [*messages, *(self.data_frames(first, last - first, channel) for channel in range(channels))]


class OpenEphysStandIn(OpenEphysFrames):
    """Sends bins of spikes as blocks of the GUI.

    Parameters
    ----------
    config : Config
        ``source.address`` (tcp://127.0.0.1:5556); the heartbeat is answered one port further. ``source.options``:
        ``block_samples`` (0: a bin), ``channels`` (1), ``tail_samples`` (0), ``photodiode_delay_s`` (0: none): a TTL
        line 0 that turns when the target that the session publishes does, so much later.
    rng : numpy.random.Generator
    what : str
        Unused: the protocol knows spikes.
    """

    def __init__(self, config: Config, rng: np.random.Generator, what: str = "spikes"):
        if config.continuous:
            raise BadInput("the open-ephys stand-in sends spikes; set session.likelihood = 'poisson'")
        super().__init__(rng)
        self.messages = self.spikes = self.heartbeats = 0
        options = config.source.options
        self.block, self.channels = int(options.get("block_samples", 0)), int(options.get("channels", 1))
        self.tail, self.photodiode_s = int(options.get("tail_samples", 0)), float(options.get("photodiode_delay_s", 0))
        self._pending = np.zeros(config.session.units, np.int64)
        self._pending_from: int | None = None
        self._target: list[float] = []
        self._light: list[tuple[float, bool]] = []  # when (host time) the photodiode turns, and to what
        self._lit = False
        head, _, port = address_of(config, ADDRESS).rpartition(":")
        context = zmq.Context.instance()
        self.socket, self.listen = context.socket(zmq.PUB), context.socket(zmq.REP)
        self.socket.sndhwm = 100_000
        for socket, number in ((self.socket, int(port)), (self.listen, int(port) + 1)):
            socket.linger = 0
            try:
                socket.bind(f"{head}:{number}")
            except zmq.ZMQError as error:
                raise BmiError(f"{head}:{number} cannot be used ({error.strerror}); is the GUI running?") from None

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Send one block (or, with ``block_samples``, as many as are complete) and answer heartbeats."""
        if self._pending_from is None:
            self._pending_from = from_ns
        self._pending += values
        self.spikes += int(values.sum())
        block_ns = round(self.block * 1e9 / SAMPLE_RATE_HZ) if self.block else until_ns - self._pending_from
        while until_ns - self._pending_from >= block_ns:
            end_ns = self._pending_from + block_ns
            share = block_ns / (until_ns - self._pending_from)
            taken = self._pending if share >= 1.0 else self.rng.binomial(self._pending, share)
            self._pending = self._pending - taken
            self._send_light(self._pending_from, end_ns, until_ns)
            for frames in self.block_frames(self._pending_from, end_ns, taken, self.channels, self.tail):
                self._send(frames)
            self._pending_from = end_ns
        self._listen()

    def _send(self, frames: list[bytes]) -> None:
        self.socket.send_multipart(frames)
        self.messages += 1

    def watch(self, target: list[float]) -> None:
        """See the target that is on the screen now: the light of the photodiode follows it."""
        if self.photodiode_s and list(target) != self._target:
            on = not (self._light[-1][1] if self._light else self._lit)
            self._target = list(target)
            self._light.append((time.monotonic() + self.photodiode_s, on))

    def _send_light(self, from_ns: int, end_ns: int, now_ns: int) -> None:
        """Send the changes of the photodiode that fall into a block, at the sample at which they happened."""
        now = time.monotonic()
        while self._light and now_ns - (now - self._light[0][0]) * 1e9 < end_ns:
            at, self._lit = self._light.pop(0)
            at_ns = max(now_ns - (now - at) * 1e9, from_ns)
            self._send(self.ttl_frames(round(at_ns * SAMPLE_RATE_HZ / 1e9), 0, self._lit))

    def _listen(self) -> None:
        with contextlib.suppress(zmq.Again):
            while True:
                data = self.listen.recv(zmq.DONTWAIT)
                try:
                    good = isinstance(json.loads(data), dict)
                except ValueError:
                    good = False
                self.heartbeats += good
                self.listen.send(b"heartbeat received" if good else b"JSON message could not be read")

    def close(self) -> None:
        """Close both sockets."""
        self.socket.close()
        self.listen.close()
