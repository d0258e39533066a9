"""What all panels share."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.store import Store


class Selection(QtCore.QObject):
    """Which units are selected, for every panel alike."""

    changed = QtCore.Signal()

    def __init__(self):
        super().__init__()
        self.units: tuple[int, ...] = (0,)

    def choose(self, unit: int, add: bool = False) -> None:
        """Select one unit; with `add`, put it to the others or take it away (at most four, at least one)."""
        units = [unit]
        if add:
            units = [u for u in self.units if u != unit] if unit in self.units else [*self.units, unit]
        self.units = tuple(units[-4:]) or (unit,)
        self.changed.emit()


class Context:
    """What a panel may know: the store, the selection, and a way to send commands."""

    def __init__(self, store: Store, send=None, run=None):
        self.store = store
        self.selection = Selection()
        self.send = send or (lambda command, answered=None: None)
        self.run = run or (lambda action, *arguments: None)


class Panel(QtWidgets.QWidget):
    """One panel: shows part of the store; `refresh` is called at most `refresh_hz` times a second while it is seen."""

    title = "Panel"
    about = ""
    refresh_hz = 30.0

    def __init__(self, context: Context):
        super().__init__()
        self.context, self.store = context, context.store
        self.setObjectName(type(self).__name__)

    def refresh(self) -> None:
        """Show the store as it is now."""

    def restyle(self) -> None:
        """Take the colours of the current theme."""
