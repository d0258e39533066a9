"""Lab Streaming Layer: event streams (channel, unit, ... in int16), streams of counts or rates, and features.

Needs ``pylsl`` with its library (the extra ``lsl``). Samples carry the sender's clock, which goes through the same fit
as every device's clock; LSL's own estimate of the offset between the two machines is watched for jumps. The inlet may
hold minutes of old samples: what is older than ``source.options.max_backlog_s`` is skipped and counted, never decoded.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.live import LiveSource
from bmi_runtime.sources.lsl_markers import MarkerStream
from bmi_runtime.sources.lsl_streams import SILENT_S, StreamFinder, library
from bmi_runtime.sources.pace import ANOTHER_PACE
from bmi_runtime.sources.packet import Packet
from bmi_runtime.sources.stamp_unit import ImpossibleTime, StampUnit
from bmi_runtime.sources.steady import SteadyStream
from bmi_runtime.sources.unit_names import ChannelNumbers

KINDS = ("events", "counts", "rates", "features")
CHUNK = 4096  # samples taken at once
CORRECTION_EVERY_S = 1.0  # between two looks at LSL's estimate of the clocks' offset
MAX_TIME_S = 4e9  # seconds since 1970 in the year 2096; more is another unit
TEXT_FORMAT = 3  # cf_string
LONGEST_SAMPLE_NS = 1_000_000_000  # without a rate a sample stands for the time since the one before, up to so long


class LSLFeed:
    """Receives one LSL stream.

    Parameters
    ----------
    config : Config
        ``source.options``: ``stream`` (its name: bmi-spikes), ``source_id`` and ``host`` (where several have that
        name), ``kind`` (events, counts, rates, features), ``resolve_s`` (30), ``first_channel``, ``markers`` (the name
        of a stream of markers to record). In ``events`` a sample is channel and sorted unit; unit k is channel k + 1,
        or channel k where a channel 0 comes.
    """

    OPTIONS: tuple[str, ...] = ("stream", "kind", "resolve_s", "source_id", "host", "first_channel", "markers")

    def __init__(self, config: Config):
        options = config.source.options
        self.config, self.n_units, self.continuous = config, config.session.units, config.continuous
        self.stream = str(options.get("stream", "bmi-spikes"))
        self.kind = options.get("kind", "features" if self.continuous else "events")
        if self.kind not in KINDS:
            raise BadInput(f"source.options.kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.kind != "rates" and (self.kind == "features") != self.continuous:
            raise BadInput(
                f"an LSL stream of {self.kind} does not suit session.likelihood = '{config.session.likelihood}'"
            )
        text = {name: str(options.get(name, "")) for name in ("source_id", "host", "markers")}
        self.finder = StreamFinder(self.stream, text["source_id"], text["host"], float(options.get("resolve_s", 30.0)))
        self.markers = MarkerStream(text["markers"]) if text["markers"] else None
        self.numbers = ChannelNumbers(self.n_units, options.get("first_channel"))
        self._heard_at = 0.0
        self.address = f"the LSL stream '{self.stream}'"
        self.inlet: Any = None
        self.steady: SteadyStream
        self.width_s = config.bin_s
        self.irregular, self.unit = False, StampUnit("seconds")
        self._until_ns: int | None = None
        self._correction: float | None = None
        self._correct_at = 0.0

    @property
    def width_s(self) -> float:
        """What one sample of counts, rates or features stands for."""
        return self.steady.width_ns * 1e-9

    @width_s.setter
    def width_s(self, width_s: float) -> None:
        self.steady = SteadyStream(width_s * 1e9)
        self._said_ns = self.steady.nominal_ns

    def open(self) -> None:
        """Find the stream and connect."""
        if self.config.source.options.get("wait_s") == 0:  # the session begins at once, and the stream may come later
            library()
        else:
            info = self.finder.first()
            self._check(info)
            self.inlet = self.finder.connect(info)
        self._heard_at = time.monotonic()
        if self.markers:
            self.markers.open()

    def _check(self, info: Any) -> None:
        """Raise `BadInput` when a stream is not what the session was told to read."""
        if info.channel_format() == TEXT_FORMAT:
            raise BadInput(f"{self.address} is a stream of text, so of markers; say source.options.markers = its name")
        if self.kind != "events":
            if info.channel_count() != self.n_units:
                raise BadInput(f"{self.address} has {info.channel_count()} channels, session.units is {self.n_units}")
            self.irregular = info.nominal_srate() <= 0
            if not self.irregular:
                self.width_s = 1.0 / info.nominal_srate()
        elif info.channel_count() < 2:
            raise BadInput(f"{self.address} has {info.channel_count()} channel; events are (channel, unit)")
        elif info.nominal_srate() > 0 and info.channel_count() == self.n_units:
            raise BadInput(
                f"{self.address} has {info.channel_count()} channels at {info.nominal_srate():g} Hz: these are "
                "not events; say source.options.kind = 'counts' or 'rates'"
            )

    def receive(self, binner: Binner, timeout_s: float) -> bool:
        """Wait at most this long for samples and give them to the binner."""
        if self.markers:
            self.markers.receive(binner)
        if self.inlet is None:
            time.sleep(timeout_s)
            self._look_for_return(binner)
            return False
        if time.monotonic() > self._correct_at:
            self._watch_correction(binner)
        samples, stamps = self._pulled(timeout_s, binner)
        if not stamps:
            self._look_for_return(binner)
            return False
        self._heard_at = time.monotonic()
        self.accept(samples, stamps, time.monotonic_ns(), binner)
        return True

    def _pulled(self, timeout_s: float, binner: Binner) -> tuple[list, list]:
        """Return samples and stamps that are there or come within this time; a stream that is lost is given up."""
        try:
            samples, stamps = self.inlet.pull_chunk(timeout=0.0, max_samples=CHUNK)
            if not stamps and timeout_s > 0.0:
                sample, stamp = self.inlet.pull_sample(timeout=timeout_s)
                if sample is not None:
                    samples, stamps = [sample], [stamp]
            return samples, stamps
        except library().util.LostError:  # liblsl looks for a stream again that has a source_id, and no other
            self.inlet.close_stream()
            self.inlet = None
            text = f"{self.address} was lost, and has no source_id to be found again by; its name is looked for"
            binner.events.append({"name": "source-told", "text": text})
            return [], []

    def _look_for_return(self, binner: Binner) -> None:
        """Go on with the stream that came back under another identity, or that was not there at the start."""
        found = self.finder.returned(time.monotonic() - self._heard_at if self.inlet else SILENT_S)
        if self.finder.several:
            binner.events.append({"name": "source-told", "text": self.finder.several})
            self.finder.several = ""
        if found is None:
            return
        inlet, info = found
        try:
            self._check(info)
        except BadInput as error:
            binner.refuse(str(error))
            return
        if self.inlet is not None:
            self.inlet.close_stream()
        self.inlet, self._heard_at, self._correction, self._until_ns = inlet, time.monotonic(), None, None
        self.steady.restart()
        binner.restart("source-restarted")

    def _watch_correction(self, binner: Binner) -> None:
        """Begin a new segment when LSL's estimate of the clocks' offset jumps."""
        self._correct_at = time.monotonic() + CORRECTION_EVERY_S
        try:
            correction = self.inlet.time_correction(timeout=0.001)
        except Exception:  # not estimated yet; pylsl's own timeout error differs between versions
            return
        if self._correction is not None and abs(correction - self._correction) > binner.options.jump_s:
            binner.restart("clock-correction-jumped")
            self._until_ns = None
            self.steady.restart()
        self._correction = correction

    def accept(self, samples: list, stamps: list, arrived_ns: int, binner: Binner) -> None:
        """Check samples that arrived at this host time, and give what they bring to the binner."""
        binner.sparse = self.kind == "events"
        if not self.unit.settled and stamps:
            self._told_unit(stamps[-1], arrived_ns, binner)
        if self.kind == "events":
            self._events(samples, stamps, arrived_ns, binner)
            return
        if self.irregular:
            samples, stamps = self._together(samples, stamps)
        for sample, stamp in zip(samples, stamps, strict=True):
            try:
                end_ns = self._ns(stamp)
                placed = self._since_last(end_ns) if self.irregular else self.steady.place(end_ns)
                if placed is None:
                    text = (
                        f"{self.address} says no rate: a sample of {self.kind} stands for the time since the one before"
                    )
                    binner.events.append({"name": "source-told", "text": text})
                    continue
                start, until = placed
                pace = 0.0 if self.irregular else self.steady.width_ns  # 0: no grid follows it
                if pace and abs(self.steady.nominal_ns / self._said_ns - 1.0) > ANOTHER_PACE:
                    self._told_pace(binner)
                values = self._values(np.asarray(sample, float), pace or until - start)
            except BadInput as error:
                binner.refuse(str(error), of_time=isinstance(error, ImpossibleTime))
                continue
            rates = self.kind == "rates"
            binner.take(Packet(start, until, arrived_ns, values=values, fractional=rates, pace_ns=pace))

    def _told_pace(self, binner: Binner) -> None:
        """Say that samples come at another rate than the stream's information names."""
        said_hz, came_hz = 1e9 / self._said_ns, 1e9 / self.steady.nominal_ns
        self._said_ns = self.steady.nominal_ns
        text = f"{self.address} says {said_hz:.4g} Hz and sends {came_hz:.4g} a second: each counts for that long"
        binner.events.append({"name": "source-told", "text": text})

    def _together(self, samples: list, stamps: list) -> tuple[list, list]:
        """Return samples that were pushed with one stamp (a chunk of a stream without a rate) as one sample each.

        Counts are added up, rates and features averaged.
        """
        joined: list[tuple[float, list]] = []
        for sample, stamp in zip(samples, stamps, strict=True):
            if joined and joined[-1][0] == stamp and len(sample) == len(joined[-1][1][0]):
                joined[-1][1].append(sample)
            else:
                joined.append((stamp, [sample]))
        merge = np.sum if self.kind == "counts" else np.mean
        merged = [rows[0] if len(rows) == 1 else merge(np.asarray(rows, float), axis=0) for _, rows in joined]
        return merged, [stamp for stamp, _ in joined]

    def _told_unit(self, stamp: float, arrived_ns: int, binner: Binner) -> None:
        """Start again when stamps are found to be in another unit than seconds."""
        told = self.unit.observe(stamp * 1e9, arrived_ns)
        if told:
            self._until_ns = None
            self.steady.restart()
            binner.restart_told("stamps-in-another-unit", told)

    def _since_last(self, end_ns: int) -> tuple[int, int] | None:
        """Return the time that a sample of a stream without a rate stands for: since the one before it; None: unknown.

        Raises
        ------
        BadInput
            When it is stamped no later than the one before.
        """
        before, self._until_ns = self._until_ns, end_ns
        if before is None or end_ns < before - LONGEST_SAMPLE_NS:
            return None  # the first sample: since when it counts is not known
        if end_ns <= before:
            self._until_ns = before
            raise BadInput("a sample stamped no later than the one before it, in a stream without a rate")
        return max(before, end_ns - LONGEST_SAMPLE_NS), end_ns

    def _values(self, values: np.ndarray, width_ns: float) -> np.ndarray:
        if values.size != self.n_units:
            raise BadInput(f"a sample of {values.size} channels, {self.n_units} are expected")
        if self.kind == "features":
            return values
        if self.kind == "rates":
            values = values if self.continuous else values * width_ns * 1e-9
        whole = self.kind == "rates" or np.all(values == np.floor(values))
        if not whole or not np.all((values >= 0) & (values <= 65535)):
            raise BadInput(
                f"a sample of {self.kind} that are negative, broken, or too large: {self._first_bad(values)}"
            )
        return values

    def _first_bad(self, values: np.ndarray) -> str:
        """Return the first value of a sample that cannot be, and its channel."""
        good = (values >= 0) & (values <= 65535) & ((self.kind == "rates") | (values == np.floor(values)))
        channel = int(np.argmin(good))
        return f"channel {channel + 1} of {values.size} is {values[channel]:g}"

    def _events(self, samples: list, stamps: list, arrived_ns: int, binner: Binner) -> None:
        times, units = [], []
        for sample, stamp in zip(samples, stamps, strict=True):
            try:
                time_ns, unit = self._ns(stamp), self.numbers.index(_whole(sample[0]), "an event of channel")
            except (BadInput, IndexError, ValueError) as error:
                binner.refuse(str(error), of_time=isinstance(error, ImpossibleTime))
                continue
            times.append(time_ns)
            units.append(unit)
        if not times:
            return
        until = max(times) + 1
        start = self._until_ns
        if start is None or start >= until or until - start > 10**9:
            start = min(times)
        packet = Packet(start, until, arrived_ns, np.array(times, np.int64), np.array(units, np.int64), inside=False)
        if binner.take(packet):
            self._until_ns = max(until, self._until_ns or until) if start == self._until_ns else until

    def _ns(self, stamp: float) -> int:
        if not 0.0 < stamp * self.unit.factor < MAX_TIME_S:
            raise ImpossibleTime(f"a time stamp of {stamp!r} s is impossible")
        return round(stamp * self.unit.factor * 1e9)

    def report(self) -> dict[str, Any]:
        """Return what the stream was found to be."""
        if self.kind != "events" and self.irregular:
            return {}
        told = {"first_channel": self.numbers.first} if self.kind == "events" else {"pace_s": self.width_s}
        return {**told, "jitter_s": self.steady.jitter_ns * 1e-9, "missing_entries": self.steady.missing}

    def close(self) -> None:
        """Close the inlets."""
        if self.markers:
            self.markers.close()
        if self.inlet is not None:
            self.inlet.close_stream()
            self.inlet = None


def _whole(value: float) -> int:
    if not abs(value) < 1 << 31 or value != int(value):
        raise BadInput(f"an event of channel {value}")
    return int(value)


class LSLSource(LiveSource):
    """A Lab Streaming Layer stream as a source."""

    def __init__(self, config: Config):
        super().__init__(config, LSLFeed(config))
