"""The parameters of a network as one flat vector: names, shapes, views of it, and how they begin."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Network(Protocol):
    """The sizes of a network."""

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every array, in the order of the flat vector; ``NAME_bias`` follows NAME."""


def size_of(network: Network) -> int:
    """Return the number of parameters."""
    return sum(int(np.prod(shape)) for shape in network.arrays().values())


def views(network: Network, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of a flat vector of parameters by name; they share its memory."""
    named, first = {}, 0
    for name, size in network.arrays().items():
        stop = first + int(np.prod(size))
        named[name] = flat[first:stop].reshape(size)
        first = stop
    return named


def initial_parameters(network: Network, rng: np.random.Generator) -> np.ndarray:
    """Draw parameters: uniform within one over the root of the fan-in, biases as the weights before them."""
    flat = np.zeros(size_of(network), np.float32)
    inputs = 1
    for name, array in views(network, flat).items():
        inputs = inputs if name.endswith("_bias") else len(array)
        array[:] = rng.uniform(-1.0, 1.0, array.shape) / np.sqrt(inputs)
    return flat
