"""Training of recurrent decoders: windows of sequences, units and activations dropped at random, AdamW on one cycle.

References
----------
Smith, Topin (2019) "Super-convergence" (one cycle of the learning rate). Loshchilov, Hutter (2019) (AdamW).
Srivastava et al. (2014) J. Machine Learning Research 15:1929 (dropout).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from bmi_runtime.decoding.gru_network import Batch, Shape, hidden_states, initial_parameters, loss_and_gradient, views
from bmi_runtime.decoding.recurrent_data import Sequences
from bmi_runtime.kernels import gru

WARM_SHARE = 0.25
LARGEST_GRADIENT = 1.0
SCORE_EVERY = 8  # parts of a training between two looks at the validation part


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    entry, hidden : int
        Sizes of the entry layer and of the state.
    members : int
        Networks whose outputs are averaged, each from a seed of its own.
    window_s, blind_s : float
        Length of a training sequence; its first part only fills the state.
    batch : int
        Sequences of one update.
    epochs : float
        How often each bin is seen.
    fewest_updates, most_updates : int
    rate : float
        Peak of the one-cycle learning rate of AdamW.
    decay : float
        Weight decay relative to the rate.
    unit_drop, drop : float
        Share of units dropped for a whole sequence, and of activations dropped at every step.
    gain_sd : float
        Relative standard deviation by which the gain of every unit is varied between sequences.
    offset_sd : float
        Standard deviation by which the mean of every unit is moved between sequences, in its own.
    position_weight : float
        Of a position's squared error beside a velocity's.
    """

    entry: int = 96
    hidden: int = 128
    members: int = 3
    window_s: float = 2.0
    blind_s: float = 0.5
    batch: int = 64
    epochs: float = 75.0
    fewest_updates: int = 250
    most_updates: int = 500
    rate: float = 8e-3
    decay: float = 0.01
    unit_drop: float = 0.2
    drop: float = 0.2
    gain_sd: float = 0.0
    offset_sd: float = 0.0
    position_weight: float = 0.3


CLOSED_LOOP = Recipe(
    entry=64, hidden=64, members=2, window_s=0.6, blind_s=0.1, epochs=60.0, unit_drop=0.3, gain_sd=0.25,
    offset_sd=0.25, position_weight=0.0,
)  # fmt: skip
"""For a loop: little memory, so that it does not learn the trajectories of its training, and units that come and go."""


@dataclasses.dataclass
class Member:
    """A trained network and the course of its training."""

    shape: Shape
    parameters: np.ndarray
    loss: np.ndarray


def one_cycle(share: float, peak: float) -> float:
    """Return the rate of AdamW at a share of the training: up by a cosine to the peak, then down to nothing."""
    if share < WARM_SHARE:
        return peak * (0.54 - 0.5 * np.cos(np.pi * share / WARM_SHARE))
    return peak * (0.5 + 0.5 * np.cos(np.pi * (share - WARM_SHARE) / (1.0 - WARM_SHARE)))


class Sampler:
    """Random windows of sequences, one step every `stride` bins, with what is dropped drawn anew."""

    def __init__(self, data: Sequences, stride: int, step_s: float, recipe: Recipe, marks: int):
        bins = len(data.inputs)
        self.data, self.stride, self.recipe, self.marks = data, stride, recipe, marks
        self.steps = int(np.clip(round(recipe.window_s / step_s), 12, max(bins // (2 * stride), 4)))
        self.blind = min(round(recipe.blind_s / step_s), self.steps // 3)
        self.last = max(bins - (self.steps - 1) * stride, 1)
        bins_per_update = recipe.batch * self.steps
        wanted = int(recipe.epochs * bins / stride / bins_per_update)
        self.updates = int(np.clip(wanted, recipe.fewest_updates, recipe.most_updates))

    def draw(self, rng: np.random.Generator, shape: Shape) -> Batch:
        """Draw one batch."""
        first = rng.integers(0, self.last, self.recipe.batch)
        rows = first + self.stride * np.arange(self.steps)[:, None]
        keep = self.data.keep[rows]
        weight = self.data.weight[rows]
        filled = np.logical_or.accumulate(keep == 0.0, axis=0)
        filled[self.blind :] = True
        weight *= filled[:, :, None]
        size = (self.steps, self.recipe.batch)
        return Batch(
            self._augmented(self.data.inputs[rows], rng), self.data.target[rows], weight, keep,
            _mask(rng, (*size, shape.entry), self.recipe.drop), _mask(rng, (*size, shape.hidden), self.recipe.drop),
        )  # fmt: skip

    def _augmented(self, inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Drop units for the whole sequence, vary their gains and means; marks of trials stay."""
        recipe = self.recipe
        units = inputs.shape[2] - self.marks
        one = (1, inputs.shape[1], units)
        factor = _mask(rng, one, recipe.unit_drop)
        if recipe.gain_sd:
            factor = factor * (1.0 + recipe.gain_sd * rng.standard_normal(one, dtype=np.float32))
        if recipe.offset_sd:
            inputs[:, :, :units] += np.float32(recipe.offset_sd) * rng.standard_normal(one, dtype=np.float32)
        inputs[:, :, :units] *= factor
        return inputs


def _mask(rng, size, drop: float) -> np.ndarray:
    """Return 0 where something is dropped, and one over the share that is kept elsewhere."""
    kept = rng.random(size, dtype=np.float32) >= drop
    return kept.astype(np.float32) * np.float32(1.0 / (1.0 - drop))


def train_member(
    sampler: Sampler, shape: Shape, seed: list[int], advance: Callable[[float], None] = lambda amount: None
) -> Member:
    """Train one network; the same seed gives the same bits on the same machine.

    Parameters
    ----------
    sampler : Sampler
    shape : Shape
    seed : list of int
    advance : callable
        Told of every update, as a share of the training.
    """
    rng = np.random.default_rng(seed)
    recipe = sampler.recipe
    weights = initial_parameters(shape, rng)
    gradient, first, second, decay = (np.zeros_like(weights) for _ in range(4))
    for name, array in views(shape, decay).items():
        array[:] = 0.0 if name.endswith("bias") else recipe.decay
    loss = np.empty(sampler.updates)
    for update in range(sampler.updates):
        loss[update] = loss_and_gradient(shape, weights, sampler.draw(rng, shape), gradient)
        size = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
        rate = one_cycle(update / sampler.updates, recipe.rate)
        gru.adamw(
            weights, gradient, decay, first, second, np.float32(rate),
            np.float32(min(1.0, LARGEST_GRADIENT / (size + 1e-12))),
            np.float32(1.0 - 0.9 ** (update + 1)), np.float32(1.0 - 0.999 ** (update + 1)),
        )  # fmt: skip
        advance(1.0 / sampler.updates)
    return Member(shape, weights, loss)


def run_member(member: Member, data: Sequences, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and hidden states of every bin, shape (bins, outputs) and (bins, hidden), causally."""
    bins = len(data.inputs)
    steps = -(-bins // stride)
    inputs = np.zeros((steps * stride, data.inputs.shape[1]), np.float32)
    keep = np.ones(steps * stride, np.float32)
    inputs[:bins], keep[:bins] = data.inputs, data.keep
    nothing = np.zeros((0, 0, 0), np.float32)
    batch = Batch(inputs.reshape(steps, stride, -1), nothing, nothing, keep.reshape(steps, stride))
    run = hidden_states(member.shape, views(member.shape, member.parameters), batch)
    outputs, hidden = (run[name].reshape(steps * stride, -1)[:bins] for name in ("outputs", "hidden"))
    return outputs, hidden
