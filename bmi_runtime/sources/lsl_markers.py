"""Markers of a Lab Streaming Layer stream (a task program, digital inputs): recorded as events of the device."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.lsl_streams import SILENT_S, StreamFinder, library

RESOLVE_S = 5.0  # for streams on other machines to answer
CHUNK = 100  # markers taken at once


class MarkerStream:
    """An irregular stream of text or numbers.

    LSL measures the offset between the sender's clock and ours itself, so a marker's host time does not go through the
    fit of the neural data's clock: it is ``stamp + time_correction``, with LSL's own error of about half a round trip.

    Parameters
    ----------
    name : str
        ``source.options.markers``.
    """

    def __init__(self, name: str):
        self.name, self.finder = name, StreamFinder(name, resolve_s=RESOLVE_S)
        self.inlet: Any = None
        self._correction: float | None = None
        self._correct_at = self._heard_at = 0.0
        self._clock_offset_s = 0.0

    def open(self) -> None:
        """Find the stream and connect."""
        import pylsl

        self.inlet = self.finder.connect(self.finder.first())
        self._clock_offset_s = time.monotonic() - pylsl.local_clock()
        self._heard_at = time.monotonic()

    def receive(self, binner: Binner) -> None:
        """Take what has come; never waits."""
        now = time.monotonic()
        if self.inlet is not None and now > self._correct_at:
            self._correct_at = now + 5.0
            with contextlib.suppress(Exception):  # not estimated yet; the error's class differs between versions
                self._correction = self.inlet.time_correction(timeout=0.001)
        if self.inlet is None or now - self._heard_at > SILENT_S:
            self._look_for_return(now, binner)
        samples, stamps = self._pulled(binner)
        if samples:
            self._heard_at = now
        for sample, stamp in zip(samples, stamps, strict=True):
            self.accept(sample, stamp, binner)

    def _pulled(self, binner: Binner) -> tuple[list, list]:
        """Return the markers and stamps that are there; a stream that is lost is given up, the neural data go on."""
        if self.inlet is None:
            return [], []
        try:
            return self.inlet.pull_chunk(timeout=0.0, max_samples=CHUNK)
        except library().util.LostError:
            self.close()
            self._say(f"the LSL markers '{self.name}' were lost; their name is looked for", binner)
            return [], []

    def _look_for_return(self, now: float, binner: Binner) -> None:
        """Go on with markers whose program was started again."""
        found = self.finder.returned(now - self._heard_at)
        if self.finder.several:
            self._say(self.finder.several, binner)
            self.finder.several = ""
        if found is None:
            return
        self.close()
        self.inlet, self._heard_at, self._correction, self._correct_at = found[0], now, None, 0.0
        self._say(f"the LSL markers '{self.name}' are back", binner)

    def _say(self, text: str, binner: Binner) -> None:
        binner.events.append({"name": "source-told", "text": text})

    def accept(self, sample: list, stamp: float, binner: Binner) -> None:
        """Record one marker."""
        if not 0.0 < stamp < 4e9:
            binner.refuse(f"a marker with a time stamp of {stamp!r} s")
            return
        value = [_plain(entry) for entry in list(sample)[:16]]
        facts: dict[str, Any] = {"stream": self.name, "clock": "LSL", "value": value[0] if len(value) == 1 else value}
        host_ns = None
        if self._correction is not None:
            host_ns = round((stamp + self._correction + self._clock_offset_s) * 1e9)
        binner.mark("marker", round(stamp * 1e9), facts, host_ns, own_clock=True)

    def close(self) -> None:
        """Close the inlet."""
        if self.inlet is not None:
            self.inlet.close_stream()
            self.inlet = None


def _plain(entry: Any) -> str | int | float | None:
    if isinstance(entry, str):
        return entry[:500]
    number = float(entry)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number
