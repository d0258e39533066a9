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

    def block_frames(self, from_ns: int, until_ns: int, values: np.ndarray) -> list[list[bytes]]:
        """Return all messages of one block: spikes first, then the continuous channel."""
        times, units = spread(values, from_ns, until_ns, self.rng)
        first, last = (round(t * SAMPLE_RATE_HZ / 1e9) for t in (from_ns, until_ns))
        samples = np.clip((times * SAMPLE_RATE_HZ / 1e9).astype(np.int64), first, last - 1)
        messages = [
            self.spike_frames(sample, unit) for sample, unit in zip(samples.tolist(), units.tolist(), strict=True)
        ]
        return [*messages, self.data_frames(first, last - first)]


class OpenEphysStandIn(OpenEphysFrames):
    """Sends bins of spikes as blocks of the GUI.

    Parameters
    ----------
    config : Config
        ``source.address`` (tcp://127.0.0.1:5556); the heartbeat is answered one port further.
    rng : numpy.random.Generator
    what : str
        Unused: the protocol knows spikes.
    """

    def __init__(self, config: Config, rng: np.random.Generator, what: str = "spikes"):
        if config.continuous:
            raise BadInput("the open-ephys stand-in sends spikes; set session.likelihood = 'poisson'")
        super().__init__(rng)
        self.messages = self.spikes = self.heartbeats = 0
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
        """Send one block and answer heartbeats."""
        for frames in self.block_frames(from_ns, until_ns, values):
            self.socket.send_multipart(frames)
            self.messages += 1
        self.spikes += int(values.sum())
        self._listen()

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
