"""The host of somebody else's source: what the loop asks for, around whatever the source answers.

A source that raises ends its runtime, which is started again with a new one: a device may come back. Everything beside
the bins (events, health, the truth, completion, stimulation) does not end it: what cannot be is an event, and the
session goes on without it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.codec import why_not_recordable
from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, BmiError, described, is_fault_of_part
from bmi_runtime.messages import SESSION_EVENTS, Bin
from bmi_runtime.sources.base import (
    SOURCES,
    HasTruth,
    HasWorld,
    KnowsCompletion,
    NamesUnits,
    ReportsHealth,
    Source,
    StartsModel,
    Stimulates,
    source_class,
)

METHODS = ("open", "next_bin", "drain_events", "close", "truth", "stimulate", "health")


class SourceFailed(RuntimeError):
    """Somebody's source raised: what it was is in the text."""


class HostedSource:
    """A source of another make in a session.

    Parameters
    ----------
    source : Source
        With the four methods that every source needs; what else it can do (`sources.base`) is offered here as well.
    name : str
        For messages.

    Raises
    ------
    BadInput
        When what it says of itself cannot be.
    """

    def __init__(self, source: Source, name: str):
        registry.check_methods("source", name, source, METHODS)
        self.source, self.name = source, name
        self.paced = source.paced
        if not isinstance(self.paced, bool):
            raise BadInput(f"the source '{name}': paced is True or False, not {described_value(self.paced)}")
        self._events: list[dict[str, Any]] = []
        self._said: set[str] = set()
        if isinstance(source, HasWorld) and isinstance(source.world, StartsModel):
            self.world = source.world
        if isinstance(source, NamesUnits):
            self.unit_names = [str(unit) for unit in source.unit_names]
        if isinstance(source, HasTruth):
            self.truth = self._truth
        if isinstance(source, Stimulates):
            self.stimulate = self._stimulate
        if isinstance(source, ReportsHealth):
            self.health = self._health
        if isinstance(source, KnowsCompletion):
            self.completed_ns = 0

    def open(self) -> None:
        """Connect."""
        try:
            self.source.open()
        except BmiError:
            raise
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            raise BmiError(f"the source '{self.name}' cannot be opened: {described(error)}") from None

    def next_bin(self, into: Bin, cursor, target) -> bool:
        """Fill the next bin; return False at the end of the data.

        Raises
        ------
        SourceFailed
            When the source raises.
        BadInput
            When it answers neither yes nor no: nobody can say then whether there was a bin.
        """
        try:
            more = self.source.next_bin(into, cursor, target)
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            raise SourceFailed(f"the source '{self.name}': {described(error)}") from None
        if not isinstance(more, bool | np.bool_):
            raise BadInput(
                f"the source '{self.name}': next_bin answers {described_value(more)}; it answers True when it has "
                "filled a bin and False at the end of the data"
            )
        if isinstance(self.source, KnowsCompletion):
            completed = self.source.completed_ns
            self.completed_ns = completed if isinstance(completed, int) else time.monotonic_ns()
        return bool(more)

    def drain_events(self) -> list[dict[str, Any]]:
        """Return what happened, as far as a recording can hold it."""
        sound: list[dict[str, Any]] = []
        for event in self._asked("drain_events", self.source.drain_events) or ():
            if not isinstance(event, dict) or not isinstance(event.get("name"), str):
                what = "a dict without one" if isinstance(event, dict) else described_value(event)
                self._refuse("drain_events", f"an event is a dict with a name, not {what}")
            elif event["name"] in SESSION_EVENTS:
                self._refuse("drain_events", f"the event '{event['name']}' is the session's own to tell")
            elif why := why_not_recordable(event):
                self._refuse("drain_events", f"an event cannot be recorded: {why}")
            else:
                sound.append(event)
        refused, self._events = self._events, []
        return sound + refused

    def _truth(self) -> np.ndarray | None:
        truth = self._asked("truth", self.source.truth)  # type: ignore[attr-defined]
        if isinstance(truth, np.ndarray) and truth.dtype.kind == "f":
            return truth
        self._refuse("truth", f"the true weights are an array of numbers, not {described_value(truth)}")
        return None

    def _health(self) -> dict[str, Any]:
        health = self._asked("health", self.source.health)  # type: ignore[attr-defined]
        if isinstance(health, dict) and not why_not_recordable(health):
            return health
        self._refuse("health", f"what is counted is a dict of numbers and texts, not {described_value(health)}")
        return {}

    def _stimulate(self, event: dict[str, Any]) -> None:
        self._asked("stimulate", lambda: self.source.stimulate(event))  # type: ignore[attr-defined]

    def _asked(self, what: str, ask: Any) -> Any:
        try:
            return ask()
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            self._refuse(what, described(error))
            return None

    def _refuse(self, what: str, why: str) -> None:
        """Say once what one method of the source did wrong."""
        if what not in self._said:
            self._said.add(what)
            self._events.append({"name": "source-refused", "source": self.name, "method": what, "error": why})

    def close(self) -> None:
        """Let go of sockets and files."""
        self.source.close()


def described_value(value: Any) -> str:
    """Return what kind of thing somebody's part answered."""
    return "nothing" if value is None else f"a {type(value).__name__}"


def make_source(config: Config) -> Source:
    """Return the source that a configuration names, not opened yet.

    Raises
    ------
    BadInput
        When there is none of that name, an option is not one of its own, or it cannot be made.
    """
    kind = source_class(config.source.kind)
    if hasattr(kind, "Options"):
        registry.checked_options(kind, config.source.options, "source.options")
    source = registry.made("source", config.source.kind, kind, config)
    if config.source.kind in SOURCES:
        return source
    return registry.made("source", config.source.kind, HostedSource, source, config.source.kind)
