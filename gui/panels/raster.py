"""Spikes of all units over the last ten seconds, as an image."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import plots, theme
from gui.panels.base import Panel
from gui.store import RASTER_COLUMNS

ORDERS = ("preferred direction", "number", "rate")
SELECTED_ROLES = ("second", "first", "third", "fourth")


class RasterPanel(Panel):
    """The raster: one row per unit, one column per telemetry message."""

    title = "Raster"
    about = (
        "Every row is a unit, every column a sixtieth of a second; the brighter, the more spikes (for features: the "
        "further above their mean). Rows are sorted by the preferred direction that the decoder believes in, so that "
        "movement shows as bands. Click a row to select its unit in all panels; Ctrl+click adds one. Triangles mark "
        "the selected units."
    )
    refresh_hz = 20.0

    def __init__(self, context):
        super().__init__(context)
        self.order = np.arange(0)
        self._bar()
        self.plot = plots.Plot("unit (sorted)", "seconds before now")
        self.plot.setMouseEnabled(False, False)
        self.image = pyqtgraph.ImageItem(axisOrder="row-major")
        self.plot.addItem(self.image)
        self.marks = pyqtgraph.ScatterPlotItem(symbol="t2", size=13, pen=None)
        self.plot.addItem(self.marks)
        self.plot.getAxis("left").setGrid(False)
        self.plot.getAxis("bottom").setGrid(False)
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        self.column.addWidget(self.plot, 1)
        self.restyle()
        context.selection.changed.connect(self._mark)

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
        self.image.setLookupTable(_colours(theme.current()))

    def refresh(self) -> None:
        """Show the newest columns."""
        store = self.store
        if not store.n_units or not len(store.raster):
            self.image.clear()
            self.marks.setData([], [])
            return
        columns, seconds = store.raster.view, store.column_bins.view * store.bin_s
        self.order = self._sorted(columns, seconds)
        shown = np.zeros((store.n_units, RASTER_COLUMNS), np.uint8)
        shown[:, RASTER_COLUMNS - len(columns) :] = _bytes(columns, store.continuous).T[self.order]
        width_s = float(np.median(seconds)) * RASTER_COLUMNS
        self.image.setImage(shown, autoLevels=False, levels=(0, 255))
        self.image.setRect(QtCore.QRectF(-width_s, 0.0, width_s, store.n_units))
        self.plot.setXRange(-width_s, 0.03 * width_s, padding=0)
        self.plot.setYRange(0, store.n_units, padding=0)
        mean = float(columns.sum() / max(seconds.sum(), 1e-9) / store.n_units)
        unit = "" if store.continuous else f", {mean:.1f} spikes/s per unit"
        self.words.setText(f"{store.n_units} units{unit}")
        self._mark()

    def _sorted(self, columns: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        kind = self.sort.currentText()
        directions = self.store.preferred_directions()
        if kind == "preferred direction" and directions is not None:
            return np.argsort(np.nan_to_num(directions), kind="stable")
        if kind == "rate":
            return np.argsort(columns.sum(axis=0), kind="stable")
        return np.arange(self.store.n_units)

    def _mark(self) -> None:
        units = self.context.selection.within(len(self.order))
        rows = [int(np.flatnonzero(self.order == unit)[0]) + 0.5 for unit in units]
        brushes = [theme.colour(role) for role in SELECTED_ROLES]
        width = self.plot.viewRange()[0][1]
        self.marks.setData([0.55 * width] * len(rows), rows, brush=brushes[: len(rows)])
        self.marks.setSymbol("t3")

    def _clicked(self, event) -> None:
        if event.button() != QtCore.Qt.MouseButton.LeftButton or not len(self.order):
            return
        where = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos())
        row = int(where.y())
        if 0 <= row < len(self.order):
            add = bool(event.modifiers() & QtCore.Qt.KeyboardModifier.ControlModifier)
            self.context.selection.choose(int(self.order[row]), add)

    def table(self):
        """Return the columns shown, one per unit."""
        columns = self.store.raster.view
        return {f"unit_{unit}": columns[:, unit] for unit in range(columns.shape[1])} if columns.size else {}


def _bytes(columns: np.ndarray, continuous: bool) -> np.ndarray:
    """Return brightness 0 to 255: counts up to 4, or features from 0 to 3 standard deviations above their mean."""
    if continuous:
        centred = columns - columns.mean(axis=0)
        scaled = centred * (85.0 / np.maximum(centred.std(axis=0), 1e-9))
        return np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)
    return (np.minimum(columns, 4.0) * 63.75).astype(np.uint8)


def _colours(palette: theme.Theme) -> np.ndarray:
    """Return a lookup table from the panel's colour over a mid tone to the text's: brightness alone carries it."""
    stops = [QtGui.QColor(palette.panel), QtGui.QColor(palette.first), QtGui.QColor(palette.text)]
    points = np.array([[stop.red(), stop.green(), stop.blue()] for stop in stops], float)
    at = np.linspace(0, 1, 256)
    return np.stack([np.interp(at, [0, 0.4, 1], points[:, part]) for part in range(3)], axis=1).astype(np.uint8)
