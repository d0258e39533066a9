"""Pacing on the host's monotonic clock: absolute deadlines, sleep, then spin for the last stretch."""

import time


class Pacer:
    """Wakes once per bin at absolute times, so that no drift adds up.

    Parameters
    ----------
    bin_s : float
    spin_s : float
        How long before the deadline to stop sleeping and watch the clock (a stock kernel wakes tens of us late).
    """

    def __init__(self, bin_s: float, spin_s: float):
        self.bin_ns, self.spin_ns = round(bin_s * 1e9), round(spin_s * 1e9)
        self.begin()

    def begin(self) -> None:
        """Count from now: the first deadline is one bin away."""
        self.deadline_ns = time.monotonic_ns()

    def wait(self) -> int:
        """Sleep until the next deadline; return how late it is, in ns. Deadlines long past are given up, not chased."""
        self.deadline_ns += self.bin_ns
        while True:
            left = self.deadline_ns - time.monotonic_ns()
            if left <= 0:
                break
            if left > self.spin_ns:
                time.sleep((left - self.spin_ns) * 1e-9)
        if left < -20 * self.bin_ns:
            self.deadline_ns -= left
        return -left


class NoPacer:
    """Simulated time: never waits."""

    def begin(self) -> None:
        """Do nothing."""

    def wait(self) -> int:
        """Return at once."""
        return 0
