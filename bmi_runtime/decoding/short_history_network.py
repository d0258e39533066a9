"""A network of the last few steps of spikes, without recurrence: forward, gradient, batches.

The counts of the last `steps` steps go through a rectified layer, a layer of hyperbolic tangents and a linear read-out.
Matrix products are those of NumPy in single precision.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.decoding.network_parameters import views
from bmi_runtime.decoding.network_training import Member, Recipe, kept_and_scaled, varied_units
from bmi_runtime.decoding.recurrent_data import Sequences

ARRAYS = ("enter", "enter_bias", "mix", "mix_bias", "read", "read_bias")
FEWEST_BINS = 256  # of one update


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a network: steps of history, inputs of a step, both layers, outputs."""

    steps: int
    inputs: int
    entry: int
    hidden: int
    outputs: int

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every array of parameters, in the order of the flat vector."""
        return {
            "enter": (self.steps * self.inputs, self.entry), "enter_bias": (self.entry,),
            "mix": (self.entry, self.hidden), "mix_bias": (self.hidden,),
            "read": (self.hidden, self.outputs), "read_bias": (self.outputs,),
        }  # fmt: skip


@dataclasses.dataclass
class Batch:
    """Windows of one step of training.

    Attributes
    ----------
    windows : float32, shape (batch, steps x inputs)
        Newest step first.
    target, weight : float32, shape (batch, outputs)
        `weight` is 0 where the target is unknown.
    entry_mask, hidden_mask : float32, shape (batch, entry or hidden), optional
        Dropout, already divided by the share that is kept.
    """

    windows: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    entry_mask: np.ndarray | None = None
    hidden_mask: np.ndarray | None = None


def run_forward(shape: Shape, flat: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
    """Return both layers, as they are and as they are seen behind dropout, and the outputs."""
    named = views(shape, flat)
    pre = batch.windows @ named["enter"] + named["enter_bias"]
    entry = np.maximum(pre, np.float32(0.0))
    if batch.entry_mask is not None:
        entry *= batch.entry_mask
    hidden = np.tanh(entry @ named["mix"] + named["mix_bias"])
    seen = hidden if batch.hidden_mask is None else hidden * batch.hidden_mask
    return {
        "entry": entry, "positive": pre > 0.0, "hidden": hidden, "seen": seen,
        "outputs": seen @ named["read"] + named["read_bias"],
    }  # fmt: skip


def loss_and_gradient(shape: Shape, flat: np.ndarray, batch: Batch, gradient: np.ndarray) -> float:
    """Return the weighted mean squared error of a batch and write its gradient, shape (parameters,)."""
    named, slope = views(shape, flat), views(shape, gradient)
    run = run_forward(shape, flat, batch)
    total = max(float(batch.weight.sum()), 1e-9)
    off = run["outputs"] - batch.target
    error = off * batch.weight
    d_outputs = error * np.float32(2.0 / total)
    slope["read"][:] = run["seen"].T @ d_outputs
    slope["read_bias"][:] = d_outputs.sum(axis=0)
    d_hidden = d_outputs @ named["read"].T
    if batch.hidden_mask is not None:
        d_hidden *= batch.hidden_mask
    d_hidden *= 1.0 - run["hidden"] ** 2
    slope["mix"][:] = run["entry"].T @ d_hidden
    slope["mix_bias"][:] = d_hidden.sum(axis=0)
    d_entry = d_hidden @ named["mix"].T
    if batch.entry_mask is not None:
        d_entry *= batch.entry_mask
    d_entry *= run["positive"]
    slope["enter"][:] = batch.windows.T @ d_entry
    slope["enter_bias"][:] = d_entry.sum(axis=0)
    return float((error * off).sum()) / total


def earlier_rows(keep: np.ndarray, stride: int, steps: int) -> np.ndarray:
    """Return the rows of the last `steps` steps of each bin, newest first, shape (bins, steps).

    A step from before a restart, or before the first bin, is row ``len(keep)``: one that is added, of zeros.

    Parameters
    ----------
    keep : float32, shape (bins,)
        0 where the chain of a bin starts again.
    """
    bins = len(keep)
    index = np.arange(bins)
    rows = np.full((bins, steps), bins)
    rows[:, 0] = index
    whole = np.ones(bins, bool)
    for step in range(1, steps):
        before = index - (step - 1) * stride
        whole &= (before >= stride) & (keep[np.maximum(before, 0)] > 0.0)
        rows[whole, step] = index[whole] - step * stride
    return rows


class WindowSampler:
    """Random bins with the steps before them, units and activations dropped again each time."""

    def __init__(self, network: Shape, data: Sequences, stride: int, recipe: Recipe, marks: int):
        self.network, self.recipe, self.units = network, recipe, network.inputs - marks
        self.inputs = np.vstack([data.inputs, np.zeros((1, network.inputs), np.float32)])
        self.rows = earlier_rows(data.keep, stride, network.steps)
        self.target, self.weight = data.target, data.weight
        self.known = np.flatnonzero(data.weight.any(axis=1))
        self.size = max(recipe.batch * 8, FEWEST_BINS)
        wanted = int(recipe.epochs * len(self.known) / self.size)
        self.updates = int(np.clip(wanted, recipe.fewest_updates, recipe.most_updates))

    def loss(self, rng: np.random.Generator, weights: np.ndarray, gradient: np.ndarray) -> float:
        """Draw a batch; return its loss at these weights and write the gradient."""
        return loss_and_gradient(self.network, weights, self.draw(rng), gradient)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        shape, drop = self.network, self.recipe.drop
        chosen = rng.choice(self.known, self.size)
        inputs = self.inputs[self.rows[chosen]]
        varied_units(inputs.transpose(1, 0, 2), self.units, self.recipe, rng)
        windows = inputs.reshape(self.size, -1)
        masks = [kept_and_scaled(rng, (self.size, layer), drop) for layer in (shape.entry, shape.hidden)]
        return Batch(windows, self.target[chosen], self.weight[chosen], *masks)


def run_member(member: Member, data: Sequences, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and second layer of every bin, shape (bins, outputs) and (bins, hidden), causally."""
    shape = member.network
    assert isinstance(shape, Shape)
    inputs = np.vstack([data.inputs, np.zeros((1, shape.inputs), np.float32)])
    rows = earlier_rows(data.keep, stride, shape.steps)
    nothing = np.zeros((0, 0), np.float32)
    parts = []
    for part in np.array_split(rows, max(len(rows) // 2000, 1)):
        batch = Batch(inputs[part].reshape(len(part), -1), nothing, nothing)
        run = run_forward(shape, member.parameters, batch)
        parts.append((run["outputs"], run["hidden"]))
    outputs, hidden = zip(*parts, strict=True)
    return np.vstack(outputs), np.vstack(hidden)
