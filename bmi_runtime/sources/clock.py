"""Device time to host monotonic time: a robust fit of offset and skew, kept up online, with its uncertainty."""

from __future__ import annotations

import math

import numpy as np

BLOCK_NS = 500_000_000  # of which the quickest message counts
BLOCKS = 60  # the fit looks back half a minute
CONFIRM_NS = 50_000_000  # that a step of the delay must last before the clock is said to have stood
CONFIRM_MESSAGES = 10  # of blocks of 23 ms: a quarter of a second, so that a starved sender is not a clock that stood
STEADY_SHARE = 5  # of a jump, as a divisor: delays that differ by more are those of a starved sender or reader
STARVED_NS = 400_000_000  # and are confirmed after so long only
MAX_SKEW = 1e-3  # quartz differs by less than 1e-4; more is not skew
_SECOND, _FIRST = np.tril_indices(BLOCKS, -1)  # all pairs; those of the first n blocks come first
_TO_SD = 1.4826  # median absolute deviation to standard deviation of a normal


class ClockFit:
    """Host minus device time as a line in device time.

    A message that the device stamped ``d`` arrives at host time ``h = d + offset + skew * d + delay``; the delay is
    never negative, mostly small, sometimes huge. Of every half second only the smallest ``h - d`` counts (as in NTP's
    clock filter), and through the last sixty of them goes a Theil-Sen line (median of the pairwise slopes, median
    intercept), so neither a slow message nor a wrong time stamp moves it. The offset contains the smallest delivery
    delay, which no one-way protocol can tell apart from the clock.

    Parameters
    ----------
    jump_s : float
        A message this much earlier than possible, or persistently this much later, means that the device clock jumped.

    Attributes
    ----------
    skew : float
        Host seconds gained per device second.
    segment : int
        Grows by one at every :meth:`restart`.
    """

    def __init__(self, jump_s: float = 0.05):
        self.jump_ns = round(jump_s * 1e9)
        self.segment = 0
        self._clear()

    def _clear(self) -> None:
        self._device = np.zeros(BLOCKS)
        self._offset = np.zeros(BLOCKS)
        self._blocks = 0
        self._block_start = 0
        self._best = (0, 0)  # smallest offset of this block, and the device time of it
        self._reference = 0
        self._base = 0  # the first offset: the fit works on differences from it, so that floats lose nothing
        self._intercept = self.skew = 0.0
        self._mean_device, self._variance_mean, self._variance_slope = 0.0, math.inf, 0.0
        self._residual = 0
        self._step: tuple[int, int, int, int] | None = None  # lowest, since, messages, highest
        self._messages = 0
        self.newest_device_ns = 0

    @property
    def known(self) -> bool:
        """True once a message was observed in this segment."""
        return self._messages > 0

    def restart(self) -> None:
        """Forget everything: the device's clock is another one from here on."""
        self._clear()
        self.segment += 1

    def offset_ns(self, device_ns: int) -> float:
        """Return host minus device time at a device time, in ns."""
        return self._base + self._intercept + self.skew * (device_ns - self._reference)

    def host_ns(self, device_ns: int) -> int:
        """Return the host monotonic time at which data of this device time arrive when nothing delays them."""
        return device_ns + round(self._base + self._intercept + self.skew * (device_ns - self._reference))

    def uncertainty_s(self, device_ns: int) -> float:
        """Return the standard error of the fitted offset at a device time (infinite before there are two blocks)."""
        if self._blocks < 2:
            return math.inf
        distance = device_ns - self._reference - self._mean_device
        return math.sqrt(self._variance_mean + self._variance_slope * distance * distance) * 1e-9

    def residual_ns(self, device_ns: int, host_ns: int) -> int:
        """Return how much later than the fit a message arrived."""
        return host_ns - self.host_ns(device_ns)

    def usual(self, residual: int) -> bool:
        """Note the residual of a message, in order; return whether neither `ahead` nor `behind` can hold for it."""
        if self._step is None and -self.jump_ns <= residual < self.jump_ns:
            self._residual = residual
            return True
        return False

    def ahead(self, residual: int) -> bool:
        """Return whether a message with this residual came too early: a forward jump, or a wrong time stamp.

        In the first half second, when all messages so far may have been slow, only beyond a second.
        """
        limit = self.jump_ns if self._blocks else max(self.jump_ns, 1_000_000_000)
        return residual < -limit

    def behind(self, residual: int, host_ns: int) -> bool:
        """Return whether messages have come late ever since one step, without catching up: the device's clock stood.

        A stall of the network or of this process looks the same at first, but then the messages come in a burst and the
        delay shrinks; a slow reader has no step. Call once per message, in order, with its residual.
        """
        if residual < self.jump_ns:
            self._step = None
        elif self._step is None:
            if residual - self._residual > self.jump_ns:
                self._step = (residual, host_ns, 1, residual)
        elif residual < self._step[0] - self.jump_ns // 4:  # catching up: wait for it to settle
            self._step = (residual, host_ns, 1, residual)
        elif self._confirmed(residual, host_ns):
            return True
        self._residual = residual
        return False

    def _confirmed(self, residual: int, host_ns: int) -> bool:
        """Take one more message after a step; return whether it has lasted: delays that vary must last longer."""
        assert self._step is not None
        lowest, since, count, highest = self._step
        self._step = (lowest, since, count, highest) = lowest, since, count + 1, max(highest, residual)
        steady = highest - lowest <= self.jump_ns // STEADY_SHARE
        return count >= CONFIRM_MESSAGES and host_ns - since >= (CONFIRM_NS if steady else STARVED_NS)

    def observe(self, device_ns: int, host_ns: int) -> None:
        """Take the device time and the host arrival time of one message into the fit."""
        offset = host_ns - device_ns
        if not self._messages:
            self._reference, self._base, self._block_start = device_ns, offset, host_ns
            self._best, self.newest_device_ns = (offset, device_ns), device_ns
        elif device_ns > self.newest_device_ns:
            self.newest_device_ns = device_ns
        self._messages += 1
        if host_ns - self._block_start >= BLOCK_NS:
            self._end_block(host_ns)
            self._best = (offset, device_ns)
        elif offset < self._best[0]:
            self._best = (offset, device_ns)
        if self._blocks < 2:
            self._intercept = min(self._intercept, float(offset - self._base))

    def _end_block(self, host_ns: int) -> None:
        index = self._blocks % BLOCKS
        self._offset[index], self._device[index] = self._best[0] - self._base, self._best[1] - self._reference
        self._blocks += 1
        self._block_start = host_ns
        if self._blocks >= 2:
            self._fit(min(self._blocks, BLOCKS))

    def _fit(self, count: int) -> None:
        device, offset = self._device[:count], self._offset[:count]
        pairs = count * (count - 1) // 2
        first, second = _FIRST[:pairs], _SECOND[:pairs]
        run = device[second] - device[first]
        usable = np.abs(run) > 0.5 * BLOCK_NS
        slope = 0.0
        if count >= 4 and usable.any():
            slope = _median(((offset[second] - offset[first])[usable]) / run[usable])
        self.skew = min(max(slope, -MAX_SKEW), MAX_SKEW)
        residuals = offset - self.skew * device
        self._intercept = _median(residuals)
        self._mean_device = float(device.mean())
        sum_squares = max(float(((device - self._mean_device) ** 2).sum()), 1.0)
        spread_ns = max(_TO_SD * _median(np.abs(residuals - self._intercept)), 1000.0)
        variance = 0.5 * math.pi * spread_ns**2  # pi / 2: the variance of a median over that of a mean
        self._variance_mean, self._variance_slope = variance / self._blocks, variance / sum_squares


def _median(values: np.ndarray) -> float:
    """Return the median of a vector of finite values, several times quicker than `numpy.median` for a short one."""
    low, high = (values.size - 1) // 2, values.size // 2
    ordered = np.partition(values, (low, high))
    return 0.5 * float(ordered[low] + ordered[high])
