"""Messages to bins: bins close on device time as soon as they are complete, and never wait longer than is allowed."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.messages import INPUT_HEAD, Bin
from bmi_runtime.sources.bin_ring import COMPLETE_WITHIN_NS, RING_S, SAME_WIDTH, BinRing
from bmi_runtime.sources.clock import ClockFit
from bmi_runtime.sources.delays import DelayWindow, LearnedWait
from bmi_runtime.sources.options import LATE_LIMIT_S, BinnerOptions
from bmi_runtime.sources.packet import Packet
from bmi_runtime.sources.time_guard import TimeGuard

CATCH_UP_BINS = 8
HEARD_BEFORE = ("message-refused", "source-told", "device-event", "messages-lost", "source-unreachable")
"""Events that matter though they came before the session began."""
MOST_REASONS = 40
MOST_MARKS = 100  # events of the device in one bin
_DIGITS = re.compile(r"[0-9]+(\.[0-9]+)?")


class Binner:
    """Collects packets and closes bins.

    A bin is *complete* when packets cover all of it, and then closes at once. When it is not complete
    ``realtime.max_wait_s`` after the host time at which it should have been (by the clock fit), it closes as it is,
    marked stale, so that it is recorded but not decoded. Spikes that come after their bin was closed are late: they go
    into the next complete bin and are counted (policy ``next``), or are only counted (``drop``, and whatever is later
    than ``late_limit_s``).

    Parameters
    ----------
    config : Config
    options : BinnerOptions

    Attributes
    ----------
    sparse : bool
        The protocol sends nothing while no unit fires: what was not heard of by its deadline is taken as silence, until
        nothing at all has come for ``source.stale_after_s``.
    totals : Counter
        Of everything that was counted since the start: ``late``, ``late_dropped``, ``duplicates``, ``refused``,
        ``lost``, ``stale_bins``, ``skipped_bins``, ``segments``, ``contradicted``.
    events : list of dict
        Named events since they were last taken.
    complete : callable
        Returns whether packets cover all of the next bin.
    """

    def __init__(self, config: Config, options: BinnerOptions | None = None):
        self.options = options or BinnerOptions.of(config)
        self.bin_ns = round(config.bin_s * 1e9)
        self.bin_s, self.n_units, self.continuous = config.bin_s, config.session.units, config.continuous
        self.wait = LearnedWait(round(config.realtime.max_wait_s * 1e9), round(config.realtime.wait_limit_s * 1e9))
        self.delays = DelayWindow()  # of the bins that were decoded
        late_next, late_limit_s = config.realtime.late_policy == "next", self.options.late_limit_s
        self._late_limit_follows = late_next and late_limit_s is None
        self._late_limit_ns = round((LATE_LIMIT_S if late_limit_s is None else late_limit_s) * 1e9) if late_next else -1
        self.ring = BinRing(
            self.n_units, config.space.n_axes, self.bin_ns, self.continuous, late_limit_ns=self._late_limit_ns
        )
        self.complete = self.ring.complete
        self.ring.warm_up(Bin(*config.layout).fields)
        self.max_backlog_ns = round(self.options.max_backlog_s * 1e9)
        self.stale_after_ns, self.sparse = round(config.source.stale_after_s * 1e9), False
        self.clock = ClockFit(self.options.jump_s)
        self.guard = TimeGuard(self.clock)
        self._good_ns = 0  # the end of the last complete bin
        self.closed, self._closed_host_ns = 0, 0
        self.totals: Counter[str] = Counter()
        self.events: list[dict[str, Any]] = []
        self.refusals: dict[str, list[Any]] = {}  # how often and an example, by the reason without its numbers
        self._late = self._duplicates = self._refused = self._stale = self._gap = self._marks = 0

    @property
    def started(self) -> bool:
        """True once a packet has set the grid of bins."""
        return self.ring.origin_ns is not None

    @property
    def holding(self) -> bool:
        """True while a packet with an unbelievable time waits for the next one to agree."""
        return self.guard.suspect is not None

    def refuse(self, reason: str) -> None:
        """Count a message that cannot be used; the first since the last bin becomes an event, every reason is kept."""
        self._refused += 1
        self.totals["refused"] += 1
        kind = reason if reason in self.refusals else _DIGITS.sub("#", reason[:300])
        if kind in self.refusals or len(self.refusals) < MOST_REASONS:
            self.refusals.setdefault(kind, [0, reason[:300]])[0] += 1
        if self._refused == 1:
            self.events.append({"name": "message-refused", "reason": reason[:300]})

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
        self._duplicates += 1
        self.totals["duplicates"] += 1

    def take_tally(self) -> tuple[int, int]:
        """Return how many messages were doubled, and refused, since the last bin; a bin is filled elsewhere."""
        tally = self._duplicates, self._refused
        self._duplicates = self._refused = 0
        return tally

    def lose(self, count: int) -> None:
        """Count messages that were never seen (negative: one of them came after all)."""
        self.totals["lost"] += count
        if count > 0:
            self.events.append({"name": "messages-lost", "count": count})

    def restart(self, reason: str) -> None:
        """Begin a new segment with the next packet: the source said that it started again."""
        self._new_segment(reason)

    def take(self, packet: Packet) -> bool:
        """Take one packet, unless its time is not believable; a jump is believed when the next packet agrees.

        Returns
        -------
        bool
            False when the packet is kept back until the next one.
        """
        clock, guard, newest_ns = self.clock, self.guard, self.ring.newest_ns
        if self.ring.origin_ns is not None and clock.known:
            residual_ns = clock.residual_ns(packet.device_ns, packet.host_ns)
            forward = packet.in_order and packet.until_ns >= newest_ns and guard.suspect is None
            if not (forward and clock.usual(residual_ns)):
                if not guard.believable(packet, residual_ns, newest_ns):
                    return self._doubt(packet)
                self._look_at_clock(packet, residual_ns)
        self._accept(packet)
        return True

    def _look_at_clock(self, packet: Packet, residual_ns: int) -> None:
        """Drop the suspect packet before a believable one, and begin a new segment when the clock stood."""
        if self.guard.suspect is not None:
            self.guard.suspect = None
            self._reject_time_stamp()
        if packet.in_order and self.clock.behind(residual_ns, packet.host_ns):
            self._new_segment("clock-stood", jump_s=-residual_ns * 1e-9)

    def _doubt(self, packet: Packet) -> bool:
        """Keep back a packet whose time is not believable; with one that agrees with it the clock has jumped."""
        suspect, jumped = self.guard.suspect, self.guard.agrees(packet)
        self.guard.suspect = packet
        if suspect is None:
            return False
        if not jumped:
            self._reject_time_stamp()
            return False
        self._jump(suspect, packet)
        return True

    def _jump(self, suspect: Packet, packet: Packet) -> None:
        """Begin a new segment with the packet that was kept; neither packet covers what the clock jumped over."""
        jump_ns = packet.until_ns - packet.host_ns + self.clock.offset_ns(packet.until_ns)
        self._new_segment("clock-jump", jump_s=jump_ns * 1e-9)
        suspect.from_ns = max(suspect.from_ns, suspect.until_ns - self.bin_ns)
        packet.from_ns = max(packet.from_ns, suspect.until_ns)
        self._accept(suspect)
        self._accept(packet)

    def _reject_time_stamp(self) -> None:
        self.totals["contradicted"] += 1
        self.refuse("a time stamp that neither the message before nor the one after agrees with")

    def _new_segment(self, reason: str, **facts: float) -> None:
        if self.ring.origin_ns is None:
            return
        dropped = self.ring.clear()
        self.clock.restart()
        self.guard.suspect = None
        self.totals["segments"] += 1
        self.totals["late_dropped"] += dropped
        self.events.append({"name": reason, "segment": self.clock.segment, "spikes_dropped": dropped, **facts})

    def _accept(self, packet: Packet) -> None:
        ring = self.ring
        if ring.origin_ns is None:
            ring.begin(packet)
            self._good_ns = packet.from_ns
        pieces = 0 if packet.values is None else ring.pieces(packet)
        if packet.in_order:
            self.clock.observe(packet.device_ns, packet.host_ns)
            self._observe_delay(packet, pieces)
        last = ring.index_of(packet.until_ns)
        if last >= ring.next + ring.slots:
            self._skip_to(last - ring.slots // 2)
        if self._late_limit_follows:
            width_ns = packet.until_ns - packet.from_ns
            ring.late_limit_ns = self._late_limit_ns + min(width_ns, self.wait.limit_ns)
        ring.add(packet, pieces)
        if ring.late or ring.far:
            self._count_late()
        if packet.kinematics is not None:
            ring.kinematics(packet.until_ns, packet.kinematics)

    def _count_late(self) -> None:
        ring = self.ring
        self._late += ring.late
        self.totals["late"] += ring.late
        self.totals["late_dropped"] += ring.late_dropped
        if ring.far:
            self.refuse(f"{ring.far} spikes lie more than {RING_S} s ahead of everything else")

    def kinematics(self, time_ns: int, values: np.ndarray) -> None:
        """Take kinematics (2 axes,) of one moment of device time; they stay until newer ones come."""
        self.ring.kinematics(time_ns, values)

    def _observe_delay(self, packet: Packet, pieces: int) -> None:
        """Learn how late a packet completes the first bin that it completes; at worst, the bin ends where it begins."""
        ring = self.ring
        if packet.times_ns is not None and self.sparse:
            self._observe_spikes(packet.times_ns, packet.host_ns)
            return
        late_ns, width_ns = packet.host_ns - self.clock.host_ns(packet.until_ns), packet.until_ns - packet.from_ns
        if not pieces and not self._on_grid(packet.until_ns, width_ns):
            within = ring.index_of(packet.from_ns) == ring.index_of(packet.until_ns)
            if within and not self.wait.young:
                return  # it completes no bin; while little is known it tells of those to come
            late_ns += width_ns
        self.wait.observe(late_ns)

    def _observe_spikes(self, times_ns: np.ndarray, host_ns: int) -> None:
        """Learn from spikes alone, of a device that is silent while no unit fires."""
        if times_ns.size:
            end_ns = self.ring.origin_ns + (self.ring.index_of(int(times_ns.min())) + 1) * self.bin_ns  # type: ignore[operator]
            late_ns = host_ns - self.clock.host_ns(end_ns)
            if late_ns < self.wait.limit_ns:  # waiting would not have helped
                self.wait.observe(late_ns)

    def _on_grid(self, until_ns: int, width_ns: int) -> bool:
        """Return whether the end of a packet is the first end of a bin in it."""
        within = (until_ns - self.ring.origin_ns) % self.bin_ns  # type: ignore[operator]
        near = within <= COMPLETE_WITHIN_NS or self.bin_ns - within <= COMPLETE_WITHIN_NS
        return near and width_ns <= self.bin_ns * (1 + SAME_WIDTH)

    def _skip_to(self, index: int) -> None:
        """Give up the bins before `index`: nobody may decode them any more."""
        count = self.ring.skip_to(index)
        self._gap += count
        self.totals["skipped_bins"] += count
        self.events.append({"name": "bins-skipped", "count": int(count)})

    def _trusted(self) -> bool:
        """Return whether the next bin may be decoded though it was not covered in time: silence of a sparse one."""
        ring = self.ring
        return self.sparse and self.started and ring.end_ns() - ring.newest_ns < self.stale_after_ns

    def age_ns(self, now_ns: int) -> int:
        """Return how long ago the next bin should have been complete."""
        return now_ns - self.clock.host_ns(self.ring.end_ns())

    def deadline_ns(self) -> int:
        """Return the host time at which the next bin closes even if it is not complete."""
        if self.ring.origin_ns is None or not self.clock.known:
            return self._closed_host_ns + self.bin_ns
        return self.clock.host_ns(self.ring.end_ns()) + self.wait.wait_ns

    def begin_here(self) -> None:
        """Go on with the newest bin: what came before was listened to, and is neither decoded nor missed."""
        ring = self.ring
        if ring.origin_ns is None:
            return
        ring.skip_to(max(ring.index_of(ring.newest_ns), ring.next))
        ring.forget_late()
        self._late = self._gap = 0
        for name in ("late", "late_dropped", "skipped_bins"):
            self.totals.pop(name, None)
        self.events = [event for event in self.events if event["name"] in HEARD_BEFORE]

    def drop_backlog(self, now_ns: int) -> None:
        """Skip to the newest complete bin when older data wait than may be decoded (not when all data come late)."""
        ring = self.ring
        if ring.origin_ns is None or self.age_ns(now_ns) <= self.max_backlog_ns:
            return
        if ring.newest_ns - ring.end_ns() <= self.max_backlog_ns:
            return
        newest = ring.index_of(ring.newest_ns) - 1
        if newest > ring.next:
            self._skip_to(newest)

    def close(self, into: Bin, now_ns: int) -> None:
        """Close the next bin as it is and write it into `into`."""
        ring, fields = self.ring, into.fields
        complete = ring.complete() or self._trusted()
        device_s, offset_s, uncertainty_s, age_s = math.nan, math.nan, math.inf, math.inf
        if ring.origin_ns is not None:
            end_ns, clock = ring.end_ns(), self.clock
            offset_ns, uncertainty_s = clock.offset_ns(end_ns), clock.uncertainty_s(end_ns)
            device_s, offset_s = end_ns * 1e-9, offset_ns * 1e-9
            if complete:
                self._good_ns, age_ns = end_ns, now_ns - end_ns - round(offset_ns)
                self.delays.observe(age_ns)
            else:
                age_ns = now_ns - clock.host_ns(self._good_ns)
            age_s = age_ns * 1e-9
        gap, stale = self._note_gap(device_s, complete)
        times = (self.closed, device_s, now_ns, offset_s, uncertainty_s, age_s)
        INPUT_HEAD.pack_into(into.bytes, 0, *times, gap, self._late, self._duplicates, self._refused, stale)
        self._late = self._duplicates = self._refused = self._marks = 0
        fields.segment[0] = self.clock.segment
        if ring.late_waiting and stale * self.bin_ns > ring.late_limit_ns:
            self.totals["late_dropped"] += ring.forget_late()
        ring.close(fields, complete and ring.late_waiting > 0)  # a stale bin is not decoded: late spikes wait
        self.closed += 1
        due_ns = self._closed_host_ns + self.bin_ns  # without a clock bins follow one another, and catch up when late
        self._closed_host_ns = due_ns if 0 <= now_ns - due_ns < CATCH_UP_BINS * self.bin_ns else now_ns

    def _note_gap(self, device_s: float, complete: bool) -> tuple[int, int]:
        """Return how many bins were lost just before this one, and for how many nothing has come."""
        if complete:
            gap, self._gap = self._gap, 0
            if self._stale:
                self.events.append({"name": "data-back", "stale_bins": self._stale})
                self._stale = 0
            return gap, 0
        self._stale += 1
        self._gap += self.started  # before the first data nothing was lost
        self.totals["stale_bins"] += 1
        if self._stale == 1:
            self.events.append({"name": "data-missing", "device_time_s": device_s})
        return 0, self._stale

    def drain_events(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events
