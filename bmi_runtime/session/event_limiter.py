"""Alarms limited in rate: what happens in every bin is said often enough to be seen, and counted for the rest."""

from __future__ import annotations

from typing import Any

from bmi_runtime.codec import why_not_recordable
from bmi_runtime.errors import printable
from bmi_runtime.messages import SESSION_EVENTS

BURST = 50  # events of one name that pass before they are limited
PER_S = 1.0  # how many of a name pass in a second of session time from then on
ALWAYS = frozenset({"trial", "stimulation"})
"""Results, not alarms: every one of them is wanted."""


class EventLimiter:
    """Lets events of one name through at `PER_S` a second of session time, after the first `BURST` of them.

    The next one of its name that is let through says in ``suppressed`` how many were not.

    Parameters
    ----------
    bin_s : float
    """

    def __init__(self, bin_s: float):
        self._refill = PER_S * bin_s
        self._left: dict[str, tuple[float, int]] = {}  # name: how many may pass, and the bin when that was so
        self._suppressed: dict[str, int] = {}

    def admits(self, event: dict[str, Any], bin_number: int) -> bool:
        """Return whether an event may pass; counts it otherwise."""
        name = event["name"]
        if name in ALWAYS:
            return True
        left, then = self._left.get(name, (float(BURST), bin_number))
        left = min(left + self._refill * (bin_number - then), float(BURST))
        passes = left >= 1.0
        self._left[name] = (left - passes, bin_number)
        if not passes:
            self._suppressed[name] = self._suppressed.get(name, 0) + 1
        elif count := self._suppressed.pop(name, 0):
            event["suppressed"] = count
        return passes

    def suppressed(self) -> list[dict[str, Any]]:
        """Return one event for every name of which some were suppressed and none has said so yet."""
        return [
            {"name": name, "suppressed": count, "only_suppressed": True} for name, count in self._suppressed.items()
        ]


def checked_event(event: Any) -> dict[str, Any]:
    """Return what somebody's part calls an event, or raise `ValueError` where no recording can hold it."""
    if not isinstance(event, dict) or not isinstance(event.get("name"), str):
        raise ValueError(f"its event is {printable(repr(event))[:100]}, and no dict with a name")
    if event["name"] in SESSION_EVENTS:
        raise ValueError(f"its event '{event['name']}' is the session's own to tell; give it another name")
    if why := why_not_recordable(event):
        raise ValueError(f"its event cannot be recorded: {why}")
    return event
