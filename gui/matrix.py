"""A matrix from sources to targets as an image, with marks where it stands out; a click chooses a pair."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import plots, theme

MOST_TICKS = 16  # along a side


class MatrixPlot(plots.Plot):
    """Rows are targets (top to bottom), columns sources.

    Signs are told by colour (orange positive, blue negative) and by mark (+ and –) where an entry stands out.

    Signals
    -------
    chosen(int, int)
        Target and source of the cell that was clicked.
    """

    chosen = QtCore.Signal(int, int)

    def __init__(self):
        super().__init__("target", "source")
        self.setMouseEnabled(False, False)
        self.image = pyqtgraph.ImageItem(axisOrder="row-major")
        self.addItem(self.image)
        self.marks = {sign: pyqtgraph.ScatterPlotItem(symbol=symbol) for sign, symbol in ((1, "+"), (-1, "_"))}
        self.frame = QtWidgets.QGraphicsRectItem(0, 0, 1, 1)
        for item in (*self.marks.values(), self.frame):
            self.addItem(item)
        self.getPlotItem().invertY(True)
        self.getPlotItem().setAspectLocked(True)
        self.values = np.zeros((1, 1))
        self.scene().sigMouseClicked.connect(self._clicked)
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        if not hasattr(self, "marks"):  # called by the plot's own constructor
            return
        palette = theme.current()
        ends = (theme.BLUE if palette is theme.LIGHT else theme.SKY, palette.panel, theme.ORANGE)
        self.image.setColorMap(pyqtgraph.ColorMap([0.0, 0.5, 1.0], [QtGui.QColor(code) for code in ends]))
        for mark in self.marks.values():
            mark.setPen(theme.pen("text", 1.5))
        self.frame.setPen(theme.pen("text", 2))
        for side in ("left", "bottom"):
            self.getAxis(side).setGrid(False)

    def show_matrix(self, values: np.ndarray, stand_out: np.ndarray, names) -> None:
        """Show values (targets, sources); entries that are not finite stay blank.

        Parameters
        ----------
        values : ndarray, (targets, sources)
        stand_out : ndarray of bool, (targets, sources)
            Where to put a mark.
        names : sequence of str
        """
        self.values = values
        top = _largest_shown(values, stand_out)
        self.image.setImage(np.where(np.isfinite(values), values, 0.0), levels=(-top, top))
        self.name_axis("bottom", f"source (colour ±{top:.2g})")
        targets, sources = values.shape
        self.setXRange(0, sources, padding=0.02)
        self.setYRange(0, targets, padding=0.02)
        size = float(np.clip(160 / max(targets, sources), 3, 11))
        for sign, mark in self.marks.items():
            rows, columns = np.nonzero(stand_out & (np.sign(np.nan_to_num(values)) == sign))
            mark.setData(columns + 0.5, rows + 0.5, size=size)
        for side, count in (("left", targets), ("bottom", sources)):
            every = -(-count // MOST_TICKS)
            ticks = [(k + 0.5, _short(str(names[k]) if k < len(names) else str(k))) for k in range(0, count, every)]
            self.getAxis(side).setTicks([ticks])

    def choose(self, target: int, source: int) -> None:
        """Put the frame around a cell."""
        self.frame.setRect(source, target, 1, 1)

    def _clicked(self, event) -> None:
        where = self.getPlotItem().vb.mapSceneToView(event.scenePos())
        target, source = int(np.floor(where.y())), int(np.floor(where.x()))
        targets, sources = self.values.shape
        if 0 <= target < targets and 0 <= source < sources:
            self.chosen.emit(target, source)


class PairPicker(QtWidgets.QWidget):
    """Two boxes to choose a source and a target from the keyboard.

    Signals
    -------
    chosen(int, int)
        Target and source.
    """

    chosen = QtCore.Signal(int, int)

    def __init__(self):
        super().__init__()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(10, 2, 8, 2)
        row.setSpacing(6)
        self.source, self.target = QtWidgets.QComboBox(), QtWidgets.QComboBox()
        self.words = plots.caption("")
        for part in (QtWidgets.QLabel("from"), self.source, QtWidgets.QLabel("to"), self.target):
            row.addWidget(part)
        row.addWidget(self.words, 1)
        for box in (self.source, self.target):
            box.activated.connect(
                lambda _: self.chosen.emit(max(self.target.currentIndex(), 0), max(self.source.currentIndex(), 0))
            )

    def offer(self, sources, targets) -> None:
        """Offer names."""
        for box, names in ((self.source, sources), (self.target, targets)):
            box.clear()
            box.addItems([str(name) for name in names])

    def show_pair(self, target: int, source: int, text: str) -> None:
        """Show which pair is chosen, and what is known of it."""
        self.source.setCurrentIndex(source)
        self.target.setCurrentIndex(target)
        self.words.setText(text)


def _largest_shown(values: np.ndarray, stand_out: np.ndarray) -> float:
    """Return where the colours end: the largest entry that stands out between two units, however large a unit's own."""
    size = np.abs(np.nan_to_num(values))
    between = ~np.eye(*values.shape, dtype=bool)
    for chosen in (size[stand_out & between], size[between], size.ravel()):
        if chosen.size and chosen.max() > 0.0:
            return float(chosen.max())
    return 1.0


def _short(name: str) -> str:
    return name.removeprefix("unit").strip(" _-")[:8] or name[:8]
