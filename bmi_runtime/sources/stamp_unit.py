"""Time stamps in another unit than the protocol's: told by how fast they run beside this machine's clock."""

from __future__ import annotations

from bmi_runtime.errors import BadInput

JUDGE_NS = 100_000_000  # of host time, over which the two clocks are compared
AGREE = 2  # stretches in a row
WIDEST = 3.0  # either way: units are a thousand apart, starved senders are not
FACTORS = (1.0, 1e-3, 1e-6, 1e-9, 1e3, 1e6, 1e9)  # of the expected unit: itself, smaller ones, larger ones


class ImpossibleTime(BadInput):
    """A message's time cannot be; another unit of the device's clock may explain it."""


class StampUnit:
    """Compares stamps with arrival times until two stretches agree on the unit.

    Programs write ``time.time() * 1000`` where a protocol wants seconds, and microseconds where it wants nanoseconds.

    Parameters
    ----------
    expected : str
        What the protocol's numbers are said to be: for people.

    Attributes
    ----------
    factor : float
        Multiply stamps with it.
    """

    def __init__(self, expected: str):
        self.expected, self.factor, self.settled = expected, 1.0, False
        self._since: tuple[float, int] | None = None
        self._seen, self._votes = 1.0, 0

    def observe(self, stamp_ns: float, arrived_ns: int) -> str | None:
        """Take a stamp as it came, in ns if it is what was expected; return a sentence when it is another unit."""
        if self.settled:
            return None
        if self._since is None:
            self._since = stamp_ns, arrived_ns
        first, since_ns = self._since
        passed_ns = arrived_ns - since_ns
        if passed_ns < JUDGE_NS:
            return None
        self._since, speed = (stamp_ns, arrived_ns), (stamp_ns - first) / passed_ns
        found = next((one for one in FACTORS if 1.0 / WIDEST < speed * one < WIDEST), None)
        if found is None:  # it stood, or jumped
            return None
        self._votes = self._votes + 1 if found == self._seen else 1
        self._seen = found
        if self._votes < AGREE:
            return None
        self.settled, self.factor = True, found
        if found == 1.0:
            return None
        return f"time stamps run {1.0 / found:g} times as fast as {self.expected} would: each is taken {found:g} times"
