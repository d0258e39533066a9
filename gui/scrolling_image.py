"""An image whose columns arrive one at a time: only what is new is worked out, and drawing it is one scaled copy."""

from __future__ import annotations

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui


class ScrollingImage(pyqtgraph.GraphicsObject):
    """The newest columns of a growing image, oldest left.

    Like a `ring_buffer.Ring`, every column is written twice, so that the newest ones always lie side by side. The
    pixels are those of the screen's own format, which Qt scales four times faster than an image of indices.

    Parameters
    ----------
    capacity : int
        Columns.
    """

    def __init__(self, capacity: int):
        super().__init__()
        self.capacity, self.size, self._at = capacity, 0, 0
        self.rows = self.shown = 0
        self.colours = np.zeros(256, np.uint32)
        self._where = QtCore.QRectF()
        self._resize(1)

    def _resize(self, rows: int) -> None:
        self.rows, self.size, self._at = rows, 0, 0
        self._pixels = np.zeros((rows, 2 * self.capacity), np.uint32)
        self._image = pyqtgraph.functions.ndarray_to_qimage(
            self._pixels.view(np.uint8).reshape(rows, 2 * self.capacity, 4), QtGui.QImage.Format.Format_RGB32
        )

    def set_colours(self, colours: np.ndarray) -> None:
        """Take the red, green and blue of each of 256 brightnesses, (256, 3); what is shown keeps its colours."""
        parts = colours.astype(np.uint32)
        self.colours = np.uint32(0xFF000000) | (parts[:, 0] << 16) | (parts[:, 1] << 8) | parts[:, 2]

    def replace(self, brightness: np.ndarray) -> None:
        """Show these columns, (columns, rows) of 0 to 255, and none of those before."""
        if brightness.shape[1] != self.rows:
            self._resize(brightness.shape[1])
        newest = brightness[-self.capacity :]
        self.size, self._at = len(newest), len(newest) % self.capacity
        for start in (0, self.capacity):
            self._pixels[:, start : start + self.size] = self.colours[newest.T]
        self.update()

    def append(self, brightness: np.ndarray) -> None:
        """Add columns, (columns, rows) of 0 to 255; past the capacity the oldest are forgotten."""
        for column in brightness[-self.capacity :]:
            self._pixels[:, self._at] = self._pixels[:, self._at + self.capacity] = self.colours[column]
            self._at = (self._at + 1) % self.capacity
            self.size = min(self.size + 1, self.capacity)
        if len(brightness):
            self.update()

    def place(self, column_width: float, columns: int, height: float, bottom: float = 0.0) -> None:
        """Show at most so many columns, each so wide, their newest end at 0, the rows `height` high from `bottom`."""
        self.shown = min(columns, self.size)
        where = QtCore.QRectF(-column_width * self.shown, bottom, column_width * self.shown, height)
        if where != self._where:
            self.prepareGeometryChange()
            self._where = where

    def boundingRect(self) -> QtCore.QRectF:
        """Return where the image lies."""
        return self._where

    def paint(self, painter, *_) -> None:
        """Copy the newest columns to where they lie; the first row is the lowest."""
        if not self.shown:
            return
        end = self._at + (self.capacity if self.size == self.capacity else 0)
        source = QtCore.QRectF(end - self.shown, 0, self.shown, self.rows)
        painter.drawImage(self._where, self._image, source)
