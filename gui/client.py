"""The window's side of the wire: telemetry in (may be lossy), commands out (acknowledged, never blocking)."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from typing import Any

import zmq

from bmi_runtime.errors import BmiError
from bmi_runtime.messages import WIRE_VERSION, pack, unpack
from gui.curve_handshake import HandshakeMonitor, roles

TELEMETRY, CONTROL = "tcp://127.0.0.1:5581", "tcp://127.0.0.1:5582"
ANSWER_WITHIN_S = 2.0  # after which a command counts as unanswered
REFUSED_FOR_S = 5.0  # a refusal is shown for so long after the last one
MOST_PER_POLL = 2000  # messages, so that a flood leaves time to draw
Answered = Callable[[dict[str, Any]], None]


class Client:
    """Receives telemetry and sends commands, one at a time, without ever waiting.

    Parameters
    ----------
    telemetry, control : str
        Addresses of a runtime or of a replay.
    keys : str
        Folder with ``server.key`` and one's own ``*.key_secret``, as `bmi keys` makes them; empty: no encryption, and
        loopback addresses only.

    Attributes
    ----------
    refused : int
        Messages that were not of this codec or of another version.
    problem : str
        Why the newest of them was refused.
    may_command : bool
        Whether there is a key for commands; without one this window only watches.
    """

    def __init__(self, telemetry: str = TELEMETRY, control: str = CONTROL, keys: str = ""):
        self.telemetry_address, self.control_address, self.keys = telemetry, control, keys
        self.context = zmq.Context.instance()
        self.refused, self.problem, self._refused_s = 0, "", 0.0
        self._waiting: collections.deque[tuple[dict, Answered | None]] = collections.deque()
        self._asked: tuple[dict, Answered | None, float] | None = None
        watching, self.may_command = roles(keys)
        self._subscriber, self._telemetry_handshake = self._socket(zmq.SUB, telemetry, watching)
        self._subscriber.subscribe(b"")
        self._requester: zmq.Socket | None = None
        self._control_handshake: HandshakeMonitor | None = None
        self._control_refused = ""

    def _socket(self, kind: int, address: str, role: str) -> tuple[zmq.Socket, HandshakeMonitor]:
        socket = self.context.socket(kind)
        socket.linger = 0
        try:
            handshake = HandshakeMonitor(socket, address, self.keys, role)
            socket.connect(address)
        except zmq.ZMQError as error:
            socket.close()
            raise BmiError(f"'{address}' is not an address to connect to ({error.strerror})") from None
        except BmiError:
            socket.close()
            raise
        return socket, handshake

    @property
    def locked_out(self) -> str:
        """Why the runtime does not let this window in, or nothing."""
        return self._telemetry_handshake.reason or self._control_refused

    def receive(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every telemetry message that has arrived."""
        messages = []
        for _ in range(MOST_PER_POLL):
            try:
                frames = self._subscriber.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            message = self._opened(frames)
            if message is not None:
                messages.append((frames[0].decode("utf-8", "replace"), message))
        return messages

    def _opened(self, frames: list[bytes]) -> dict[str, Any] | None:
        try:
            if len(frames) != 2:
                raise BmiError(f"a telemetry message has 2 frames, this one {len(frames)}")
            message = unpack(frames[1])
            check_version(message)
        except BmiError as error:
            self.refused, self.problem, self._refused_s = self.refused + 1, str(error), time.monotonic()
            return None
        return message

    @property
    def refuses(self) -> bool:
        """Whether what arrives now is refused; a runtime of this version may have taken the other one's place."""
        return self.refused > 0 and time.monotonic() - self._refused_s < REFUSED_FOR_S

    def send(self, command: dict[str, Any], answered: Answered | None = None) -> None:
        """Queue a command; `answered` gets its answer, or ``{"ok": False, "error": ...}``."""
        if not self.may_command:
            if answered:
                answered({"ok": False, "error": f"watching only: {self.keys} has no operator.key_secret for commands"})
            return
        self._waiting.append((command, answered))

    def poll(self) -> None:
        """Move commands and answers along, and look who was turned away at a handshake."""
        self._telemetry_handshake.poll()
        if self._control_handshake and self._control_handshake.poll():
            self._control_refused = self._control_handshake.reason
        if self._asked:
            self._take_answer()
        if not self._asked and self._waiting:
            self._ask(*self._waiting.popleft())

    def _ask(self, command: dict, answered: Answered | None) -> None:
        if self._requester is None:
            self._requester, self._control_handshake = self._socket(zmq.REQ, self.control_address, "operator")
        self._asked = (command, answered, time.monotonic())
        try:
            self._requester.send(pack(command), zmq.DONTWAIT)
        except zmq.Again:
            self._give_up(f"there is no runtime at {self.control_address}")

    def _take_answer(self) -> None:
        command, answered, since = self._asked  # type: ignore[misc]
        try:
            reply = unpack(self._requester.recv(zmq.DONTWAIT))  # type: ignore[union-attr]
            check_version(reply)
        except zmq.Again:
            if self._control_refused or time.monotonic() - since > ANSWER_WITHIN_S:
                late = f"no answer from {self.control_address} in {ANSWER_WITHIN_S:g} s: {describe(command)}"
                self._give_up(self._control_refused or late)
            return
        except BmiError as error:
            reply = {"ok": False, "error": str(error)}
        self._asked = None
        if answered:
            answered(reply)

    def _give_up(self, reason: str) -> None:
        """Answer with the reason, and start the request socket again (a REQ socket cannot skip an answer)."""
        _, answered, _ = self._asked  # type: ignore[misc]
        self._asked = None
        self._close_requester()
        if answered:
            answered({"ok": False, "error": reason})

    def _close_requester(self) -> None:
        if self._control_handshake is not None:
            self._control_handshake.close()
        self._requester = self._control_handshake = None

    def close(self) -> None:
        """Close both sockets."""
        self._telemetry_handshake.close()
        self._close_requester()


def check_version(message: Any) -> None:
    """Raise `BmiError` when a message is no map or of another wire version than this window's."""
    if not isinstance(message, dict):
        raise BmiError("a message from the runtime is a map; is something else publishing on this address?")
    if message.get("v") != WIRE_VERSION:
        raise BmiError(
            f"the runtime speaks version {message.get('v')} of the messages and this window version {WIRE_VERSION}; "
            "start both from the same installation"
        )


def describe(command: dict[str, Any]) -> str:
    """Return a command as text, for answers and the log."""
    if "set" in command:
        return f"set {command['set']} to {command.get('value')}"
    key, value = next(iter(command.items()), ("nothing", ""))
    return f"{key} {value}"
