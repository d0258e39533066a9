"""The guard as a process of its own: what the runtime publishes comes in, what may leave for an effector goes out."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Any

import zmq

from bmi_runtime import security, wire
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.guard import Guard, Leaving, Wanted
from bmi_runtime.session.live_parameters import is_word
from bmi_runtime.session.replay import recorded_config
from bmi_runtime.session.sockets import Publisher
from bmi_runtime.session.telemetry import Control

QUEUED_MESSAGES = 100  # older ones are of no use to an effector
MESSAGES_AT_ONCE = 50  # then commands and the heartbeat have their turn
HIGH_WATER_MARK = 100  # messages that wait for one slow reader
SAME_CLOCK_NS = 60_000_000_000  # a host time further away than this is that of another machine
SHOWN_CHANGES = 1000  # kept for the result of a run


class GuardProcess:
    """Receives decoded state, looks at every message, publishes what may leave.

    Parameters
    ----------
    config : Config
        ``telemetry.output_address`` is listened to; section guard says the rest.
    say : callable
        Takes a sentence for the operator.
    """

    def __init__(self, config: Config, say: Callable[[str], None] = lambda text: None):
        self.config, self.say = config, say
        self.guard = Guard(config.guard, message_interval_s(config))
        self.changes: list[dict[str, Any]] = []
        self.refused = 0
        self._message: dict[str, Any] = {}
        self._start, self._sequence, self._running = secrets.randbits(63), 0, True
        context: zmq.Context = zmq.Context.instance()
        with contextlib.ExitStack() as opened:
            self._publisher = Publisher(context, config, "output_address", HIGH_WATER_MARK, "guard")
            opened.callback(self._publisher.close)
            self._control = Control(config, context, "guard")
            opened.callback(self._control.close)
            self._socket = self._connected(context)
            opened.pop_all()

    def _connected(self, context: zmq.Context) -> zmq.Socket:
        address, keys = self.config.telemetry.output_address, self.config.telemetry.key_folder
        socket = context.socket(zmq.SUB)
        socket.linger, socket.rcvhwm, socket.maxmsgsize = 0, QUEUED_MESSAGES, wire.MAX_BODY_BYTES
        try:
            security.secure_client(socket, address, keys, "telemetry.output_address")
            socket.subscribe(b"decoded")
            socket.connect(address)
        except (zmq.ZMQError, BadInput) as error:
            socket.close()
            raise BadInput(f"telemetry.output_address = {address} cannot be connected to ({error})") from None
        return socket

    def run(self, duration_s: float = 0.0) -> None:
        """Run until stopped, or for so long (0: until stopped); what leaves last stands still."""
        heartbeat_ns = round(self.config.guard.heartbeat_s * 1e9)
        end_ns = time.monotonic_ns() + round(duration_s * 1e9) if duration_s else None
        due_ns = time.monotonic_ns() + heartbeat_ns
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._control.socket, zmq.POLLIN)
        while self._running and (end_ns is None or time.monotonic_ns() < end_ns):
            poller.poll(max(min((due_ns - time.monotonic_ns()) // 1_000_000 + 1, 100), 0))
            self._control.poll(self._handle)
            if self._take():
                due_ns = time.monotonic_ns() + heartbeat_ns
            elif time.monotonic_ns() >= due_ns:
                self._send(self.guard.missed())
                due_ns = time.monotonic_ns() + heartbeat_ns
        self._send(self.guard.end("the guard was ended"))

    def stop(self) -> None:
        """End :meth:`run` after the current message."""
        self._running = False

    def _take(self) -> bool:
        """Look at what is waiting, within a limit; return whether a message could be read."""
        sound = False
        for _ in range(MESSAGES_AT_ONCE):
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.ZMQError:
                break
            try:
                message = wire.decode(frames, 1)
                wanted = self._wanted(message.body)
            except BadInput as error:
                self.refused += 1
                if self.refused == 1:
                    self.say(f"a message was refused: {error}")
                continue
            sound = True
            self._message = message.body
            self._send(self.guard.judge(wanted))
        return sound

    def _wanted(self, body: dict[str, Any]) -> Wanted:
        """Return what a message asks for.

        Raises
        ------
        BadInput
            When a value that the guard needs is not there.
        """
        cursor, safety, stale, host_ns = (body.get(key) for key in ("cursor", "safety", "stale", "host_ns"))
        if type(safety) is not int or type(stale) is not int or type(host_ns) is not int or not cursor:
            raise BadInput("a message of decoded state without cursor, safety, stale or host_ns")
        late_ns = time.monotonic_ns() - host_ns
        late_s = late_ns * 1e-9 if 0 <= late_ns < SAME_CLOCK_NS else 0.0
        half = len(cursor) // 2
        return Wanted(cursor[:half], cursor[half:], stale * self.config.bin_s + late_s, safety)

    def _handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Answer the operator: ``{"do": "stop"}`` stops the output for good, ``{"get": "hello"}`` asks for counts."""
        if is_word(command.get("do"), "stop"):
            self._send(self.guard.end())
        elif not is_word(command.get("get"), "hello"):
            raise BadInput("the guard takes {'do': 'stop'} and {'get': 'hello'}")
        return {"standing": self.guard.state.name.lower(), **self.guard.counts(), "refused": self.refused}

    def _send(self, leaving: Leaving) -> None:
        """Publish what leaves; say what changed."""
        for change in self.guard.drain():
            self.say(f"{change['from']} -> {change['to']}: {change['why']}")
            if len(self.changes) < SHOWN_CHANGES:
                self.changes.append({**change, "bin": self._message.get("bin")})
        if leaving.position is None or leaving.velocity is None:
            return
        self._sequence += 1
        body = self._message | {
            "cursor": [*leaving.position, *leaving.velocity],
            "guard": leaving.state.name.lower(),
        }
        for own in ("v", "start", "seq"):
            body.pop(own, None)
        self._publisher.send(wire.encode("decoded", self._start, self._sequence, **body))

    def result(self) -> dict[str, Any]:
        """Return how many messages left how, and what changed when."""
        return {**self.guard.counts(), "refused": self.refused, "changes": self.changes}

    def close(self) -> None:
        """Close all sockets."""
        for part in (self._socket, self._control, self._publisher):
            part.close()


def message_interval_s(config: Config) -> float:
    """Return the time from one message of decoded state to the next: a bin, or longer where they are thinned."""
    return max(config.bin_s, 1.0 / config.output.rate_hz if config.output.rate_hz else 0.0)


def over_recording(path, config: Config) -> dict[str, Any]:
    """Return what a guard would have let through of a recorded session.

    Parameters
    ----------
    path : path-like
    config : Config
        Section guard.

    Returns
    -------
    dict
        As `GuardProcess.result`.
    """
    recording = Recording(path)
    steps = recording.steps()
    bin_s = recorded_config(recording).bin_s  # a bin of features is ten times as wide as one of spikes
    guard, changes = Guard(config.guard, bin_s), []
    cursors, states, ages = steps["output"]["cursor"], steps["output"]["safety"], steps["input"]["stale"] * bin_s
    half = cursors.shape[1] // 2
    for number, (cursor, safety, age_s) in enumerate(zip(cursors.tolist(), states.tolist(), ages.tolist())):
        guard.judge(Wanted(cursor[:half], cursor[half:], age_s, safety))
        changes += [{**change, "bin": number} for change in guard.drain()]
    return {**guard.counts(), "refused": 0, "changes": changes[:SHOWN_CHANGES]}
