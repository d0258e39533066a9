"""How long data take to be complete, learned from what a device sends, and how long a bin therefore waits for them."""

from __future__ import annotations

import numpy as np

KEPT = 4096  # of the newest delays, over which percentiles are taken
RENEW_EVERY = 64  # delays: a percentile of thousands is not worked out for each
FEW = 512  # delays, before which their longest counts
HIGH = 0.9995  # of the delays kept; a stall that happened once or twice moves nothing
MARGIN, SPARE_NS = 1.1, 500_000  # beyond the largest delay that is waited for


class DelayWindow:
    """The newest delays, and their percentiles."""

    def __init__(self):
        self._delays = np.zeros(KEPT, np.int64)
        self._seen = 0

    def observe(self, delay_ns: int) -> None:
        """Add one delay."""
        self._delays[self._seen % KEPT] = delay_ns
        self._seen += 1

    def percentile_ns(self, fraction: float) -> int:
        """Return a percentile of the delays kept (0 before there are any)."""
        count = min(self._seen, KEPT)
        if not count:
            return 0
        place = min(int(fraction * count), count - 1)
        return int(np.partition(self._delays[:count], place)[place])


class LearnedWait(DelayWindow):
    """The waiting time of bins: at least what the operator asks for, more where the device's blocks need it.

    A device that sends blocks of 23 ms completes a bin of 5 ms up to 23 ms after its end. Each message says how long
    the first bin that it completed had to wait; the 99.95th percentile of the last four thousand, with a tenth and
    half a millisecond to spare, is the wait, within `limit_ns`.

    Parameters
    ----------
    least_ns, limit_ns : int
        ``realtime.max_wait_s`` and ``realtime.wait_limit_s``.

    Attributes
    ----------
    wait_ns : int
        How long a bin waits now.
    wanted_ns : int
        How long it should, were there no limit.
    """

    def __init__(self, least_ns: int, limit_ns: int):
        super().__init__()
        self.least_ns, self.limit_ns = least_ns, max(limit_ns, least_ns)
        self.wait_ns, self.wanted_ns = least_ns, 0

    @property
    def young(self) -> bool:
        """True while few delays are known."""
        return self._seen <= FEW

    @property
    def too_short(self) -> bool:
        """Whether what the device sends needs a longer wait than the operator allows."""
        return self.wanted_ns > self.limit_ns

    def observe(self, delay_ns: int) -> None:
        """Take by how much the first bin that a message completed was later than its end."""
        self._delays[self._seen % KEPT] = delay_ns
        self._seen += 1
        if self._seen <= FEW and delay_ns * MARGIN + SPARE_NS > self.wait_ns:
            self._set(delay_ns)  # no percentile is known yet: the longest counts
        elif self._seen % RENEW_EVERY == 0:
            self._set(self.percentile_ns(HIGH))

    def _set(self, delay_ns: int) -> None:
        self.wanted_ns = round(delay_ns * MARGIN) + SPARE_NS
        self.wait_ns = min(max(self.wanted_ns, self.least_ns), self.limit_ns)
