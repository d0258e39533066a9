"""The simulated world in a process of its own: spikes go out as from an acquisition system, the cursor comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import zmq

from bmi_runtime import security, wire
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.sender import Sender
from simulators.world import World


class Emitter(Protocol):
    """Sends one bin of the world in some protocol."""

    messages: int
    spikes: int

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Send the counts or features (units,) of a piece of device time."""

    def close(self) -> None:
        """Let go of sockets."""


def spread(counts: np.ndarray, from_ns: int, until_ns: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return times (ns, sorted) and units of the spikes that give these counts, uniform over the piece of time."""
    units = np.repeat(np.arange(counts.size), counts)
    times = rng.integers(from_ns, until_ns, units.size)
    order = np.argsort(times, kind="stable")
    return times[order], units[order]


class OwnWire:
    """Our own wire: spikes (or counts, or features) over ZeroMQ."""

    def __init__(self, config: Config, rng: np.random.Generator, what: str = "spikes"):
        self.sender = Sender(config.source.address, key_folder=config.telemetry.key_folder)
        self.rng, self.what = rng, "features" if config.continuous else what

    @property
    def messages(self) -> int:
        """Messages sent so far."""
        return self.sender.messages

    @property
    def spikes(self) -> int:
        """Spikes sent so far."""
        return self.sender.spikes_sent

    def emit(self, from_ns: int, until_ns: int, values: np.ndarray) -> None:
        """Send one bin."""
        if self.what == "spikes":
            self.sender.spikes(from_ns, until_ns, *spread(values, from_ns, until_ns, self.rng))
        elif self.what == "counts":
            self.sender.counts(from_ns, until_ns, np.minimum(values, 65535))
        else:
            self.sender.features(from_ns, until_ns, values)

    def close(self) -> None:
        """Close the socket."""
        self.sender.close()


class Screen:
    """What the subject sees: the newest cursor and target that ``bmi run`` publishes.

    Parameters
    ----------
    config : Config
        ``telemetry.output_address``.
    """

    def __init__(self, config: Config):
        address = config.telemetry.output_address
        self.axes = config.space.n_axes
        self.cursor, self.target = [0.0] * (2 * self.axes), [0.0] * (self.axes + 1)
        self.messages = self.refused = 0
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.linger, self.socket.maxmsgsize = 0, 65536
        security.secure_client(self.socket, address, config.telemetry.key_folder, "telemetry.output_address")
        self.socket.subscribe(b"decoded")
        try:
            self.socket.connect(address)
        except zmq.ZMQError as error:
            raise BadInput(f"telemetry.output_address = {address} cannot be connected to ({error.strerror})") from None

    def look(self) -> None:
        """Take everything that has arrived; the newest counts."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                body = wire.decode(frames, 0).body
            except BadInput:
                self.refused += 1
                continue
            if len(body["target"]) != self.axes + 1:  # the runtime and this world disagree on state.axes
                self.refused += 1
                continue
            self.cursor, self.target = body["cursor"], body["target"]
            self.messages += 1

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class SpikeServer:
    """Runs the world against the wall clock.

    Parameters
    ----------
    config : Config
    emitter : Emitter
    clock_start_s : float
        What the device's clock says when this starts.
    skew_ppm : float
        How much faster than the host's it runs.
    """

    def __init__(self, config: Config, emitter: Emitter, clock_start_s: float = 10.0, skew_ppm: float = 0.0):
        self.config, self.emitter = config, emitter
        self.world, self.screen = World(config), Screen(config)
        self.device_bin_ns = round(config.bin_s * 1e9)
        self.host_bin_s = config.bin_s / (1.0 + skew_ppm * 1e-6)
        self.clock_start_ns = round(clock_start_s * 1e9)
        self.bins, self.running = 0, False

    def describe(self) -> str:
        """Return one line for a person."""
        config = self.config
        return (
            f"{config.session.units} {config.session.likelihood} units, {config.bin_s * 1000:g} ms bins, at "
            f"{config.source.address}; the subject watches the cursor at {config.telemetry.output_address}"
        )

    def run(self, duration_s: float, on_bin: Callable[[int], None] | None = None) -> None:
        """Emit bin after bin when it is due, for this long (0: until stopped); after a stall, all that are overdue."""
        begin, self.running = time.monotonic(), True
        total = round(duration_s / self.config.bin_s)
        while self.running and (not total or self.bins < total) and not getattr(self.emitter, "done", False):
            left = begin + (self.bins + 1) * self.host_bin_s - time.monotonic()
            if left > 0:
                time.sleep(left)
            self._one_bin()
            if on_bin:
                on_bin(1)

    def _one_bin(self) -> None:
        self.screen.look()
        if (watch := getattr(self.emitter, "watch", None)) is not None:  # a photodiode on the subject's screen
            watch(self.screen.target)
        values = self.world.counts(self.screen.cursor, self.screen.target)
        from_ns = self.clock_start_ns + self.bins * self.device_bin_ns
        self.emitter.emit(from_ns, from_ns + self.device_bin_ns, values)
        self.bins += 1

    def stop(self) -> None:
        """End after the current bin."""
        self.running = False

    def close(self) -> None:
        """Let go of sockets."""
        self.emitter.close()
        self.screen.close()

    def result(self) -> dict[str, Any]:
        """Return what was sent and seen."""
        return {
            "messages": self.emitter.messages,
            "spikes": self.emitter.spikes,
            "bins": self.bins,
            "cursors_seen": self.screen.messages,
        }
