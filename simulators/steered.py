"""A person in the place of the simulated subject: the pointer in the window says where the hand wants the cursor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import zmq

from bmi_runtime.errors import BadInput
from bmi_runtime.messages import unpack

STEER_ADDRESS = "tcp://127.0.0.1:5584"
PULL_PER_S = 6.0
"""How fast a cursor is wanted that lies apart from the pointer (1/s): that of the aiming subject."""
STALE_S = 1.0  # without a pointer position the subject rests
MOST_MESSAGES = 100  # of the pointer, that wait or are read at once


class PointerSubject:
    """Intends to bring the cursor to the pointer; rests while no pointer is heard of.

    Parameters
    ----------
    address : str
        Where the window sends pointer positions (m); on this machine only.
    max_speed_m_s : float
    clock : callable
        Seconds; for tests.
    """

    def __init__(self, address: str, max_speed_m_s: float, clock: Callable[[], float] = time.monotonic):
        if not address.startswith(("tcp://127.0.0.1:", "tcp://localhost:")):
            raise BadInput(
                f"source.options.steer_address must be on this machine (tcp://127.0.0.1:PORT), got {address}"
            )
        self._socket = zmq.Context.instance().socket(zmq.PULL)
        self._socket.linger, self._socket.rcvhwm = 0, MOST_MESSAGES
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise BadInput(f"the pointer cannot be received at {address}: {error}") from None
        self.address = self._socket.last_endpoint.decode()
        self.max_speed_m_s, self._clock = max_speed_m_s, clock
        self._pointer, self._heard_s, self.refused = (0.0, 0.0), -math.inf, 0
        self.velocity = [0.0, 0.0]

    def intend(self, cursor, target) -> list[float]:
        """Return the intended velocity (m/s) toward the pointer; what the target is, is for the person to see."""
        self._listen()
        if self._clock() - self._heard_s > STALE_S:
            self.velocity = [0.0, 0.0]
            return self.velocity
        velocity = [PULL_PER_S * (wanted - float(x)) for wanted, x in zip(self._pointer, cursor[:2], strict=True)]
        speed = math.hypot(*velocity)
        scale = min(1.0, self.max_speed_m_s / speed) if speed else 0.0
        self.velocity = [scale * v for v in velocity]
        return self.velocity

    def _listen(self) -> None:
        for _ in range(MOST_MESSAGES):
            try:
                data = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            place = _place(data)
            if place is None:
                self.refused += 1
            else:
                self._pointer, self._heard_s = place, self._clock()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _place(data: bytes) -> tuple[float, float] | None:
    """Return the position in a message, or None where there is none."""
    try:
        message = unpack(data)
    except BadInput:
        return None
    values = message.get("pointer_m") if isinstance(message, dict) else None
    if not isinstance(values, list) or len(values) != 2:
        return None
    if not all(isinstance(value, int | float) and math.isfinite(value) and abs(value) < 10.0 for value in values):
        return None
    return float(values[0]), float(values[1])
