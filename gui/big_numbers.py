"""Text that changes all the time, and rows of big numbers, in room of their own."""

from __future__ import annotations

from pyqtgraph.Qt import QtGui, QtWidgets

from gui import theme


class FixedWidthLabel(QtWidgets.QLabel):
    """A label for text that changes all the time: it keeps its room, so that a change does not lay the window out.

    The room grows when a text needs more, and never shrinks. (A label of fixed size is the one kind that Qt does not
    lay out again for each text.)
    """

    def show_text(self, text: str) -> None:
        """Show a text."""
        if text == self.text():
            return
        needed = self.fontMetrics().size(0, text)
        margins = self.contentsMargins()
        width = needed.width() + margins.left() + margins.right() + 2
        height = needed.height() + margins.top() + margins.bottom()
        if width > self.maximumWidth() or self.minimumWidth() == 0 or height != self.minimumHeight():
            self.setFixedSize(max(width, self.minimumWidth()), height)
        self.setText(text)

    def setFont(self, font) -> None:
        """Take a font, and the room for the text in it."""
        super().setFont(font)
        text = self.text()
        self.setMinimumSize(0, 0)
        self.setMaximumSize(ANY_SIZE, ANY_SIZE)
        self.setText("")
        self.show_text(text)


ANY_SIZE = 16_777_215  # pixels, QWIDGETSIZE_MAX, which only one binding of Qt names
SIZES = ((12, 8, 10), (10, 7, 6), (8.5, 6, 4), (7.5, 5.5, 3))  # of big numbers: points, captions' points, pixels apart


class Figures(QtWidgets.QWidget):
    """A row of big numbers with small captions; in a narrow panel they are smaller rather than on top of each other.

    Parameters
    ----------
    captions : sequence of str
    """

    def __init__(self, captions):
        super().__init__()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 2)
        layout.setSpacing(10)
        layout.setSizeConstraint(QtWidgets.QLayout.SizeConstraint.SetNoConstraint)
        self.setMinimumWidth(1)  # the letters follow the panel, not the panel the letters
        self.values, self._captions = {}, []
        self._size, self._longest = SIZES[0], dict.fromkeys(captions, "–")
        for caption in captions:
            column = QtWidgets.QVBoxLayout()
            column.setSpacing(0)
            value, under = FixedWidthLabel("–"), QtWidgets.QLabel(caption)
            self.values[caption] = value
            self._captions.append(under)
            column.addWidget(value)
            column.addWidget(under)
            layout.addLayout(column)
        layout.addStretch(1)
        self.restyle()

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme."""
        big, small, apart = self._size
        self.layout().setSpacing(apart)
        for value in self.values.values():
            value.setFont(theme.font(big, bold=True))
        for caption in self._captions:
            caption.setFont(theme.font(small))
            caption.setStyleSheet(f"color: {theme.current().muted}")

    def resizeEvent(self, event):
        """Choose the letters' size again."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Take the largest letters with which all stand side by side."""
        size = next((size for size in SIZES if self._needed(*size) <= self.width()), SIZES[-1])
        if size != self._size:
            self._size = size
            self.restyle()

    def _needed(self, big: float, small: float, apart: int) -> int:
        """Return the width, pixels, of all texts at a size."""
        values, captions = (QtGui.QFontMetrics(font) for font in (theme.font(big, bold=True), theme.font(small)))
        widths = [
            max(values.size(0, text).width() + 2, captions.size(0, name).width())
            for name, text in self._longest.items()
        ]
        return sum(widths) + apart * len(widths) + 20

    def show_value(self, caption: str, text: str, role: str = "text") -> None:
        """Show one number, in a role's colour (the words must say it too)."""
        label = self.values[caption]
        if len(text) > len(self._longest[caption]):
            self._longest[caption] = text
            self._fit()
        label.show_text(text)
        style = f"color: {getattr(theme.current(), role)}"
        if label.styleSheet() != style:
            label.setStyleSheet(style)
