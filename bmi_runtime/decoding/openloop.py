"""Decoding a recording: learn in its first part, decode the rest causally, score both kinematic dimensions."""

import dataclasses
import time
from collections.abc import Callable, Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class OpenLoopResult:
    """What came out of decoding one recording: states (bins, 4) as decoded at each bin, and the time it took."""

    states: np.ndarray
    bins_train: int
    seconds: float
    slowest_bin_s: float


def coefficient_of_determination(true: np.ndarray, decoded: np.ndarray) -> list[float]:
    """Return R2 = 1 - sum of squared errors / sum of squares about the mean, one value per dimension.

    Bins whose true or decoded value is not finite in some dimension are left out; a dimension without variance is NaN.
    """
    keep = np.isfinite(true).all(axis=1) & np.isfinite(decoded).all(axis=1)
    true, decoded = true[keep], decoded[keep]
    if len(true) < 2:
        return [float("nan")] * decoded.shape[1]
    residual = ((true - decoded) ** 2).sum(axis=0)
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return [float(value) for value in np.where(spread > 0, 1.0 - residual / spread, np.nan)]


def decode_recording(
    decoder,
    counts: Iterable[np.ndarray],
    kinematics,
    trial_start,
    restart,
    bins_train: int,
    tick: Callable = lambda: None,
) -> OpenLoopResult:
    """Drive a decoder bin by bin: predict, and while still in the first `bins_train` bins learn.

    Parameters
    ----------
    decoder
        An object with ``reset``, ``predict``, ``learn`` and ``on_done``, and ``freeze`` for the end of learning.
    counts : iterable of ndarray, shape (units,)
        One array per bin, from any source.
    kinematics : ndarray, shape (bins, 4)
        x, y, vx, vy as recorded. The decoder is shown the first `bins_train` rows, each after its prediction.
    trial_start, restart : ndarray of bool, shape (bins,)
        Where the trajectory jumps, and where the counts before are unknown.
    """
    states = np.full((len(kinematics), 4), np.nan)
    slowest = 0.0
    started = time.perf_counter()
    for index, bin_counts in enumerate(counts):
        entered = time.perf_counter()
        if restart[index]:
            decoder.reset()
        elif trial_start[index]:
            decoder.on_done()
        if index == bins_train:
            decoder.freeze()
        states[index] = decoder.predict(bin_counts)
        if index < bins_train:
            decoder.learn(bin_counts, kinematics[index])
        slowest = max(slowest, time.perf_counter() - entered)
        tick()
    return OpenLoopResult(states, bins_train, time.perf_counter() - started, slowest)


def scores(recording, states: np.ndarray, bins_train: int) -> dict[str, list[float]]:
    """Return ``r2_velocity`` and ``r2_position`` of the bins after `bins_train`.

    Where the recording holds no position, the truth is the displacement since the last trial start, both integrated
    from the velocity.
    """
    true_position = recording.position
    decoded_position = states[:, :2]
    if true_position is None:
        true_position = displacement(recording.velocity, recording.trial_start, recording.bin_s, bins_train)
        decoded_position = displacement(states[:, 2:], recording.trial_start, recording.bin_s, bins_train)
    return {
        "r2_velocity": coefficient_of_determination(recording.velocity[bins_train:], states[bins_train:, 2:]),
        "r2_position": coefficient_of_determination(true_position[bins_train:], decoded_position[bins_train:]),
    }


def displacement(velocity: np.ndarray, trial_start: np.ndarray, bin_s: float, first: int) -> np.ndarray:
    """Return the integral of the velocity since the last trial start, or since bin `first`, shape (bins, 2)."""
    total = np.cumsum(np.nan_to_num(velocity), axis=0) * bin_s
    starts = trial_start.copy()
    starts[first] = True
    last = np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))
    return total - total[last]
