"""A fitted world as a source of bins: a session, with a window if there is one, on the units of a pilot."""

from __future__ import annotations

import functools
import os

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.fit import world_of
from bmi_runtime.rehearsal.world import FittedWorld
from simulators.rehearsed import RehearsedWorld, adopted
from simulators.source import SimulatedSource


@functools.lru_cache(maxsize=2)
def _fitted(path: str, _stamp: tuple[int, int]) -> FittedWorld:
    return world_of(path)[0]


def world_of_options(options: dict) -> FittedWorld:
    """Return the world that ``source.options`` names, fitted once in this process.

    Raises
    ------
    BadInput
        When ``pilot`` is missing or cannot be read.
    """
    path = options.get("pilot")
    if not isinstance(path, str) or not path:
        raise BadInput(
            "source.kind = 'rehearsal' needs a pilot: --set source.options.pilot=FILE (a session's .mcap, a file of "
            "'bmi decode', or a world of 'bmi rehearse --world')"
        )
    try:
        found = os.stat(path)
    except OSError as error:
        raise BadInput(f"the pilot {path} cannot be read: {error.strerror}") from None
    return _fitted(path, (found.st_mtime_ns, found.st_size))


def fitted_configuration(config: Config) -> Config:
    """Return the configuration with the units, bin and axes of its pilot."""
    return adopted(config, world_of_options(config.source.options))


class RehearsalSource(SimulatedSource):
    """The fitted world of ``source.options.pilot``, in the place of the simulated one.

    Parameters
    ----------
    config : Config
        ``source.options.draw = true`` draws what the pilot leaves open from ``session.seed``.
    """

    def __init__(self, config: Config):
        world = world_of_options(config.source.options)
        if config.session.units != world.units:
            raise BadInput(f"session.units is {config.session.units}, the world of {world.name} has {world.units}")
        if config.source.options.get("draw"):
            world = world.draw(np.random.default_rng([config.session.seed, 11]))
        self.world = RehearsedWorld(config, world)  # type: ignore[assignment]
        self.bin_s, self.bins, self._has_features = config.bin_s, 0, False
        self._added = np.zeros(world.units, np.int64)

    def truth(self) -> np.ndarray:
        """Return the units' weights on velocity, (1 + axes, units), as they are now."""
        return self.world.truth()
