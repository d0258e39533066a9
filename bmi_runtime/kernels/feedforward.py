"""Kernels of the short-history decoder: one bin of inference of an ensemble of networks without recurrence.

Single precision, additions and multiplications in a fixed order: the same bits on every machine.
"""

import numpy as np

from bmi_runtime.kernels.gru import add_rows, tanh32
from bmi_runtime.kernels.jit import kernel


@kernel
def gather_window(ring, newest, stride, out):
    """Write the inputs of the last steps, newest first.

    Parameters
    ----------
    ring : float32, shape (steps x stride, inputs)
        Inputs of the last bins.
    newest : int
        Row of the newest bin.
    stride : int
        Bins of a step.
    out : float32, shape (steps x inputs,)
    """
    rows, inputs = ring.shape
    row = newest
    for step in range(rows // stride):
        start = step * inputs
        for i in range(inputs):
            out[start + i] = ring[row, i]
        row -= stride
        if row < 0:
            row += rows


@kernel
def ensemble_step(window, enter, enter_bias, mix, mix_bias, read, read_bias, entry, hidden, outputs):
    """Run every member on one window: a rectified layer, a layer of hyperbolic tangents, a linear read-out.

    Parameters
    ----------
    window : float32, shape (inputs,)
    enter, enter_bias, mix, mix_bias, read, read_bias : float32
        Parameters, members first (:class:`bmi_runtime.decoding.short_history_network.Shape`).
    entry : float32, shape (entry,)
        Work.
    hidden : float32, shape (members, hidden)
        Out: the second layer.
    outputs : float32, shape (members, outputs)
        Out.
    """
    for member in range(len(outputs)):
        state, out = hidden[member], outputs[member]
        entry[:] = enter_bias[member]
        add_rows(enter[member], window, entry)
        for i in range(len(entry)):
            entry[i] = max(entry[i], np.float32(0.0))
        state[:] = mix_bias[member]
        add_rows(mix[member], entry, state)
        for i in range(len(state)):
            state[i] = tanh32(state[i])
        out[:] = read_bias[member]
        add_rows(read[member], state, out)
