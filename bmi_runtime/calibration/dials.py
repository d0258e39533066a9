"""Decoder gain and smoothing, calculated: what a subject would reach with them, and the best of them.

A subject with the aim of the pilot steers through the pilot's own readings (`bmi_runtime.calibration.readings`) and the
live filter, trial after trial of the configured task, in a compiled simulation. `decoder.gain` moves the cursor so many
times as fast as decoded; `decoder.velocity_time_constant_s` at a fixed velocity sd sets how heavily the filter smooths:
the longer the prior remembers, the slower a decoded velocity follows. All settings share the same noise. Repeats take
other stretches of it, and other aims that the pilot allows. A coarse grid says where the best is; around it, on a finer
one, a quadratic smooths the logarithm of the time per hit over both logarithms, and its minimum is the answer; the
repeats' own minima give its interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.aim_fit import Aim
from bmi_runtime.calibration.readings import PilotReader
from bmi_runtime.calibration.steering import Pace, Steering, mean_pace
from bmi_runtime.config import Config

GAINS = tuple(2.0 ** (step / 2) for step in range(-2, 5))  # 0.5 to 4
TIME_CONSTANTS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
REPEATS = 6  # with other stretches of noise and other aims; the interval is theirs
COARSE_S, FINE_S = 40.0, 160.0  # steered with each setting in each repeat
FINE = 5  # settings of the finer grid, along each dial
MOVES = 3  # how often the finer grid may follow its optimum
NEAR = 0.1  # settings whose log time per hit is this far above the least weigh 1/e in the fit


@dataclass(frozen=True)
class Dials:
    """The best gain and smoothing, and the surface that they were read from.

    Attributes
    ----------
    gain, time_constant_s : float
    gain_interval, time_constant_interval_s : tuple of float
        Of nine repeats in ten: what the pilot's noise, its length and the subject's aim leave open.
    best, now : Pace
        With the calculated setting, and with that of the configuration.
    hits_per_minute : ndarray, (gains, time constants)
        Over `GAINS` and `TIME_CONSTANTS_S`.
    aim : Aim
    """

    gain: float
    time_constant_s: float
    gain_interval: tuple[float, float]
    time_constant_interval_s: tuple[float, float]
    best: Pace
    now: Pace
    hits_per_minute: np.ndarray
    aim: Aim


class DialSearch:
    """The surface over gain and smoothing at one learning rate.

    Parameters
    ----------
    reader : PilotReader
    config : Config
    rate : float
        Learning rate that the weights adapt at.
    seed : int
    """

    def __init__(self, reader: PilotReader, config: Config, rate: float, seed: int = 1):
        self.reader, self.config, self.rate = reader, config, rate
        self.readings = reader.at(rate)
        self.steering = Steering(config, self.readings.bin_s, self.readings.axes)
        rng = np.random.default_rng(np.random.SeedSequence([seed, 6]))
        bins = len(self.readings.noise)
        self.starts = (rng.integers(bins) + np.arange(REPEATS) * (bins // REPEATS)) % bins
        aim = self.readings.aim
        aims = [Aim(aim.draw(rng), aim.covariance, aim.note) for _ in range(REPEATS)]
        self.drawn = [reader.at(rate, drawn) for drawn in aims]

    def surface(self, gains, times_s, seconds: float) -> np.ndarray:
        """Return hits a minute of every repeat, (repeats, gains, time constants)."""
        found = np.empty((REPEATS, len(gains), len(times_s)))
        for surface, start, readings in zip(found, self.starts, self.drawn, strict=True):
            for i, gain in enumerate(gains):
                for j, time_s in enumerate(times_s):
                    pace = self.steering.run(readings, gain, time_s, int(start), seconds)
                    surface[i, j] = max(pace.hits_per_minute, 1e-3)
        return found

    def pace(self, gain: float, time_constant_s: float) -> Pace:
        """Return what is reached with one setting, averaged over the repeats' noise, by the subject as fitted."""
        runs = [self.steering.run(self.readings, gain, time_constant_s, int(s), FINE_S) for s in self.starts]
        return mean_pace(runs)

    def best(self) -> Dials:
        """Return the best setting with its interval."""
        coarse = np.exp(np.log(self.surface(GAINS, TIME_CONSTANTS_S, COARSE_S)).mean(axis=0))
        at = np.unravel_index(np.argmax(coarse), coarse.shape)
        gain, time_s = GAINS[at[0]], TIME_CONSTANTS_S[at[1]]
        for _ in range(MOVES):
            gains, times_s = _around(gain, GAINS), _around(time_s, TIME_CONSTANTS_S)
            surfaces = -np.log(self.surface(gains, times_s, FINE_S))
            gain, time_s = _lowest(gains, times_s, surfaces.mean(axis=0))
            if gain not in (gains[0], gains[-1]) and time_s not in (times_s[0], times_s[-1]):
                break
        each = np.array([_lowest(gains, times_s, surface) for surface in surfaces])
        (low_gain, low_time), (high_gain, high_time) = np.quantile(each, [0.05, 0.95], axis=0)
        section = self.config.decoder
        return Dials(
            gain, time_s, (min(low_gain, gain), max(high_gain, gain)), (min(low_time, time_s), max(high_time, time_s)),
            self.pace(gain, time_s), self.pace(section.gain, section.velocity_time_constant_s), coarse,
            self.readings.aim,
        )  # fmt: skip


def _around(value: float, grid: Sequence[float]) -> np.ndarray:
    """Return the settings of the finer grid around a value, half a step of the coarse one apart, within its ends."""
    step = 0.5 * math.log(grid[-1] / grid[0]) / (len(grid) - 1)
    middle = min(max(math.log(value), math.log(grid[0]) + step * (FINE // 2)), math.log(grid[-1]) - step * (FINE // 2))
    return np.exp(middle + step * (np.arange(FINE) - FINE // 2))


def _lowest(gains: np.ndarray, times_s: np.ndarray, loss: np.ndarray) -> tuple[float, float]:
    """Return where a quadratic in both logarithms, fitted to a loss (gains, times), is lowest within the grid."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.log(gains), np.log(times_s), indexing="ij"))

    def basis(a, b):
        a, b = a - x.mean(), b - y.mean()
        return np.column_stack([np.ones_like(a), a, b, a * a, a * b, b * b])

    values = loss.ravel()
    weight = np.exp(-(values - values.min()) / NEAR)[:, None]
    coefficients = np.linalg.lstsq(basis(x, y) * weight, values * weight[:, 0], rcond=None)[0]
    a, b = (grid.ravel() for grid in np.meshgrid(np.linspace(x[0], x[-1], 41), np.linspace(y[0], y[-1], 41)))
    chosen = int(np.argmin(basis(a, b) @ coefficients))
    return float(np.exp(a[chosen])), float(np.exp(b[chosen]))
