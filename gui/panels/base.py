"""What all panels share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import big_numbers, plots
from gui.store import Store

MOST_SELECTED = 4  # units

TAB = QtCore.Qt.FocusPolicy.TabFocus


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
        self.units = tuple(units[-MOST_SELECTED:]) or (unit,)
        self.changed.emit()

    def within(self, n_units: int) -> tuple[int, ...]:
        """Return the selected units that exist."""
        return tuple(unit for unit in self.units if unit < n_units)


class Context:
    """What a panel may know and do: the store, the selection, commands to the runtime, actions of the window.

    Parameters
    ----------
    store : Store
    send : callable
        ``send(command, answered)``: a command to the runtime.
    run : callable
        ``run(action_name, *arguments)``: an action of the window.
    """

    def __init__(self, store: Store, send: Callable | None = None, run: Callable[..., Any] | None = None):
        self.store = store
        self.selection = Selection()
        self.send = send or (lambda command, answered=None: None)
        self.run = run or (lambda action, *arguments: None)
        self.frozen = False


class Panel(QtWidgets.QWidget):
    """One panel: shows part of the store; `refresh` is called at most `refresh_hz` times a second while it is seen."""

    title = "Panel"
    about = ""
    refresh_hz = 15.0
    needs_runtime = True
    """Whether the picture is alive only while a runtime or a replay is connected."""
    failure = ""
    """Why it is refreshed no more."""

    def __init__(self, context: Context):
        super().__init__()
        self.context, self.store = context, context.store
        self.setObjectName(type(self).__name__)
        self.next_s = 0.0
        self.column = QtWidgets.QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(0)

    def refresh(self) -> None:
        """Show the store as it is now."""

    def waits_for(self, what: str) -> str:
        """Return what an empty picture says: that it waits for `what`, or that a recording has yet to be played."""
        if self.store.mode == "replay" and not len(self.store.steps):
            return "at the beginning of the recording: Play (F5)"
        return f"waiting for {what}"

    def enter(self) -> None:
        """Take the keyboard: whoever asked for the panel goes on with Tab and letters from here."""
        takers = (part for part in self.findChildren(QtWidgets.QWidget) if part.focusPolicy() & TAB)
        first = next((part for part in takers if part.isVisibleTo(self) and part.isEnabled()), None)
        if first is not None:
            first.setFocus(QtCore.Qt.FocusReason.ShortcutFocusReason)

    def minimumSizeHint(self) -> QtCore.QSize:
        """Allow any dock to be made small, so that the widths of a layout hold."""
        return QtCore.QSize(120, 60)

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        for kind in (plots.Plot, big_numbers.Figures):
            for part in self.findChildren(kind):
                part.restyle()

    def table(self) -> Mapping[str, np.ndarray]:
        """Return what is shown as named columns, for export; empty when there is nothing to export."""
        return {}

    def contextMenuEvent(self, event: QtGui.QContextMenuEvent):
        """Offer export of the picture and of the numbers."""
        menu = QtWidgets.QMenu(self)
        menu.addAction("Save picture (PNG) …", self._save_picture)
        menu.addAction("Copy picture", lambda: QtWidgets.QApplication.clipboard().setPixmap(self.grab()))
        numbers = menu.addAction("Save numbers (CSV) …", self._save_numbers)
        numbers.setEnabled(bool(self.table()))
        menu.addSeparator()
        menu.addAction("What is this?", lambda: self.context.run("explain", self))
        menu.popup(event.globalPos())

    def _save_picture(self) -> None:
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save picture", f"{self.title}.png", "PNG (*.png)")
        if path and not self.grab().save(path, "PNG"):
            self.context.run("say", f"{path} could not be written; choose a folder that can be written")

    def _save_numbers(self) -> None:
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save numbers", f"{self.title}.csv", "CSV (*.csv)")
        if path:
            self.export_numbers(path)

    def export_numbers(self, path) -> None:
        """Write what is shown as CSV; says so when it cannot be written."""
        try:
            plots.write_csv(path, self.table())
        except OSError as error:
            self.context.run("say", f"{path} could not be written: {error.strerror}")


def failed_panel(context: Context, name: str, why: str) -> Panel:
    """Return a panel that says why another one is not there."""
    panel = Panel(context)
    panel.title, panel.about, panel.failure, panel.needs_runtime = name, why, why, False  # of this one alone
    words = QtWidgets.QLabel(why)
    words.setWordWrap(True)
    panel.column.addWidget(words)
    return panel
