"""Which panels stand where: three arrangements, each remembered per user and size of screen once it was changed."""

from __future__ import annotations

import itertools
import json

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import screens

LAYOUTS = ("run", "calibrate", "inspect")

# A layout is columns of cells from left to right; a cell is a tuple of panels that share it as tabs, the first on top.
# The numbers are relative widths of the columns, and relative heights of the cells.
ARRANGEMENTS = {
    "run": (
        (34, ((62, ("subject",)), (38, ("controls", "calibration")))),
        (36, ((46, ("raster",)), (54, ("error", "traces", "performance")))),
        (30, ((36, ("tuning", "array", "psth")), (34, ("latency", "health")), (30, ("events", "recordings")))),
    ),
    "calibrate": (
        (44, ((62, ("calibration",)), (38, ("controls",)))),
        (32, ((100, ("traces",)),)),
        (24, ((40, ("subject",)), (60, ("tuning", "error")))),
    ),
    "inspect": (
        (36, ((48, ("replay",)), (52, ("subject", "trajectories", "neural_state")))),
        (36, ((46, ("raster",)), (54, ("traces", "error", "performance")))),
        (28, ((36, ("tuning", "psth", "array", "latency")), (34, ("events", "health")), (30, ("recordings",)))),
    ),
}


COLUMN_WIDTH, BARS_HEIGHT = 300, 150
"""What a column needs to be legible, and what menu, session bar and status bar take of a window, pixels."""
ROOM_FOR_CELLS = (460, 640, 860)
"""What two cells, three and four need below each other, pixels: curves between their captions, lists of some rows."""


def arrange(window, docks: dict, name: str) -> None:
    """Put the docks of a window into a layout; panels that it does not name are hidden.

    In a window too small for all cells, neighbours share one as tabs.
    """
    columns = fitted(_existing(ARRANGEMENTS[name], docks), window.width(), window.height())
    _take_all_off(window, docks)
    firsts = _place_columns(window, docks, columns)
    for _, cells in columns:
        _place_cells(window, docks, cells)
    orientation = QtCore.Qt.Orientation
    widths = [round(window.width() * width / 100) for width, _ in columns]
    window.resizeDocks(firsts, widths, orientation.Horizontal)
    _style_tabs(window)
    for _, cells in columns:
        tops = [docks[panels[0]] for _, panels in cells]
        window.resizeDocks(tops, [round(window.height() * height / 100) for height, _ in cells], orientation.Vertical)


def _style_tabs(window) -> None:
    """Give tabs their whole names, and arrows where there is no room for all."""
    for bar in window.findChildren(QtWidgets.QTabBar):
        bar.setDrawBase(False)
        bar.setUsesScrollButtons(True)
        bar.setElideMode(QtCore.Qt.TextElideMode.ElideNone)


def _take_all_off(window, docks: dict) -> None:
    for dock in docks.values():
        dock.setFloating(False)  # before it is taken off: a dock that stands nowhere would stay afloat
        window.removeDockWidget(dock)
        dock.hide()


def fitted(columns, width: int, height: int):
    """Return columns of cells that a window of this size has room for; what is too much becomes tabs."""
    most_columns = max(width // COLUMN_WIDTH, 1)
    most_cells = 1 + sum(height - BARS_HEIGHT >= needed for needed in ROOM_FOR_CELLS)
    kept, rest = list(columns[:most_columns]), columns[most_columns:]
    for share, cells in rest:  # their cells go under those of the last column that stays
        kept[-1] = (kept[-1][0] + share, (*kept[-1][1], *cells))
    return [(share, _merged(cells, most_cells)) for share, cells in kept]


def _merged(cells, most: int):
    if len(cells) <= most:
        return cells
    last = tuple(panel for _, panels in cells[most - 1 :] for panel in panels)
    return (*cells[: most - 1], (sum(share for share, _ in cells[most - 1 :]), last))


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
    _style_tabs(window)


class Memory:
    """Remembers arrangements and preferences per user.

    An arrangement is kept with the names of all panels that it knew and of those that it showed, and for one size of
    screen: a panel that came later stays closed, and another screen begins with the layout as it comes.

    Parameters
    ----------
    enabled : bool
        False for pictures and tests: nothing is read or written.
    """

    def __init__(self, enabled: bool = True):
        self.settings = QtCore.QSettings("bmi-runtime", "console") if enabled else None

    @staticmethod
    def _key(name: str, window) -> str:
        room = screens.available(window)
        return f"arrangement/{name}/{room.width()}x{room.height()}"

    def save(self, name: str, window, docks: dict) -> None:
        """Remember where the docks of a layout stand."""
        if self.settings is None:
            return
        nowhere = QtCore.Qt.DockWidgetArea.NoDockWidgetArea
        placed = [n for n, dock in docks.items() if dock.isFloating() or window.dockWidgetArea(dock) != nowhere]
        shown = [n for n in placed if not docks[n].isHidden()]
        key = self._key(name, window)
        self.settings.setValue(f"{key}/state", window.saveState())
        self.settings.setValue(f"{key}/panels", json.dumps({"placed": placed, "shown": shown}))

    def restore(self, name: str, window, docks: dict) -> bool:
        """Put the docks where they stood; return whether anything was remembered that could be put back."""
        if self.settings is None:
            return False
        key = self._key(name, window)
        state, known = self.settings.value(f"{key}/state"), self._panels(key)
        if state is None or not known.get("shown") or not set(known["placed"]) <= set(docks):
            return False
        _take_all_off(window, docks)  # else what the state does not know keeps its place, and is shown
        if not window.restoreState(state):
            return False
        for panel in set(docks) - set(known["placed"]):  # Qt puts what it does not know over everything else
            window.removeDockWidget(docks[panel])
        for panel, dock in docks.items():
            dock.setVisible(panel in known["shown"])
            if dock.isFloating():
                dock.setGeometry(screens.on_a_screen(dock.geometry()))
        _style_tabs(window)
        return all(window.dockWidgetArea(docks[panel]) or docks[panel].isFloating() for panel in known["shown"])

    def _panels(self, key: str) -> dict:
        try:
            found = json.loads(str(self.settings.value(f"{key}/panels", "{}")))
        except ValueError:
            return {}
        return found if isinstance(found, dict) and isinstance(found.get("placed"), list) else {}

    def forget(self, name: str, window) -> None:
        """Forget a layout's changes."""
        if self.settings is not None:
            self.settings.remove(self._key(name, window))

    def get(self, key: str, default: str) -> str:
        """Return a preference."""
        return str(self.settings.value(key, default)) if self.settings is not None else default

    def put(self, key: str, value: str) -> None:
        """Remember a preference."""
        if self.settings is not None:
            self.settings.setValue(key, value)

    def geometry(self) -> QtCore.QRect | None:
        """Return where the window stood when it was closed, or None; a window over the whole screen has no place."""
        found = self.settings.value("window") if self.settings is not None else None
        return found if isinstance(found, QtCore.QRect) and found.isValid() else None

    def put_geometry(self, window) -> None:
        """Remember where the window stands."""
        if self.settings is None:
            return
        if window.isMaximized() or window.isFullScreen():
            self.settings.remove("window")
        else:
            self.settings.setValue("window", window.geometry())
