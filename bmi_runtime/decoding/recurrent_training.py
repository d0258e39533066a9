"""Training of recurrent networks: windows of sequences; a trained network along a recording."""

from __future__ import annotations

import numpy as np

from bmi_runtime.decoding.gru_network import Batch, Shape, hidden_states, loss_and_gradient
from bmi_runtime.decoding.network_parameters import views
from bmi_runtime.decoding.network_training import Member, Recipe, kept_and_scaled, number_of_updates, varied_units
from bmi_runtime.decoding.recurrent_data import Sequences

LARGEST_SHARE, FEWEST_SEQUENCES = 0.75, 8  # of a short recording's sequences in one update: more say the same again
STEPS_AT_ONCE = 4096  # of a run over a recording: what is kept on the way would fill the memory for an hour of bins


def batch_of(recipe: Recipe, windows: float) -> int:
    """Return how many sequences an update sees: in a short recording no more than a share of all there are in it.

    Parameters
    ----------
    recipe : Recipe
    windows : float
        Sequences that the recording has one after the other.
    """
    return int(min(recipe.batch, max(round(LARGEST_SHARE * windows), FEWEST_SEQUENCES)))


class Sampler:
    """Random windows of sequences, one step every `stride` bins, with what is dropped redrawn."""

    def __init__(self, network: Shape, data: Sequences, stride: int, step_s: float, recipe: Recipe, marks: int):
        bins = len(data.inputs)
        self.network = network
        self.data, self.stride, self.recipe, self.marks = data, stride, recipe, marks
        wanted = max(round(recipe.window_s / step_s), recipe.fewest_steps)
        self.steps = int(min(wanted, max(bins // (2 * stride), 4)))
        self.blind = min(max(round(recipe.blind_s / step_s), recipe.fewest_steps // 5), self.steps // 3)
        self.last = max(bins - (self.steps - 1) * stride, 1)
        self.updates = number_of_updates(recipe, bins / stride, recipe.batch * self.steps)
        self.batch = batch_of(recipe, bins / (stride * self.steps))

    def loss(self, rng: np.random.Generator, weights: np.ndarray, gradient: np.ndarray) -> float:
        """Draw a batch; return its loss at these weights and write the gradient."""
        return loss_and_gradient(self.network, weights, self.draw(rng), gradient)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        shape, recipe = self.network, self.recipe
        first = rng.integers(0, self.last, self.batch)
        rows = first + self.stride * np.arange(self.steps)[:, None]
        keep = self.data.keep[rows]
        weight = self.data.weight[rows]
        filled = np.logical_or.accumulate(keep == 0.0, axis=0)
        filled[self.blind :] = True
        weight *= filled[:, :, None]
        inputs = self.data.inputs[rows]
        size = (self.steps, self.batch)
        return Batch(
            varied_units(inputs, inputs.shape[2] - self.marks, recipe, rng), self.data.target[rows], weight, keep,
            *(kept_and_scaled(rng, (*size, layer), recipe.drop) for layer in (shape.entry, shape.hidden)),
        )  # fmt: skip


def run_member(member: Member, data: Sequences, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and hidden states of every bin, shape (bins, outputs) and (bins, hidden), causally."""
    bins = len(data.inputs)
    steps = -(-bins // stride)
    inputs = np.zeros((steps * stride, data.inputs.shape[1]), np.float32)
    keep = np.ones(steps * stride, np.float32)
    inputs[:bins], keep[:bins] = data.inputs, data.keep
    chains, kept = inputs.reshape(steps, stride, -1), keep.reshape(steps, stride)
    network, nothing = member.network, np.zeros((0, 0, 0), np.float32)
    assert isinstance(network, Shape)
    named, parts = views(network, member.parameters), []
    state: np.ndarray | None = None
    for first in range(0, steps, STEPS_AT_ONCE):
        part = slice(first, first + STEPS_AT_ONCE)
        run = hidden_states(network, named, Batch(chains[part], nothing, nothing, kept[part]), state)
        state = run["hidden"][-1]
        parts.append([run[name].reshape(len(run[name]) * stride, -1) for name in ("outputs", "hidden")])
    outputs, hidden = (np.vstack(each)[:bins] for each in zip(*parts, strict=True))
    return outputs, hidden
