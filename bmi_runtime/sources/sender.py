"""The sending side of our own wire, for simulators, files and acquisition programs in Python."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import zmq

from bmi_runtime import security, wire
from bmi_runtime.errors import BmiError


class Sender:
    """Sends spikes, counts, features or kinematics.

    Parameters
    ----------
    address : str
        Where to bind (``*`` as a port takes a free one; see :attr:`address`).
    lossless : bool
        PUSH (waits while the receiver is busy) in place of PUB (drops when a receiver is too slow).
    key_folder : str
        CURVE keys; needed off loopback.
    """

    def __init__(self, address: str, lossless: bool = False, key_folder: str = ""):
        context: Any = zmq.Context.instance()
        self.socket = context.socket(zmq.PUSH if lossless else zmq.PUB)
        self.socket.sndhwm = 100 if lossless else 10_000
        self.socket.linger = 2000 if lossless else 0
        security.secure_server(self.socket, address, key_folder, "source.address")
        try:
            self.socket.bind(address)
        except zmq.ZMQError as error:
            self.socket.close(0)
            raise BmiError(f"{address} cannot be used ({error.strerror}); is another sender running?") from None
        self.address = self.socket.last_endpoint.decode()
        self.start, self.messages, self.spikes_sent = secrets.randbits(63), 0, 0

    def send(self, kind: str, **fields) -> None:
        """Send one message of this kind; with `lossless` this waits for the receiver."""
        self.messages += 1
        self.socket.send_multipart(wire.encode(kind, self.start, self.messages, **fields))

    def spikes(self, from_ns: int, until_ns: int, times_ns: np.ndarray, units: np.ndarray, **more) -> None:
        """Send all spikes of a piece of device time."""
        self.spikes_sent += times_ns.size
        times, units = np.asarray(times_ns, np.int64), np.asarray(units, np.uint16)
        self.send("spikes", from_ns=from_ns, until_ns=until_ns, times_ns=times, units=units, **more)

    def counts(self, from_ns: int, until_ns: int, counts: np.ndarray, kinematics: np.ndarray | None = None) -> None:
        """Send the counts (units,) of one bin, optionally with kinematics x, y (m), vx, vy (m/s)."""
        counts = np.asarray(counts)
        self.spikes_sent += int(counts.sum())
        more = {} if kinematics is None else {"kinematics": np.asarray(kinematics, float)}
        self.send("counts", from_ns=from_ns, until_ns=until_ns, counts=counts.astype(np.uint16), **more)

    def features(self, from_ns: int, until_ns: int, features: np.ndarray, kinematics: np.ndarray | None = None) -> None:
        """Send the real-valued features (units,) of one bin, optionally with kinematics."""
        more = {} if kinematics is None else {"kinematics": np.asarray(kinematics, float)}
        self.send("features", from_ns=from_ns, until_ns=until_ns, features=np.asarray(features, float), **more)

    def event(self, t_ns: int, name: str, value: float | int | str | None = None) -> None:
        """Send something that happened at a device time: a line that changed, a cue, a reward."""
        self.send("event", t_ns=t_ns, event=name, value=value)

    def end(self) -> None:
        """Say that the data end here."""
        self.send("end")

    def close(self) -> None:
        """Close the socket; a lossless one first hands over what is queued."""
        self.socket.close()
