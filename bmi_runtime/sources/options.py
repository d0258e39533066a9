"""What a configuration may say in ``source.options`` about clocks and bins."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput

LATE_LIMIT_S = 0.02  # of a spike that still goes into the next bin


@dataclasses.dataclass(frozen=True)
class BinnerOptions:
    """What a configuration may say in ``source.options`` about clocks and bins.

    Attributes
    ----------
    jump_s : float
        A device clock that differs this much from its fit has jumped.
    late_limit_s : float or None
        Spikes later than this are dropped and counted, whatever the late policy. None: 0.02 and the width of the piece
        of time that they came with: a spike of a block's end that comes with the next block of 23 ms is no staler than
        the device makes all of them.
    max_backlog_s : float
        When the data waiting to be decoded are older than this, skip to the newest and count what was skipped.
    """

    jump_s: float = 0.05
    late_limit_s: float | None = None
    max_backlog_s: float = 0.25

    @classmethod
    def of(cls, config: Config, known: tuple[str, ...] = ()) -> BinnerOptions:
        """Return the options in ``source.options``; raise `BadInput` for any that neither this nor `known` names."""
        own = {field.name for field in dataclasses.fields(cls)}
        given = config.source.options
        check_options(given, (*own, *known))
        values = {}
        for name in own & given.keys():
            if not isinstance(given[name], int | float) or not 0 < given[name] < 3600:
                raise BadInput(f"source.options.{name} must be a number of seconds above 0, got {given[name]!r}")
            values[name] = float(given[name])
        return cls(**values)


def check_options(given: dict[str, Any], known: tuple[str, ...]) -> None:
    """Raise `BadInput` when `given` has a key that is not in `known`, with the nearest one."""
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; the nearest valid one is '{near[0]}'" if near else f"; valid: {', '.join(sorted(known))}"
            raise BadInput(f"unknown key 'source.options.{key}'{hint}")
