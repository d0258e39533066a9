"""Spikes of all units over the last seconds, as an image."""

from __future__ import annotations

import itertools
import math

import numpy as np
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import plots, theme
from gui.panels.base import Panel
from gui.scrolling_image import ScrollingImage
from gui.store import RASTER_COLUMNS

ORDERS = ("preferred direction", "number", "rate")
LEAST_ROWS = 8
SORTS_PER_S = 2.0  # of orders that follow the spikes themselves
MARKS, MARK_PX = 0.03, 13  # width of the stretch right of now, and height of a mark
SELECTED_ROLES = ("second", "first", "third", "fourth")


class RasterPanel(Panel):
    """The raster: one row per unit, one column per telemetry message."""

    title = "Raster"
    about = (
        "Every row is a unit, every column one message of the runtime, about a sixtieth of a second; the brighter, "
        "the more spikes (for features: the further above their mean). Rows are sorted by the preferred direction "
        "that the decoder believes in, so that movement shows as bands; where there are more units than lines on the "
        "screen, neighbours share a line. The wheel (or Ctrl+= and Ctrl+-) shows fewer units, larger. Click a row to "
        "select its unit in all panels; Ctrl+click adds one; Shift+click takes it out of decoding and learning, or "
        "back in. Triangles mark the selected units."
    )
    refresh_hz = 30.0

    def __init__(self, context):
        super().__init__(context)
        self.order = np.arange(0)
        self._columns, self._column_s, self._said_s = 0, 0.015, -math.inf
        self._levels, self._drawn, self._marked = None, None, None
        self._first, self._count = 0, 0  # rows shown; 0: all
        self._bar()
        self.plot = plots.Plot("unit (sorted)", "seconds before now")
        self.plot.setMouseEnabled(False, False)
        self.image = ScrollingImage(RASTER_COLUMNS)
        self.plot.addItem(self.image)
        self.marks = [QtWidgets.QGraphicsPathItem() for _ in SELECTED_ROLES]
        for mark in self.marks:
            self.plot.addItem(mark)
        self.plot.getAxis("left").setGrid(False)
        self.plot.getAxis("bottom").setGrid(False)
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        self.plot.viewport().installEventFilter(self)
        self.column.addWidget(self.plot, 1)
        self.restyle()
        context.selection.changed.connect(self._mark)

    def eventFilter(self, watched, event) -> bool:
        """Zoom with the wheel around the row under the pointer."""
        if event.type() != QtCore.QEvent.Type.Wheel or not len(self.order):
            return False
        place = event.position().toPoint() if hasattr(event, "position") else event.pos()
        row = self.plot.getPlotItem().vb.mapSceneToView(self.plot.mapToScene(place)).y()
        self.zoom(0.7 if event.angleDelta().y() > 0 else 1 / 0.7, row)
        return True

    def zoom(self, factor: float, row: float | None = None) -> None:
        """Show `factor` times as many rows, around a row (the selected unit's)."""
        total = len(self.order)
        if not total:
            return
        count = self._count or total
        if row is None:
            unit = self.context.selection.units[0]
            row = float(np.flatnonzero(self.order == unit)[0]) if unit in self.order else self._first + count / 2
        wanted = min(max(round(count * factor), min(LEAST_ROWS, total)), total)
        share = min(max((row - self._first) / count, 0.0), 1.0)
        self._first = min(max(round(row - share * wanted), 0), total - wanted)
        self._count, self._drawn = (0 if wanted == total else wanted), None
        self.refresh()

    def rows(self) -> np.ndarray:
        """Return the units of the rows shown, from below."""
        return self.order[self._first : self._first + self._count] if self._count else self.order

    def _bar(self) -> None:
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 4, 8, 0)
        row.setSpacing(6)
        self.sort = QtWidgets.QComboBox()
        self.sort.addItems(ORDERS)
        self.sort.setToolTip("Order of the rows")
        self.sort.currentIndexChanged.connect(lambda _: self.refresh())
        label = QtWidgets.QLabel("sorted by")
        row.addWidget(label)
        row.addWidget(self.sort)
        self.words = plots.caption()
        row.addWidget(self.words, 1)
        self.column.addLayout(row)

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        self.plot.getAxis("left").setGrid(False)
        self.plot.getAxis("bottom").setGrid(False)
        self.image.set_colours(_colours(theme.current()))
        self._drawn = self._marked = None

    def refresh(self) -> None:
        """Show the newest columns: those that are new join the others, unless rows or brightness are others now."""
        store = self.store
        new = store.raster.total - self._columns
        empty = not store.n_units or not len(store.raster)
        self.plot.show_numbers(not empty)
        if empty:
            self._clear()
        elif self._others() or not 0 <= new < len(store.raster):
            self._draw_anew()
        else:
            self.image.append(self._bytes(store.raster.newest(new)))
        self._columns = store.raster.total
        self._place()
        self._mark()

    def _clear(self) -> None:
        self.order = np.arange(0)
        self.image.replace(np.zeros((0, 1), np.uint8))
        self.words.setText(self.waits_for("the first spikes"))
        self._drawn = None

    def _others(self) -> bool:
        """Return whether the image must be redrawn, and note what it is drawn from."""
        store, kind = self.store, self.sort.currentText()
        moves = store.continuous or kind == "rate"
        sources = (store.raster, store.weights if kind == "preferred direction" else None)
        state = (
            kind,
            self._first,
            self._count,
            self._units_per_row(),
            store.continuous,
            int(store.elapsed_s * SORTS_PER_S) if moves else 0,
        )
        before, self._drawn = self._drawn, (sources, state)
        return before is None or state != before[1] or any(a is not b for a, b in zip(sources, before[0], strict=True))

    def _draw_anew(self) -> None:
        store = self.store
        columns, seconds = store.raster.view, store.column_bins.view * store.bin_s
        self.order = self._sorted(columns)
        finite = np.nan_to_num(columns)
        self._levels = (finite.mean(axis=0), finite.std(axis=0)) if store.continuous else None
        self.image.replace(self._bytes(columns))
        self._column_s = float(np.median(seconds))
        self._say(columns, seconds)

    def _bytes(self, columns: np.ndarray) -> np.ndarray:
        """Return brightness, (columns, rows), in the order shown; rows too many for the screen share the brightest."""
        bright = brightness(columns, self._levels)[:, self.rows()]
        each = self._units_per_row()
        return bright if each == 1 else np.maximum.reduceat(bright, np.arange(0, bright.shape[1], each), axis=1)

    def _units_per_row(self) -> int:
        height = self.plot.getViewBox().height() * self.devicePixelRatioF()
        return max(math.ceil((self._count or self.store.n_units) / max(height, 1.0)), 1)

    def _place(self) -> None:
        """Give every column a pixel of its own: as many as there is room for."""
        across = self.plot.getViewBox().width() * self.devicePixelRatioF() / (1.0 + MARKS)
        columns = min(max(int(across), 1), RASTER_COLUMNS)
        width_s = columns * self._column_s
        first, count = (self._first, self._count) if self._count else (0, max(self.store.n_units, 1))
        self.image.place(self._column_s, columns, float(count), float(first))
        self.plot.show_ranges((-width_s, MARKS * width_s), (float(first), float(first + count)))

    def _say(self, columns: np.ndarray, seconds: np.ndarray) -> None:
        if self.store.elapsed_s - self._said_s < 1.0 and self._said_s <= self.store.elapsed_s:
            return
        self._said_s = self.store.elapsed_s
        mean = float(columns.sum() / max(seconds.sum(), 1e-9) / self.store.n_units)
        unit = "" if self.store.continuous else f", {mean:.1f} spikes/s per unit"
        out = f", {len(self.store.left_out)} out" if self.store.left_out else ""
        shown = f"{self._count} of {self.store.n_units} units" if self._count else f"{self.store.n_units} units"
        self.words.setText(f"{shown}{unit}{out}")

    def _sorted(self, columns: np.ndarray) -> np.ndarray:
        kind = self.sort.currentText()
        directions = self.store.preferred_directions()
        if kind == "preferred direction" and directions is not None:
            return np.argsort(np.nan_to_num(directions), kind="stable")
        if kind == "rate":
            return np.argsort(columns.sum(axis=0), kind="stable")
        return np.arange(self.store.n_units)

    def _mark(self) -> None:
        """Put a triangle beside every selected unit."""
        box = self.plot.getViewBox()
        (_, right), (bottom, top) = box.viewRange()
        row_px = box.height() / max(top - bottom, 1e-9)
        rows = [int(np.flatnonzero(self.order == unit)[0]) for unit in self.context.selection.within(len(self.order))]
        rows = [row for row in rows if bottom - 0.5 <= row < top]
        if (rows, right, row_px) == self._marked:
            return
        self._marked = (rows, right, row_px)
        high = 0.5 * MARK_PX / max(row_px, 1e-3)
        for mark, role, row in itertools.zip_longest(self.marks, SELECTED_ROLES, rows):
            path = QtGui.QPainterPath()
            if row is not None:
                corners = ((0.15 * right, 0.0), (right, high), (right, -high))
                path.addPolygon(QtGui.QPolygonF([QtCore.QPointF(x, row + 0.5 + y) for x, y in corners]))
            mark.setPath(path)
            mark.setBrush(theme.colour(role))
            mark.setPen(QtGui.QPen(QtCore.Qt.PenStyle.NoPen))

    def _clicked(self, event) -> None:
        if event.button() != QtCore.Qt.MouseButton.LeftButton or not len(self.order):
            return
        where = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos())
        row = int(where.y())
        if 0 <= row < len(self.order):
            if event.modifiers() & QtCore.Qt.KeyboardModifier.ShiftModifier:
                self.context.run("toggle_unit", int(self.order[row]))
                return
            add = bool(event.modifiers() & QtCore.Qt.KeyboardModifier.ControlModifier)
            self.context.selection.choose(int(self.order[row]), add)

    def table(self):
        """Return the columns shown, one per unit."""
        columns = self.store.raster.view
        return {f"unit_{unit}": columns[:, unit] for unit in range(columns.shape[1])} if columns.size else {}


def brightness(columns: np.ndarray, levels: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Return brightness 0 to 255: counts up to 4, or features from 0 to 3 standard deviations above their mean.

    Parameters
    ----------
    columns : ndarray, (columns, units)
    levels : (ndarray, ndarray) or None
        Mean and standard deviation of every feature; None for counts.
    """
    if levels is None:
        return np.minimum(63.75 * np.nan_to_num(columns), 255.0).astype(np.uint8)
    scaled = (columns - levels[0]) * (85.0 / np.maximum(levels[1], 1e-9))
    return np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)


def _colours(palette: theme.Theme) -> np.ndarray:
    """Return a lookup table from the panel's colour over a mid tone to the text's: brightness alone carries it."""
    stops = [QtGui.QColor(palette.panel), QtGui.QColor(palette.first), QtGui.QColor(palette.text)]
    points = np.array([[stop.red(), stop.green(), stop.blue()] for stop in stops], float)
    at = np.linspace(0, 1, 256)
    return np.stack([np.interp(at, [0, 0.4, 1], points[:, part]) for part in range(3)], axis=1).astype(np.uint8)
