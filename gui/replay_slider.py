"""The line of a recording: where it is, and marks at what happened."""

from __future__ import annotations

from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import theme


class Timeline(QtWidgets.QSlider):
    """A slider over the recording with marks at trials, commands and other events."""

    def __init__(self):
        super().__init__(QtCore.Qt.Orientation.Horizontal)
        self.marks: list[list[Any]] = []
        self.setMinimumHeight(34)
        self.setTickPosition(QtWidgets.QSlider.TickPosition.NoTicks)

    def paintEvent(self, event):
        """Paint the marks under the slider: ticks for trials, longer ones with a head for commands."""
        super().paintEvent(event)
        painter = QtGui.QPainter(self)
        span = max(self.maximum(), 1)
        for at, stream, *_ in self.marks:
            x = 7 + round(at / span * (self.width() - 14))
            command = stream == "command"
            painter.setPen(QtGui.QPen(theme.colour("second" if command else "muted"), 2 if command else 1))
            painter.drawLine(x, self.height() - (9 if command else 6), x, self.height())
            if command:
                painter.drawText(x - 4, self.height() - 10, "▾")
        painter.end()

    def mousePressEvent(self, event):
        """Go where the click is."""
        if event.button() == QtCore.Qt.MouseButton.LeftButton:
            x = event.pos().x()
            self.setValue(round(self.maximum() * min(max((x - 7) / max(self.width() - 14, 1), 0), 1)))
            self.sliderMoved.emit(self.value())
        super().mousePressEvent(event)
