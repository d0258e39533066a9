"""The simulated world as a source of bins, inside the runtime's process."""

from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.config import Config
from bmi_runtime.messages import Bin
from simulators.world import World


class SimulatedSource:
    """A `World` that answers each bin from the cursor on the screen.

    Parameters
    ----------
    config : Config
    """

    paced = True

    class Options(registry.Options):
        """What ``source.options`` may say: nothing; the world is described by sections of its own."""

    def __init__(self, config: Config):
        self.world = World(config)
        self.bin_s = config.bin_s
        self.bins = 0
        self._has_features = config.session.features > 0
        self._added = np.zeros(config.session.units, np.int64)

    def open(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def next_bin(self, into: Bin, cursor, target) -> bool:
        """Fill the next bin; simulated time never ends."""
        fields = into.fields
        counts = self.world.counts(cursor, target)
        if self._added.any():
            counts = counts + self._added
            self._added[:] = 0
        fields.counts[:] = counts if self.world.config.continuous else np.minimum(counts, 65535)
        if self._has_features:
            came = self.world.feature_values()
            fields.features[:] = np.nan if came is None else came
        fields.bin_index[0] = self.bins
        self.bins += 1
        fields.device_time_s[0] = self.bins * self.bin_s
        return True

    def stimulate(self, event: dict[str, Any]) -> None:
        """Add the event's pulses to its stimulated units in the next bin: the simulated effector."""
        self._added[event["stimulate"]] += event["pulses"]

    def drain_events(self) -> list[dict[str, Any]]:
        """Return no events."""
        return []

    def truth(self) -> np.ndarray:
        """Return the units' true weights, (1 + axes, units), as they are now."""
        return self.world.truth()

    def close(self) -> None:
        """Do nothing."""
