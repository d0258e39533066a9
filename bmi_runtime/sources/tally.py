"""What a live source has counted, and the named events that happened, since the session and since the last bin."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

from bmi_runtime.sources.clock import ClockFit

HEARD_BEFORE = ("message-refused", "source-told", "device-event", "messages-lost", "source-unreachable")
"""Events that matter though they came before the session began."""
MOST_REASONS = 40  # that are told apart; hostile senders find new ones for ever
MOST_MARKS = 100  # events of the device in one bin
_DIGITS = re.compile(r"[0-9]+(\.[0-9]+)?")


class SourceTally:
    """Counts what came, was refused, doubled or lost, and keeps the events until the session takes them.

    Parameters
    ----------
    clock : ClockFit
        Of the device: it tells when a device's events happened on this machine.

    Attributes
    ----------
    totals : Counter
        Of everything that was counted since the start: ``late``, ``late_dropped``, ``duplicates``, ``refused``,
        ``lost``, ``stale_bins``, ``skipped_bins``, ``segments``, ``contradicted``.
    events : list of dict
        Named events since they were last taken.
    refusals : dict
        How often and an example ``[count, sentence]``, by the reason without its numbers.
    late, duplicates, refused : int
        Since the last bin.
    """

    def __init__(self, clock: ClockFit):
        self.clock = clock
        self.totals: Counter[str] = Counter()
        self.events: list[dict[str, Any]] = []
        self.refusals: dict[str, list[Any]] = {}
        self._of_time: set[str] = set()  # those that a clock in another unit than was thought explains
        self.late = self.duplicates = self.refused = self._marks = 0

    def note(self, name: str, **facts: Any) -> None:
        """Keep a named event."""
        self.events.append({"name": name, **facts})

    def refuse(self, reason: str, of_time: bool = False) -> None:
        """Count a message that cannot be used; the first since the last bin becomes an event, every reason is kept.

        Parameters
        ----------
        reason : str
        of_time : bool
            Whether its time was the reason, which is not the fault of the sender where the clock's unit is told later.
        """
        self.refused += 1
        self.totals["refused"] += 1
        kind = reason if reason in self.refusals else _DIGITS.sub("#", reason[:300])
        if kind in self.refusals or len(self.refusals) < MOST_REASONS:
            self.refusals.setdefault(kind, [0, reason[:300]])[0] += 1
            if of_time:
                self._of_time.add(kind)
        if self.refused == 1:
            self.note("message-refused", reason=reason[:300])

    def withdraw_refusals(self) -> None:
        """Forget what was refused for its time: it was read in the wrong unit, which was not the sender's fault."""
        for kind in self._of_time:
            self.totals["refused"] -= self.refusals.pop(kind)[0]
        self.totals.pop("contradicted", None)
        self.events = [event for event in self.events if _DIGITS.sub("#", event.get("reason", "")) not in self._of_time]
        self._of_time.clear()

    def mark(
        self,
        kind: str,
        time_ns: int,
        facts: dict[str, Any],
        host_ns: int | None = None,
        own_clock: bool = False,
    ) -> None:
        """Take an event of the device (a TTL line, a marker): recorded with its device time and its host time.

        Parameters
        ----------
        kind : str
        time_ns : int
            Device time.
        facts : dict
            What else to record.
        host_ns : int or None
            Where the protocol knows it; else it is fitted.
        own_clock : bool
            The event's clock is not that of the neural data, so their fit says nothing about it.
        """
        self._marks += 1
        if self._marks > MOST_MARKS:
            self.totals["events_dropped"] += 1
            return
        event: dict[str, Any] = {"name": "device-event", "kind": kind, "device_time_s": time_ns * 1e-9, **facts}
        if host_ns is not None:
            event["host_time_ns"] = host_ns
        elif self.clock.known and not own_clock:
            event["host_time_ns"] = self.clock.host_ns(time_ns)
            uncertainty_s = self.clock.uncertainty_s(time_ns)
            event["uncertainty_s"] = uncertainty_s if math.isfinite(uncertainty_s) else None
        self.totals["device_events"] += 1
        self.events.append(event)

    def duplicate(self) -> None:
        """Count a message that came twice."""
        self.duplicates += 1
        self.totals["duplicates"] += 1

    def lose(self, count: int) -> None:
        """Count messages that were never seen (negative: one of them came after all)."""
        self.totals["lost"] += count
        if count > 0:
            self.note("messages-lost", count=count)

    def count_late(self, late: int, dropped: int) -> None:
        """Count spikes that came after their bin was closed, and those of them that go into no other."""
        self.late += late
        self.totals["late"] += late
        self.totals["late_dropped"] += dropped

    def begin_bin(self) -> None:
        """Start counting again: a bin has been closed."""
        self.late = self.duplicates = self.refused = self._marks = 0

    def take(self) -> tuple[int, int]:
        """Return how many messages were doubled, and refused, since the last bin; a bin is filled elsewhere."""
        taken = self.duplicates, self.refused
        self.duplicates = self.refused = 0
        return taken

    def begin_here(self) -> None:
        """Forget what was late or skipped, and the events of it: before now data were only listened to."""
        self.late = 0
        for name in ("late", "late_dropped", "skipped_bins", "segments"):
            self.totals.pop(name, None)
        self.events = [event for event in self.events if event["name"] in HEARD_BEFORE]

    def drain(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events
