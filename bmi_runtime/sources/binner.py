"""Messages to bins: bins close on device time as soon as they are complete, and never wait longer than is allowed."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections import Counter
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import INPUT_HEAD, Bin
from bmi_runtime.sources.clock import ClockFit
from bmi_runtime.sources.delays import LearnedWait

COMPLETE_WITHIN_NS = 1000  # a bin whose last microsecond is not covered counts as complete (rounding of bin edges)
SAME_WIDTH = 0.01  # counts of a width within one percent of ours are ours
RING_S = 1.5
CATCH_UP_BINS = 8
HEARD_BEFORE = ("message-refused", "source-told", "device-event", "messages-lost", "source-unreachable")
"""Events that matter though they came before the session began."""
MOST_REASONS = 40
MOST_MARKS = 100  # events of the device in one bin
_DIGITS = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclasses.dataclass(slots=True)
class Packet:
    """What one message of any protocol brought: everything between two device times.

    Attributes
    ----------
    from_ns, until_ns : int
        The message is complete for this piece of device time (the end excluded).
    host_ns : int
        Host monotonic time of its arrival.
    times_ns, units : ndarray, shape (spikes,), or None
        Spikes.
    values : ndarray, shape (units,), or None
        Counts or features.
    kinematics : ndarray, shape (2 axes,), or None
    in_order : bool
        False for a message that came after a later one.
    inside : bool
        All spikes lie between `from_ns` and `until_ns`. False where the protocol lets some lie elsewhere and says
        nothing of bins: then bins begin at whole multiples of their width on the device's clock.
    fractional : bool
        `values` are expected counts that need not be whole (a rate times its width).
    pace_ns : float or None
        What values of this stream stand for: where a whole number of them fills a bin, bins begin with them. 0: they
        are uneven. None: judged by this packet alone.
    sent_ns : int or None
        The device's clock when this was sent, where it is complete for less than that. None: `until_ns`.
    """

    from_ns: int
    until_ns: int
    host_ns: int
    times_ns: np.ndarray | None = None
    units: np.ndarray | None = None
    values: np.ndarray | None = None
    kinematics: np.ndarray | None = None
    in_order: bool = True
    inside: bool = True
    fractional: bool = False
    pace_ns: float | None = None
    sent_ns: int | None = None

    @property
    def device_ns(self) -> int:
        """What the device's clock said when this was sent."""
        return self.until_ns if self.sent_ns is None else self.sent_ns


@dataclasses.dataclass(frozen=True)
class BinnerOptions:
    """What a configuration may say in ``source.options`` about clocks and bins.

    Attributes
    ----------
    jump_s : float
        A device clock that differs this much from its fit has jumped.
    late_limit_s : float
        Spikes later than this are dropped and counted, whatever the late policy.
    max_backlog_s : float
        When the data waiting to be decoded are older than this, skip to the newest and count what was skipped.
    """

    jump_s: float = 0.05
    late_limit_s: float = 0.02
    max_backlog_s: float = 0.25

    @classmethod
    def of(cls, config: Config, known: tuple[str, ...] = ()) -> BinnerOptions:
        """Return the options in ``source.options``; raise `BadInput` for any that neither this nor `known` names."""
        own = {field.name for field in dataclasses.fields(cls)}
        given = config.source.options
        check_options(given, (*own, *known))
        values = {}
        for name in own & given.keys():
            if not isinstance(given[name], int | float) or not 0 < given[name] < 3600:
                raise BadInput(f"source.options.{name} must be a number of seconds above 0, got {given[name]!r}")
            values[name] = float(given[name])
        return cls(**values)


def check_options(given: dict[str, Any], known: tuple[str, ...]) -> None:
    """Raise `BadInput` when `given` has a key that is not in `known`, with the nearest one."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; the nearest valid one is '{near[0]}'" if near else f"; valid: {', '.join(sorted(known))}"
            raise BadInput(f"unknown key 'source.options.{key}'{hint}")


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
    """

    def __init__(self, config: Config, options: BinnerOptions | None = None):
        self.options = options or BinnerOptions.of(config)
        self.bin_ns = round(config.bin_s * 1e9)
        self.bin_s, self.n_units, self.continuous = config.bin_s, config.session.units, config.continuous
        self.wait = LearnedWait(round(config.realtime.max_wait_s * 1e9), round(config.realtime.wait_limit_s * 1e9))
        self.delays = LearnedWait(0, 0)  # of the bins that were decoded
        self.late_next = config.realtime.late_policy == "next"
        self.late_limit_ns = round(self.options.late_limit_s * 1e9)
        self.max_backlog_ns = round(self.options.max_backlog_s * 1e9)
        self.stale_after_ns, self.sparse = round(config.source.stale_after_s * 1e9), False
        self.clock = ClockFit(self.options.jump_s)
        self.slots = max(int(RING_S / config.bin_s), 16)
        self._values = np.zeros((self.slots, self.n_units), np.float64)
        self._covered = [0] * self.slots  # ns of each bin
        self._kinematics = np.full((self.slots, 2 * config.space.n_axes), np.nan)
        self._moved = [False] * self.slots  # whether kinematics came for the bin
        self._late_values = np.zeros(self.n_units)
        self._remainder = np.zeros(self.n_units)  # of counts, between -0.5 and 0.5
        self._fractions = False  # whether counts were ever shared between bins
        self._origin: int | None = None  # device time at which bin 0 of the segment starts
        self._next = 0  # the bin of the segment that closes next
        self._newest_ns = 0  # how far packets have come
        self._good_ns = 0  # the end of the last complete bin
        self._held: Packet | None = None
        self._kinematics_now = np.full(2 * config.space.n_axes, np.nan)
        self.closed, self._closed_host_ns = 0, 0
        self.totals: Counter[str] = Counter()
        self.events: list[dict[str, Any]] = []
        self.refusals: dict[str, list[Any]] = {}  # how often and an example, by the reason without its numbers
        self._late = self._duplicates = self._refused = self._stale = self._gap = self._late_waiting = self._marks = 0

    @property
    def started(self) -> bool:
        """True once a packet has set the grid of bins."""
        return self._origin is not None

    @property
    def holding(self) -> bool:
        """True while a packet with an unbelievable time waits for the next one to agree."""
        return self._held is not None

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
        if not self._believable(packet):
            held, self._held = self._held, packet
            if held is None or not self._agree(held, packet):
                if held is not None:
                    self._contradict()
                return False
            self._jump(held, packet)
        elif self._held is not None:
            self._held = None
            self._contradict()
        if packet.in_order and self.clock.behind(packet.device_ns, packet.host_ns):
            self._new_segment("clock-stood", jump_s=-self.clock.residual_ns(packet.device_ns, packet.host_ns) * 1e-9)
        self._accept(packet)
        return True

    def _jump(self, held: Packet, packet: Packet) -> None:
        """Begin a new segment with the packet that was held; neither packet covers what the clock jumped over."""
        jump_ns = packet.until_ns - packet.host_ns + self.clock.offset_ns(packet.until_ns)
        self._new_segment("clock-jump", jump_s=jump_ns * 1e-9)
        held.from_ns = max(held.from_ns, held.until_ns - self.bin_ns)
        packet.from_ns = max(packet.from_ns, held.until_ns)
        self._accept(held)

    def _contradict(self) -> None:
        self.totals["contradicted"] += 1
        self.refuse("a time stamp that neither the message before nor the one after agrees with")

    def _believable(self, packet: Packet) -> bool:
        if self._origin is None or not self.clock.known:
            return True
        backward = packet.in_order and packet.until_ns < self._newest_ns - self.clock.jump_ns
        return not backward and not self.clock.ahead(packet.device_ns, packet.host_ns)

    def _agree(self, held: Packet, packet: Packet) -> bool:
        difference = (packet.host_ns - packet.until_ns) - (held.host_ns - held.until_ns)
        return packet.until_ns > held.until_ns and abs(difference) < self.clock.jump_ns

    def _new_segment(self, reason: str, **facts: float) -> None:
        if self._origin is None:
            return
        dropped = int(self._values.sum()) if not self.continuous else 0
        self.clock.restart()
        self._values[:] = 0.0
        self._covered = [0] * self.slots
        self._moved = [False] * self.slots
        self._origin, self._next, self._held = None, 0, None
        self.totals["segments"] += 1
        self.totals["late_dropped"] += dropped
        self.events.append({"name": reason, "segment": self.clock.segment, "spikes_dropped": dropped, **facts})

    def _accept(self, packet: Packet) -> None:
        if self._origin is None:
            self._origin = packet.from_ns if packet.inside else -(-packet.from_ns // self.bin_ns) * self.bin_ns
            self._newest_ns = self._good_ns = packet.from_ns
        if packet.in_order:
            self.clock.observe(packet.device_ns, packet.host_ns)
        first = (packet.from_ns - self._origin) // self.bin_ns
        last = (packet.until_ns - 1 - self._origin) // self.bin_ns
        pieces = self._pieces(packet) if packet.values is not None else 0
        if packet.in_order:
            self._observe_delay(packet, pieces)
        if pieces:
            first = last = self._align(packet, pieces)
        if last >= self._next + self.slots:
            self._skip_to(last - self.slots // 2)
        if packet.values is not None:
            self._fractions |= packet.fractional
            if pieces:
                self._add_values(packet.values, last, pieces)
            else:
                self._share_values(packet, packet.values, first, last)
        elif packet.times_ns is not None and packet.units is not None and packet.times_ns.size:
            self._add_spikes(packet, packet.times_ns, packet.units, first == last)
        if packet.values is None:
            self._cover(packet.from_ns, packet.until_ns, first, last)
        if packet.kinematics is not None:
            self.kinematics(packet.until_ns, packet.kinematics)
        self._newest_ns = max(self._newest_ns, packet.until_ns)

    def kinematics(self, time_ns: int, values: np.ndarray) -> None:
        """Take kinematics measured at a device time: the last of a bin counts, and holds until there are newer."""
        if self._origin is None:
            return
        index = (time_ns - 1 - self._origin) // self.bin_ns
        if self._next <= index < self._next + self.slots:
            self._kinematics[index % self.slots] = values
            self._moved[index % self.slots] = True

    def _observe_delay(self, packet: Packet, pieces: int) -> None:
        """Learn how late a packet completes the first bin that it completes; at worst, the bin ends where it begins."""
        assert self._origin is not None
        width = packet.until_ns - packet.from_ns
        if packet.times_ns is not None and self.sparse:
            if packet.times_ns.size:
                bin_end = (int(packet.times_ns.min()) - self._origin) // self.bin_ns + 1
                end_ns = self._origin + bin_end * self.bin_ns
                late_ns = packet.host_ns - self.clock.host_ns(end_ns)
                if late_ns < self.wait.limit_ns:  # waiting would not have helped
                    self.wait.observe(late_ns)
            return
        late_ns = packet.host_ns - self.clock.host_ns(packet.until_ns)
        if pieces or self._on_grid(packet, width):
            self.wait.observe(late_ns)
            return
        first, last = ((at - self._origin) // self.bin_ns for at in (packet.from_ns, packet.until_ns))
        if first != last or self.wait.young:  # one that lies within a bin completes none, but tells of those to come
            self.wait.observe(late_ns + width)

    def _on_grid(self, packet: Packet, width: int) -> bool:
        """Return whether the end of the packet is the first end of a bin in it."""
        within = (packet.until_ns - self._origin) % self.bin_ns  # type: ignore[operator]
        return width <= self.bin_ns * (1 + SAME_WIDTH) and min(within, self.bin_ns - within) <= COMPLETE_WITHIN_NS

    def _pieces(self, packet: Packet) -> int:
        """Return how many such packets fill a bin (more than 1: of a regular sender), or 0 where none fit."""
        if packet.pace_ns is None:
            pieces, width = 1, float(packet.until_ns - packet.from_ns)
        else:
            width = packet.pace_ns
            pieces = max(round(self.bin_ns / width), 1) if width else 0
        return pieces if abs(pieces * width - self.bin_ns) <= SAME_WIDTH * self.bin_ns else 0

    def _align(self, packet: Packet, pieces: int) -> int:
        """Return the bin of a packet that is a whole part of one; the grid follows its sender."""
        assert self._origin is not None
        place = round((packet.from_ns - self._origin) * pieces / self.bin_ns)
        self._origin += packet.from_ns - (self._origin + place * self.bin_ns // pieces)
        return place // pieces

    def _share_values(self, packet: Packet, values: np.ndarray, first: int, last: int) -> None:
        """Share values over the bins that they cover, in value and in coverage (features: weighted by time)."""
        assert self._origin is not None
        width = packet.until_ns - packet.from_ns
        for index in range(first, last + 1):
            start = self._origin + index * self.bin_ns
            covered = min(packet.until_ns, start + self.bin_ns) - max(packet.from_ns, start)
            share = covered / (self.bin_ns if self.continuous else width)
            if index < self._next:
                self._add_late_values(values * share, index)
            else:
                self._values[index % self.slots] += values if share == 1.0 else values * share
                self._covered[index % self.slots] += covered
            self._fractions |= share != 1.0

    def _add_values(self, values: np.ndarray, index: int, pieces: int) -> None:
        """Add values of a bin, or of one of so many equal pieces of it."""
        if index < self._next:
            self._add_late_values(values, index)
            return
        slot = index % self.slots
        self._values[slot] += values / pieces if self.continuous and pieces > 1 else values
        self._covered[slot] = self.bin_ns if pieces == 1 else self._covered[slot] + self.bin_ns // pieces + 1

    def _add_late_values(self, values: np.ndarray, index: int) -> None:
        count = 1 if self.continuous else math.ceil(values.sum())
        self._late += count
        self.totals["late"] += count
        if self.continuous or not self._may_move(index):
            self.totals["late_dropped"] += count
        else:
            self._late_values += values
            self._late_waiting += count

    def _may_move(self, index: int) -> bool:
        return self.late_next and (self._next - index) * self.bin_ns <= self.late_limit_ns

    def _add_spikes(self, packet: Packet, times: np.ndarray, units: np.ndarray, one_bin: bool) -> None:
        first = int((packet.from_ns - self._origin) // self.bin_ns)  # type: ignore[operator]
        if packet.inside and one_bin and first >= self._next:
            np.add.at(self._values[first % self.slots], units, 1.0)
            return
        bins = (times - self._origin) // self.bin_ns
        if not packet.inside:  # times that no check has bounded; and what was before the segment began
            far = bins >= self._next + self.slots
            if far.any():
                self.refuse(f"{int(far.sum())} spikes lie more than {RING_S} s ahead of everything else")
            usable = ~far & (bins >= 0)
            bins, units = bins[usable], units[usable]
        on_time = bins >= self._next
        if not on_time.all():
            self._add_late_spikes(bins[~on_time], units[~on_time])
            bins, units = bins[on_time], units[on_time]
        np.add.at(self._values, (bins % self.slots, units), 1.0)

    def _add_late_spikes(self, bins: np.ndarray, units: np.ndarray) -> None:
        self._late += bins.size
        self.totals["late"] += bins.size
        movable = (
            (self._next - bins) * self.bin_ns <= self.late_limit_ns if self.late_next else np.zeros(bins.size, bool)
        )
        self.totals["late_dropped"] += int(bins.size - movable.sum())
        np.add.at(self._late_values, units[movable], 1.0)
        self._late_waiting += int(movable.sum())

    def _cover(self, from_ns: int, until_ns: int, first: int, last: int) -> None:
        for index in range(max(first, self._next), last + 1):
            start = self._origin + index * self.bin_ns  # type: ignore[operator]
            self._covered[index % self.slots] += min(until_ns, start + self.bin_ns) - max(from_ns, start)

    def _skip_to(self, index: int) -> None:
        """Give up the bins before `index`: nobody may decode them any more."""
        count = index - self._next
        self._gap += count
        self.totals["skipped_bins"] += count
        for old in range(self._next, min(index, self._next + self.slots)):
            self._wipe(old % self.slots)
        self._next = index
        self.events.append({"name": "bins-skipped", "count": int(count)})

    def _wipe(self, slot: int) -> None:
        self._values[slot] = 0.0
        self._covered[slot] = 0
        self._moved[slot] = False

    def complete(self) -> bool:
        """Return whether packets cover all of the next bin."""
        return self._origin is not None and self._covered[self._next % self.slots] >= self.bin_ns - COMPLETE_WITHIN_NS

    def _trusted(self) -> bool:
        """Return whether the next bin may be decoded though it was not covered in time: silence of a sparse one."""
        return self.sparse and self._origin is not None and self._end_ns() - self._newest_ns < self.stale_after_ns

    def age_ns(self, now_ns: int) -> int:
        """Return how long ago the next bin should have been complete."""
        return now_ns - self.clock.host_ns(self._end_ns())

    def _end_ns(self) -> int:
        return self._origin + (self._next + 1) * self.bin_ns  # type: ignore[operator]

    def deadline_ns(self) -> int:
        """Return the host time at which the next bin closes even if it is not complete."""
        if self._origin is None or not self.clock.known:
            return self._closed_host_ns + self.bin_ns
        return self.clock.host_ns(self._end_ns()) + self.wait.wait_ns

    def begin_here(self) -> None:
        """Go on with the newest bin: what came before was listened to, and is neither decoded nor missed."""
        if self._origin is None:
            return
        newest = (self._newest_ns - self._origin) // self.bin_ns
        for old in range(self._next, min(newest, self._next + self.slots)):
            self._wipe(old % self.slots)
        self._next = max(newest, self._next)
        self._late_values[:] = 0.0
        self._late = self._late_waiting = self._gap = 0
        for name in ("late", "late_dropped", "skipped_bins"):
            self.totals.pop(name, None)
        self.events = [event for event in self.events if event["name"] in HEARD_BEFORE]

    def drop_backlog(self, now_ns: int) -> None:
        """Skip to the newest complete bin when older data wait than may be decoded (not when all data come late)."""
        if self._origin is None or self.age_ns(now_ns) <= self.max_backlog_ns:
            return
        if self._newest_ns - self._end_ns() <= self.max_backlog_ns:
            return
        newest = (self._newest_ns - self._origin) // self.bin_ns - 1
        if newest > self._next:
            self._skip_to(newest)

    def close(self, into: Bin, now_ns: int) -> None:
        """Close the next bin as it is and write it into `into`."""
        fields, complete = into.fields, self.complete() or self._trusted()
        known = self._origin is not None
        end_ns, device_s, offset_s, uncertainty_s, age_s = 0, math.nan, math.nan, math.inf, math.inf
        if known:
            end_ns, clock = self._end_ns(), self.clock
            if complete:
                self._good_ns = end_ns
            device_s, offset_s = end_ns * 1e-9, clock.offset_ns(end_ns) * 1e-9
            uncertainty_s, age_s = clock.uncertainty_s(end_ns), (now_ns - clock.host_ns(self._good_ns)) * 1e-9
            if complete:
                self.delays.observe(round(age_s * 1e9))
        times = (self.closed, device_s, now_ns, offset_s, uncertainty_s, age_s)
        gap, stale = self._note_gap(device_s, complete)
        INPUT_HEAD.pack_into(into.bytes, 0, *times, gap, self._late, self._duplicates, self._refused, stale)
        self._late = self._duplicates = self._refused = self._marks = 0
        fields.segment[0] = self.clock.segment
        self._fill_values(fields, complete, stale)
        self.closed += 1
        due_ns = self._closed_host_ns + self.bin_ns  # without a clock bins follow one another, and catch up when late
        self._closed_host_ns = due_ns if 0 <= now_ns - due_ns < CATCH_UP_BINS * self.bin_ns else now_ns
        if known:
            self._wipe(self._next % self.slots)
            self._next += 1

    def _fill_values(self, fields: Any, complete: bool, stale: int) -> None:
        slot = self._next % self.slots
        values = self._values[slot]
        if complete and self._late_waiting:  # a stale bin is not decoded: late spikes wait for one that is
            values += self._late_values
            self._late_values[:] = 0.0
            self._late_waiting = 0
        elif self._late_waiting and stale * self.bin_ns > self.late_limit_ns:
            self.totals["late_dropped"] += self._late_waiting
            self._late_values[:] = 0.0
            self._late_waiting = 0
        if not self.continuous:
            if self._fractions:
                values = self._whole(values)
            np.minimum(values, 65535.0, out=values)
        fields.counts[:] = values
        if self._moved[slot]:
            self._kinematics_now[:] = self._kinematics[slot]
            self._moved[slot] = False
        fields.kinematics[:] = self._kinematics_now

    def _whole(self, values: np.ndarray) -> np.ndarray:
        """Return whole counts; what is rounded off of a unit goes into its next bin, so that totals are conserved."""
        values += self._remainder
        whole = np.floor(values + 0.5)
        np.subtract(values, whole, out=self._remainder)
        return whole

    def _note_gap(self, device_s: float, complete: bool) -> tuple[int, int]:
        """Return how many bins were lost just before this one, and for how many nothing has come."""
        if complete:
            gap = self._gap
            if self._stale:
                self.events.append({"name": "data-back", "stale_bins": self._stale})
            self._gap = self._stale = 0
            return gap, 0
        self._stale += 1
        self._gap += self._origin is not None  # before the first data nothing was lost
        self.totals["stale_bins"] += 1
        if self._stale == 1:
            self.events.append({"name": "data-missing", "device_time_s": device_s})
        return 0, self._stale

    def drain_events(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events
