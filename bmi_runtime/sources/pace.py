"""The pace at which entries really come, where another was said: the rate of an LSL stream is what its author typed."""

from __future__ import annotations

import math

FIRST_LOOK_NS, LONGEST_NS = 0.2e9, 6.4e9  # a stretch is looked at when it is so long, then at twice that, and so on
FEWEST = 12  # stamps that differ, in a stretch: of blocks that are stamped when they are handed over, as many blocks
DEVIATES = 0.004  # of the width: what is less is followed by the pull of the stamps
CLEARLY = 12.0  # times the scatter about the line that the drift of a stretch must have; a hole of any size has 6
AGREE = 0.3  # two stretches, of what they deviate by
ANOTHER_PACE = 0.02  # of the rate that was said: worth a word
OTHER_UNIT = 100.0  # times that pace, or a part: the stamps are in another unit, which is told elsewhere


class Pace:
    """Fits a line through the stamps of a regular stream, stretch by stretch, and tells when its slope is another.

    The first stretch tells it alone, as there was nothing before it that could have been held up; later two in a row
    must agree.

    Parameters
    ----------
    width_ns : float
        What one entry is said to stand for.
    """

    def __init__(self, width_ns: float):
        self.width_ns = width_ns
        self.restart()

    def restart(self) -> None:
        """Forget what came."""
        self._before: float | None = None
        self._alone = True
        self._since_ns: float | None = None

    def _begin(self, stamp_ns: float) -> None:
        self._since_ns = self._last_ns = stamp_ns
        self._look_ns = FIRST_LOOK_NS
        self._entries = self._distinct = 0
        self._n = self._k = self._e = self._kk = self._ke = self._ee = 0.0  # sums of entry and deviation
        self._newest: tuple[float, float] | None = None

    def observe(self, stamp_ns: float, missing: int = 0) -> float | None:
        """Take one stamp, with the entries known to be missing before it; return another pace when it is found, ns."""
        since = self._since_ns
        if since is None or stamp_ns < self._last_ns - LONGEST_NS:
            self._begin(stamp_ns)
            return None
        self._entries += 1 + missing
        if stamp_ns != self._last_ns and self._newest:
            self._add(*self._newest)  # of a block that was stamped when it was handed over, the last entry alone
        self._distinct += stamp_ns > self._last_ns
        self._last_ns = max(stamp_ns, self._last_ns)
        self._newest = float(self._entries), stamp_ns - since - self._entries * self.width_ns
        if stamp_ns - since < self._look_ns or self._distinct < FEWEST:
            return None
        return self._look(stamp_ns)

    def _add(self, k: float, e: float) -> None:
        self._n += 1.0
        self._k += k
        self._e += e
        self._kk += k * k
        self._ke += k * e
        self._ee += e * e

    def _look(self, stamp_ns: float) -> float | None:
        """Return another pace when this stretch, or it and the one before, plainly have it."""
        off = self._deviation()
        if off is None:
            self._look_ns *= 2.0
            if self._look_ns > LONGEST_NS:
                self._before, self._alone = None, False
                self._begin(stamp_ns)
            return None
        before, alone = self._before, self._alone
        self._before, self._alone = off, False
        self._begin(stamp_ns)
        if not alone and (before is None or abs(off - before) > AGREE * abs(off)):
            return None
        self.width_ns += off if alone or before is None else 0.5 * (off + before)
        self.restart()
        self._alone = False
        self._begin(stamp_ns)
        return self.width_ns

    def _deviation(self) -> float | None:
        """Return by how much an entry is wider than was said, ns; None where it is not plain."""
        n = self._n
        if n < 2.0:
            return None
        spread = self._kk - self._k * self._k / n
        if spread <= 0.0:
            return None
        slope = (self._ke - self._k * self._e / n) / spread
        scatter = math.sqrt(max((self._ee - self._e * self._e / n - slope * slope * spread) / n, 0.0))
        ratio = 1.0 + slope / self.width_ns
        plain = abs(slope) * self._entries > CLEARLY * scatter and abs(slope) > DEVIATES * self.width_ns
        return slope if plain and 1.0 / OTHER_UNIT < ratio < OTHER_UNIT else None
