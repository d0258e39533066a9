"""Plots in the house's style, and export of what they show."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtWidgets

from gui import theme


class Plot(pyqtgraph.PlotWidget):
    """A plot with quiet axes and a grid, whose right click belongs to its panel.

    Parameters
    ----------
    left, bottom : str
        What the axes show, with the unit.
    """

    def __init__(self, left: str = "", bottom: str = ""):
        super().__init__()
        self.left, self.bottom = left, bottom
        self.setMenuEnabled(False)
        self.hideButtons()
        self.getPlotItem().layout.setContentsMargins(2, 6, 10, 2)
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        self.setBackground(theme.current().panel)
        for side, text in (("left", self.left), ("bottom", self.bottom)):
            axis = self.getAxis(side)
            axis.setPen(theme.pen("line", 1))
            axis.setTextPen(theme.pen("muted", 1))
            axis.setTickFont(theme.font(8))
            axis.setStyle(tickLength=4, tickTextOffset=4)
            plain_numbers(axis)
            axis.setLabel(text, color=theme.current().muted)
            axis.label.setFont(theme.font(8.5))
            axis.setGrid(40)
        self.getAxis("left").setWidth(52)

    def contextMenuEvent(self, event):
        """Leave the right click to the panel."""
        event.ignore()


def plain_numbers(axis) -> None:
    """Keep an axis from showing thousandths (and hiding that it does): its own switch is not enough in pyqtgraph 0.14,
    which scales all the same when the switch is turned off over a small range.
    """
    if hasattr(axis, "setSIPrefixEnableRanges"):
        axis.setSIPrefixEnableRanges(())
    axis.enableAutoSIPrefix(False)


def restyled(curve, role: str, width: float = 1.5, dashed: bool = False, alpha: float = 1.0):
    """Give a curve the pen of a role in the current theme."""
    curve.setPen(theme.pen(role, width, alpha, dashed))
    return curve


class Band:
    """A filled band between two curves of a plot."""

    def __init__(self, plot, role: str, alpha: float, edge: bool = False):
        self.role, self.alpha, self.edge = role, alpha, edge
        self.low, self.high = pyqtgraph.PlotCurveItem(), pyqtgraph.PlotCurveItem()
        self.fill = pyqtgraph.FillBetweenItem(self.low, self.high)
        for item in (self.fill, self.low, self.high):
            plot.addItem(item)
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        self.fill.setBrush(theme.colour(self.role, self.alpha))
        pen = theme.pen(self.role, 1.2, 0.9, dashed=True) if self.edge else theme.pen(self.role, 0.5, 0.0)
        self.low.setPen(pen)
        self.high.setPen(pen)

    def show(self, x, low, high) -> None:
        """Show the band; points that are not finite end it."""
        whole = np.isfinite(low) & np.isfinite(high)
        self.low.setData(x[whole], low[whole])
        self.high.setData(x[whole], high[whole])


class Figures(QtWidgets.QWidget):
    """A row of big numbers with small captions.

    Parameters
    ----------
    captions : sequence of str
    """

    def __init__(self, captions):
        super().__init__()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 2)
        layout.setSpacing(10)
        self.values, self._captions = {}, []
        for caption in captions:
            column = QtWidgets.QVBoxLayout()
            column.setSpacing(0)
            value, under = QtWidgets.QLabel("–"), QtWidgets.QLabel(caption)
            self.values[caption] = value
            self._captions.append(under)
            column.addWidget(value)
            column.addWidget(under)
            layout.addLayout(column)
        layout.addStretch(1)
        self.restyle()

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme."""
        for value in self.values.values():
            value.setFont(theme.font(12, bold=True))
        for caption in self._captions:
            caption.setFont(theme.font(8))
            caption.setStyleSheet(f"color: {theme.current().muted}")

    def show_value(self, caption: str, text: str, role: str = "text") -> None:
        """Show one number, in a role's colour (the words must say it too)."""
        label = self.values[caption]
        if label.text() != text:
            label.setText(text)
        style = f"color: {getattr(theme.current(), role)}"
        if label.styleSheet() != style:
            label.setStyleSheet(style)


def caption(text: str = "") -> QtWidgets.QLabel:
    """Return a small line of text under or over a plot."""
    label = QtWidgets.QLabel(text)
    label.setFont(theme.font(8.5))
    label.setContentsMargins(10, 3, 10, 3)
    label.setWordWrap(True)
    label.setTextFormat(QtCore.Qt.TextFormat.RichText)
    return label


def key(entries) -> str:
    """Return a legend as rich text: ``(role, sign, words)`` for each curve, so that colour never stands alone."""
    parts = [
        f'<span style="color:{getattr(theme.current(), role)}">{sign}</span> {words}' for role, sign, words in entries
    ]
    return "&nbsp;&nbsp;&nbsp; ".join(parts)


def write_csv(path, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of numbers, the shorter ones ending early."""
    rows = max((len(column) for column in columns.values()), default=0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for index in range(rows):
            writer.writerow([column[index] if index < len(column) else "" for column in columns.values()])
