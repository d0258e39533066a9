"""Safety states: one table of (state, what happened) and what each state allows. Pure: fed bin by bin by the session.

=============  ==========================================================  ============  =========
state          means                                                       cursor moves  adapts
=============  ==========================================================  ============  =========
starting       no usable bin yet                                           no            no
calibrating    the first ``safety.calibrating_s`` of usable data           yes           yes
active         input trusted, decoder sound                                yes           yes
degraded       some bins unusable (the decoder coasts), or a rate exploded  yes           usable bins
frozen         silent for ``safety.frozen_after_s``, or the decoder broke   no            no
stopped        the operator stopped the output; only a new session resumes no            no
=============  ==========================================================  ============  =========
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from bmi_runtime.config import SafetyConfig
from bmi_runtime.errors import SAID, described, printable
from bmi_runtime.messages import SafetyState

STARTING, CALIBRATING, ACTIVE, DEGRADED, FROZEN, STOPPED = SafetyState


class SafetyEvent(enum.Enum):
    """What the safety states react to."""

    FIRST_USABLE_BIN = "first usable bin"
    CALIBRATED = "calibration time is over"
    TROUBLE = "bins unusable or a rate exploded"
    SILENCE = "no usable bin for too long"
    FAULT = "the decoder or a covariance broke"
    RECOVERED = "enough good bins in a row"
    STOP = "operator stop"


TABLE: dict[tuple[SafetyState, SafetyEvent], SafetyState] = {
    (STARTING, SafetyEvent.FIRST_USABLE_BIN): CALIBRATING,
    (STARTING, SafetyEvent.STOP): STOPPED,
    (CALIBRATING, SafetyEvent.CALIBRATED): ACTIVE,
    (CALIBRATING, SafetyEvent.TROUBLE): DEGRADED,
    (CALIBRATING, SafetyEvent.SILENCE): FROZEN,
    (CALIBRATING, SafetyEvent.FAULT): FROZEN,
    (CALIBRATING, SafetyEvent.STOP): STOPPED,
    (ACTIVE, SafetyEvent.TROUBLE): DEGRADED,
    (ACTIVE, SafetyEvent.SILENCE): FROZEN,
    (ACTIVE, SafetyEvent.FAULT): FROZEN,
    (ACTIVE, SafetyEvent.STOP): STOPPED,
    (DEGRADED, SafetyEvent.SILENCE): FROZEN,
    (DEGRADED, SafetyEvent.FAULT): FROZEN,
    (DEGRADED, SafetyEvent.RECOVERED): ACTIVE,
    (DEGRADED, SafetyEvent.STOP): STOPPED,
    (FROZEN, SafetyEvent.RECOVERED): ACTIVE,
    (FROZEN, SafetyEvent.STOP): STOPPED,
}
"""Every pair that is not here leaves the state as it is."""

TROUBLED = frozenset({DEGRADED, FROZEN})
MOVES = frozenset({CALIBRATING, ACTIVE, DEGRADED})
ADAPTS = frozenset({CALIBRATING, ACTIVE, DEGRADED})


class Safety:
    """The state, and the counts of good and bad bins that it follows from.

    Parameters
    ----------
    config : SafetyConfig
    bin_s : float
    """

    COUNTS = ("good", "bad", "exploded", "seen", "troubled")

    def __init__(self, config: SafetyConfig, bin_s: float):
        self.config = config
        self.state = STARTING
        self.frozen_after = max(round(config.frozen_after_s / bin_s), 1)
        self.calibrating = round(config.calibrating_s / bin_s)
        self.good = self.bad = self.exploded = self.seen = self.troubled = 0
        self._hopeless_after = round(config.exploded_after_s / bin_s)
        self.events: list[dict[str, Any]] = []
        self._most_squared = config.max_speed**2

    @property
    def moves(self) -> bool:
        """Whether the cursor may move."""
        return self.state is ACTIVE or self.state in MOVES  # the hash of an enumeration takes a call

    @property
    def adapts(self) -> bool:
        """Whether the encoding model may adapt (on usable bins)."""
        return self.state is ACTIVE or self.state in ADAPTS

    def plausible(self, velocity: Sequence[float]) -> bool:
        """Return whether a velocity (m/s) is finite and within ``safety.max_speed``."""
        squared = 0.0  # not by `sum`, which adds floats in another way from Python 3.12 on
        for component in velocity:
            squared += component * component
        return squared <= self._most_squared  # not so for NaN

    def part_failed(self, part: str, kind: str, error: Any, goes_on_with: str) -> dict[str, Any]:
        """Freeze the output because somebody's part failed; return the event that says so."""
        said = described(error) if isinstance(error, BaseException) else printable(str(error))[:SAID]
        self.handle(SafetyEvent.FAULT)
        return {"name": f"{part}-failed", "kind": kind, "error": said, "goes_on_with": goes_on_with}

    def before_decoding(self, usable: bool) -> None:
        """Judge a bin before it is decoded: the output stops being trusted before it moves the cursor."""
        if usable:
            self.good, self.bad, self.seen = self.good + 1, 0, self.seen + 1
        else:
            self.good, self.bad = 0, self.bad + 1
        if self.state is STARTING:
            if usable:
                self.handle(SafetyEvent.FIRST_USABLE_BIN)
        elif self.bad >= self.frozen_after:
            self.handle(SafetyEvent.SILENCE)
        elif self.bad >= self.config.degraded_after_bins:
            self.handle(SafetyEvent.TROUBLE)
        if self.state is CALIBRATING and self.seen > self.calibrating:
            self.handle(SafetyEvent.CALIBRATED)
        # good data alone bring the output back, never time: a source may be silent for hours
        if self.state is not ACTIVE and self.good >= self.config.recover_after_bins and not self.exploded:
            self.handle(SafetyEvent.RECOVERED)
        self.troubled += self.troubled > 0

    @property
    def untrusted(self) -> bool:
        """Whether the output is degraded or frozen."""
        return self.state in TROUBLED

    @property
    def hopeless(self) -> bool:
        """Whether rates explode and the output has not been trusted for ``safety.exploded_after_s`` since they did."""
        return self.troubled > self._hopeless_after

    def after_decoding(self, exploded: bool, broken: bool) -> None:
        """Judge what decoding a bin showed."""
        self.exploded = self.exploded + 1 if exploded else 0
        if broken:
            self.good = 0  # the bin was usable, but nothing good came of it: recovery starts again
            self.handle(SafetyEvent.FAULT)
        elif self.exploded >= self.config.degraded_after_bins:
            self.good = 0
            self.handle(SafetyEvent.TROUBLE)
        if exploded and not self.troubled and self.state in TROUBLED:
            self.troubled = 1

    def handle(self, what: SafetyEvent) -> None:
        """Follow the table; a change of state is an event."""
        new = TABLE.get((self.state, what), self.state)
        if new is not self.state:
            old, self.state = self.state, new
            self.troubled *= new in TROUBLED
            event = {"name": "safety", "from": old.name.lower(), "to": new.name.lower(), "why": what.value}
            self.events.append(event)

    def drain(self) -> list[dict[str, Any]]:
        """Return the changes of state since the last call."""
        events, self.events = self.events, []
        return events

    def snapshot(self) -> list[int]:
        """Return what the next bin depends on."""
        return [int(self.state), *(int(getattr(self, name)) for name in self.COUNTS)]

    def restore(self, snapshot: list[int]) -> None:
        """Restore state saved by :meth:`snapshot`; older ones have no last count."""
        self.state = SafetyState(snapshot[0])
        counts = [*snapshot[1:], *[0] * (len(snapshot) == len(self.COUNTS))]
        for name, value in zip(self.COUNTS, counts, strict=True):
            setattr(self, name, value)
