"""What belongs on every curve: marks, blocks, and the way of the cursor in the trial under way. No Qt here."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import theme


@dataclasses.dataclass(frozen=True)
class Mark:
    """Something that belongs on every curve: a change of a parameter, a hold, a marker, a change of safety state."""

    bin: int
    t_s: float
    kind: str  # change, hold, marker, safety
    text: str


@dataclasses.dataclass(frozen=True)
class Block:
    """A stretch of the session in which task, adaptation and decoder were the same."""

    number: int
    t_s: float
    task: str
    adapting: bool
    frozen: bool
    name: str = ""


@dataclasses.dataclass
class Path:
    """The way of the cursor since the trial began, as far as this window saw it.

    Attributes
    ----------
    start : tuple of float or None
        Where it began, m; None before the first step of a trial.
    length_m : float
    last_target : tuple of float or None
        Of the trial before, where a trial begins when nothing was seen of its start.
    """

    start: tuple[float, ...] | None = None
    length_m: float = math.nan
    last_target: tuple[float, ...] | None = None


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
