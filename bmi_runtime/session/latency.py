"""Latency histograms: fixed memory, 1.6 % resolution, percentiles at any time."""

import numpy as np

_SUB = 64  # buckets per power of two


class LatencyHistogram:
    """Counts of durations in logarithmic buckets (64 per power of two), from 64 ns up to hours."""

    def __init__(self):
        self.counts = np.zeros(42 * _SUB, np.int64)
        self.largest_ns = 0
        self.total = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration in nanoseconds."""
        power = max(duration_ns.bit_length() - 7, 0)
        self.counts[min(power * _SUB + (duration_ns >> power), len(self.counts) - 1)] += 1
        self.total += 1
        if duration_ns > self.largest_ns:
            self.largest_ns = duration_ns

    def percentile_us(self, fraction: float) -> float | None:
        """Return the duration in microseconds below which this fraction of them lies, or None when there are none."""
        if not self.total:
            return None
        bucket = int(np.searchsorted(np.cumsum(self.counts), fraction * self.total))
        power = max(bucket // _SUB - 1, 0)
        return min(((bucket - power * _SUB) << power) + (1 << power) / 2, self.largest_ns) / 1000.0

    def summary(self) -> dict[str, float | None]:
        """Return p50, p99, p99_9 and max in microseconds."""
        fractions = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}
        result = {name: self.percentile_us(fraction) for name, fraction in fractions.items()}
        return result | {"max": self.largest_ns / 1000.0 if self.total else None}
