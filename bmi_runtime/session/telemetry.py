"""Telemetry toward viewers (PUB, may be dropped) and the control socket of the operator (REP, acknowledged)."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq

from bmi_runtime.config import Config
from bmi_runtime.errors import BmiError
from bmi_runtime.messages import STREAMS, WIRE_VERSION, StepRecord, pack, unpack
from bmi_runtime.security import secure_server

HIGH_WATER_MARK = 200
KEPT_MESSAGES = 500  # of what happened, for a viewer that joins late
MAX_COMMAND_BYTES = 65536


def bind(context: zmq.Context, kind: int, key: str, config: Config, role: str = "client") -> zmq.Socket:
    """Return a socket bound to ``telemetry.KEY``, secured off loopback; raise `BmiError` naming address and key.

    `role` is what a client needs to be let in: ``client`` or ``operator``.
    """
    address: str = getattr(config.telemetry, key)
    socket = context.socket(kind)
    socket.linger = 0
    if kind == zmq.PUB:
        socket.sndhwm = HIGH_WATER_MARK  # before bind: it does not reach a bound socket
    else:
        socket.maxmsgsize = MAX_COMMAND_BYTES
    try:
        secure_server(socket, address, config.telemetry.key_folder, f"telemetry.{key}", role)
        socket.bind(address)
    except zmq.ZMQError as error:
        socket.close()
        raise BmiError(
            f"telemetry.{key} = {address} cannot be used ({error.strerror}); is another session running?"
        ) from None
    except BmiError:
        socket.close()
        raise
    return socket


class Telemetry:
    """Publishes the streams of `STREAMS`, thinned as the table says, each with a sequence number per stream.

    A message is two frames: the stream's name, and msgpack ``{"v", "seq", "bin", ...}``. A frozen viewer costs the loop
    nothing: past the high-water mark ZeroMQ drops what it would have sent to that viewer alone.
    """

    def __init__(self, config: Config, context: zmq.Context):
        self.socket = bind(context, zmq.PUB, "publish_address", config)
        self.sequence = dict.fromkeys(STREAMS, 0)
        self.every = {
            name: max(round(1.0 / (stream.publish_hz * config.bin_s)), 1) if stream.publish_hz else 1
            for name, stream in STREAMS.items()
        }
        self._binned: np.ndarray | None = None
        self._kept: collections.deque[tuple[str, bytes]] = collections.deque(maxlen=KEPT_MESSAGES)

    def step(self, record: StepRecord, bin_index: int) -> None:
        """Publish the newest step, with the counts summed since the last one that was published."""
        counts = record.input.counts
        if self._binned is None:
            self._binned = counts.astype(float)
        else:
            self._binned += counts
        if bin_index % self.every["step"] == 0:
            self.send(
                "step", bin_index, {"step": bytes(record.bytes), "counts": self._binned, "bins": self.every["step"]}
            )
            self._binned[:] = 0.0

    def due(self, stream: str, bin_index: int) -> bool:
        """Return whether the thinned stream is due at this bin."""
        return bin_index % self.every[stream] == 0

    def send(self, stream: str, bin_index: int, message: dict[str, Any]) -> None:
        """Publish one message; never waits."""
        self.sequence[stream] += 1
        body = pack({"v": WIRE_VERSION, "seq": self.sequence[stream], "bin": bin_index, **message})
        if stream in ("event", "command"):
            self._kept.append((stream, body))
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart((stream.encode(), body), zmq.DONTWAIT)

    def recent(self) -> list[list[Any]]:
        """Return the newest events and commands, oldest first, as ``[stream, packed message]``."""
        return [[stream, body] for stream, body in self._kept]

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class Control:
    """The operator's commands: polled once per bin, answered at once, applied on the bin boundary."""

    def __init__(self, config: Config, context: zmq.Context):
        self.socket = bind(context, zmq.REP, "control_address", config, "operator")
        self.refused = 0

    def poll(self, handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Take every waiting command; `handle` returns the answer, its `BmiError` becomes a refusal."""
        while True:
            try:
                data = self.socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                command = unpack(data)
                if not isinstance(command, dict):
                    raise BmiError("a command is a map, for example {'set': 'task.assist', 'value': 0.2}")
                reply = {"ok": True, **handle(command)}
            except BmiError as error:
                self.refused += 1
                reply = {"ok": False, "error": str(error)}
            self.socket.send(pack({"v": WIRE_VERSION, **reply}))

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
