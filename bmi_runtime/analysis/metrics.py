"""Measures of a cursor under control: success, time to target, straightness, throughput, bit rate.

References
----------
MacKenzie, Kauppinen, Silfverberg (2001) CHI '01, 9-16 (movement error about the task axis, here orthogonal deviation).
ISO 9241-411:2012 and MacKenzie (1992) Hum.-Comput. Interact. 7:91 (Fitts throughput with the Shannon index).
Nuyujukian, Fan, Kao, Ryu, Shenoy (2015) IEEE TBME 62:58 (achieved bit rate).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Trial:
    """One attempt at a target.

    Attributes
    ----------
    path_m : ndarray, shape (bins + 1, 2)
        Cursor from the start of the trial on.
    target_m : tuple of float
    radius_m : float
    bin_s : float
    hold_s : float
        Time that the cursor had to stay, part of the trial.
    success : bool
    """

    path_m: np.ndarray
    target_m: tuple[float, ...]
    radius_m: float
    bin_s: float
    hold_s: float
    success: bool

    @property
    def duration_s(self) -> float:
        """Time of the trial, s, with the hold."""
        return (len(self.path_m) - 1) * self.bin_s

    @property
    def distance_m(self) -> float:
        """Distance from the start to the centre of the target, m."""
        return float(np.linalg.norm(np.subtract(self.target_m, self.path_m[0])))


def path_efficiency(trial: Trial) -> float:
    """Return the straight distance from start to end over the length of the path: 1 is straight, NaN is still."""
    path = trial.path_m
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    return float(np.linalg.norm(path[-1] - path[0]) / length) if length > 0 else float("nan")


def orthogonal_deviation_m(trial: Trial) -> float:
    """Return the mean absolute distance (m) of the path from the line through start and target."""
    axis = np.subtract(trial.target_m, trial.path_m[0])
    distance = np.linalg.norm(axis)
    if distance == 0:
        return float("nan")
    across = np.array([-axis[1], axis[0]]) / distance
    return float(np.abs((trial.path_m - trial.path_m[0]) @ across).mean())


def index_of_difficulty_bits(trial: Trial) -> float:
    """Return Fitts' index in the Shannon form, ``log2(D / W + 1)``, W the diameter of the target."""
    return float(np.log2(trial.distance_m / (2.0 * trial.radius_m) + 1.0))


def throughput_bits_s(trials: Sequence[Trial]) -> float:
    """Return the mean over successes of the index of difficulty over the movement time (without the hold), bits/s.

    Trials that start in the target are left out; a movement lasts a bin at least. Failures do not lower it; read it
    beside the success rate.
    """
    moved = [t for t in trials if t.success and t.distance_m > t.radius_m]
    rates = [index_of_difficulty_bits(t) / max(t.duration_s - t.hold_s, t.bin_s) for t in moved]
    return float(np.mean(rates)) if rates else 0.0


def bit_rate_bits_s(trials: Sequence[Trial], targets: int) -> float:
    """Return the achieved bit rate, ``log2(N - 1) max(correct - wrong, 0) / time``, bits/s.

    A trial that times out counts as a wrong selection. The time is that of all trials.

    Parameters
    ----------
    trials : sequence of Trial
    targets : int
        N, the number of targets that could be selected; 0 bits for fewer than three.
    """
    time_s = sum(trial.duration_s for trial in trials)
    if targets < 3 or time_s <= 0:
        return 0.0
    correct = sum(trial.success for trial in trials)
    return float(np.log2(targets - 1) * max(2 * correct - len(trials), 0) / time_s)


def summary(trials: Sequence[Trial], targets: int) -> dict[str, float]:
    """Return every measure of a block of trials; paths and times are of the successes, NaN where there is none."""
    reached = [trial for trial in trials if trial.success]

    def mean(values):
        values = [value for value in values if np.isfinite(value)]
        return float(np.mean(values)) if values else float("nan")

    return {
        "trials": len(trials),
        "success_rate": len(reached) / len(trials) if trials else float("nan"),
        "time_to_target_s": mean(trial.duration_s for trial in reached),
        "path_efficiency": mean(path_efficiency(trial) for trial in reached),
        "orthogonal_deviation_m": mean(orthogonal_deviation_m(trial) for trial in reached),
        "throughput_bits_s": throughput_bits_s(trials),
        "bit_rate_bits_s": bit_rate_bits_s(trials, targets),
    }


def r2(true: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Return the coefficient of determination of each dimension over the bins where both are finite; NaN at rest."""
    known = np.isfinite(true).all(axis=1) & np.isfinite(decoded).all(axis=1)
    true, decoded = true[known], decoded[known]
    if len(true) < 2:
        return np.full(decoded.shape[1], np.nan)
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    return 1.0 - ((true - decoded) ** 2).sum(axis=0) / np.where(np.ptp(true, axis=0) > 0, spread, np.nan)


def rmse(true: np.ndarray, decoded: np.ndarray) -> float:
    """Return the root of the mean squared distance, in the unit of the data."""
    return float(np.sqrt(np.nanmean(((true - decoded) ** 2).sum(axis=1))))


def paired_interval(values: np.ndarray, reference: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of ``values - reference`` and the bounds of its Student t interval over pairs (seeds, subjects).

    Pairs with a NaN are left out; fewer than two leave the bounds NaN.
    """
    from scipy import stats

    difference = np.asarray(values, dtype=float) - np.asarray(reference, dtype=float)
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return (float(difference.mean()) if len(difference) else float("nan")), float("nan"), float("nan")
    half = float(stats.t.ppf(0.5 + level / 2, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference)))
    return float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half)
