"""Waiting for data that arrive by themselves: asleep for most of a bin, awake around the moment they are expected."""

from __future__ import annotations

import select
from typing import Any

import zmq


class Expectation:
    """When the next data are expected, from when the last ones came.

    A processor that sleeps is slow to wake and its caches are cold when it does, so the stretch around the expected
    arrival is watched (as the deadlines of a paced loop are) and only the rest is slept.

    Parameters
    ----------
    bin_ns : int
        Data come every so many whole bins (an acquisition system may send several bins at once).
    spin_ns : int
        How long before and after the expected arrival to watch; 0: sleep always.
    """

    def __init__(self, bin_ns: int, spin_ns: int):
        self.bin_ns, self.spin_ns = bin_ns, spin_ns
        self.last_ns, self.expected_ns = 0, 0

    def arrived(self, now_ns: int) -> None:
        """Note that data which had been waited for came now."""
        bins = max(round((now_ns - self.last_ns) / self.bin_ns), 1) if self.last_ns else 1
        self.last_ns, self.expected_ns = now_ns, now_ns + bins * self.bin_ns

    def sleep_s(self, now_ns: int, at_most_s: float) -> float:
        """Return how long to sleep unless data come (0: watch)."""
        until_watch_ns = self.expected_ns - self.spin_ns - now_ns
        if until_watch_ns > 0:
            return min(until_watch_ns * 1e-9, at_most_s)
        return 0.0 if now_ns < self.expected_ns + self.spin_ns else at_most_s


def await_message(socket: Any, timeout_s: float) -> bool:
    """Return whether a message is there, after at most this long (to microseconds; ``poll`` counts in milliseconds).

    May return False early: ZeroMQ's descriptor also wakes for its own affairs.
    """
    if timeout_s > 0.0 and not socket.get(zmq.EVENTS) & zmq.POLLIN:
        select.select([socket.fileno()], [], [], timeout_s)
    return bool(socket.get(zmq.EVENTS) & zmq.POLLIN)
