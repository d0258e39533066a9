"""Tables of names: rows of our own (``"module:class"``) and those that other packages add by an entry point."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any

from bmi_runtime.errors import BadInput


def names(rows: Mapping[str, str], group: str) -> list[str]:
    """Return the names of a table, its own rows first, then those of entry points of `group`, each once."""
    return list(dict.fromkeys([*rows, *(point.name for point in importlib.metadata.entry_points(group=group))]))


def load_row(row: str) -> Any:
    """Return what ``"module:attribute"`` names."""
    module, _, attribute = row.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find(what: str, rows: Mapping[str, str], group: str, name: str) -> Any:
    """Return the class of the row or entry point `name`.

    Parameters
    ----------
    what : str
        For messages: "decoder", "source".
    rows : mapping
        Name to ``"module:class"``.
    group : str
        Of entry points, where a name that is no row is looked up.

    Raises
    ------
    BadInput
        When there is none of that name, or another package's cannot be loaded.
    """
    if name in rows:
        return load_row(rows[name])
    for point in importlib.metadata.entry_points(group=group, name=name):
        try:
            return point.load()
        except Exception as error:
            raise BadInput(f"the {what} '{name}' of {point.value} cannot be loaded: {error}") from None
    raise unknown(what, name, names(rows, group))


def unknown(what: str, name: str, known: Iterable[str]) -> BadInput:
    """Return the error that names the nearest valid choice, and all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return BadInput(f"there is no {what} '{name}'; {hint}choose from {', '.join(known)}")
