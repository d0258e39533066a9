"""Sums over all steps of a recording, a block at a time: what a summary needs, in memory that does not grow."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bmi_runtime.messages import STAGES, latency_ns, without_missing
from bmi_runtime.recording.block_scores import BlockScores
from bmi_runtime.recording.reader import Recording

BUCKETS_PER_OCTAVE = 512  # neighbours differ by 0.14 %
OCTAVES = 64  # of nanoseconds, all that a recorded number holds
FEW = 100_000  # durations that are kept themselves, for exact percentiles
STEPS_FOR_MEDIAN = 100_000  # of the device clock
FAULTS = ("gap_bins", "late", "duplicates", "invalid")
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}


class Durations:
    """Durations in logarithmic buckets: their percentiles to 0.1 % (exactly while they are few), their largest exactly.

    Attributes
    ----------
    number : int
        How many were counted.
    """

    def __init__(self):
        self.number, self._largest = 0, 0.0
        self._buckets = np.zeros(OCTAVES * BUCKETS_PER_OCTAVE, np.int64)
        self._few: list[np.ndarray] = []

    def add(self, durations_ns: np.ndarray) -> None:
        """Count durations, ns; those below one are one."""
        exponents = np.log2(np.maximum(durations_ns, 1.0)) * BUCKETS_PER_OCTAVE
        self._buckets += np.bincount(exponents.astype(np.int64), minlength=len(self._buckets))
        if self.number < FEW:
            self._few.append(np.array(durations_ns, dtype=float))
        self.number += len(durations_ns)
        self._largest = max(self._largest, float(durations_ns.max(initial=0.0)))

    def percentiles_us(self) -> dict[str, float]:
        """Return p50, p99, p99_9 and max, us."""
        if self.number == sum(map(len, self._few)):
            found = np.quantile(np.concatenate(self._few), [*PERCENTILES.values(), 1.0]) / 1e3
            return dict(zip([*PERCENTILES, "max"], found.tolist(), strict=True))
        ranks = np.searchsorted(np.cumsum(self._buckets), np.array(list(PERCENTILES.values())) * self.number)
        middles = np.minimum(2.0 ** ((ranks + 0.5) / BUCKETS_PER_OCTAVE), self._largest) / 1e3
        values = np.where(middles <= 2.0 / 1e3, 0.0, middles)  # a stage that does nothing takes nothing
        return dict(zip(PERCENTILES, values.tolist(), strict=True)) | {"max": self._largest / 1e3}


class Tally:
    """What one walk over the steps of a recording counts.

    Attributes
    ----------
    active : ndarray of bool, (units,)
        Units that were not zero in some bin.
    spikes : int
        Of all units (of features nothing that means anything).
    faults : dict
        Sums of gap bins, late, duplicate and invalid counts.
    stale_bins, missed, adapting : int
        Bins without new data, over their deadline, with adaptation on.
    safety : Counter
        Bins in each state, by number.
    segments : set of int
        Of the device clock.
    finite : bool
        Whether every decoded state is.
    first, last : structured scalar or None
        ``output`` of the first and the last step.
    spanned_s : float
        Sum of the steps of the device clock within a segment.
    bin_s : float or None
        Median of those steps (of the first hundred thousand).
    latency, stages : Durations, dict of str to Durations
    blocks : BlockScores
    """

    def __init__(self, recording: Recording):
        self.active = np.zeros(recording.n_units, dtype=bool)
        self.spikes = self.stale_bins = self.missed = self.adapting = 0
        self.faults = dict.fromkeys(FAULTS, 0)
        self.safety: Counter[int] = Counter()
        self.segments: set[int] = set()
        self.finite, self.first, self.last = True, None, None
        self.spanned_s = 0.0
        self.latency, self.stages = Durations(), {name: Durations() for name in STAGES}
        self._steps_s: list[np.ndarray] = []
        self._before = np.full((2, 1), np.nan)
        self.blocks = BlockScores(recording)
        for block in recording.blocks():
            self._add_input(block["input"], recording.continuous)
            self._add_output(block["output"])
            self.blocks.add(block["output"])
            self._add_timing(block["timing"])
        sample = np.concatenate(self._steps_s) if self._steps_s else np.zeros(0)
        self.bin_s = round(float(np.median(sample)), 9) if len(sample) else None

    def _add_input(self, given: np.ndarray, continuous: bool) -> None:
        counts = without_missing(given["counts"])
        self.active |= np.any(counts != 0, axis=0)
        if not continuous:
            self.spikes += int(counts.sum(dtype=np.int64))
        for name in FAULTS:
            self.faults[name] += int(given[name].sum(dtype=np.int64))
        self.stale_bins += int(np.count_nonzero(given["stale"]))
        self.segments.update(np.unique(given["segment"]).tolist())
        self._add_times(given["device_time_s"], given["segment"].astype(float))

    def _add_times(self, times_s: np.ndarray, segment: np.ndarray) -> None:
        """Add the steps of the clock; a jump (a new segment) takes no time."""
        whole = np.isfinite(times_s)
        both = np.hstack([self._before, np.vstack([times_s[whole], segment[whole]])])
        steps = np.diff(both[0])[both[1, 1:] == both[1, :-1]]
        steps = steps[steps > 0]
        self.spanned_s += float(steps.sum())
        if sum(map(len, self._steps_s)) < STEPS_FOR_MEDIAN:
            self._steps_s.append(steps)
        self._before = both[:, -1:]

    def _add_output(self, made: np.ndarray) -> None:
        self.first = made[0].copy() if self.first is None else self.first
        self.last = made[-1].copy()
        self.safety.update(made["safety"].tolist())
        self.adapting += int(np.count_nonzero(made["adapting"]))
        self.finite = self.finite and bool(np.isfinite(made["decoded"]).all())

    def _add_timing(self, timing: np.ndarray) -> None:
        self.missed += int(np.count_nonzero(timing["deadline_missed"]))
        self.latency.add(latency_ns(timing["stage_ns"], timing["lateness_ns"]))
        for index, durations in enumerate(self.stages.values()):
            durations.add(timing["stage_ns"][:, index])
