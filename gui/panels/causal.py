"""Who affects whom, from perturbations: the graph of effects that stand, their matrix, and the truth where known."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from bmi_runtime.errors import BadInput
from gui import plots, theme
from gui.matrix import MatrixPlot, PairPicker
from gui.panels.file_panel import FilePanel, mismatch

MOST_ARROWS = 300  # the strongest; more cannot be told apart
WEAKEST = 0.02  # of the strongest effect, where no test says which ones stand


class CausalPanel(FilePanel):
    """The causal graph that perturbations reveal."""

    title = "Causal graph"
    about = (
        "Effects estimated from perturbations. An arrow goes from a unit that was stimulated to one that answered; "
        "solid orange ones excite, dashed blue ones inhibit, thicker is stronger. Drawn are the effects that stand at "
        "the false-discovery rate of the fit (the 300 strongest). The matrix holds every effect, + and – mark those "
        "that stand; click a cell (or choose from the boxes) for its value and interval. When the true connections "
        "are known, the third plot compares."
    )
    needs = ("estimate",)
    made_by = "bmi perturb fit DATA --out FIT.npz"

    def check(self, arrays, name):
        """Refuse effects that are no (sources, targets)."""
        estimate = arrays["estimate"]
        if estimate.ndim != 2 or estimate.size == 0:
            raise BadInput(f"{name}: estimate has shape {estimate.shape}; this view needs (sources, targets)")
        shape = estimate.shape
        shapes = dict.fromkeys(("low", "high", "p_values", "discoveries", "standard_error"), shape)
        mismatch(arrays, {**shapes, "connectivity": shape[::-1]}, name)

    def build(self) -> None:
        """Make the graph, the matrix, the comparison and the boxes."""
        column, row = self.stacked()
        self.graph, self.matrix, self.picker = GraphView(), MatrixPlot(), PairPicker()
        self.against = plots.Plot("estimate", "true connection")
        self.against.setMouseEnabled(False, False)
        self.dots = pyqtgraph.ScatterPlotItem(size=6)
        self.identity = self.against.plot()
        self.against.addItem(self.dots)
        for part, stretch in ((self.graph, 5), (self.matrix, 5), (self.against, 4)):
            row.addWidget(part, stretch)
        column.addLayout(row, 1)
        column.addWidget(self.picker)
        for part in (self.matrix, self.picker):
            part.chosen.connect(self.choose)

    def fill(self) -> None:
        """Draw everything; choose the strongest effect."""
        arrays = self.arrays
        self.effects = arrays["estimate"].T.astype(float)
        self.stands = self._stands()
        sources, targets = (range(n) for n in arrays["estimate"].shape)
        self.matrix.show_matrix(self.effects, self.stands, [str(k) for k in range(max(len(sources), len(targets)))])
        self.graph.show_effects(self.effects, self.stands)
        self.picker.offer(sources, targets)
        truth = arrays.get("connectivity")
        self.against.setVisible(truth is not None)
        if truth is not None:
            self.dots.setData(truth.ravel(), self.effects.ravel())
            ends = np.array([min(truth.min(), 0.0), truth.max()])
            slope = float(np.sum(truth * self.effects) / max(np.sum(truth * truth), 1e-300))
            self.identity.setData(ends, slope * ends)
        strength = np.where(self.stands, np.abs(np.nan_to_num(self.effects)), -1.0)
        target, source = np.unravel_index(np.argmax(strength), strength.shape)
        self.choose(int(target), int(source))

    def _stands(self) -> np.ndarray:
        """Return which effects (targets, sources) stand: those the fit names, or all but the weakest without one."""
        if "discoveries" in self.arrays:
            return self.arrays["discoveries"].T.astype(bool)
        size = np.abs(np.nan_to_num(self.effects))
        return size > WEAKEST * size.max()

    def choose(self, target: int, source: int) -> None:
        """Show one effect."""
        self.pair = target, source
        self.matrix.choose(target, source)
        self.graph.choose(target, source)
        arrays = self.arrays
        text = f"{self.effects[target, source]:+.4g}"
        if "low" in arrays and "high" in arrays:
            text += f" (between {arrays['low'][source, target]:+.4g} and {arrays['high'][source, target]:+.4g})"
        if "p_values" in arrays:
            text += f", p = {arrays['p_values'][source, target]:.2g}"
        if "connectivity" in arrays:
            text += f"; true connection {arrays['connectivity'][target, source]:.3g}"
        self.picker.show_pair(target, source, text)

    def summary(self) -> str:
        """Return sizes, how many effects stand, and how they agree with the truth."""
        sources, targets = self.arrays["estimate"].shape
        text = f"{sources} sources, {targets} targets; {int(self.stands.sum())} effects "
        text += "stand" if "discoveries" in self.arrays else f"above {100 * WEAKEST:g} % of the strongest (not tested)"
        truth = self.arrays.get("connectivity")
        if truth is not None:
            text += (
                f"; correlation with the true connections {np.corrcoef(truth.ravel(), self.effects.ravel())[0, 1]:.4f}"
            )
        return text

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        if self.built:
            self.graph.update()
            self.dots.setBrush(theme.colour("first", 0.8))
            self.dots.setPen(None)
            plots.restyled(self.identity, "muted", 1.2, dashed=True)

    def table(self):
        """Return all effects, one row per pair."""
        if not self.built:
            return {}
        target, source = np.indices(self.effects.shape)
        columns = {"source": source.ravel(), "target": target.ravel(), "effect": self.effects.ravel()}
        return columns | {"stands": self.stands.ravel().astype(int)}


class GraphView(QtWidgets.QWidget):
    """Units on a circle and an arrow per effect, painted by hand."""

    def __init__(self):
        super().__init__()
        self.setMinimumSize(120, 120)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.arrows: list[tuple[int, int, float]] = []
        self.units, self.pair, self.left_out = 0, (-1, -1), 0

    def show_effects(self, effects: np.ndarray, stands: np.ndarray) -> None:
        """Take effects (targets, sources); the strongest that stand are drawn."""
        size = np.abs(np.nan_to_num(effects))
        order = np.argsort(-size, axis=None)
        order = order[stands.ravel()[order]]
        self.left_out = max(len(order) - MOST_ARROWS, 0)
        top = float(size.max()) or 1.0
        self.units = max(effects.shape)
        places = [np.unravel_index(k, effects.shape) for k in order[:MOST_ARROWS]]
        self.arrows = [(int(t), int(s), float(effects[t, s] / top)) for t, s in places][::-1]
        self.update()

    def choose(self, target: int, source: int) -> None:
        """Mark one pair."""
        self.pair = target, source
        self.update()

    def _place(self, unit: int) -> QtCore.QPointF:
        angle = 2 * np.pi * unit / max(self.units, 1) - np.pi / 2
        radius = 0.5 * min(self.width(), self.height()) - 2.2 * self._node() - 6
        return QtCore.QPointF(
            self.width() / 2 + radius * float(np.cos(angle)), self.height() / 2 + radius * float(np.sin(angle))
        )

    def _node(self) -> float:
        return float(np.clip(0.5 * min(self.width(), self.height()) * 2.2 / max(self.units, 8), 3.0, 15.0))

    def paintEvent(self, event):
        """Paint arrows under nodes."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), theme.colour("panel"))
        for target, source, strength in self.arrows:
            self._arrow(painter, target, source, strength)
        node = self._node()
        painter.setFont(theme.font(max(0.55 * node, 6), bold=True))
        for unit in range(self.units):
            place, marked = self._place(unit), unit in self.pair
            painter.setPen(theme.pen("text" if marked else "line", 2 if marked else 1))
            painter.setBrush(theme.colour("raised"))
            painter.drawEllipse(place, node, node)
            if node >= 7:
                painter.setPen(theme.colour("text"))
                box = QtCore.QRectF(place.x() - node, place.y() - node, 2 * node, 2 * node)
                painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, str(unit))
        if self.left_out:
            painter.setFont(theme.font(8.5))
            painter.setPen(theme.colour("muted"))
            painter.drawText(8, self.height() - 8, f"{self.left_out} weaker arrows are not drawn")
        painter.end()

    def _arrow(self, painter: QtGui.QPainter, target: int, source: int, strength: float) -> None:
        """Draw one effect: solid and orange when it excites, dashed and blue when it inhibits."""
        marked = (target, source) == self.pair
        size = abs(strength)
        pen = theme.pen(
            "second" if strength > 0 else "first", 1.0 + 3.0 * size, 1.0 if marked else 0.25 + 0.7 * size, strength < 0
        )
        painter.setPen(pen)
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
        node, start, end = self._node(), self._place(source), self._place(target)
        if target == source:
            middle = QtCore.QPointF(self.width() / 2, self.height() / 2)
            away = (start - middle) / max(np.hypot(start.x() - middle.x(), start.y() - middle.y()), 1e-9)
            painter.drawEllipse(start + 1.5 * node * away, 0.8 * node, 0.8 * node)
            return
        along = end - start
        length = float(np.hypot(along.x(), along.y()))
        unit = along / length
        aside = QtCore.QPointF(-unit.y(), unit.x())
        bend = (start + end) / 2 + 0.12 * length * aside
        tip_way = end - bend
        tip_way /= float(np.hypot(tip_way.x(), tip_way.y()))
        tip = end - (node + 2) * tip_way
        path = QtGui.QPainterPath(start)
        path.quadTo(bend, tip)
        painter.drawPath(path)
        pen.setStyle(QtCore.Qt.PenStyle.SolidLine)
        painter.setPen(pen)
        painter.setBrush(pen.color())
        side, head = QtCore.QPointF(-tip_way.y(), tip_way.x()), 5.0 + 3.0 * size
        back = tip - head * tip_way
        painter.drawPolygon(QtGui.QPolygonF([tip, back + 0.45 * head * side, back - 0.45 * head * side]))
