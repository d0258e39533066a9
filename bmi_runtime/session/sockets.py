"""Sockets that bind: secured off loopback, private to their user on ``ipc``, limited in what others make them hold."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Sequence

import zmq
from zmq.backend import Socket as _BareSocket

from bmi_runtime.config import Config
from bmi_runtime.errors import BmiError
from bmi_runtime.security import secure_server

MAX_SUBSCRIPTION_BYTES = 1024  # the limit holds for the handshake of an encrypted connection too, which takes some 400
MAX_SUBSCRIPTIONS = 1000  # different ones, of all readers together
SUBSCRIPTIONS_AT_ONCE = 10  # that wait for the loop's thread, for each reader
LOOK_EVERY = 32  # messages
CLOSING_MS = 200  # the last message says that the session is over
_send = _BareSocket.send  # `send_multipart` takes as long again to look at what kinds of frames these are
_NOW, _MORE_NOW = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)


def bind(
    context: zmq.Context,
    kind: int,
    key: str,
    config: Config,
    role: str = "client",
    prepare: Callable[[zmq.Socket], None] | None = None,
    section: str = "telemetry",
) -> zmq.Socket:
    """Return a socket bound to the address ``SECTION.KEY``, secured off loopback; of mode 0600 where it is a file.

    Parameters
    ----------
    context : zmq.Context
    kind : int
        ``zmq.PUB`` and the like.
    key : str
        Of the section, for the address and for messages.
    config : Config
    role : {"client", "operator"}
        What a client needs to be let in.
    prepare : callable, optional
        Sets options that do not reach a bound socket.
    section : str
        Of the configuration.

    Raises
    ------
    BmiError
        Naming address and key; no socket is left open then.
    """
    address: str = getattr(getattr(config, section), key)
    socket = context.socket(kind)
    socket.linger = 0
    try:
        if prepare:
            prepare(socket)
        secure_server(socket, address, config.telemetry.key_folder, f"{section}.{key}", role)
        socket.bind(address)
        if address.startswith("ipc://") and not address.startswith("ipc://@"):
            os.chmod(pathlib.Path(address.removeprefix("ipc://")), 0o600)
    except (zmq.ZMQError, OSError) as error:
        socket.close()
        raise BmiError(
            f"{section}.{key} = {address} cannot be used ({error.strerror}); is another session running?"
        ) from None
    except BmiError:
        socket.close()
        raise
    return socket


class Publisher:
    """A PUB socket whose readers can neither hold it up nor make it grow.

    A slow reader loses messages. A subscription longer than `MAX_SUBSCRIPTION_BYTES` ends that reader's connection;
    few are taken in at once, so that a flood of them costs a bin microseconds; and when there are more than
    `MAX_SUBSCRIPTIONS` different ones the socket is closed and opened again, which frees them: honest readers come back
    by themselves.

    Parameters
    ----------
    context : zmq.Context
    config : Config
    key : str
        Of the section.
    high_water_mark : int
        Messages that wait for one slow reader.
    section : str
        Of the configuration, in which the address stands.

    Attributes
    ----------
    resets : int
        How often the socket was opened again.
    """

    def __init__(
        self, context: zmq.Context, config: Config, key: str, high_water_mark: int, section: str = "telemetry"
    ):
        self.context, self.config, self.key, self.high_water_mark = context, config, key, high_water_mark
        self.section = section
        self.socket: zmq.Socket | None = self._open()
        self.resets, self._sent = 0, 0

    def _open(self) -> zmq.Socket:
        return bind(self.context, zmq.PUB, self.key, self.config, prepare=self._limit, section=self.section)

    def _limit(self, socket: zmq.Socket) -> None:
        socket.sndhwm, socket.rcvhwm = self.high_water_mark, SUBSCRIPTIONS_AT_ONCE
        socket.maxmsgsize = MAX_SUBSCRIPTION_BYTES

    def send(self, frames: Sequence[bytes]) -> None:
        """Publish one message; never waits."""
        self._sent += 1
        if self._sent % LOOK_EVERY == 0:
            self._look()
        if self.socket is not None:
            try:
                for frame in frames[:-1]:
                    _send(self.socket, frame, _MORE_NOW)
                _send(self.socket, frames[-1], _NOW)
            except zmq.ZMQError:
                pass

    def _look(self) -> None:
        """Drop subscriptions that nobody honest has; open the socket again once its address is free."""
        if self.socket is None:
            with contextlib.suppress(BmiError):
                self.socket = self._open()
        elif int(self.socket.getsockopt(zmq.TOPICS_COUNT)) > MAX_SUBSCRIPTIONS:
            self.socket.close()
            self.socket = None
            self.resets += 1

    def close(self) -> None:
        """Close the socket; what is on its way has a moment to leave."""
        if self.socket is not None:
            self.socket.close(linger=CLOSING_MS)
