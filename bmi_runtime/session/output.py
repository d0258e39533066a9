"""Decoded state for other people's effectors and displays, one message per bin, on our own wire and on LSL."""

from __future__ import annotations

import secrets
from typing import Any

import msgpack
import zmq

from bmi_runtime import wire
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import INPUT_HEAD, WIRE_VERSION, StepRecord, output_dtype, places_in, struct_of
from bmi_runtime.session.guard import Guard, guarded
from bmi_runtime.session.output_values import NoFaster, OutputValues, Thinned
from bmi_runtime.session.sockets import Publisher

HIGH_WATER_MARK = 1000  # messages that wait for one slow reader


class DecodedOutput:
    """Publishes cursor, target and decoded state of every bin; a slow reader loses messages and the loop nothing.

    Parameters
    ----------
    config : Config
        ``telemetry.output_address``.
    context : zmq.Context
    """

    def __init__(self, config: Config, context: zmq.Context):
        self.publisher = Publisher(context, config, "output_address", HIGH_WATER_MARK)
        self.start, self.sequence, self.packer = secrets.randbits(63), 0, msgpack.Packer()
        layout = output_dtype(config.space)
        self._read, self._at, self._axes = struct_of(layout).unpack_from, places_in(layout), config.space.axes
        self.values = OutputValues(config) if config.output.values else None
        self.thinned = Thinned(config.output.rate_hz, config.bin_s)

    def send(self, record: StepRecord) -> None:
        """Publish one step; never waits."""
        if not self.thinned.due():
            return
        out, at = self._read(record.output_bytes), self._at
        bin_index, device_time_s, host_ns, *_, stale = INPUT_HEAD.unpack_from(record.input_bytes)
        self.sequence += 1
        message = {
            "v": WIRE_VERSION,
            "start": self.start,
            "seq": self.sequence,
            "bin": bin_index,
            "axes": self._axes,
            "device_time_s": device_time_s,
            "host_ns": host_ns,
            "cursor": out[at["cursor"]],
            "target": out[at["target"]],
            "decoded": out[at["decoded"]],
            "variance": out[at["decoded_variance"]],
            "trial_state": out[at["trial_state"]][0],
            "safety": out[at["safety"]][0],
            "stale": stale,
        }
        if "clicked" in at:
            message |= {"click_posterior": out[at["click_posterior"]], "clicked": out[at["clicked"]][0]}
        if self.values:
            message["values"] = self.values.of(record)
        self.publisher.send(wire.frames_of(b"decoded", self.packer.pack(message)))

    def close(self) -> None:
        """Close the socket."""
        self.publisher.close()


class LSLOutput:
    """Pushes the values that section output names (cursor, decoded state, target) into a Lab Streaming Layer stream.

    Parameters
    ----------
    config : Config
        ``telemetry.output_lsl`` is the stream's name.
    """

    def __init__(self, config: Config):
        try:
            import pylsl
        except (ImportError, RuntimeError, OSError):
            raise BadInput(
                "telemetry.output_lsl needs pylsl with its library: pip install 'bmi-runtime[lsl]'"
            ) from None
        name, self.values = config.telemetry.output_lsl, OutputValues(config)
        self.thinned, labels = Thinned(config.output.rate_hz, config.bin_s), self.values.labels
        rate_hz = min(config.output.rate_hz or 1.0 / config.bin_s, 1.0 / config.bin_s)
        info = pylsl.StreamInfo(name, "Decoded", len(labels), rate_hz, "double64", f"bmi-runtime-{name}")
        channels = info.desc().append_child("channels")
        for label, unit in labels.items():
            channels.append_child("channel").append_child_value("label", label).append_child_value("unit", unit)
        self.outlet, self.no_faster = pylsl.StreamOutlet(info), NoFaster(rate_hz)

    def send(self, record: StepRecord) -> None:
        """Push one step; never waits."""
        if self.thinned.due() and self.no_faster.due(INPUT_HEAD.unpack_from(record.input_bytes)[2]):
            self.outlet.push_sample(self.values.of(record))

    def close(self) -> None:
        """Close the stream."""
        self.outlet = None


class Outputs:
    """All outputs that the configuration names, as one.

    Parameters
    ----------
    config : Config
        Section telemetry.
    context : zmq.Context
    """

    def __init__(self, config: Config, context: zmq.Context):
        OutputValues(config)  # an unknown name is refused before any socket opens
        self.parts: list[DecodedOutput | LSLOutput] = []
        if config.telemetry.output_address:
            self.parts.append(DecodedOutput(config, context))
        if config.telemetry.output_lsl:
            self.parts.append(LSLOutput(config))
        self.guard = Guard(config.guard, config.bin_s) if config.guard.enabled else None
        self._bin_s, self._copy = config.bin_s, StepRecord(*config.layout)

    def send(self, record: StepRecord) -> None:
        """Send one step everywhere, as the guard lets it."""
        if self.guard:
            if not guarded(self.guard, record, self._copy, self._bin_s):
                return
            record = self._copy
        for part in self.parts:
            part.send(record)

    def drain_events(self) -> list[dict[str, Any]]:
        """Return what the guard did since the last call."""
        return [{"name": "guard", **change} for change in self.guard.drain()] if self.guard else []

    def close(self) -> None:
        """Close all of them."""
        for part in self.parts:
            part.close()
