"""Our own wire over ZeroMQ: spikes, counts or features as they come (SUB), or every bin without loss (PULL)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import zmq

from bmi_runtime import security, wire
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.messages import Bin
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.live import WAIT_S, LiveSource
from bmi_runtime.sources.packet import Packet
from bmi_runtime.sources.sequence import Sequence, Verdict
from bmi_runtime.sources.steady import SteadyStream
from bmi_runtime.sources.waiting import await_message

KINDS = (b"spikes", b"counts", b"features", b"kinematics", b"event", b"end")
QUEUE_MESSAGES = 20_000  # that wait while this process stands still: 20 s at a message a ms
MODES = ("sub", "pull")
JUDGED_BY = 40  # messages of counts
UNEVEN = 0.02  # of their mean: widths that differ by more
NO_HOLE_NS = 1000  # rounding of edges
MOST_MISSING = 100_000  # messages in pull mode


class Pieces:
    """The pieces of time of counts: as their sender says, or in step where what it says leaves holes or jitters.

    Parameters
    ----------
    bin_ns : int
    """

    def __init__(self, bin_ns: int):
        self.bin_ns, self.steady = bin_ns, None
        self._until: int | None = None
        self._widths: list[int] = []
        self._even = 0  # the one width of all that were judged so far

    steady: SteadyStream | None

    def place(self, from_ns: int, until_ns: int) -> tuple[int, int, float]:
        """Return from, until, and the pace of the stream (0: uneven)."""
        if self.steady is None:
            pace_ns = self._judge(from_ns, until_ns)
        if self.steady is None:
            return from_ns, until_ns, pace_ns
        from_ns, until_ns = self.steady.place(until_ns)
        return from_ns, until_ns, self.steady.width_ns

    def _judge(self, from_ns: int, until_ns: int) -> float:
        """Put the stream in step from here on when its edges jitter; return its pace as far as it has one."""
        before, self._until = self._until, until_ns
        if before == from_ns and self._widths and until_ns - from_ns == self._widths[-1] == self._even:
            return float(self._even)  # tile after tile of one width: nothing to judge
        self._widths = [*self._widths[1 - JUDGED_BY :], until_ns - from_ns]
        mean = sum(self._widths) / len(self._widths)
        uneven = max(self._widths) - min(self._widths) > UNEVEN * mean
        self._even = self._widths[-1] if max(self._widths) == min(self._widths) else 0
        if before is None or abs(from_ns - before) >= 0.75 * mean:  # the first one; or messages are missing
            return 0.0 if uneven else mean
        parts = max(round(self.bin_ns / mean), 1)
        fits = len(self._widths) == JUDGED_BY and abs(parts * mean / self.bin_ns - 1.0) < 0.01
        if abs(from_ns - before) > NO_HOLE_NS or (uneven and fits):
            self.steady = SteadyStream(mean)
            self.steady.until_ns = float(before)
        return 0.0 if uneven else mean


class ZeroMQFeed:
    """Receives our own wire.

    Parameters
    ----------
    config : Config
        ``source.address`` is where the sender binds; ``telemetry.key_folder`` holds the keys off loopback.
    lossless : bool
        PULL with flow control (the sender waits for us) in place of SUB (the sender drops).
    """

    OPTIONS: tuple[str, ...] = ("mode",)

    def __init__(self, config: Config, lossless: bool = False):
        self.config, self.lossless = config, lossless
        self.n_units, self.axes = config.session.units, config.space.n_axes
        self.bin_ns = round(config.bin_s * 1e9)
        self.continuous = config.continuous
        self.sequence, self.pieces = Sequence(), Pieces(self.bin_ns)
        self.socket: Any = None
        self.ended = False
        self._held: wire.WireMessage | None = None
        self._held_host_ns = 0
        self._lost = self._contradicted = 0

    def open(self) -> None:
        """Connect to the sender."""
        address = self.config.source.address
        self.socket = zmq.Context.instance().socket(zmq.PULL if self.lossless else zmq.SUB)
        self.socket.linger = 0
        self.socket.rcvhwm = 100 if self.lossless else QUEUE_MESSAGES
        self.socket.maxmsgsize = wire.MAX_BODY_BYTES
        security.secure_client(self.socket, address, self.config.telemetry.key_folder, "source.address")
        if not self.lossless:
            for kind in KINDS:
                self.socket.subscribe(kind)
        try:
            self.socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise BadInput(f"source.address = {address} cannot be connected to ({error.strerror})") from None

    def frames(self, timeout_s: float) -> list[bytes] | None:
        """Return the frames of the next message, or None after this long."""
        assert self.socket is not None
        if timeout_s > 0.0 and not await_message(self.socket, timeout_s):
            return None
        try:
            return self.socket.recv_multipart(zmq.DONTWAIT)
        except zmq.Again:
            return None

    def receive(self, binner: Binner, timeout_s: float) -> bool:
        """Wait at most this long for one message and give it to the binner."""
        frames = self.frames(timeout_s)
        if frames is None:
            return False
        self.accept(frames, time.monotonic_ns(), binner)
        return True

    def accept(self, frames: list[bytes], arrived_ns: int, binner: Binner) -> None:
        """Check one message that arrived at this host time, and give what it brings to the binner."""
        try:
            message = wire.decode(frames, self.n_units)
            self._suits(message)
        except BadInput as error:
            binner.refuse(str(error))
            return
        in_order = message.seq > self.sequence.last
        verdict = self.sequence.take(message.start, message.seq)
        self._count(binner)
        if verdict is Verdict.DUPLICATE:
            binner.duplicate()
        elif verdict is Verdict.HELD:
            self._held, self._held_host_ns = message, arrived_ns
        else:
            if verdict in (Verdict.RESTART, Verdict.CONFIRMED):
                if verdict is Verdict.RESTART:
                    binner.restart("source-restarted")
                    self.pieces = Pieces(self.bin_ns)
                if self._held is not None:
                    self._give(binner, self._held, self._held_host_ns, True)
                in_order = True
            self._give(binner, message, arrived_ns, in_order)

    def _suits(self, message: wire.WireMessage) -> None:
        """Raise `BadInput` when the message is sound but not for this session."""
        if message.kind == "features" and not self.continuous:
            raise BadInput("features came, but this session is set for spike counts (session.likelihood = 'poisson')")
        if message.kind in ("spikes", "counts") and self.continuous:
            raise BadInput(
                f"{message.kind} came, but this session is set for features (session.likelihood = 'gaussian')"
            )
        if message.kinematics is not None and message.kinematics.size != 2 * self.axes:
            raise BadInput(
                f"'kinematics' has {message.kinematics.size} entries, {2 * self.axes} are expected: positions, then "
                f"velocities of {self.axes} axes (state.axes)"
            )

    def _count(self, binner: Binner) -> None:
        sequence = self.sequence
        if sequence.lost != self._lost:
            binner.lose(sequence.lost - self._lost)
            self._lost = sequence.lost
        if sequence.contradicted != self._contradicted:
            self._contradicted = sequence.contradicted
            binner.refuse("a sequence number that neither the message before nor the one after agrees with")

    def _give(self, binner: Binner, message: wire.WireMessage, host_ns: int, in_order: bool) -> None:
        if message.kind == "kinematics" and message.kinematics is not None:
            binner.kinematics(message.until_ns, message.kinematics)
        elif message.kind == "event":
            facts = {"event": message.body["event"], "value": message.body.get("value")}
            binner.mark("event", message.until_ns, facts)
        elif message.kind == "end":
            self.ended = True
            binner.events.append({"name": "source-ended"})
        elif message.kind != "decoded":
            from_ns, until_ns, pace_ns = message.from_ns, message.until_ns, None
            if message.values is not None and in_order:
                from_ns, until_ns, pace_ns = self.pieces.place(from_ns, until_ns)
            binner.take(
                Packet(
                    from_ns,
                    until_ns,
                    host_ns,
                    message.times_ns if message.kind == "spikes" else None,
                    message.units,
                    message.values,
                    message.kinematics,
                    in_order,
                    pace_ns=pace_ns,
                )
            )

    def report(self) -> dict[str, Any]:
        """Return how counts were put in step, where they were."""
        steady = self.pieces.steady
        if steady is None:
            return {}
        return {
            "pace_s": steady.width_ns * 1e-9,
            "jitter_s": steady.jitter_ns * 1e-9,
            "missing_entries": steady.missing,
        }

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class ZeroMQSource(LiveSource):
    """Our own wire as a source.

    Parameters
    ----------
    config : Config
        ``source.options.mode``: ``sub`` (live, the default) or ``pull`` (every message is one bin, none is ever lost,
        the sender waits when we are slower; the data end with a message of kind ``end``).
    """

    def __init__(self, config: Config):
        mode = config.source.options.get("mode", "sub")
        if mode not in MODES:
            raise BadInput(f"source.options.mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.lossless = mode == "pull"
        super().__init__(config, ZeroMQFeed(config, self.lossless))
        self._bins = 0
        self._start: int | None = None  # of the sender, in pull mode
        self._expected, self._missing = 1, 0  # its next number, and how many never came

    def open(self) -> None:
        """Connect; live, also wait for the first data."""
        if self.lossless:
            self.feed.open()
        else:
            super().open()

    def next_bin(self, into: Bin, cursor, target) -> bool:
        """Fill the next bin; False after the ``end`` of lossless data.

        Lossless, a message that is not a bin is refused, and one that is missing counts as a gap before the next.

        Raises
        ------
        BmiError
            Lossless only: when nothing came for ``source.options.wait_s``.
        """
        if not self.lossless:
            return super().next_bin(into, cursor, target)
        missing = self._missing
        message = self._next_message()
        if message is None:
            return False
        self._fill(into.fields, message, self._missing - missing)
        return True

    def _next_message(self) -> wire.WireMessage | None:
        """Return the next message that is a bin, None at the end; anything else is refused and counted."""
        while True:
            frames = self._next_frames()
            try:
                message = wire.decode(frames, self.feed.n_units)  # type: ignore[attr-defined]
                self.feed._suits(message)  # type: ignore[attr-defined]
                if message.kind != "end" and message.values is None:
                    raise BadInput(
                        f"a message of kind '{message.kind}' came; in pull mode every message is 'counts' or 'features'"
                    )
            except BadInput as error:
                self.binner.refuse(str(error))
                continue
            if message.kind == "end":
                return None
            if self._in_turn(message):
                return message

    def _in_turn(self, message: wire.WireMessage) -> bool:
        """Account for a message's number; return whether it is to be used: not when it was here before."""
        if message.start != self._start:
            if self._start is not None:
                self.binner.events.append({"name": "source-restarted"})
            self._start, self._expected = message.start, message.seq if self._start is not None else 1
        ahead = message.seq - self._expected
        if ahead < 0:
            self.binner.duplicate()
            return False
        if ahead > MOST_MISSING:
            self.binner.refuse(f"message {message.seq} came, {self._expected} is next: no sender loses so many")
            return False
        if ahead:
            self.binner.lose(ahead)
            self._missing += ahead
        self._expected = message.seq + 1
        return True

    def _next_frames(self) -> list[bytes]:
        deadline = time.monotonic() + (self.wait_s or WAIT_S)
        while (frames := self.feed.frames(0.1)) is None:  # type: ignore[attr-defined]
            if time.monotonic() > deadline:
                raise BmiError(f"no data came from {self.config.source.address} for {self.wait_s or WAIT_S:g} s")
        return frames

    def _fill(self, fields: Any, message: wire.WireMessage, missing: int) -> None:
        fields.bin_index[0] = self._bins
        fields.gap_bins[0] = missing
        fields.duplicates[0], fields.invalid[0] = self.binner.take_tally()
        self._bins += 1
        fields.device_time_s[0] = message.until_ns * 1e-9
        fields.host_time_ns[0] = time.monotonic_ns()
        fields.counts[:] = message.values
        fields.kinematics[:] = np.nan if message.kinematics is None else message.kinematics
