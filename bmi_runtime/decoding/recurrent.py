"""The recurrent decoder: a small ensemble of gated recurrent networks, trained here, run in the numba core."""

from __future__ import annotations

import numpy as np

from bmi_runtime.decoding.gru_network import ARRAYS, Shape
from bmi_runtime.decoding.network_decoder import NetworkDecoder
from bmi_runtime.decoding.network_training import Member, Recipe
from bmi_runtime.decoding.recurrent_data import Scales, Sequences
from bmi_runtime.decoding.recurrent_training import Sampler, run_member
from bmi_runtime.kernels import gru


class RecurrentDecoder(NetworkDecoder):
    """An ensemble of gated recurrent networks; kinematics are the mean of what its members say.

    Parameters
    ----------
    **given
        As :class:`NetworkDecoder`; the arrays are those of `bmi_runtime.decoding.gru_network.Shape`.
    """

    STATE = (*NetworkDecoder.STATE, "_hidden")
    ARRAYS = ARRAYS
    enter: np.ndarray
    enter_bias: np.ndarray
    drive: np.ndarray
    drive_bias: np.ndarray
    recur: np.ndarray
    recur_bias: np.ndarray

    def reset(self) -> None:
        """Forget the states and the counts before."""
        super().reset()
        size, entry = self.recur.shape[1], self.enter.shape[2]
        self._hidden = np.zeros((self.stride, self.members, size), np.float32)
        self._work = np.zeros(entry + 6 * size, np.float32)

    @classmethod
    def network_of(cls, scales: Scales, recipe: Recipe, step_s: float) -> Shape:
        """Return the sizes of a network for data of these scales."""
        return Shape(scales.inputs, recipe.entry, recipe.hidden, len(scales.columns))

    @classmethod
    def sampler_of(cls, network: Shape, data: Sequences, scales: Scales, recipe: Recipe, step_s: float) -> Sampler:
        """Return what draws windows of sequences."""
        return Sampler(network, data, scales.stride, step_s, recipe, int(scales.marks_trials))

    @classmethod
    def run(cls, member: Member, data: Sequences, stride: int) -> tuple[np.ndarray, np.ndarray]:
        """Return outputs and hidden states of every bin, (bins, outputs) and (bins, hidden), causally."""
        return run_member(member, data, stride)

    def _step(self, phase: int) -> np.ndarray:
        hidden = self._hidden[phase]
        gru.ensemble_step(
            self._inputs, self.enter, self.enter_bias, self.drive, self.drive_bias, self.recur, self.recur_bias,
            self.read, self.read_bias, hidden, self._work, self.outputs,
        )  # fmt: skip
        return hidden.reshape(-1)
