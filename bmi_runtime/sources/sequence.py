"""Sequence numbers: what is new, doubled, out of order, lost, or of a sender that started again."""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    """What a message's number says about it."""

    NEW = "new"
    DUPLICATE = "duplicate"
    RESTART = "restart"  # this message and the one held before it are the first two of a new start
    CONFIRMED = "confirmed"  # this message and the one held before it: what is missing before both is lost
    HELD = "held"  # implausible so far: kept back until the next message agrees or contradicts


class Sequence:
    """Follows the numbers of one sender.

    A number far ahead of or far behind what is expected, or another start, is believed when the next message continues
    it; one bad message among good ones therefore derails nothing.

    Parameters
    ----------
    window : int
        How far out of order a message may come and still be used.
    plausible_gap : int
        When more messages than this are missing, a second message must say so, too. 0 for protocols without a checksum.
    first : int or None
        The number with which a restart begins, in protocols that do not name their starts.

    Attributes
    ----------
    lost, duplicates, reordered, restarts, contradicted : int
        Messages: never seen so far; seen twice; seen after a later one; starts after the first; held and not believed.
    """

    def __init__(self, window: int = 64, plausible_gap: int = 100_000, first: int | None = None):
        self.window, self.plausible_gap, self.first = window, plausible_gap, first
        self.start: int | None = None
        self.last = 0
        self._seen = 0  # bit i: last - i was seen
        self._candidate: tuple[int, int] | None = None
        self.lost = self.duplicates = self.reordered = self.restarts = self.contradicted = 0

    def take(self, start: int, number: int) -> Verdict:
        """Account for one message and say what it is.

        Parameters
        ----------
        start : int
            Which start of the sender (0 where the protocol has none).
        number : int
            The message's number.
        """
        if self.start is None:
            self._begin(start, number)
            return Verdict.NEW
        ahead = number - self.last
        if self._candidate == (start, number - 1):
            return self._confirm(start, number)
        again = number == self.first and ahead < 0
        if start != self.start or ahead > self.plausible_gap + 1 or ahead <= -self.window or again:
            return self._hold(start, number)
        if self._candidate is not None:
            self._candidate = None
            self.contradicted += 1
        if ahead > 0:
            self.lost += ahead - 1
            self._seen = ((self._seen << ahead) | 1) & ((1 << self.window) - 1) if ahead < self.window else 1
            self.last = number
            return Verdict.NEW
        bit = 1 << -ahead
        if self._seen & bit:
            self.duplicates += 1
            return Verdict.DUPLICATE
        self._seen |= bit
        self.reordered += 1
        self.lost = max(self.lost - 1, 0)
        return Verdict.NEW

    def _begin(self, start: int, number: int) -> None:
        self.start, self.last, self._candidate = start, number, None
        self._seen = (1 << self.window) - 1  # nothing before the first message is missed

    def _confirm(self, start: int, number: int) -> Verdict:
        verdict = Verdict.RESTART
        if start == self.start and number - 1 > self.last:
            self.lost += number - 2 - self.last
            verdict = Verdict.CONFIRMED
        else:
            self.restarts += 1
        self._begin(start, number)
        return verdict

    def _hold(self, start: int, number: int) -> Verdict:
        self.contradicted += self._candidate is not None
        self._candidate = (start, number)
        return Verdict.HELD
