"""All units at once: rate and preferred direction in a grid; a click selects, Shift+click puts one out or in."""

from __future__ import annotations

import math

import numpy as np
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import plots, theme
from gui.panels.base import Panel
from gui.panels.raster import SELECTED_ROLES

RATE_ROWS = 130  # newest columns of the raster, two seconds


class ArrayView(QtWidgets.QWidget):
    """Paints the grid."""

    def __init__(self, panel: ArrayMapPanel):
        super().__init__()
        self.panel = panel
        self.setMinimumSize(60, 60)
        self.setMouseTracking(True)

    def grid(self) -> tuple[int, float, float, float]:
        """Return columns, and side and left and top of the first cell, in pixels."""
        count = max(self.panel.store.n_units, 1)
        columns = max(round(math.sqrt(count * self.width() / max(self.height(), 1))), 1)
        rows = -(-count // columns)
        side = min(self.width() / columns, self.height() / rows)
        return columns, side, (self.width() - side * columns) / 2, (self.height() - side * rows) / 2

    def unit_at(self, where: QtCore.QPoint) -> int | None:
        """Return the unit under a point, or None."""
        columns, side, left, top = self.grid()
        column, row = int((where.x() - left) // side), int((where.y() - top) // side)
        unit = row * columns + column
        return unit if 0 <= column < columns and row >= 0 and unit < self.panel.store.n_units else None

    def paintEvent(self, event):
        """Paint rate as brightness, preferred direction as a line from the middle, depth as its length."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        self.panel.paint(painter, *self.grid())
        painter.end()

    def mousePressEvent(self, event):
        """Select a unit; with Shift put it out of decoding and learning, or in again."""
        unit = self.unit_at(event.pos())
        if unit is None or event.button() != QtCore.Qt.MouseButton.LeftButton:
            return
        modifiers, keys = event.modifiers(), QtCore.Qt.KeyboardModifier
        if modifiers & keys.ShiftModifier:
            self.panel.context.run("toggle_unit", unit)
        else:
            self.panel.context.selection.choose(unit, bool(modifiers & keys.ControlModifier))

    def mouseMoveEvent(self, event):
        """Tell the unit under the pointer."""
        unit = self.unit_at(event.pos())
        self.setToolTip("" if unit is None else self.panel.told(unit))


class ArrayMapPanel(Panel):
    """A grid of units."""

    title = "Array"
    about = (
        "Every disc is a unit, in rows from the first one: the brighter, the higher its rate over the last two "
        "seconds. The line points in its preferred direction and is as long as its modulation is deep. Click selects "
        "a unit in all panels, Ctrl+click adds one; Shift+click takes a unit out of decoding and learning (a cross), "
        "or puts it back in; the recording holds this as a command with its bin number."
    )
    refresh_hz = 4.0

    def __init__(self, context):
        super().__init__(context)
        self.words = plots.caption()
        self.column.addWidget(self.words)
        self.view = ArrayView(self)
        self.column.addWidget(self.view, 1)
        self._rates = np.zeros(0)
        context.selection.changed.connect(self.view.update)

    def refresh(self) -> None:
        """Take the newest rates and directions."""
        store = self.store
        if not store.n_units or not len(store.raster):
            self.words.setText(self.waits_for("the first spikes"))
            return
        columns, seconds = store.raster.newest(RATE_ROWS), store.column_bins.newest(RATE_ROWS) * store.bin_s
        self._rates = columns.sum(axis=0) / max(float(seconds.sum()), 1e-9)
        out = len(store.left_out)
        parts = [f"{store.n_units} units"] + ([f"{out} out of decoding and learning"] if out else [])
        adaptation = store.health.get("adaptation") or {}
        for name, word in (("lost", "silent"), ("drifting", "drifting"), ("rate_off", "unlike their model")):
            if adaptation.get(name):
                parts.append(f"{adaptation[name]} {word}")
        self.words.setText(", ".join(parts))
        self.view.update()

    def told(self, unit: int) -> str:
        """Return a unit's facts."""
        rate = f", {self._rates[unit]:.1f} spikes/s" if unit < len(self._rates) and not self.store.continuous else ""
        out = ", OUT of decoding and learning" if unit in self.store.left_out else ""
        directions = self.store.preferred_directions()
        way = "" if directions is None else f", prefers {np.degrees(directions[unit]):.0f}°"
        return f"unit {unit}{rate}{way}{out}"

    def paint(self, painter: QtGui.QPainter, columns: int, side: float, left: float, top: float) -> None:
        """Paint the grid."""
        store, directions = self.store, self.store.preferred_directions()
        if not len(self._rates) or len(self._rates) != store.n_units:
            return
        depths = np.zeros(store.n_units) if store.weights is None else np.linalg.norm(store.weights[1:3], axis=0)
        longest = max(float(np.nanmax(depths)), 1e-9)
        low, high = np.nanpercentile(self._rates, (5, 95))
        shares = np.clip((np.nan_to_num(self._rates) - low) / max(high - low, 1e-9), 0.0, 1.0)
        dim, bright = theme.colour("raised"), theme.colour("first")
        selected = self.context.selection.within(store.n_units)
        for unit in range(store.n_units):
            middle = QtCore.QPointF(left + side * (unit % columns + 0.5), top + side * (unit // columns + 0.5))
            self._disc(painter, middle, 0.4 * side, _mixed(dim, bright, float(shares[unit])))
            if unit in store.left_out:
                self._cross(painter, middle, 0.4 * side)
            elif directions is not None and np.isfinite(directions[unit]):
                length = 0.44 * side * float(depths[unit]) / longest
                tip = QtCore.QPointF(length * math.cos(directions[unit]), -length * math.sin(directions[unit]))
                painter.setPen(QtGui.QPen(theme.colour("text"), max(side / 16, 1.0)))
                painter.drawLine(middle, middle + tip)
            if unit in selected:
                painter.setPen(QtGui.QPen(theme.colour(SELECTED_ROLES[selected.index(unit)]), max(side / 12, 2.0)))
                painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
                painter.drawRect(
                    QtCore.QRectF(middle.x() - 0.46 * side, middle.y() - 0.46 * side, 0.92 * side, 0.92 * side)
                )

    @staticmethod
    def _disc(painter, middle, radius: float, colour) -> None:
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(middle, radius, radius)

    @staticmethod
    def _cross(painter, middle, radius: float) -> None:
        painter.setPen(QtGui.QPen(theme.colour("bad"), max(radius / 4, 1.5)))
        for dx, dy in ((radius, radius), (radius, -radius)):
            painter.drawLine(middle - QtCore.QPointF(dx, dy), middle + QtCore.QPointF(dx, dy))

    def table(self):
        """Return rate, preferred direction and whether a unit is out."""
        if not len(self._rates):
            return {}
        directions = self.store.preferred_directions()
        known = directions if directions is not None else np.full(len(self._rates), np.nan)
        units = np.arange(len(self._rates))
        out = np.isin(units, list(self.store.left_out)).astype(int)
        return {"unit": units, "rate_hz": self._rates, "preferred_direction_rad": known, "left_out": out}


def _mixed(first: QtGui.QColor, second: QtGui.QColor, share: float) -> QtGui.QColor:
    parts = zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)
    return QtGui.QColor(*(round(a + share * (b - a)) for a, b in parts))
