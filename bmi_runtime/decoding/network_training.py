"""Training of decoders that are networks: the recipe, one cycle of AdamW, units and activations dropped at random.

References
----------
Smith, Topin (2019) "Super-convergence" (one cycle of the learning rate). Loshchilov, Hutter (2019) (AdamW).
Srivastava et al. (2014) J. Machine Learning Research 15:1929 (dropout).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from bmi_runtime.decoding.network_parameters import Network, initial_parameters, views
from bmi_runtime.kernels import gru

WARM_SHARE = 0.25  # of the steps, in which the rate rises
LARGEST_GRADIENT = 1.0  # norm at which it is clipped
MOST_EPOCHS, LEAST_UPDATES = 200.0, 100  # what is seen more often is learned by heart


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
    fewest_steps : int
        Of a training sequence, whatever its length in seconds: wide bins need longer ones.
    batch : int
        Sequences of one update.
    epochs : float
        How often each bin is seen.
    fewest_updates, most_updates : int
        Short recordings are seen at most `MOST_EPOCHS` times, or so often as `LEAST_UPDATES` take.
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
    fewest_steps: int = 28
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


LOOP_RECIPE = Recipe(
    entry=64, hidden=64, members=2, window_s=0.6, blind_s=0.1, fewest_steps=12, epochs=60.0, unit_drop=0.3,
    gain_sd=0.25, offset_sd=0.25, position_weight=0.0,
)  # fmt: skip
"""For a loop: little memory, so that it does not learn the trajectories of its training, and units that come and go."""


@dataclasses.dataclass
class Member:
    """A trained network and the course of its training."""

    network: Network
    parameters: np.ndarray
    loss: np.ndarray


def number_of_updates(recipe: Recipe, bins: float, bins_per_update: int) -> int:
    """Return how many updates a training takes on so many (independent) bins."""
    most = max(int(MOST_EPOCHS * bins / bins_per_update), LEAST_UPDATES)
    fewest = min(recipe.fewest_updates, most)
    return int(np.clip(int(recipe.epochs * bins / bins_per_update), fewest, recipe.most_updates))


class BatchSampler(Protocol):
    """Draws batches for a network and says what is lost on them."""

    recipe: Recipe
    updates: int

    def loss(self, rng: np.random.Generator, weights: np.ndarray, gradient: np.ndarray) -> float:
        """Draw a batch; return its loss at these weights and write the gradient."""


def one_cycle(share: float, peak: float) -> float:
    """Return the rate of AdamW at a share of the training: up by a cosine to the peak, then down to nothing."""
    if share < WARM_SHARE:
        return peak * (0.54 - 0.5 * np.cos(np.pi * share / WARM_SHARE))
    return peak * (0.5 + 0.5 * np.cos(np.pi * (share - WARM_SHARE) / (1.0 - WARM_SHARE)))


def varied_units(inputs: np.ndarray, units: int, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Drop units of a batch, vary their gains and means, in place; the inputs after the units stay.

    Parameters
    ----------
    inputs : float32, shape (steps, batch, inputs)
        A unit is dropped, scaled and moved for all steps of a sequence alike.
    units : int
    recipe : Recipe
    rng : numpy.random.Generator
    """
    one = (1, inputs.shape[1], units)
    factor = kept_and_scaled(rng, one, recipe.unit_drop)
    if recipe.gain_sd:
        factor = factor * (1.0 + recipe.gain_sd * rng.standard_normal(one, dtype=np.float32))
    if recipe.offset_sd:
        inputs[:, :, :units] += np.float32(recipe.offset_sd) * rng.standard_normal(one, dtype=np.float32)
    inputs[:, :, :units] *= factor
    return inputs


def kept_and_scaled(rng: np.random.Generator, size: tuple[int, ...], drop: float) -> np.ndarray:
    """Return 0 where something is dropped, and one over the share that is kept elsewhere."""
    kept = rng.random(size, dtype=np.float32) >= drop
    return kept.astype(np.float32) * np.float32(1.0 / (1.0 - drop))


def train_member(
    sampler: BatchSampler, network: Network, seed: list[int], advance: Callable[[float], None] = lambda amount: None
) -> Member:
    """Train one network; the same seed gives the same bits on the same machine.

    Parameters
    ----------
    sampler : BatchSampler
    network : Network
    seed : list of int
    advance : callable
        Called after every update with its share of the training.
    """
    rng = np.random.default_rng(seed)
    recipe = sampler.recipe
    weights = initial_parameters(network, rng)
    gradient, first, second, decay = (np.zeros_like(weights) for _ in range(4))
    for name, array in views(network, decay).items():
        array[:] = 0.0 if name.endswith("bias") else recipe.decay
    loss = np.empty(sampler.updates)
    for update in range(sampler.updates):
        loss[update] = sampler.loss(rng, weights, gradient)
        size = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
        rate = one_cycle(update / sampler.updates, recipe.rate)
        gru.adamw(
            weights, gradient, decay, first, second, np.float32(rate),
            np.float32(min(1.0, LARGEST_GRADIENT / (size + 1e-12))),
            np.float32(1.0 - 0.9 ** (update + 1)), np.float32(1.0 - 0.999 ** (update + 1)),
        )  # fmt: skip
        advance(1.0 / sampler.updates)
    return Member(network, weights, loss)
