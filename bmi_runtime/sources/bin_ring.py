"""The bins that are open: what came for each, and how much of each has been covered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bmi_runtime.kernels.binning import add_spikes, close_bin
from bmi_runtime.sources.packet import Packet

COMPLETE_WITHIN_NS = 1000  # a bin whose last microsecond is not covered counts as complete (rounding of bin edges)
SAME_WIDTH = 0.01  # counts of a width within one percent of ours are ours
RING_S = 1.5  # of open bins: how far the packets of one moment may lie apart
FEWEST_SLOTS = 16  # where bins are wide


class BinRing:
    """Open bins on a grid of device time that begins with a segment's first packet.

    Parameters
    ----------
    n_units, n_axes : int
    bin_ns : int
    continuous : bool
        Features, weighted by time where they are shared between bins, rather than counts.
    late_limit_ns : int
        What comes so long after its bin was closed goes into the next one; negative: nothing does.

    Attributes
    ----------
    origin_ns : int or None
        Device time at which bin 0 of the segment begins; None before its first packet.
    next : int
        The bin of the segment that closes next.
    newest_ns : int
        How far packets have come.
    late_waiting : int
        Spikes that were late and wait for a bin that is decoded.
    late, late_dropped, far : int
        Of the newest packet: spikes that came late, those of them that were dropped, and spikes too far ahead.
    """

    def __init__(self, n_units: int, n_axes: int, bin_ns: int, continuous: bool, late_limit_ns: int):
        self.bin_ns, self.continuous, self.late_limit_ns = bin_ns, continuous, late_limit_ns
        self.slots = max(int(RING_S * 1e9 / bin_ns), FEWEST_SLOTS)
        self.values = np.zeros((self.slots, n_units), np.float64)
        self.covered = np.zeros(self.slots, np.int64)  # ns of each bin
        self._covered_ns = self.covered.data  # the same, read three times as fast one by one
        self.late_values = np.zeros(n_units)
        self.remainder = np.zeros(n_units)  # of counts, between -0.5 and 0.5
        self.fractions = False  # whether counts were ever shared between bins
        self.origin_ns: int | None = None
        self.next, self.newest_ns = 0, 0
        self.late = self.late_dropped = self.far = self.late_waiting = 0
        self._kinematics = np.full((self.slots, 2 * n_axes), np.nan)
        self._moved = [False] * self.slots  # whether kinematics came for the bin
        self._kinematics_now = np.full(2 * n_axes, np.nan)

    def warm_up(self, fields: Any) -> None:
        """Compile, or load, what the first packet and the first bin will need; `fields` are those of an empty bin."""
        times = np.empty(0, np.int64)
        add_spikes(self.values, self.covered, self.late_values, times, times, 0, 0, 0, self.bin_ns, 0, -1, True)
        self.close(fields, False)

    def clear(self) -> int:
        """Forget everything that is open, and the grid; return how many spikes went with it."""
        dropped = 0 if self.continuous else int(self.values.sum())
        self.values[:] = 0.0
        self.covered[:] = 0
        self._moved = [False] * self.slots
        self.origin_ns, self.next = None, 0
        return dropped

    def begin(self, packet: Packet) -> None:
        """Lay the grid: with the packet, or on whole multiples of a bin where its spikes may lie outside of it."""
        self.origin_ns = packet.from_ns if packet.inside else -(-packet.from_ns // self.bin_ns) * self.bin_ns
        self.newest_ns = packet.from_ns

    def index_of(self, time_ns: int) -> int:
        """Return the bin of the segment in which a device time lies."""
        return (time_ns - self.origin_ns) // self.bin_ns  # type: ignore[operator]

    def end_ns(self) -> int:
        """Return the device time at which the next bin ends."""
        return self.origin_ns + (self.next + 1) * self.bin_ns  # type: ignore[operator]

    def complete(self) -> bool:
        """Return whether packets cover all of the next bin."""
        if self.origin_ns is None:
            return False
        return self._covered_ns[self.next % self.slots] >= self.bin_ns - COMPLETE_WITHIN_NS

    def add(self, packet: Packet, pieces: int) -> None:
        """Add what a packet brings; it ends before the bin ``next + slots``.

        Parameters
        ----------
        packet : Packet
        pieces : int
            How many packets of values like this one fill a bin; 0 where they do not tile it.
        """
        self.late = self.late_dropped = self.far = 0
        if packet.values is None:
            self._add_spikes(packet)
        elif pieces:
            self.fractions |= packet.fractional
            self._add_values(packet.values, self._align(packet, pieces), pieces)
        else:
            self.fractions |= packet.fractional
            self._share_values(packet, packet.values)
        if packet.until_ns > self.newest_ns:
            self.newest_ns = packet.until_ns

    def _add_spikes(self, packet: Packet) -> None:
        times = _NO_TIMES if packet.times_ns is None else packet.times_ns
        units = _NO_UNITS if packet.units is None else packet.units
        late, moved, self.far = add_spikes(
            self.values,
            self.covered,
            self.late_values,
            times,
            units,
            packet.from_ns,
            packet.until_ns,
            self.origin_ns,
            self.bin_ns,
            self.next,
            self.late_limit_ns,
            packet.inside,
        )
        if late:
            self.late, self.late_dropped = late, late - moved
            self.late_waiting += moved

    def pieces(self, packet: Packet) -> int:
        """Return how many such packets of values fill a bin (more than 1: of a regular sender), 0 where none fit."""
        if packet.pace_ns is None:
            pieces, width = 1, float(packet.until_ns - packet.from_ns)
        else:
            width = packet.pace_ns
            pieces = max(round(self.bin_ns / width), 1) if width else 0
        return pieces if abs(pieces * width - self.bin_ns) <= SAME_WIDTH * self.bin_ns else 0

    def piece_of(self, packet: Packet, pieces: int) -> int:
        """Return which piece since the grid's origin a packet is, of so many in a bin."""
        return round((packet.from_ns - self.origin_ns) * pieces / self.bin_ns)  # type: ignore[operator]

    def _align(self, packet: Packet, pieces: int) -> int:
        """Return the bin of a packet that is a whole part of one; the grid follows its sender."""
        assert self.origin_ns is not None
        place = self.piece_of(packet, pieces)
        self.origin_ns += packet.from_ns - (self.origin_ns + place * self.bin_ns // pieces)
        return place // pieces

    def _share_values(self, packet: Packet, values: np.ndarray) -> None:
        """Share values over the bins that they cover, in value and in coverage (features: weighted by time)."""
        assert self.origin_ns is not None
        width = packet.until_ns - packet.from_ns
        for index in range(self.index_of(packet.from_ns), self.index_of(packet.until_ns - 1) + 1):
            start = self.origin_ns + index * self.bin_ns
            covered = min(packet.until_ns, start + self.bin_ns) - max(packet.from_ns, start)
            share = covered / (self.bin_ns if self.continuous else width)
            if index < self.next:
                self._add_late_values(values * share, index)
            else:
                self.values[index % self.slots] += values if share == 1.0 else values * share
                self.covered[index % self.slots] += covered
            self.fractions |= share != 1.0

    def _add_values(self, values: np.ndarray, index: int, pieces: int) -> None:
        """Add values of a bin, or of one of so many equal pieces of it."""
        if index < self.next:
            self._add_late_values(values, index)
            return
        slot = index % self.slots
        row = self.values[slot]
        row += values / pieces if self.continuous and pieces > 1 else values
        # one more, as the division rounds down: all pieces together must cover the bin
        self._covered_ns[slot] = self.bin_ns if pieces == 1 else self._covered_ns[slot] + self.bin_ns // pieces + 1

    def _add_late_values(self, values: np.ndarray, index: int) -> None:
        count = 1 if self.continuous else math.ceil(values.sum())
        self.late += count
        if self.continuous or (self.next - index) * self.bin_ns > self.late_limit_ns:
            self.late_dropped += count
        else:
            self.late_values += values
            self.late_waiting += count

    def kinematics(self, time_ns: int, values: np.ndarray) -> None:
        """Take kinematics (2 axes,) of one moment of device time; they stay until newer ones come."""
        if self.origin_ns is None:
            return
        index = (time_ns - 1 - self.origin_ns) // self.bin_ns  # what is measured at the end of a bin belongs to it
        if self.next <= index < self.next + self.slots:
            self._kinematics[index % self.slots] = values
            self._moved[index % self.slots] = True

    def skip_to(self, index: int) -> int:
        """Give up the bins before `index`; return how many there were."""
        count = index - self.next
        for old in range(self.next, min(index, self.next + self.slots)):
            self._wipe(old % self.slots)
        self.next = index
        return count

    def _wipe(self, slot: int) -> None:
        self.values[slot] = 0.0
        self.covered[slot] = 0
        self._moved[slot] = False

    def forget_late(self) -> int:
        """Drop the late spikes that wait; return how many there were."""
        dropped, self.late_waiting = self.late_waiting, 0
        self.late_values[:] = 0.0
        return dropped

    def close(self, fields: Any, with_late: bool) -> None:
        """Write the next bin into `fields`, with the late spikes that wait where `with_late`; open the one after it."""
        slot = self.next % self.slots
        if with_late:
            self.late_waiting = 0
        close_bin(
            self.values,
            slot,
            self.late_values,
            with_late,
            self.remainder,
            self.fractions,
            self.continuous,
            fields.counts,
        )
        if self._moved[slot]:
            self._kinematics_now[:] = self._kinematics[slot]
            self._moved[slot] = False
        fields.kinematics[:] = self._kinematics_now
        if self.origin_ns is not None:
            self.covered[slot] = 0
            self.next += 1


_NO_TIMES, _NO_UNITS = np.empty(0, np.int64), np.empty(0, np.int64)
