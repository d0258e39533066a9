"""Decoded state for other people's effectors and displays, one message per bin, on our own wire."""

from __future__ import annotations

import contextlib
import secrets

import zmq

from bmi_runtime import security, wire
from bmi_runtime.config import Config
from bmi_runtime.errors import BmiError
from bmi_runtime.messages import StepRecord

HIGH_WATER_MARK = 1000


class DecodedOutput:
    """Publishes cursor, target and decoded state of every bin; a slow reader loses messages and the loop nothing.

    Parameters
    ----------
    config : Config
        ``telemetry.output_address``.
    context : zmq.Context
    """

    def __init__(self, config: Config, context: zmq.Context):
        address = config.telemetry.output_address
        self.socket = context.socket(zmq.PUB)
        self.socket.linger, self.socket.sndhwm = 0, HIGH_WATER_MARK
        security.secure_server(self.socket, address, config.telemetry.key_folder, "telemetry.output_address")
        try:
            self.socket.bind(address)
        except zmq.ZMQError as error:
            self.socket.close()
            raise BmiError(
                f"telemetry.output_address = {address} cannot be used ({error.strerror}); is another session running?"
            ) from None
        self.start, self.sequence = secrets.randbits(63), 0

    def send(self, record: StepRecord) -> None:
        """Publish one step; never waits."""
        given, out = record.input, record.output
        self.sequence += 1
        frames = wire.encode(
            "decoded",
            self.start,
            self.sequence,
            bin=int(given.bin_index[0]),
            device_time_s=float(given.device_time_s[0]),
            host_ns=int(given.host_time_ns[0]),
            cursor=out.cursor.tolist(),
            target=out.target.tolist(),
            decoded=out.decoded.tolist(),
            variance=out.decoded_variance.tolist(),
            trial_state=int(out.trial_state[0]),
            safety=int(out.safety[0]),
            stale=int(given.stale[0]),
        )
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart(frames, zmq.DONTWAIT)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
