"""What each packet says about how long bins have to wait for their data."""

from __future__ import annotations

import numpy as np

from bmi_runtime.sources.bin_ring import COMPLETE_WITHIN_NS, SAME_WIDTH, BinRing
from bmi_runtime.sources.clock import ClockFit
from bmi_runtime.sources.delays import LearnedWait
from bmi_runtime.sources.packet import Packet


class WaitObserver:
    """Measures by how much packets complete bins later than these end, and tells the learned wait.

    Parameters
    ----------
    wait : LearnedWait
    ring : BinRing
    clock : ClockFit
    """

    def __init__(self, wait: LearnedWait, ring: BinRing, clock: ClockFit):
        self.wait, self.ring, self.clock = wait, ring, clock

    def observe(self, packet: Packet, pieces: int, sparse: bool) -> None:
        """Learn how late a packet completes the first bin that it completes; at worst, the bin ends where it begins.

        Parameters
        ----------
        packet : Packet
        pieces : int
            How many such packets fill a bin; 0 where they do not tile it.
        sparse : bool
            The device is silent while no unit fires: only spikes tell.
        """
        if packet.times_ns is not None and sparse:
            self._observe_spikes(packet.times_ns, packet.host_ns)
            return
        ring = self.ring
        late_ns, width_ns = packet.host_ns - self.clock.host_ns(packet.until_ns), packet.until_ns - packet.from_ns
        if pieces > 1:
            if ring.piece_of(packet, pieces) % pieces != pieces - 1 and not self.wait.young:
                return  # the last piece completes a bin: one delay a bin, however many pieces it comes in
        elif not pieces and not self._on_grid(packet.until_ns, width_ns):
            within = ring.index_of(packet.from_ns) == ring.index_of(packet.until_ns)
            if within and not self.wait.young:
                return  # it completes no bin; while little is known it tells of those to come
            late_ns += width_ns
        self.wait.observe(late_ns)

    def _observe_spikes(self, times_ns: np.ndarray, host_ns: int) -> None:
        """Learn from spikes alone."""
        if times_ns.size:
            ring = self.ring
            end_ns = ring.origin_ns + (ring.index_of(int(times_ns.min())) + 1) * ring.bin_ns  # type: ignore[operator]
            late_ns = host_ns - self.clock.host_ns(end_ns)
            if late_ns < self.wait.limit_ns:  # waiting would not have helped
                self.wait.observe(late_ns)

    def _on_grid(self, until_ns: int, width_ns: int) -> bool:
        """Return whether the end of a packet is the first end of a bin in it."""
        bin_ns = self.ring.bin_ns
        within = (until_ns - self.ring.origin_ns) % bin_ns  # type: ignore[operator]
        near = within <= COMPLETE_WITHIN_NS or bin_ns - within <= COMPLETE_WITHIN_NS
        return near and width_ns <= bin_ns * (1 + SAME_WIDTH)
