"""Regular streams in step: one entry stands for one piece of time, whatever its time stamp's jitter.

Who writes entries at a regular pace (a Lab Streaming Layer outlet with a nominal rate, a BRAND node, an acquisition
program that sends counts) stamps each when it got to it. The stamps jitter, come in bursts and drift; the entries
themselves leave no holes. So entry after entry follows the one before, and the stamps only pull.
"""

from __future__ import annotations

import collections

from bmi_runtime.sources.pace import Pace

PULL = 0.02  # of the difference between stamp and count, per entry
MOST = 0.005  # of a width: the most that one stamp may pull, so that a late one (or a burst of them) moves nothing
SLOW = PULL * PULL / 800  # of it, into the pace: so slow that bursts (which saturate the pull) excite no oscillation
WIDEST_DRIFT = 0.02  # the pace may differ this much from the nominal one and still be learned
MOST_JITTER_NS = 250e6  # of stamps, that is smoothed over; a later entry is another piece of time
RECENT = 6  # as many stamps in a row ahead of the count: entries are missing


class SteadyStream:
    """Lays the entries of a regular stream end to end.

    A second-order loop: ``until += width + pull``, with ``pull`` a small, limited part of stamp minus count (limited,
    it follows the median of the stamps) and ``width`` following the drift. The first entries pull more, as a running
    mean.

    Parameters
    ----------
    width_ns : float
        What one entry stands for.
    limit_ns : float
        Stamp and count this far apart are not jitter, unless the stream is seen to jitter more: it goes on where the
        stamp says.

    Attributes
    ----------
    width_ns : float
        As learned: another than was given when the entries plainly come at another pace.
    jitter_ns : float
        Mean absolute difference of stamp and count.
    missing : int
        Entries that the stamps say are missing, since the start.
    """

    def __init__(self, width_ns: float, limit_ns: float = 20e6):
        self.nominal_ns = self.width_ns = float(width_ns)
        self.limit_ns = limit_ns
        self.missing = 0
        self._pace = Pace(self.nominal_ns)
        self.restart()

    def restart(self) -> None:
        """Restart with the next entry."""
        self.until_ns: float | None = None
        self.jitter_ns = 0.0
        self._entries = 0
        self._pace.restart()
        self._ahead: collections.deque[float] = collections.deque(maxlen=RECENT)

    def place(self, stamp_ns: int, missing: int = 0) -> tuple[int, int]:
        """Return the piece of time, from and until (ns), of the entry that was stamped with its end.

        Parameters
        ----------
        stamp_ns : int
        missing : int
            Entries known to be missing just before this one.
        """
        pace = self._pace.observe(float(stamp_ns), missing)
        if pace is not None:
            self.nominal_ns = self.width_ns = pace
        if pace is not None or self.until_ns is None:
            self._begin(float(stamp_ns))
        width = self.width_ns
        start = (self.until_ns or 0.0) + missing * width
        ahead = stamp_ns - start - width
        off = not -4.0 * width <= ahead <= 0.5 * width  # no limit is narrower
        if off and abs(ahead) > self._limit_ns():
            self._begin(float(stamp_ns))
            start, ahead = stamp_ns - width, 0.0
        elif off and (hole := self._hole(ahead)):
            self.missing += hole
            start, ahead = start + hole * width, ahead - hole * width
            self._ahead.clear()
        else:
            self._ahead.append(ahead)
        self._entries += 1
        until = start + self.width_ns + self._pull(ahead)
        self.until_ns = until
        return round(start), round(until)

    def _limit_ns(self) -> float:
        return max(self.limit_ns, 4 * self.width_ns, min(10 * self.jitter_ns, MOST_JITTER_NS))

    def _begin(self, stamp_ns: float) -> None:
        self.until_ns = stamp_ns - self.width_ns
        self._entries = 0
        self._ahead.clear()

    def _pull(self, ahead: float) -> float:
        """Return how far this stamp pulls, and take it into pace and jitter."""
        share, width = 1.0 / (self._entries + 1), self.width_ns
        self.jitter_ns += (share if share > 0.01 else 0.01) * (abs(ahead) - self.jitter_ns)
        most = width * (0.5 * share if 0.5 * share > MOST else MOST)
        if share > PULL:
            return min(max(share * ahead, -most), most)
        limited = min(max(ahead, -0.25 * width), 0.25 * width)
        far = WIDEST_DRIFT * self.nominal_ns
        self.width_ns = min(max(width + SLOW * limited, self.nominal_ns - far), self.nominal_ns + far)
        return min(max(PULL * ahead, -most), most)

    def _hole(self, ahead: float) -> int:
        """Return how many entries are missing: the last few stamps are all ahead, and by more than jitter explains.

        A sender that was held up and catches up is ahead, too, but with every entry less: nothing of it is missing.
        """
        if len(self._ahead) < RECENT or max(self._ahead) - ahead > 0.5 * self.width_ns:
            return 0
        least = min(*self._ahead, ahead)
        if least <= max(0.5 * self.width_ns, 4.0 * self.jitter_ns):
            return 0
        return round(least / self.width_ns)
