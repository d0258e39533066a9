"""What a source is, and the table of those that come with the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bmi_runtime import registry
from bmi_runtime.messages import Bin

SOURCES = {  # name: "module:class"; a package of someone else's adds to it by an entry point of group ENTRY_POINTS
    "simulated": "simulators.source:SimulatedSource",
    "network": "simulators.network_source:NetworkSource",
    "rehearsal": "simulators.rehearsal_source:RehearsalSource",
    "zeromq": "bmi_runtime.sources.zeromq:ZeroMQSource",
    "open-ephys": "bmi_runtime.sources.open_ephys:OpenEphysSource",
    "blackrock": "bmi_runtime.sources.blackrock:BlackrockSource",
    "redis": "bmi_runtime.sources.redis_streams:RedisSource",
    "lsl": "bmi_runtime.sources.lsl:LSLSource",
    "merged": "bmi_runtime.sources.merged:MergedSource",
}
ENTRY_POINTS = "bmi_runtime.sources"


@runtime_checkable
class NamesUnits(Protocol):
    """A source that knows what its units are: electrode and sorted unit, or a name."""

    unit_names: Sequence[str]
    """One for each unit, in order."""


class Source(Protocol):
    """Where bins come from. Made with the configuration; opened, asked bin by bin, closed."""

    paced: bool
    """True when the loop's own clock sets the pace (simulation, files); False when data arrive by themselves."""

    def open(self) -> None:
        """Connect; raise `BadInput` or `BmiError` in one sentence when that fails."""

    def next_bin(self, into: Bin, cursor, target) -> bool:
        """Fill the next bin, given what the subject sees now; return False at the end of the data."""

    def drain_events(self) -> list[dict[str, Any]]:
        """Return what happened since the last call (gaps, jumps, refused messages)."""

    def close(self) -> None:
        """Let go of sockets and files."""


TABLE = registry.Table(
    "source",
    SOURCES,
    ENTRY_POINTS,
    ("open()", "next_bin(into, cursor, target)", "drain_events()", "close()"),
)


@runtime_checkable
class HasTruth(Protocol):
    """Knows the units' true weights: a simulation."""

    def truth(self) -> np.ndarray:
        """Return the true weights, (regressors, units), as they are now."""


@runtime_checkable
class HasWorld(Protocol):
    """Has a simulated world, which knows what to start from."""

    world: Any


@runtime_checkable
class StartsModel(Protocol):
    """Knows the encoding model that a session starts with."""

    def initial_model(self) -> Any:
        """Return it."""


@runtime_checkable
class Stimulates(Protocol):
    """Takes stimulation events."""

    def stimulate(self, event: dict[str, Any]) -> None:
        """Stimulate as the event says, from the next bin on."""


@runtime_checkable
class ReportsHealth(Protocol):
    """Counts what it refused, lost and waited for."""

    def health(self) -> dict[str, Any]:
        """Return everything counted since the start."""


@runtime_checkable
class KnowsCompletion(Protocol):
    """Waits for data, and knows when those of the newest bin were complete."""

    completed_ns: int
    """Host monotonic time, ns."""


def names() -> list[str]:
    """Return the names of all sources, those of other packages included."""
    return sorted(TABLE.names())


def source_class(name: str) -> Any:
    """Return the class of the source `name` (``source.kind``), or raise `BadInput` naming the choices."""
    return TABLE.find(name)
