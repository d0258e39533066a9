"""Plots in the project's style, and export of what they show."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import theme
from gui.axis_ranges import multiples, round_step


class UprightAxis(pyqtgraph.AxisItem):
    """A left axis whose numbers never stand on top of each other: in a low plot there are fewer of them.

    pyqtgraph leaves out finer numbers where there is no room, but draws those of the coarsest step whatever the height.
    """

    def tickValues(self, minVal, maxVal, size):
        """Return (step, places) of each level of ticks, in Qt's units, for a range and a length of the axis."""
        levels = super().tickValues(minVal, maxVal, size)
        line = 1.25 * QtGui.QFontMetrics(self.style["tickFont"] or self.font()).ascent()
        if self.logMode or not levels or maxVal <= minVal or len(levels[0][1]) * line <= size:
            return levels
        apart = (maxVal - minVal) * line / size  # what one line of text takes of the range
        low, high = minVal + 0.5 * apart, maxVal - 0.5 * apart  # outside of it a number would be cut
        places = multiples(step := round_step(apart), low, high)
        if not places.size:
            within = multiples(step := round_step(0.2 * (maxVal - minVal)), low, high)
            places = within[np.argsort(abs(within - 0.5 * (minVal + maxVal)))[:1]]
        return [(step, places.tolist())]


class Plot(pyqtgraph.PlotWidget):
    """A plot with quiet axes and a grid, whose right click belongs to its panel.

    Axes are kept as pictures and redrawn only when their range changes; panels that change all the time give ranges
    in round steps (:func:`round_range`), so that this is seldom.

    Parameters
    ----------
    left, bottom : str
        What the axes show, with the unit.
    """

    def __init__(self, left: str = "", bottom: str = ""):
        super().__init__(enableMenu=False, axisItems={"left": UprightAxis("left")})
        self.left, self.bottom = left, bottom
        self.follows = [True, True]
        """Whether :meth:`show_ranges` is obeyed, in x and y: until the operator drags or zooms, and again after a
        double click."""
        self._names: dict[str, tuple[str, str]] = {}
        self._room = 0.0
        self._waiting: QtWidgets.QLabel | None = None
        self._waits_for = ""
        self.hideButtons()
        self.getPlotItem().layout.setContentsMargins(2, 6, 10, 2)
        self.viewport().setAttribute(QtCore.Qt.WidgetAttribute.WA_OpaquePaintEvent)
        for side in ("left", "bottom"):
            self.getAxis(side).setCacheMode(QtWidgets.QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.getViewBox().sigRangeChangedManually.connect(self._let_go)
        self.restyle()

    def curve(self, **options) -> pyqtgraph.PlotCurveItem:
        """Return a new curve: the light kind, without symbols, logarithms and thinning."""
        item = pyqtgraph.PlotCurveItem(**options)
        self.addItem(item)
        return item

    def name_axis(self, side: str, text: str) -> None:
        """Name an axis; what it is called already costs nothing (a name lays the whole plot out again)."""
        setattr(self, side, text)
        wanted = (self._fitting(text) if side == "left" else text, theme.current().muted)
        if self._names.get(side) != wanted:
            self._names[side] = wanted
            axis = self.getAxis(side)
            axis.setLabel(wanted[0], color=wanted[1])
            axis.resizeEvent(None)  # puts the name in the middle again: another one is as long as it is

    def _fitting(self, text: str) -> str:
        """Return the name of the left axis as far as it fits: whole, without its unit, or not at all."""
        self._room = self.getViewBox().height()
        metrics = QtGui.QFontMetrics(theme.font(8.5))
        unseen = self._room < 1 and not self.isVisible()  # not laid out yet
        for shown in (text, text.partition(" (")[0]):
            if unseen or metrics.horizontalAdvance(shown) <= self._room:
                return shown
        return ""

    def _fit(self) -> None:
        """Keep the name of a low plot from being cut; where its height is what it was this costs nothing."""
        if self.getViewBox().height() != self._room:
            self.name_axis("left", self.left)

    def resizeEvent(self, event):
        """Name the left axis as far as there is room."""
        super().resizeEvent(event)
        if hasattr(self, "_room"):  # pyqtgraph sizes itself before it is made
            if self._waiting is not None:
                self._waiting.setGeometry(self.rect())
            self.getPlotItem().layout.activate()
            self._fit()

    def show_ranges(self, x: tuple[float, float] | None = None, y: tuple[float, float] | None = None) -> None:
        """Show these ranges, unless the operator has chosen others; the ranges shown already cost nothing."""
        self._fit()
        box = self.getViewBox()
        shows = (box.setXRange, box.setYRange)
        for wanted, now, show, follows in zip((x, y), box.viewRange(), shows, self.follows, strict=True):
            if wanted is None or not follows:
                continue
            slack = 1e-6 * (wanted[1] - wanted[0])
            if abs(wanted[0] - now[0]) > slack or abs(wanted[1] - now[1]) > slack:
                show(*wanted, padding=0)

    def wait_for(self, text: str) -> None:
        """Say in the middle of an empty plot what it waits for; nothing takes the words away."""
        if text == self._waits_for:
            return
        self._waits_for = text
        if self._waiting is None:
            self._waiting = QtWidgets.QLabel(self)
            self._waiting.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
            self._waiting.setAttribute(QtCore.Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._waiting.setText(text)
        self._waiting.setFont(theme.font(9))
        self._waiting.setStyleSheet(f"color: {theme.current().muted}; background: transparent;")
        self._waiting.setGeometry(self.rect())
        self._waiting.setVisible(bool(text))
        self.show_numbers(not text)

    def show_numbers(self, shown: bool, sides: tuple[str, ...] = ("left", "bottom")) -> None:
        """Show the numbers on the axes, or not while nothing is drawn that they could be read for."""
        for side in sides:
            axis = self.getAxis(side)
            if axis.style["showValues"] != shown and axis.isVisible():
                axis.setStyle(showValues=shown)

    def follow_x(self, other: Plot) -> None:
        """Show the same stretch as another plot, wherever either is dragged."""
        self.setXLink(other)
        self.follows = other.follows

    def _let_go(self, mouse_moves) -> None:
        """The operator has dragged or zoomed along the axes that the mouse moves."""
        self.follows[:] = [follows and not moves for follows, moves in zip(self.follows, mouse_moves, strict=True)]

    def mouseDoubleClickEvent(self, event):
        """Follow the session again."""
        self.follows[:] = [True, True]
        super().mouseDoubleClickEvent(event)

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
            self.name_axis(side, text)
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
        pen = theme.pen(self.role, 1.2, 0.9, dashed=True) if self.edge else None
        self.low.setPen(pen)
        self.high.setPen(pen)

    def show(self, x, low, high) -> None:
        """Show the band; points that are not finite end it."""
        whole = np.isfinite(low) & np.isfinite(high)
        self.low.setData(x[whole], low[whole])
        self.high.setData(x[whole], high[whole])

    def setVisible(self, visible: bool) -> None:
        """Show or hide the band, in Qt's words."""
        for item in (self.fill, self.low, self.high):
            item.setVisible(visible)


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
        f'<span style="color:{getattr(theme.current(), role)}">{sign}</span>&nbsp;{words.replace(" %", "&nbsp;%")}'
        for role, sign, words in entries
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
