"""Parts of other packages that the operator chooses in a running session are imported beside the loop.

To import a package takes milliseconds or many seconds; the loop waits for it no longer than a few bins.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from bmi_runtime.decoding.tables import TABLE as DECODERS
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.registry import TABLE as INTENTIONS
from bmi_runtime.registry import Table
from bmi_runtime.tasks.registry import TABLE as TASKS

TABLES = {"decoder.kind": DECODERS, "task.kind": TASKS, "adapter.intention": INTENTIONS}
AT_MOST_S = 0.05  # ten usual bins


class PartLoading:
    """Imports what a command names, in a thread of its own.

    Parameters
    ----------
    at_most_s : float
        How long the loop waits for an import.
    """

    def __init__(self, at_most_s: float = AT_MOST_S):
        self.at_most_s = at_most_s
        self._loading: dict[tuple[str, str], tuple[threading.Thread, list[BadInput]]] = {}

    def see_to(self, key: Any, value: Any) -> None:
        """See to it that the part which a command names can be made without an import.

        Raises
        ------
        BadInput
            When it is still being imported, or cannot be.
        """
        table = TABLES.get(key) if isinstance(key, str) else None
        if table is None or not isinstance(value, str) or value in table.rows:
            return
        if (key, value) not in self._loading:
            if all(_is_imported(module) for module in table.modules(value)):
                return
            failed: list[BadInput] = []
            thread = threading.Thread(target=_load, args=(table, value, failed), name="part-loading", daemon=True)
            self._loading[key, value] = thread, failed
            thread.start()
        thread, failed = self._loading[key, value]
        thread.join(self.at_most_s)
        if thread.is_alive():
            raise BadInput(f"the {table.what} '{value}' is being loaded, which takes a while: choose it again then")
        del self._loading[key, value]
        if failed:
            raise failed[0]


def _is_imported(module: str) -> bool:
    """Return whether a module is there whole: while it is being imported it is in the table of modules already."""
    found = sys.modules.get(module)
    return found is not None and not getattr(getattr(found, "__spec__", None), "_initializing", False)


def _load(table: Table, name: str, failed: list[BadInput]) -> None:
    try:
        table.find(name)
    except BadInput as error:
        failed.append(error)
