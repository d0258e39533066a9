"""Which recorded events are trials that a table can hold."""

from __future__ import annotations

import math
from typing import Any


def is_whole_trial(event: dict[str, Any], n_axes: int) -> bool:
    """Return whether an event says of a trial what tables of trials hold: how it ended, how long it took, its target.

    A task of another package may call something a trial and leave any of this out; that is an event like others then.
    """
    target, took_s = event.get("target_m"), event.get("time_to_target_s")
    return (
        event.get("name") == "trial"
        and isinstance(event.get("result"), str)
        and _is_finite(took_s)
        and isinstance(target, list | tuple)
        and len(target) == n_axes
        and all(_is_finite(place) for place in target)
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
