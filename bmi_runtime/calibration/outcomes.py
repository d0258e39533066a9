"""What a learning rate does to decoding and to the task: velocity error, time to target, hits per minute.

The adaptive filter is run along the pilot at the rate, so that its weights are as wrong as the rate makes them, and a
subject with the pilot's aim steers through what it reads (`bmi_runtime.calibration.steering`). Nothing is tuned to the
closed loop; tests/calibration/test_outcomes.py holds the numbers against sessions of the simulated worlds.
"""

from __future__ import annotations

import math

import numpy as np

from bmi_runtime.calibration.aim_fit import Screen
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.calibration.readings import PilotReader
from bmi_runtime.calibration.steering import Pace, Steering, mean_pace
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput

RUNS, STEERED_S = 3, 200.0  # stretches of noise, and seconds steered through each
RATES = tuple(10.0 ** (step / 2) for step in range(-18, -3))
"""Half decades from 1e-9 to 1e-2, among which a wish is looked for."""


class Outcomes:
    """What is expected of a pilot's units and subject at any rate; everything random is the same at all of them.

    Parameters
    ----------
    scores : MeasuredScores
    config : Config
        Its sections decoder, subject, adapter and task are used; the defaults where the pilot is a data file.
    screen : Screen, optional
        What the subject of a session saw.
    """

    def __init__(self, scores: MeasuredScores, config: Config, screen: Screen | None = None):
        self.scores, self.config = scores, config
        self.reader = PilotReader(scores, config, screen)

    def at(self, rate: float, gain: float | None = None, time_constant_s: float | None = None) -> Pace:
        """Return what is expected at a learning rate, with the decoder's gain and smoothing as configured or given."""
        section, readings = self.config.decoder, self.reader.at(rate)
        steering = Steering(self.config, readings.bin_s, readings.axes)
        gain = section.gain if gain is None else gain
        time_s = section.velocity_time_constant_s if time_constant_s is None else time_constant_s
        starts = np.arange(RUNS) * (len(readings.noise) // RUNS)
        return mean_pace([steering.run(readings, gain, time_s, int(start), STEERED_S) for start in starts])

    def fastest(self, wanted: float, measure: str) -> float:
        """Return the fastest rate at which a measure is still as wished.

        Parameters
        ----------
        wanted : float
        measure : {"velocity_error_m_s", "time_to_target_s", "hits_per_minute"}
            At most `wanted`, or at least for hits.

        Raises
        ------
        BadInput
            If even exact weights do not give it, or every rate does.
        """
        sign = -1.0 if measure == "hits_per_minute" else 1.0

        def excess(rate: float) -> float:
            value = getattr(self.at(rate), measure)
            return math.inf if math.isnan(value) else sign * (value - wanted)

        if excess(RATES[0]) > 0:
            best = getattr(self.at(RATES[0]), measure)
            raise BadInput(
                f"no learning rate gives {_spoken(measure, wanted)}: with weights that hardly err the expected value "
                f"is {_spoken(measure, best)}; more units, or another decoder or task, would"
            )
        low, high = 0, len(RATES) - 1
        if excess(RATES[high]) <= 0:
            return RATES[high]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if excess(RATES[middle]) <= 0 else (low, middle)
        slow, fast = math.log(RATES[low]), math.log(RATES[high])
        for _ in range(4):
            middle_log = 0.5 * (slow + fast)
            slow, fast = (middle_log, fast) if excess(math.exp(middle_log)) <= 0 else (slow, middle_log)
        return math.exp(slow)


def _spoken(measure: str, value: float) -> str:
    if measure == "velocity_error_m_s":
        return f"a decoded velocity error of {100 * value:.3g} cm/s"
    return f"{value:.3g} s to the target" if measure == "time_to_target_s" else f"{value:.3g} hits per minute"
