"""What a subject reaches who steers a cursor through a decoder: trials of the configured task, simulated.

The subject is the controller of the pilot's aim, the decoder is the live filter on the pilot's own readings, noise
included (`bmi_runtime.calibration.readings`, `bmi_runtime.kernels.steering`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from bmi_runtime.calibration.readings import Readings
from bmi_runtime.config import Config
from bmi_runtime.intention.infer import aim_gains
from bmi_runtime.tasks.places import places

RANDOM_GOALS = 64  # drawn once and met in turn


@dataclass(frozen=True)
class Pace:
    """What is reached with one setting.

    Attributes
    ----------
    velocity_error_m_s : float
        Root mean square of the length of decoded minus intended velocity, as the session infers the intention.
    time_to_target_s : float
        Mean over successful trials, hold included; NaN without one.
    hits_per_minute, success_rate : float
    """

    velocity_error_m_s: float
    time_to_target_s: float
    hits_per_minute: float
    success_rate: float


class Steering:
    """Simulates a subject who steers through a decoder.

    Parameters
    ----------
    config : Config
        Sections decoder, subject (largest speed), adapter (what teaches) and task.
    bin_s : float
    axes : int
    """

    def __init__(self, config: Config, bin_s: float, axes: int):
        self.config, self.bin_s = config, bin_s
        task = config.task
        if task.kind in ("random-target", "pursuit"):
            rng = np.random.default_rng(np.random.SeedSequence([config.session.seed, 5]))
            self.goals = rng.uniform(-task.distance_m, task.distance_m, (RANDOM_GOALS, axes))
        else:
            ring = np.array(places(task.places, task.targets, task.distance_m, axes))
            self.goals = np.zeros((2 * len(ring), axes))
            self.goals[::2] = ring
        whole = [round(seconds / bin_s) for seconds in (task.hold_s, task.timeout_s, task.pause_s)]
        self._task = np.array([task.target_radius_m, *whole, task.workspace_m, bin_s])

    def run(self, readings: Readings, gain: float, time_constant_s: float, start: int, seconds: float) -> Pace:
        """Return what is reached with one setting.

        Parameters
        ----------
        readings : Readings
        gain, time_constant_s : float
        start : int
            First bin of the pilot's noise that is used.
        seconds : float
        """
        from bmi_runtime.kernels.steering import steer

        frequency_hz, delay_s, reaction_s = readings.aim.mean
        keep, pull = aim_gains(2.0 * math.pi * frequency_hz, self.bin_s)
        decay = math.exp(-self.bin_s / time_constant_s)
        bins, pause_s = round(seconds / self.bin_s), max(self._task[3], 1.0) * self.bin_s
        outcome = np.zeros((bins + 1, 2))
        trials, squares = steer(
            np.array([keep, pull, self.config.subject.max_speed_m_s]),
            np.array([round(delay_s / self.bin_s), round(reaction_s / self.bin_s)]),
            self._assumed(readings), np.array([decay, self.config.decoder.velocity_sd_m_s**2 * (1.0 - decay * decay)]),
            gain, readings.maps, readings.noise, readings.spread, readings.largest, start, bins, self.goals,
            self._task, outcome,
        )  # fmt: skip
        done = outcome[:trials]
        hits = done[:, 1] > 0
        spent = float(done[:, 0].sum()) + trials * pause_s
        return Pace(
            math.sqrt(squares),
            float(done[hits, 0].mean()) if hits.any() else math.nan,
            60.0 * float(hits.sum()) / spent if trials else 0.0,
            float(hits.mean()) if trials else 0.0,
        )

    def _assumed(self, readings: Readings) -> np.ndarray:
        """Return the aim that teaches, where it is known, and the pilot's products, where weights follow it."""
        adapter = self.config.adapter
        if adapter.intention != "optimal-control" or readings.aim.note:
            return np.zeros(4)
        gains = aim_gains(2.0 * math.pi * adapter.intention_frequency_hz, self.bin_s)
        learning = adapter.enabled and readings.taught[0] > 0.0
        return np.array([*gains, *(readings.taught if learning else (0.0, 0.0))])


def mean_pace(runs: Sequence[Pace]) -> Pace:
    """Return the mean of every measure; times are of those runs that reached a target."""
    error, time_s, hits, success = (np.array([getattr(run, field.name) for run in runs]) for field in fields(Pace))
    known = time_s[np.isfinite(time_s)]
    return Pace(float(error.mean()), float(known.mean()) if known.size else math.nan, float(hits.mean()),
                float(success.mean()))  # fmt: skip
