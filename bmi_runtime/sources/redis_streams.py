"""Redis streams as BRAND writes them: one entry holds the counts of all channels for one short piece of time.

``binned_spikes`` (field ``samples``) and ``threshold_values`` (field ``crossings``) look alike: raw numbers whose type
only the configuration knows, ``ts`` (the time of writing: 8 bytes of integer nanoseconds or of float64 seconds, or
decimal seconds as text; another unit is told by how fast it runs), and ``sync`` (JSON: from which older entries this
one was made), which is kept out of the decoding.

``ts`` is a program's time stamp and jitters, while every entry stands for the same piece of time. So device time goes
on by one entry's width per entry, pulled gently toward ``ts``, and follows ``ts`` at once where the two come apart.
"""

from __future__ import annotations

import struct
import time
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.brand_entries import EntryReader, Twice, shown
from bmi_runtime.sources.live import LiveSource, address_of, check_trusted
from bmi_runtime.sources.pace import ANOTHER_PACE
from bmi_runtime.sources.packet import Packet
from bmi_runtime.sources.stamp_unit import ImpossibleTime, StampUnit
from bmi_runtime.sources.steady import SteadyStream
from bmi_runtime.wire import MAX_TIME_NS

ADDRESS = "redis://127.0.0.1:6379"
READ_ENTRIES = 500  # taken at once
RETRY_S = 0.5  # between two tries to reach a server that has gone


def seconds_or_nanoseconds(ts: bytes) -> int:
    """Return a BRAND time stamp in ns: 8 bytes of little-endian nanoseconds or of float64 seconds, or seconds as text.

    Raises
    ------
    BadInput
        When it is neither. Eight bytes that read as a decimal number below 1e9 are text (no program stamps such an
        integer: those bytes would be a time 60 years after the start of the machine).
    """
    try:
        seconds = float(ts.decode("ascii"))
        if 0.0 <= seconds < 4e9 or (len(ts) != 8 and 4e9 <= seconds < 4e18):  # text in ms or us, which its speed tells
            return round(seconds * 1e9)
    except (UnicodeDecodeError, ValueError):
        pass
    if len(ts) != 8:
        raise BadInput(f"a 'ts' of {len(ts)} bytes is neither 8 bytes of nanoseconds nor seconds as text")
    integer, (seconds,) = int.from_bytes(ts, "little"), struct.unpack("<d", ts)
    return round(seconds * 1e9) if integer >= MAX_TIME_NS and 1.0 <= seconds < 4e15 else integer


class RedisFeed:
    """Reads a stream of counts (or features).

    Parameters
    ----------
    config : Config
        ``source.address`` (redis://127.0.0.1:6379); ``source.options``: ``stream`` (binned_spikes), ``field`` and
        ``dtype`` (told from what comes where they are not given), ``width_s`` (the bin's; 0.001 for threshold_values).
    """

    OPTIONS: tuple[str, ...] = ("stream", "field", "dtype", "width_s")

    def __init__(self, config: Config):
        options = config.source.options
        self.config, self.address = config, address_of(config, ADDRESS)
        self.n_units, self.continuous = config.session.units, config.continuous
        self.stream = str(options.get("stream", "binned_spikes"))
        self.reader = EntryReader(
            self.n_units, self.continuous, str(options.get("field", "")), str(options.get("dtype", "")), self.stream
        )
        self.width_given = "width_s" in options
        width_s = options.get("width_s", 0.001 if self.stream == "threshold_values" else config.bin_s)
        if not isinstance(width_s, int | float) or not 1e-4 <= width_s <= 1.0:
            raise BadInput(f"source.options.width_s must be a number of seconds between 0.0001 and 1, got {width_s!r}")
        self.width_ns = round(width_s * 1e9)
        self.every = 1  # only each so-many-th entry is new: the others' windows overlap it
        self._skipped = 0
        self.redis: Any = None
        self._last: bytes | str = "$"
        self._waiting: list[tuple[bytes, dict]] = []
        self.steady, self.unit = SteadyStream(self.width_ns), StampUnit("the protocol's")
        self._pace_ns = self.steady.nominal_ns
        self._retry_at = self._seen_at = 0.0
        self._twice = Twice()

    def open(self) -> None:
        """Connect."""
        try:
            import redis
        except ImportError:
            raise BadInput("the source 'redis' needs its package: pip install 'bmi-runtime[redis]'") from None
        check_trusted(self.address.replace("redis://", "tcp://"), self.config)
        try:
            self.redis = redis.Redis.from_url(self.address, socket_timeout=5.0)
            self.redis.ping()
        except (redis.RedisError, ValueError) as error:
            raise BmiError(f"no Redis server answers at source.address = {self.address} ({error})") from None
        self._seen_at = time.monotonic()
        self._last = self._newest_id()

    def _newest_id(self) -> bytes:
        newest = self.redis.xrevrange(self.stream, count=1)
        return newest[0][0] if newest else b"0-0"

    def receive(self, binner: Binner, timeout_s: float) -> bool:
        """Wait at most this long for one entry and give it to the binner."""
        if not self._waiting and not self._read(binner, timeout_s):
            return False
        _, fields = self._waiting.pop(0)
        self.accept(fields, time.monotonic_ns(), binner)
        return True

    def _read(self, binner: Binner, timeout_s: float) -> bool:
        import redis

        now = time.monotonic()
        if now < self._retry_at:
            time.sleep(min(timeout_s, self._retry_at - now))
            return False
        block = max(round(timeout_s * 1000.0), 1) if timeout_s > 0.0 else None
        try:
            answer = self.redis.xread({self.stream: self._last}, count=READ_ENTRIES, block=block)
            if not answer and now - self._seen_at > 1.0:
                self._look_for_restart(binner, now)
        except redis.RedisError as error:
            if self._retry_at == 0.0 or now - self._retry_at > 5.0:
                binner.events.append({"name": "source-unreachable", "reason": str(error)[:200]})
            self._retry_at = now + RETRY_S
            return False
        if not answer:
            return False
        self._seen_at, self._retry_at = now, 0.0
        self._waiting = list(answer[0][1])
        self._last = self._waiting[-1][0]
        return True

    def _look_for_restart(self, binner: Binner, now: float) -> None:
        """Start again with a stream that was deleted and is rewritten: its numbers are smaller than ours."""
        self._seen_at = now
        newest = self._newest_id()
        if _order(newest) < _order(self._last):
            self._last = newest
            self.steady.restart()
            binner.restart("source-restarted")

    def accept(self, fields: dict[bytes, bytes], arrived_ns: int, binner: Binner) -> None:
        """Check one entry that arrived at this host time, and give what it brings to the binner."""
        try:
            values, stamp = self.reader.values(fields), self._stamp(fields, arrived_ns, binner)
        except BadInput as error:
            binner.refuse(str(error), of_time=isinstance(error, ImpossibleTime))
            return
        if self._twice.again(stamp, fields[self.field]):
            binner.duplicate()
            return
        if self.every > 1:
            self._skipped = (self._skipped + 1) % self.every
            if self._skipped:
                return
        start, until = self.steady.place(stamp)
        if abs(self.steady.nominal_ns / self._pace_ns - 1.0) > ANOTHER_PACE:
            self._other_pace()
            binner.restart("pace-learned")
        while self.reader.notes:
            binner.events.append({"name": "source-told", "text": self.reader.notes.pop(0)})
        binner.take(Packet(start, until, arrived_ns, values=values, pace_ns=self.steady.width_ns))

    def _other_pace(self) -> None:
        """Say that entries come at another pace than was said; what it means depends on who said it."""
        pace_ns = self._pace_ns = self.steady.nominal_ns
        self.every = max(round(self.width_ns * self.reader.fresh / pace_ns), 1) if self.width_given else 1
        came = f"entries of '{self.stream}' come every {pace_ns * 1e-6:.3g} ms"
        if self.every > 1:
            self.steady = SteadyStream(self.every * pace_ns)
            self._pace_ns = self.steady.nominal_ns
            self.reader.notes.append(
                f"{came} and stand for {self.width_ns * 1e-6:g} ms (source.options.width_s): their windows roll, and "
                f"one in {self.every} is counted"
            )
        else:
            self.reader.notes.append(
                f"{came}: each is counted for that long (source.options.width_s = {pace_ns * 1e-9:.4g})"
            )

    def _stamp(self, fields: dict[bytes, bytes], arrived_ns: int, binner: Binner) -> int:
        raw = fields.get(b"ts")
        if raw is None:
            raise BadInput("an entry without its time 'ts'")
        stamp = seconds_or_nanoseconds(raw)
        if not self.unit.settled and (told := self.unit.observe(stamp, arrived_ns)):
            self.steady.restart()
            binner.restart_told("stamps-in-another-unit", told)
        if self.unit.factor != 1.0:
            stamp = round(stamp * self.unit.factor)
        if not 0 <= stamp < MAX_TIME_NS:
            turned = int.from_bytes(raw, "big") if len(raw) == 8 else -1
            hint = f" (with the high byte first it would be {turned * 1e-9:.6g} s)" if 0 <= turned < MAX_TIME_NS else ""
            raise ImpossibleTime(f"a time of {stamp} ns is impossible{hint}")
        return stamp

    @property
    def field(self) -> bytes:
        """The field that is read."""
        return self.reader.field

    @property
    def dtype(self) -> np.dtype:
        """The type of its numbers, as far as it is known."""
        return self.reader.dtype or np.dtype("float32" if self.continuous else "int8").newbyteorder("<")

    def report(self) -> dict[str, Any]:
        """Return what the stream was found to be."""
        return {
            "field": self.field.decode(errors="replace"),
            "dtype": shown(self.dtype),
            "pace_s": self.steady.width_ns * 1e-9,
            "jitter_s": self.steady.jitter_ns * 1e-9,
            "missing_entries": self.steady.missing,
        }

    def close(self) -> None:
        """Disconnect."""
        if self.redis is not None:
            self.redis.close()
            self.redis = None


def _order(entry_id: bytes | str) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    milliseconds, _, number = text.partition("-")
    return (int(milliseconds), int(number or 0)) if milliseconds.isdigit() else (0, 0)


class RedisSource(LiveSource):
    """A stream of a BRAND system as a source."""

    def __init__(self, config: Config):
        super().__init__(config, RedisFeed(config))
