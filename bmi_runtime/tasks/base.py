"""What all tasks share: the machine of trial states, hold, timeout, pause, score."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import pydantic

from bmi_runtime import registry
from bmi_runtime.config import TaskConfig
from bmi_runtime.messages import TrialState


def begins_with(pattern: str, event: dict[str, Any]) -> bool:
    """Return whether an event of the device is the one that a pattern of ``task.options`` names."""
    kind, *wanted = pattern.split() or [""]
    pairs = (word.partition("=") for word in wanted)
    return event.get("kind") == kind and all(str(event.get(name)) == value for name, _, value in pairs)


class ReachTask:
    """Reach a target, hold, next. Subclasses say where the next target is (:meth:`next_target`).

    All times are counted in whole bins, so that the same bins give the same states.

    Parameters
    ----------
    config : TaskConfig
    bin_s : float
    rng : numpy.random.Generator
        For tasks that draw targets; part of the session's state.
    n_axes : int
        Of the space in which targets lie.
    """

    class Options(registry.Options):
        """What ``task.options`` may say; a task with options of its own has a class of this name that inherits this.

        Attributes
        ----------
        begin_on, end_on, block_on : str
            The event of the device with which a trial begins, ends, or the next block begins: its kind, and what else
            must be so, such as ``ttl line=3 state=1`` or ``marker value=go``. Empty: none. With `begin_on` a trial
            begins with its event alone, after the pause.
        """

        begin_on: str = ""
        end_on: str = ""
        block_on: str = ""

        @pydantic.field_validator("begin_on", "end_on", "block_on")
        @classmethod
        def _pattern(cls, value: str) -> str:
            if not all("=" in word for word in value.split()[1:]) or "=" in value.split(" ")[0]:
                raise ValueError("an event is its kind, then name=value pairs, for example 'ttl line=3 state=1'")
            return value

    def __init__(self, config: TaskConfig, bin_s: float, rng: np.random.Generator, n_axes: int = 2):
        self.config, self.bin_s, self.rng, self.n_axes = config, bin_s, rng, n_axes
        self.options = registry.checked_options(type(self), config.options, "task.options")
        self.hold_bins, self.timeout_bins, self.pause_bins = (
            max(round(seconds / bin_s), least)
            for seconds, least in ((config.hold_s, 0), (config.timeout_s, 1), (config.pause_s, 0))
        )
        self.trial = self.successes = self.timeouts = 0
        self.trial_state = TrialState.REACH
        self.bins_in_trial = self.bins_held = self.bins_paused = 0
        self.waits = bool(getattr(self.options, "begin_on", ""))
        if self.waits:
            self.trial_state = TrialState.PAUSE
        self.position = self._next_position()

    def next_target(self) -> tuple[float, ...]:
        """Return the position (m, one number per axis) of the target of trial ``self.trial``."""
        raise NotImplementedError

    def _next_position(self) -> tuple[float, ...]:
        """Return the next target, read once whatever holds its numbers, and no further than one too many."""
        return tuple(islice(self.next_target(), self.n_axes + 1))

    @property
    def target(self) -> tuple[float, ...]:
        """Position and radius of the target, m."""
        return *self.place, self.config.target_radius_m

    @property
    def place(self) -> tuple[float, ...]:
        """The target's position as a tuple, m: of one that never ends, no more than one number too many."""
        position = self.position
        return position if type(position) is tuple else tuple(islice(position, self.n_axes + 1))

    @property
    def hold_fraction(self) -> float:
        """How much of the hold is done, 0 to 1."""
        if self.bins_held < self.hold_bins:
            return self.bins_held / self.hold_bins
        return 1.0 if self.hold_bins else 0.0

    def inside(self, position_m: Sequence[float]) -> bool:
        """Return whether a position (m, one number per axis) is within the target's radius."""
        apart = 0.0  # not by `sum`, which adds floats in another way from Python 3.12 on
        for x, goal in zip(position_m, self.position):
            away = x - goal
            apart += away * away
        return apart <= self.config.target_radius_m**2

    def advance(self, *position_m: float) -> dict[str, Any] | None:
        """Advance one bin with the cursor there (m per axis); return the event of a trial that ended, or None."""
        if self.trial_state >= TrialState.SUCCESS:
            self._pause()
            return None
        self.bins_in_trial += 1
        inside = self.inside(position_m)
        self.bins_held = self.bins_held + 1 if inside else 0
        self.trial_state = TrialState.HOLD if inside else TrialState.REACH
        if inside and self.bins_held >= self.hold_bins:
            self.successes += 1
            return self._end(TrialState.SUCCESS)
        if self.bins_in_trial >= self.timeout_bins:
            self.timeouts += 1
            return self._end(TrialState.TIMEOUT)
        return None

    def _end(self, state: TrialState) -> dict[str, Any]:
        self.trial_state, self.bins_paused = state, 0
        event = {
            "name": "trial",
            "trial": self.trial,
            "result": state.name.lower(),
            "time_to_target_s": self.bins_in_trial * self.bin_s,
            "target_m": list(self.place),
        }
        if not self.pause_bins and not self.waits:
            self.begin()
        return event

    def _pause(self) -> None:
        self.bins_paused += 1
        if self.bins_paused >= self.pause_bins and not self.waits:
            self.begin()

    def tell(self, what: str) -> dict[str, Any] | None:
        """Begin a trial when none runs (``begin``), or end the one that runs (``end``); return the event of its end."""
        runs = self.trial_state < TrialState.SUCCESS
        if what == "begin" and not runs:
            self.begin()
        if what != "end" or not runs:
            return None
        event = self._end(TrialState.PAUSE)
        return {**event, "result": "stopped"}

    def begin(self) -> None:
        """Begin the next trial."""
        self.trial += 1
        self.bins_in_trial = self.bins_held = 0
        self.trial_state = TrialState.REACH
        self.position = self._next_position()

    STATE: tuple[str, ...] = ("trial", "successes", "timeouts", "bins_in_trial", "bins_held", "bins_paused")

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        return {name: getattr(self, name) for name in self.STATE} | {
            "trial_state": int(self.trial_state),
            "position": list(self.place),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        for name in self.STATE:
            setattr(self, name, snapshot[name])
        self.trial_state = TrialState(snapshot["trial_state"])
        known = "position" in snapshot  # recordings of the time before there were other axes than x and y say x and y
        self.position = tuple(snapshot["position"] if known else (snapshot["x"], snapshot["y"]))
