"""Names and numbers that a device gives its channels, and the unit each becomes: two never share one silently."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from bmi_runtime.errors import BadInput

MOST_NAMES = 4000  # that are kept; hostile senders find new ones for ever
SETTLED_AFTER = 100  # numbers without a 0
_TRAILING = re.compile(r"(\d{1,6})\s*$")


class ChannelNumbers:
    """Channels that count from 0 or from 1: as configured, or as what comes tells.

    Parameters
    ----------
    n_units : int
    first : int or None
        ``source.options.first_channel``. None: from 1, until a channel 0 comes.
    """

    def __init__(self, n_units: int, first: Any = None):
        if first not in (None, 0, 1) or isinstance(first, bool):
            raise BadInput(f"source.options.first_channel must be 0 or 1, got {first!r}")
        self.n_units, self.given = n_units, first is not None
        self.first = 1 if first is None else first
        self.settled = self.given
        self._seen = 0

    def index(self, number: int, what: str = "channel") -> int:
        """Return the unit of a channel's number; raise `BadInput` when there is none.

        A 0 settles that channels count from 0; the number of units, or many without a 0, that they count from 1.
        """
        if not self.settled and number in (0, self.n_units):
            self.first, self.settled = int(number > 0), True
        self._seen += 1
        self.settled = self.settled or self._seen >= SETTLED_AFTER
        if not self.first <= number < self.first + self.n_units:
            start = "source.options.first_channel" if not self.given else "as source.options.first_channel says"
            raise BadInput(
                f"{what} {number} is not one of the {self.n_units} units, which are {self.first} to "
                f"{self.first + self.n_units - 1} (session.units; {start})"
            )
        return number - self.first


@dataclasses.dataclass
class Found:
    """One name seen: its unit (-1: none), how often, and with which sorted units."""

    unit: int
    spikes: int = 0
    sorted_ids: set[int] = dataclasses.field(default_factory=set)


class UnitNames:
    """Electrodes by their full name.

    Parameters
    ----------
    n_units : int
    listed : dict or None
        (name, sorted unit) to unit, as ``source.options.units`` lists. None: the number at a name's end says which.
    first : int or None
        ``source.options.first_channel``.

    Attributes
    ----------
    found : dict
        Every name seen, with its unit: the table that `bmi doctor --source` prints.
    """

    def __init__(self, n_units: int, listed: dict[tuple[str, int], int] | None, first: Any = None):
        self.n_units, self.listed, self.numbers = n_units, listed, ChannelNumbers(n_units, first)
        self.found: dict[str, Found] = {}
        self._owner: dict[int, str] = {}

    def unit(self, name: str, sorted_id: int) -> int:
        """Return the unit of a spike, -1 when the list does not hold it; raise `BadInput` when it names no unit."""
        if self.listed is not None:
            unit = self.listed.get((name, sorted_id), -1)
            self._note(name, unit, sorted_id)
            return unit
        known = self.found.get(name)
        if known is not None and known.unit >= 0 and self.numbers.settled:
            known.spikes += 1
            if len(known.sorted_ids) < 16:
                known.sorted_ids.add(sorted_id)
            return known.unit
        unit = -1
        try:
            unit = self._numbered(name)
        finally:
            self._note(name, unit, sorted_id)
        return unit

    def _numbered(self, name: str) -> int:
        match = _TRAILING.search(name)
        if match is None:
            raise BadInput(
                f"electrode {name[:60]!r} is not one of the {self.n_units} units: its name does not end in a number "
                "(list it in source.options.units)"
            )
        before = self.numbers.first
        unit = self.numbers.index(int(match.group(1)), f"electrode {name[:60]!r}, number")
        if self.numbers.first != before:
            self._owner.clear()
            for known in self.found.values():
                known.unit = -1
        owner = self._owner.setdefault(unit, name)
        if owner != name:
            raise BadInput(
                f"electrodes {owner[:60]!r} and {name[:60]!r} end in the same number and would be one unit: list both "
                "in source.options.units"
            )
        return unit

    def _note(self, name: str, unit: int, sorted_id: int) -> None:
        if name not in self.found and len(self.found) >= MOST_NAMES:
            return
        known = self.found.setdefault(name, Found(unit))
        known.unit = unit
        known.spikes += 1
        if len(known.sorted_ids) < 16:
            known.sorted_ids.add(sorted_id)

    def table(self) -> list[dict[str, Any]]:
        """Return the names seen, most spikes first."""
        rows = [
            {"name": name, "unit": found.unit, "spikes": found.spikes, "sorted_ids": sorted(found.sorted_ids)}
            for name, found in self.found.items()
        ]
        return sorted(rows, key=lambda row: (row["unit"] < 0, row["unit"], -row["spikes"]))
