"""Messages to bins: bins close on device time as soon as they are complete, and never wait longer than is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.messages import INPUT_HEAD, Bin
from bmi_runtime.sources.bin_ring import RING_S, BinRing
from bmi_runtime.sources.clock import ClockFit
from bmi_runtime.sources.delays import DelayWindow, LearnedWait
from bmi_runtime.sources.options import LATE_LIMIT_S, BinnerOptions
from bmi_runtime.sources.packet import Packet
from bmi_runtime.sources.tally import SourceTally
from bmi_runtime.sources.time_guard import TimeGuard
from bmi_runtime.sources.wait_observer import WaitObserver

CATCH_UP_BINS = 8  # that are closed one after the other when this process was late; then time is given up


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
    tally : SourceTally
        What was counted and what happened; its ``refuse``, ``mark``, ``duplicate``, ``lose`` and ``take`` are the
        binner's too (the last as ``take_tally``), as are its ``totals``, ``events`` and ``refusals``.
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
        self.waits = WaitObserver(self.wait, self.ring, self.clock)
        self._good_ns = 0  # the end of the last complete bin
        self.closed, self._closed_host_ns = 0, 0
        self.tally = tally = SourceTally(self.clock)
        self.refuse, self.mark, self.duplicate, self.lose = tally.refuse, tally.mark, tally.duplicate, tally.lose
        self.take_tally, self.drain_events = tally.take, tally.drain
        self.totals, self.refusals = tally.totals, tally.refusals
        self._stale = self._gap = 0

    @property
    def events(self) -> list[dict[str, Any]]:
        """Named events since they were last taken."""
        return self.tally.events

    @property
    def started(self) -> bool:
        """True once a packet has set the grid of bins."""
        return self.ring.origin_ns is not None

    @property
    def holding(self) -> bool:
        """True while a packet with an unbelievable time waits for the next one to agree."""
        return self.guard.suspect is not None

    def restart(self, reason: str) -> None:
        """Begin a new segment with the next packet: the source said that it started again."""
        self._new_segment(reason)

    def restart_told(self, reason: str, text: str) -> None:
        """Begin a new segment because the unit of the device's clock was told; what was read before says nothing."""
        self.tally.withdraw_refusals()
        self.tally.note("source-told", text=text)
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
        self.refuse("a time stamp that neither the message before nor the one after agrees with", of_time=True)

    def _new_segment(self, reason: str, **facts: float) -> None:
        if self.ring.origin_ns is None:
            return
        dropped = self.ring.clear()
        self.clock.restart()
        self.guard.suspect = None
        self.totals["segments"] += 1
        self.totals["late_dropped"] += dropped
        self.tally.note(reason, segment=self.clock.segment, spikes_dropped=dropped, **facts)

    def _accept(self, packet: Packet) -> None:
        ring = self.ring
        if ring.origin_ns is None:
            ring.begin(packet)
            self._good_ns = packet.from_ns
        pieces = 0 if packet.values is None else ring.pieces(packet)
        if packet.in_order:
            self.clock.observe(packet.device_ns, packet.host_ns)
            self.waits.observe(packet, pieces, self.sparse)
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
        self.tally.count_late(ring.late, ring.late_dropped)
        if ring.far:
            self.refuse(f"{ring.far} spikes lie more than {RING_S} s ahead of everything else", of_time=True)

    def kinematics(self, time_ns: int, values: np.ndarray) -> None:
        """Take kinematics (2 axes,) of one moment of device time; they stay until newer ones come."""
        self.ring.kinematics(time_ns, values)

    def _skip_to(self, index: int) -> None:
        """Give up the bins before `index`: nobody may decode them any more."""
        count = self.ring.skip_to(index)
        self._gap += count
        self.totals["skipped_bins"] += count
        self.tally.note("bins-skipped", count=int(count))

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
        self._gap = self.clock.segment = 0
        self.tally.begin_here()

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
        tally = self.tally
        INPUT_HEAD.pack_into(into.bytes, 0, *times, gap, tally.late, tally.duplicates, tally.refused, stale)
        tally.begin_bin()
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
                self.tally.note("data-back", stale_bins=self._stale)
                self._stale = 0
            return gap, 0
        self._stale += 1
        self._gap += self.started  # before the first data nothing was lost
        self.totals["stale_bins"] += 1
        if self._stale == 1:
            self.tally.note("data-missing", device_time_s=device_s)
        return 0, self._stale
