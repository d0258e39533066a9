"""The gain of any decoder, calculated from what it answered while a subject steered with it.

The dials of :mod:`bmi_runtime.calibration.dials` are those of the live filter, whose readings are known. Of another
decoder only the answers d are: along a session they obey

    d_t = h + H u_(t-lag) + n_t

with the velocity u that the subject intends (as its fitted aim says, `bmi_runtime.calibration.aim_fit`), and noise n
that is kept as it came. The lag that leaves least is taken as so much later feedback. A subject with that aim then
steers, in the compiled simulation of the dials, through ``gain d``, and the gain of most hits per minute is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.aim_fit import Aim, Screen, assumed_aim, fit_aim
from bmi_runtime.calibration.readings import Readings
from bmi_runtime.calibration.steering import Steering
from bmi_runtime.config import Config
from bmi_runtime.intention.paths import intended_path

GAINS = tuple(2.0 ** (step / 4) for step in range(-4, 11))  # 0.5 to 5.7
SURE = 1e8  # information per bin, (m/s)^-2: the simulated filter takes the answer as it is
STARTS, STEERED_S = 6, 120.0  # stretches of noise, and seconds steered through each
LONGEST_LAG_S = 0.2  # of an answer behind the intention
NEVER_SMOOTHED_S = 1e-3  # a time constant below a bin: the decoder has smoothed already


@dataclass(frozen=True)
class AnswerGain:
    """The gain, and what is expected of it.

    Attributes
    ----------
    gain : float
    hits_per_minute : ndarray, shape (gains,)
        Over `GAINS`.
    lag_s : float
        By how much the answers follow the intention.
    slope : float
        Mean of H's diagonal: below 1 the decoder answers with too small velocities.
    aim : Aim
    """

    gain: float
    hits_per_minute: np.ndarray
    lag_s: float
    slope: float
    aim: Aim


def gain_of_answers(answers: np.ndarray, counts: np.ndarray, screen: Screen, config: Config) -> AnswerGain:
    """Return the gain for a decoder from a stretch that it was in control of.

    Parameters
    ----------
    answers : ndarray, shape (bins, axes)
        Decoded velocity before any gain, m/s.
    counts : ndarray, shape (bins, units)
        They say how the subject aims, whatever decodes.
    screen : Screen
        What the subject saw.
    config : Config
        Task and subject's largest speed.
    """
    bin_s = config.bin_s
    meant = intended_path(assumed_aim("").mean, screen.cursor, screen.target, bin_s)
    aim = fit_aim(counts @ _tuning(counts, meant), screen, bin_s)
    intended = intended_path(aim.mean, screen.cursor, screen.target, bin_s)
    maps, noise, lag = _encoded(answers, intended, round(LONGEST_LAG_S / bin_s))
    later = Aim(aim.mean + np.array([0.0, lag * bin_s, lag * bin_s]), aim.covariance, aim.note)
    squares = (intended**2).sum(axis=1)
    readings = Readings(SURE * maps, SURE * noise, 0.0, float(squares.max()), np.zeros(2), later, bin_s)
    steering = Steering(config, bin_s, answers.shape[1])
    starts = np.arange(STARTS) * (len(noise) // STARTS)
    hits = np.array(
        [
            np.mean([steering.run(readings, g, NEVER_SMOOTHED_S, int(s), STEERED_S).hits_per_minute for s in starts])
            for g in GAINS
        ]
    )
    slope = float(np.trace(maps[0, :, :-1]) / answers.shape[1])
    return AnswerGain(_smooth_peak(hits), hits, lag * bin_s, slope, aim)


def _tuning(counts: np.ndarray, meant: np.ndarray) -> np.ndarray:
    """Return the weights of the sum of the units that speaks of the intention, (units, axes)."""
    regressors = np.column_stack([np.ones(len(meant)), meant])
    weights = np.linalg.lstsq(regressors, counts, rcond=None)[0]
    variance = np.maximum((counts - regressors @ weights).var(axis=0), 1e-12)
    return (weights[1:] / variance).T


def _encoded(answers: np.ndarray, intended: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the maps of the simulation for ``d = h + H u + n``, the noise, and the lag (bins) that leaves least."""
    axes, found = answers.shape[1], []
    for lag in range(most + 1):
        u = np.column_stack([intended[most - lag : len(intended) - lag], np.ones(len(intended) - most)])
        weights = np.linalg.lstsq(u, answers[most:], rcond=None)[0]
        noise = answers[most:] - u @ weights
        found.append((float((noise**2).sum()), lag, weights, noise))
    _, lag, weights, noise = min(found, key=lambda each: each[0])
    maps = np.zeros((6, axes, axes + 1))
    maps[0] = weights.T
    maps[2, :, :axes] = maps[4, :, :axes] = np.eye(axes)
    return maps, np.ascontiguousarray(noise), lag


def _smooth_peak(hits: np.ndarray) -> float:
    """Return the gain at the peak of a parabola through the best of `GAINS` and its neighbours, in the logarithm."""
    best = int(np.argmax(hits))
    if not 0 < best < len(GAINS) - 1:
        return GAINS[best]
    before, at, after = hits[best - 1 : best + 2]
    curve = before - 2.0 * at + after
    step = 0.5 * (before - after) / curve if curve < 0.0 else 0.0
    return float(GAINS[best] * 2.0 ** (step / 4.0))
