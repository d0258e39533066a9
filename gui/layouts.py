"""Which panels stand where: three arrangements, each remembered per user once it was changed."""

from __future__ import annotations

import itertools

from pyqtgraph.Qt import QtCore, QtWidgets

LAYOUTS = ("run", "calibrate", "inspect")

# A layout is columns of cells from left to right; a cell is a tuple of panels that share it as tabs, the first on top.
# The numbers are relative widths of the columns, and relative heights of the cells.
ARRANGEMENTS = {
    "run": (
        (34, ((62, ("subject",)), (38, ("controls", "calibration")))),
        (36, ((46, ("raster",)), (54, ("error", "traces")))),
        (30, ((36, ("tuning",)), (34, ("latency", "health")), (30, ("events", "recordings")))),
    ),
    "calibrate": (
        (44, ((62, ("calibration",)), (38, ("controls",)))),
        (32, ((100, ("traces",)),)),
        (24, ((40, ("subject",)), (60, ("tuning", "error")))),
    ),
    "inspect": (
        (36, ((48, ("replay",)), (52, ("subject",)))),
        (36, ((46, ("raster",)), (54, ("traces", "error")))),
        (28, ((36, ("tuning", "latency")), (34, ("events", "health")), (30, ("recordings",)))),
    ),
}


def arrange(window, docks: dict, name: str) -> None:
    """Put the docks of a window into a layout; panels that it does not name are hidden."""
    columns = _existing(ARRANGEMENTS[name], docks)
    for dock in docks.values():
        window.removeDockWidget(dock)
        dock.setFloating(False)
        dock.hide()
    firsts = _place_columns(window, docks, columns)
    for _, cells in columns:
        _place_cells(window, docks, cells)
    orientation = QtCore.Qt.Orientation
    widths = [round(window.width() * width / 100) for width, _ in columns]
    window.resizeDocks(firsts, widths, orientation.Horizontal)
    for bar in window.findChildren(QtWidgets.QTabBar):
        bar.setDrawBase(False)
    for _, cells in columns:
        tops = [docks[panels[0]] for _, panels in cells]
        window.resizeDocks(tops, [round(window.height() * height / 100) for height, _ in cells], orientation.Vertical)


def _existing(columns, docks: dict):
    """Return the columns without panels that are not there."""
    kept = []
    for width, cells in columns:
        cells = [(height, tuple(p for p in panels if p in docks)) for height, panels in cells]
        cells = [cell for cell in cells if cell[1]]
        if cells:
            kept.append((width, cells))
    return kept


def _place_columns(window, docks: dict, columns) -> list:
    firsts = [docks[cells[0][1][0]] for _, cells in columns]
    for index, dock in enumerate(firsts):
        if index == 0:
            window.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        else:
            window.splitDockWidget(firsts[index - 1], dock, QtCore.Qt.Orientation.Horizontal)
        dock.show()
    return firsts


def _place_cells(window, docks: dict, cells) -> None:
    """Put the first panel of every cell under the one before, then the others behind them as tabs.

    In this order, because Qt adds to the tabs when a dock that has tabs is split.
    """
    for (_, above), (_, below) in itertools.pairwise(cells):
        window.splitDockWidget(docks[above[0]], docks[below[0]], QtCore.Qt.Orientation.Vertical)
        docks[below[0]].show()
    for _, panels in cells:
        for panel in panels[1:]:
            window.tabifyDockWidget(docks[panels[0]], docks[panel])
            docks[panel].show()
        docks[panels[0]].raise_()


def put_in(window, docks: dict, name: str) -> None:
    """Give a dock that stands nowhere a place: as a tab of the largest cell that is seen."""
    nowhere = QtCore.Qt.DockWidgetArea.NoDockWidgetArea
    dock = docks[name]
    if dock.isFloating() or window.dockWidgetArea(dock) != nowhere:
        return
    seen = [other for other in docks.values() if other is not dock and other.seen and other.isVisible()]
    docked = [other for other in seen if not other.isFloating()]
    window.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, dock)
    if docked:
        window.tabifyDockWidget(max(docked, key=lambda other: other.width() * other.height()), dock)
    for bar in window.findChildren(QtWidgets.QTabBar):
        bar.setDrawBase(False)


class Memory:
    """Remembers arrangements and preferences per user.

    Parameters
    ----------
    enabled : bool
        False for pictures and tests: nothing is read or written.
    """

    def __init__(self, enabled: bool = True):
        self.settings = QtCore.QSettings("bmi-runtime", "console") if enabled else None

    def save(self, name: str, window) -> None:
        """Remember where the docks of a layout stand."""
        if self.settings is not None:
            self.settings.setValue(f"layout/{name}", window.saveState())

    def restore(self, name: str, window) -> bool:
        """Put the docks where they stood; return whether anything was remembered."""
        state = self.settings.value(f"layout/{name}") if self.settings is not None else None
        return bool(state is not None and window.restoreState(state))

    def forget(self, name: str) -> None:
        """Forget a layout's changes."""
        if self.settings is not None:
            self.settings.remove(f"layout/{name}")

    def get(self, key: str, default: str) -> str:
        """Return a preference."""
        return str(self.settings.value(key, default)) if self.settings is not None else default

    def put(self, key: str, value: str) -> None:
        """Remember a preference."""
        if self.settings is not None:
            self.settings.setValue(key, value)
