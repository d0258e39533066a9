"""A fitted world as a source of bins: a session, with a window if there is one, on the units of a pilot."""

from __future__ import annotations

import functools
import os
from typing import Literal

import numpy as np

from bmi_runtime import registry
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.fit import world_of
from bmi_runtime.rehearsal.world import FittedWorld
from simulators.rehearsed import EmittingUnits, RehearsedWorld, adopted
from simulators.source import SimulatedSource
from simulators.steered import STEER_ADDRESS, PointerSubject


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
    """Return the configuration with the units, bin and axes of its pilot, and where a pointer is received."""
    found = adopted(config, world_of_options(config.source.options))
    if config.source.options.get("steer") != "mouse":
        return found
    options = {"steer_address": STEER_ADDRESS} | config.source.options
    return found.model_copy(update={"source": found.source.model_copy(update={"options": options})})


class RehearsalSource(SimulatedSource):
    """The fitted world of ``source.options.pilot``, in the place of the simulated one.

    Parameters
    ----------
    config : Config
        ``source.options.draw = true`` draws what the pilot leaves open from ``session.seed``.
    world : FittedWorld, optional
        In the place of the one that the options name.
    """

    class Options(registry.Options):
        """What ``source.options`` may say."""

        pilot: str = ""
        draw: bool = False
        steer: Literal["subject", "mouse"] = "subject"
        steer_address: str = STEER_ADDRESS

    def __init__(self, config: Config, world: FittedWorld | None = None):
        world = world or world_of_options(config.source.options)
        if config.session.units != world.units:
            raise BadInput(f"session.units is {config.session.units}, the world of {world.name} has {world.units}")
        if config.source.options.get("draw"):
            world = world.draw(np.random.default_rng([config.session.seed, 11]))
        self.world = RehearsedWorld(config, world)  # type: ignore[assignment]
        self.bin_s, self.bins, self._has_features = config.bin_s, 0, False
        self._added = np.zeros(world.units, np.int64)
        self._pointer: PointerSubject | None = None
        self._options = config.source.options
        EmittingUnits(world, np.random.default_rng(0)).emit([0.0] * world.axes, [0.0] * world.axes)  # compiles

    def open(self) -> None:
        """Listen to the pointer where a person steers (``source.options.steer = "mouse"``).

        Raises
        ------
        BadInput
            When its address is not free, or the brain state is not a plane.
        """
        if self._options.get("steer") != "mouse":
            return
        if self.world.fitted.axes != 2:
            raise BadInput(f"a mouse moves in two axes, the brain state has {self.world.fitted.axes}")
        address = str(self._options.get("steer_address", STEER_ADDRESS))
        self._pointer = PointerSubject(address, self.world.fitted.subject.max_speed_m_s)
        self.world.subject = self._pointer

    def close(self) -> None:
        """Let go of the pointer's socket."""
        if self._pointer:
            self._pointer.close()

    def truth(self) -> np.ndarray:
        """Return the units' weights on velocity, (1 + axes, units), as they are now."""
        return self.world.truth()
