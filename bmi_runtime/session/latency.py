"""Latency histograms: fixed memory, 1.6 % resolution, percentiles at any time."""

from __future__ import annotations

from typing import Any

import numpy as np

_SUB = 64  # buckets per power of two
_BUCKETS = 42 * _SUB  # to 2**47 ns, a day and a half; what is longer counts in the last
FRACTIONS = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}


class LatencyHistogram:
    """Counts of durations in logarithmic buckets (64 per power of two), from 64 ns up to hours."""

    def __init__(self):
        self.counts = np.zeros(_BUCKETS, np.int64)
        self.largest_ns = 0
        self.total = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration in nanoseconds."""
        power = max(duration_ns.bit_length() - 7, 0)
        self.counts[min(power * _SUB + (duration_ns >> power), _BUCKETS - 1)] += 1
        self.total += 1
        if duration_ns > self.largest_ns:
            self.largest_ns = duration_ns

    def _percentiles_us(self, fractions: list[float]) -> list[float | None]:
        if not self.total:
            return [None] * len(fractions)
        buckets = np.searchsorted(np.cumsum(self.counts), np.multiply(fractions, self.total))
        return [min(_middle_ns(int(bucket)), self.largest_ns) / 1000.0 for bucket in buckets]

    def summary(self) -> dict[str, float | None]:
        """Return p50, p99, p99_9 and max in microseconds."""
        result = dict(zip(FRACTIONS, self._percentiles_us(list(FRACTIONS.values())), strict=True))
        return result | {"max": self.largest_ns / 1000.0 if self.total else None}

    def sparse(self) -> dict[str, Any]:
        """Return the filled buckets as ``buckets`` (numbers), ``counts``, ``largest_ns``, for `add_sparse`."""
        filled = np.flatnonzero(self.counts)
        return {"buckets": filled.astype(np.int32), "counts": self.counts[filled], "largest_ns": self.largest_ns}

    def add_sparse(self, sparse: dict[str, Any]) -> None:
        """Add what `sparse` of another histogram returned."""
        self.counts[sparse["buckets"]] += sparse["counts"]
        self.total += int(np.sum(sparse["counts"]))
        self.largest_ns = max(self.largest_ns, sparse["largest_ns"])


def _middle_ns(bucket: int) -> float:
    """Return the middle of a bucket, ns."""
    power = max(bucket // _SUB - 1, 0)
    return ((bucket - power * _SUB) << power) + (1 << power) / 2
