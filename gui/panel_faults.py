"""What is raised where Qt calls Python (painting, slots, timers, event filters): Qt 5 ends the process for it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType, TracebackType

from pyqtgraph.Qt import QtCore

from bmi_runtime.errors import described
from gui.dock import Dock
from gui.store import Store

MOST_TOLD = 20
"""So many different faults of the windows' own code are told, each with where it came from."""


class PanelFaults(QtCore.QObject):
    """An exception hook of the windows' process: a panel of another package that fails is taken off, the windows go on.

    Parameters
    ----------
    store : Store
        Its log says what happened.

    Attributes
    ----------
    docks : mapping of Dock
        Empty until the console is built.

    Notes
    -----
    The hook is called in the middle of whatever failed, a `paintEvent` or another thread included; so it only finds out
    whose code it was, and the window acts on it when Qt comes back to its events.
    """

    found = QtCore.Signal(str, str)

    def __init__(self, store: Store):
        super().__init__()
        self.docks: Mapping[str, Dock] = {}
        self.store = store
        self.told: set[str] = set()
        self.found.connect(self._act, QtCore.Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Become this process's ``sys.excepthook``."""
        sys.excepthook = self.caught

    def caught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Find out whose code failed, and have it told."""
        frames = [frame for frame, _ in traceback.walk_tb(trace)][::-1]
        name, said = whose(frames, self.docks.values()), described(error)
        if not name and frames:
            said = f"{said} (in {frames[0].f_globals.get('__name__')})"
        if name or (said not in self.told and len(self.told) < MOST_TOLD):
            self.found.emit(name, said)
        if said not in self.told and len(self.told) < MOST_TOLD:
            self.told.add(said)
            traceback.print_exception(kind, error, trace)

    def _act(self, name: str, said: str) -> None:
        if not name:
            self.store.problem(f"something in this window failed, and the window goes on: {said}")
        elif not self.docks[name].panel.failure:
            self.docks[name].fail(said)


def whose(innermost_first: Sequence[FrameType], docks: Iterable[Dock]) -> str:
    """Return the name of the dock whose panel, of another package, these frames belong to; empty if none's.

    The innermost ``self`` that is the panel or a part of it decides; else the module, when one panel alone is of it.
    """
    theirs = {dock.name: dock.failed or dock.panel for dock in docks if dock.failed or not dock.is_ours()}
    for frame in innermost_first:
        held = _chain(frame.f_locals.get("self"))
        for name, panel in theirs.items():
            if any(part is panel for part in held):
                return name
    for frame in innermost_first:
        module = frame.f_globals.get("__name__")
        of_module = [name for name, panel in theirs.items() if type(panel).__module__ == module]
        if len(of_module) == 1:
            return of_module[0]
    return ""


def _chain(part: object) -> list[object]:
    """Return an object of Qt and its parents; empty for anything else, or when it is deleted."""
    chain: list[object] = []
    try:
        while isinstance(part, QtCore.QObject) and len(chain) < 100:
            chain.append(part)
            part = QtCore.QObject.parent(part)
    except RuntimeError:  # deleted under its wrapper
        pass
    return chain
