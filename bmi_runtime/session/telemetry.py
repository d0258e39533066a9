"""Telemetry toward viewers (PUB, may be dropped) and the control socket of the operator (REP, acknowledged)."""

from __future__ import annotations

import collections
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq

from bmi_runtime.config import Config
from bmi_runtime.errors import BmiError, described, is_fault_of_part, printable
from bmi_runtime.messages import STREAMS, WIRE_VERSION, StepRecord, pack, unpack, without_missing
from bmi_runtime.peers import PeerCheck
from bmi_runtime.session.sockets import Publisher, bind

HIGH_WATER_MARK = 200  # messages that wait for one slow viewer
KEPT_MESSAGES = 500  # of what happened, for a viewer that joins late
MAX_COMMAND_BYTES = 65536  # the longest are lists of units to leave out
COMMANDS_PER_BIN = 4  # taken before the loop goes on
COMMAND_SHARE = 0.05  # of the loop's time that answering may take, over more than a few bins
QUEUED_COMMANDS = 64  # for each client; more wait on the client's side
QUICK_NS = 200_000  # answers quicker than this are limited by their number alone
SHOWN_CHARACTERS = 500  # of the sentence that refuses a command


class Telemetry:
    """Publishes the streams of `STREAMS`, thinned as the table says, each with a sequence number per stream.

    A message is two frames: the stream's name, and msgpack ``{"v", "seq", "run", "bin", ...}``; another ``run`` means
    that the runtime was started again and counts again. A frozen viewer costs the loop
    nothing: past the high-water mark ZeroMQ drops what it would have sent to that viewer alone.
    """

    def __init__(self, config: Config, context: zmq.Context):
        self.publisher = Publisher(context, config, "publish_address", HIGH_WATER_MARK)
        self.sequence = dict.fromkeys(STREAMS, 0)
        self.run = int.from_bytes(os.urandom(4), "big") or 1  # sequence numbers count within one run
        self.every = {
            name: max(round(1.0 / (stream.publish_hz * config.bin_s)), 1) if stream.publish_hz else 1
            for name, stream in STREAMS.items()
        }
        self._binned: np.ndarray | None = None
        self._kept: collections.deque[tuple[str, bytes]] = collections.deque(maxlen=KEPT_MESSAGES)

    def step(self, record: StepRecord, bin_index: int) -> None:
        """Publish the newest step, with the counts summed since the last one that was published."""
        counts = without_missing(record.input.counts)
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
        body = pack({"v": WIRE_VERSION, "seq": self.sequence[stream], "run": self.run, "bin": bin_index, **message})
        if stream in ("event", "command"):
            self._kept.append((stream, body))
        self.publisher.send((stream.encode(), body))

    def recent(self) -> list[list[Any]]:
        """Return the newest events and commands, oldest first, as ``[stream, packed message]``."""
        return [[stream, body] for stream, body in self._kept]

    def close(self) -> None:
        """Close the socket."""
        self.publisher.close()


class Control:
    """The operator's commands: polled once per bin, answered at once, applied on the bin boundary.

    Whatever arrives is answered or counted, never raised. At most `COMMANDS_PER_BIN` are taken in one bin; after an
    answer that took long the next one waits until answering has had no more than `COMMAND_SHARE` of the time. What
    is not taken waits in the client, not here. On loopback without keys only the user who runs the session (or root)
    may steer it.

    Parameters
    ----------
    config : Config
    context : zmq.Context
    section : str
        Of the configuration, in which ``control_address`` stands.

    Attributes
    ----------
    refused : int
        Messages that were not a command, or a command that could not be done.
    """

    def __init__(self, config: Config, context: zmq.Context, section: str = "telemetry"):
        self.socket = bind(context, zmq.REP, "control_address", config, "operator", _limited, section)
        keys, address = config.telemetry.key_folder, getattr(config, section).control_address
        self._peers = PeerCheck() if address.startswith("tcp://") and not keys else None
        self.refused = 0
        self._rest_until_ns = 0

    def poll(self, handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Take what waits, within the limits; `handle` returns the answer, its `BmiError` becomes a refusal."""
        for _ in range(COMMANDS_PER_BIN):
            began_ns = time.monotonic_ns()
            if began_ns < self._rest_until_ns:
                return
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.ZMQError:  # nothing is there, or this one cannot be received
                return
            reply = self._reply(frames, handle)
            with contextlib.suppress(zmq.ZMQError):  # who asked is gone
                self.socket.send(pack({"v": WIRE_VERSION, **reply}), zmq.DONTWAIT)
            took_ns = time.monotonic_ns() - began_ns
            if took_ns > QUICK_NS:
                self._rest_until_ns = began_ns + round(took_ns / COMMAND_SHARE)

    def _reply(self, frames: list[zmq.Frame], handle: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Return the answer to one message, whatever is in it."""
        try:
            if self._peers and not self._peers.is_ours(frames[0]):
                raise BmiError("only the user who started this session may steer it")
            if len(frames) != 1:
                raise BmiError(f"a command is one frame, these are {len(frames)}")
            command = unpack(frames[0].bytes)
            if not isinstance(command, dict):
                raise BmiError("a command is a map, for example {'set': 'task.assist', 'value': 0.2}")
            return {"ok": True, **handle(command)}
        except BmiError as error:
            sentence = str(error)
        except BaseException as error:  # a command must not end a session, whatever it hits
            if not is_fault_of_part(error):
                raise
            sentence = f"the command failed: {described(error)}"
        self.refused += 1
        return {"ok": False, "error": printable(sentence)[:SHOWN_CHARACTERS]}

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def _limited(socket: zmq.Socket) -> None:
    socket.maxmsgsize, socket.rcvhwm = MAX_COMMAND_BYTES, QUEUED_COMMANDS
