"""Stand-ins for acquisition systems, to the byte, and the table of them."""

from __future__ import annotations

import difflib
import importlib

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput
from simulators.standins.habits import Habits, WithHabits

STANDINS = {  # name, as in source.kind: "module:class"
    "zeromq": "simulators.server:OwnWire",
    "open-ephys": "simulators.standins.open_ephys:OpenEphysStandIn",
    "blackrock": "simulators.standins.blackrock:BlackrockStandIn",
    "redis": "simulators.standins.redis_streams:RedisStandIn",
    "lsl": "simulators.standins.lsl:LSLStandIn",
}


def emitter(name: str, config: Config, what: str = "spikes", replay: str | None = None):
    """Return what sends bins in the protocol `name`; raise `BadInput` naming the nearest choice."""
    if name not in STANDINS:
        near = difflib.get_close_matches(name, STANDINS, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(STANDINS)}"
        raise BadInput(f"there is no stand-in '{name}' (--as); {hint}")
    if replay is not None:
        if name != "blackrock":
            raise BadInput("--replay plays .nev files, which only --as blackrock can")
        return importlib.import_module("simulators.standins.blackrock").NevReplay(config, replay)
    module, _, attribute = STANDINS[name].partition(":")
    kind, habits = getattr(importlib.import_module(module), attribute), Habits.of(config)
    rng, whims = (np.random.default_rng(np.random.SeedSequence([config.session.seed, k])) for k in (2, 3))
    if habits == Habits():
        return kind(config, rng, what)
    return WithHabits(lambda: kind(config, rng, what), habits, config.continuous, whims)
