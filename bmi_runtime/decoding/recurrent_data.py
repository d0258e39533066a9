"""What a recurrent network is trained on: counts and kinematics in one scale, absurd samples left out."""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.decoding.batch_decoder import Training

STEP_S = 0.05  # of the recurrence; narrower bins are summed over it, in as many interleaved chains
LARGEST_INPUT = 8.0  # standard deviations
SMALLEST_COUNT_SD = 0.3  # below it a unit's rare spikes would be blown up
ABSURD = 5.0  # times the 99th percentile of the distance from the median: no movement, a lost marker


@dataclasses.dataclass(frozen=True)
class Scales:
    """How counts and kinematics are brought to the network's scale and back.

    Attributes
    ----------
    stride : int
        Bins that are summed for one step of the recurrence.
    mean, gain : float32, shape (units,)
        Of the summed counts; the gain is 0 for a unit that never changed.
    columns : ndarray of int, shape (outputs,)
        Kinematic columns that are decoded.
    centre, spread : ndarray, shape (outputs,)
    rests : ndarray of bool, shape (outputs,)
        What never changes: it is not learned, and decoded as it was.
    marks_trials : bool
        Whether one more input tells of the bin at which a trial starts.
    """

    stride: int
    mean: np.ndarray
    gain: np.ndarray
    columns: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    rests: np.ndarray
    marks_trials: bool

    @property
    def inputs(self) -> int:
        """Number of inputs of the network."""
        return len(self.mean) + int(self.marks_trials)


@dataclasses.dataclass(frozen=True)
class Sequences:
    """A training part in the network's scale.

    Attributes
    ----------
    inputs : float32, shape (bins, inputs)
    target, weight : float32, shape (bins, outputs)
    keep : float32, shape (bins,)
        0 where the chain of this bin starts again.
    """

    inputs: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    keep: np.ndarray


def summed_counts(counts: np.ndarray, restart: np.ndarray, stride: int, blank: np.ndarray) -> np.ndarray:
    """Return the counts of every bin and the ``stride - 1`` before it; `blank` stands for those before a restart."""
    index = np.arange(len(counts))
    first = np.maximum.accumulate(np.where(restart, index, 0))
    total = np.zeros_like(counts, dtype=float)
    for lag in range(stride):
        known = index - lag >= first
        total += np.where(known[:, None], counts[np.maximum(index - lag, 0)], blank)
    return total


def follow(marks: np.ndarray, stride: int) -> np.ndarray:
    """Return where one of the last `stride` bins is marked: each interleaved chain meets the mark once."""
    found = marks.copy()
    for lag in range(1, stride):
        found[lag:] |= marks[:-lag]
    return found


def known_samples(kinematics: np.ndarray) -> np.ndarray:
    """Return where a sample is known and no absurdity, shape (bins, columns)."""
    centre = np.nanmedian(kinematics, axis=0)
    distance = np.abs(kinematics - centre)
    limit = ABSURD * np.nanpercentile(distance, 99.0, axis=0)
    limit = np.where(limit > 0.0, limit, np.inf)
    return np.isfinite(kinematics) & (distance <= limit)


def scales_of(training: Training) -> Scales:
    """Measure the scales of a training part."""
    stride = max(1, round(STEP_S / training.bin_s))
    counts = summed_counts(training.counts, training.restart, stride, training.counts.mean(axis=0))
    whole = bool((training.counts == np.round(training.counts)).all())
    sd = counts.std(axis=0)
    smallest = SMALLEST_COUNT_SD if whole else 0.1 * float(np.median(sd))
    gain = np.where(sd > 0.0, 1.0 / np.maximum(np.maximum(sd, smallest), 1e-12), 0.0)
    columns = training.columns
    truth = training.kinematics[:, columns]
    masked = np.where(known_samples(truth), truth, np.nan)
    rests = np.nanmax(masked, axis=0) == np.nanmin(masked, axis=0)
    spread = np.nanstd(masked, axis=0)
    marks = int((training.trial_start & ~training.restart).sum())
    return Scales(
        stride, counts.mean(axis=0).astype(np.float32), gain.astype(np.float32), columns,
        np.nanmean(masked, axis=0), np.where(rests, 1.0, spread), rests, marks >= 10,
    )  # fmt: skip


def sequences_of(training: Training, scales: Scales, position_weight: float) -> Sequences:
    """Bring a part to the network's scale; positions weigh `position_weight` beside velocities."""
    blank = scales.mean / scales.stride
    counts = summed_counts(training.counts, training.restart, scales.stride, blank)
    inputs = np.clip((counts - scales.mean) * scales.gain, -LARGEST_INPUT, LARGEST_INPUT)
    if scales.marks_trials:
        starts = follow(training.trial_start & ~training.restart, scales.stride)
        inputs = np.hstack([inputs, starts[:, None]])
    truth = training.kinematics[:, scales.columns]
    known = known_samples(truth)
    moving = scales.columns >= training.kinematics.shape[1] // 2
    weight = known * np.where(moving, 1.0, position_weight) * ~scales.rests
    target = np.where(known, (truth - scales.centre) / scales.spread, 0.0)
    keep = ~follow(training.restart, scales.stride)
    return Sequences(*(np.ascontiguousarray(a, dtype=np.float32) for a in (inputs, target, weight, keep)))
