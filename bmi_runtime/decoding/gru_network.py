"""A gated recurrent network in NumPy and the numba core: forward, and backward through time.

Counts go through a linear layer with a rectifier, one layer of gated recurrent units, and a linear read-out. Matrix
products are those of NumPy in single precision; the gates are :mod:`bmi_runtime.kernels.gru`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.decoding.network_parameters import views
from bmi_runtime.kernels import gru

ARRAYS = ("enter", "enter_bias", "drive", "drive_bias", "recur", "recur_bias", "read", "read_bias")


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a network: inputs, entry layer, hidden state, outputs."""

    inputs: int
    entry: int
    hidden: int
    outputs: int

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every array of parameters, in the order of the flat vector."""
        gates = 3 * self.hidden
        return {
            "enter": (self.inputs, self.entry), "enter_bias": (self.entry,),
            "drive": (self.entry, gates), "drive_bias": (gates,),
            "recur": (self.hidden, gates), "recur_bias": (gates,),
            "read": (self.hidden, self.outputs), "read_bias": (self.outputs,),
        }  # fmt: skip


@dataclasses.dataclass
class Batch:
    """Sequences of one step of training, time first.

    Attributes
    ----------
    inputs : float32, shape (steps, batch, inputs)
    target, weight : float32, shape (steps, batch, outputs)
        `weight` is 0 where the target is unknown or not scored.
    keep : float32, shape (steps, batch)
        0 where the state before is forgotten.
    entry_mask, hidden_mask : float32, shape (steps, batch, entry or hidden), optional
        Dropout, already divided by the share that is kept.
    """

    inputs: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    keep: np.ndarray
    entry_mask: np.ndarray | None = None
    hidden_mask: np.ndarray | None = None


def hidden_states(
    shape: Shape, named: dict[str, np.ndarray], batch: Batch, state: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Run the network forward; return everything that the way back needs, `hidden` and `outputs` among it.

    Parameters
    ----------
    shape : Shape
    named : dict
        Its parameters.
    batch : Batch
    state : float32, shape (batch, hidden), optional
        Before the first step; zeros by default.
    """
    steps, size, _ = batch.inputs.shape
    pre = batch.inputs.reshape(steps * size, -1) @ named["enter"] + named["enter_bias"]
    entry = np.maximum(pre, 0.0)
    if batch.entry_mask is not None:
        entry *= batch.entry_mask.reshape(entry.shape)
    drive = (entry @ named["drive"] + named["drive_bias"]).reshape(steps, size, -1)
    gates = np.empty_like(drive)
    candidate = np.empty((steps, size, shape.hidden), np.float32)
    before = np.empty_like(candidate)
    hidden = np.empty_like(candidate)
    state = np.zeros((size, shape.hidden), np.float32) if state is None else state
    recurrent = np.empty((size, 3 * shape.hidden), np.float32)
    for step in range(steps):
        np.multiply(state, batch.keep[step, :, None], out=before[step])
        np.matmul(before[step], named["recur"], out=recurrent)
        recurrent += named["recur_bias"]
        gru.gates_forward(drive[step], recurrent, before[step], gates[step], hidden[step])
        candidate[step] = recurrent[:, 2 * shape.hidden :]
        state = hidden[step]
    seen = hidden if batch.hidden_mask is None else hidden * batch.hidden_mask
    outputs = (seen.reshape(steps * size, -1) @ named["read"] + named["read_bias"]).reshape(steps, size, -1)
    return {
        "entry": entry, "positive": pre > 0.0, "gates": gates, "candidate": candidate, "before": before,
        "hidden": hidden, "seen": seen, "outputs": outputs,
    }  # fmt: skip


def loss_and_gradient(shape: Shape, flat: np.ndarray, batch: Batch, gradient: np.ndarray) -> float:
    """Return the weighted mean squared error of a batch and write its gradient.

    Parameters
    ----------
    shape : Shape
    flat : float32, shape (parameters,)
    batch : Batch
    gradient : float32, shape (parameters,)
        Out.
    """
    named, slope = views(shape, flat), views(shape, gradient)
    run = hidden_states(shape, named, batch)
    steps, size, _ = batch.inputs.shape
    rows = steps * size
    total = max(float(batch.weight.sum()), 1e-9)
    error = (run["outputs"] - batch.target) * batch.weight
    loss = float((error * (run["outputs"] - batch.target)).sum()) / total
    d_outputs = (error * np.float32(2.0 / total)).reshape(rows, -1)
    slope["read"][:] = run["seen"].reshape(rows, -1).T @ d_outputs
    slope["read_bias"][:] = d_outputs.sum(axis=0)
    d_hidden = (d_outputs @ named["read"].T).reshape(steps, size, -1)
    if batch.hidden_mask is not None:
        d_hidden *= batch.hidden_mask
    d_drive, d_recur = _backward_in_time(named, batch, run, d_hidden)
    slope["recur"][:] = run["before"].reshape(rows, -1).T @ d_recur
    slope["recur_bias"][:] = d_recur.sum(axis=0)
    slope["drive"][:] = run["entry"].T @ d_drive
    slope["drive_bias"][:] = d_drive.sum(axis=0)
    d_entry = d_drive @ named["drive"].T
    if batch.entry_mask is not None:
        d_entry *= batch.entry_mask.reshape(d_entry.shape)
    d_entry *= run["positive"]
    slope["enter"][:] = batch.inputs.reshape(rows, -1).T @ d_entry
    slope["enter_bias"][:] = d_entry.sum(axis=0)
    return loss


def _backward_in_time(named, batch, run, d_hidden):
    """Return the gradients of the pre-activations of input and recurrence, shape (steps x batch, 3 hidden)."""
    steps, size, width = d_hidden.shape
    d_drive = np.empty((steps, size, 3 * width), np.float32)
    d_recur = np.empty_like(d_drive)
    carried = np.zeros((size, width), np.float32)
    direct = np.empty_like(carried)
    recur = np.ascontiguousarray(named["recur"].T)
    for step in range(steps - 1, -1, -1):
        carried += d_hidden[step]
        gru.gates_backward(
            carried, run["gates"][step], run["candidate"][step], run["before"][step],
            d_drive[step], d_recur[step], direct,
        )  # fmt: skip
        np.matmul(d_recur[step], recur, out=carried)
        carried += direct
        carried *= batch.keep[step, :, None]
    return d_drive.reshape(steps * size, -1), d_recur.reshape(steps * size, -1)
