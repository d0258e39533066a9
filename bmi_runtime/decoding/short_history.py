"""The short-history decoder: a small ensemble of networks of the last few tenths of a second, without recurrence.

What a recurrent network remembers for long are the trajectories of its training; in a loop the subject does not repeat
them. A network that sees 0.16 to 0.4 s of spikes cannot learn them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.decoding.network_decoder import NetworkDecoder
from bmi_runtime.decoding.network_training import LOOP_RECIPE as MEMORY_RECIPE
from bmi_runtime.decoding.network_training import Member, Recipe
from bmi_runtime.decoding.recurrent_data import Scales, Sequences
from bmi_runtime.decoding.short_history_network import ARRAYS, Shape, WindowSampler, run_member
from bmi_runtime.kernels import feedforward

RECIPE = Recipe(entry=96, hidden=64, members=3, window_s=0.6, epochs=40.0, fewest_updates=300, most_updates=800,
                rate=3e-3, decay=0.05, unit_drop=0.2, drop=0.3)  # fmt: skip
LOOP_RECIPE = dataclasses.replace(MEMORY_RECIPE, window_s=0.28, members=2, epochs=40.0, rate=3e-3, decay=0.05)


class ShortHistoryDecoder(NetworkDecoder):
    """An ensemble of networks of a short history; kinematics are the mean of what its members say.

    Parameters
    ----------
    **given
        As :class:`NetworkDecoder`; the arrays are those of `bmi_runtime.decoding.short_history_network.Shape`.
    """

    STATE = (*NetworkDecoder.STATE, "_steps", "_newest")
    ARRAYS = ARRAYS
    RECIPE = RECIPE
    enter: np.ndarray
    enter_bias: np.ndarray
    mix: np.ndarray
    mix_bias: np.ndarray

    def reset(self) -> None:
        """Forget the counts before."""
        super().reset()
        inputs = len(self._inputs)
        steps = self.enter.shape[1] // inputs
        self._steps, self._newest = np.zeros((steps * self.stride, inputs), np.float32), 0
        self._window = np.zeros(steps * inputs, np.float32)
        self._entry = np.zeros(self.enter.shape[2], np.float32)
        self._hidden = np.zeros((self.members, self.mix.shape[2]), np.float32)

    @classmethod
    def network_of(cls, scales: Scales, recipe: Recipe, step_s: float) -> Shape:
        """Return the sizes of a network for data of these scales."""
        steps = max(1, round(recipe.window_s / step_s))
        return Shape(steps, scales.inputs, recipe.entry, recipe.hidden, len(scales.columns))

    @classmethod
    def sampler_of(
        cls, network: Shape, data: Sequences, scales: Scales, recipe: Recipe, step_s: float
    ) -> WindowSampler:
        """Return what draws windows."""
        return WindowSampler(network, data, scales.stride, recipe, int(scales.marks_trials))

    @classmethod
    def run(cls, member: Member, data: Sequences, stride: int) -> tuple[np.ndarray, np.ndarray]:
        """Return outputs and second layer of every bin, (bins, outputs) and (bins, hidden), causally."""
        return run_member(member, data, stride)

    def _step(self, phase: int) -> np.ndarray:
        self._newest = (self._newest + 1) % len(self._steps)
        self._steps[self._newest] = self._inputs
        feedforward.gather_window(self._steps, self._newest, self.stride, self._window)
        feedforward.ensemble_step(
            self._window, self.enter, self.enter_bias, self.mix, self.mix_bias, self.read, self.read_bias,
            self._entry, self._hidden, self.outputs,
        )  # fmt: skip
        return self._hidden.reshape(-1)
