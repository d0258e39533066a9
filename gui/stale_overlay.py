"""The overlay of a panel whose picture is no longer alive."""

from __future__ import annotations

import os

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import theme


class StaleOverlay(QtWidgets.QWidget):
    """Greys its parent and says why; lets every click through.

    Parameters
    ----------
    parent : QWidget
        The widget to cover.
    """

    def __init__(self, parent: QtWidgets.QWidget):
        super().__init__(parent)
        self.text = ""
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        parent.installEventFilter(self)
        self.hide()

    def show_text(self, text: str) -> None:
        """Cover the parent with a sentence; an empty one uncovers it."""
        changed, self.text = text != self.text, text
        if not text:
            if not self.isHidden():
                self.hide()
            return
        self.setGeometry(self.parentWidget().rect())
        if self.isHidden():
            self.show()
            self.raise_()
        if changed:
            self.update()

    def eventFilter(self, watched, event):
        """Follow the parent's size."""
        if event.type() == QtCore.QEvent.Type.Resize:
            self.setGeometry(self.parentWidget().rect())
        return False

    def paintEvent(self, event):
        """Paint grey and the sentence."""
        painter = QtGui.QPainter(self)
        grey = QtGui.QColor(128, 134, 140, 150)
        painter.fillRect(self.rect(), grey)
        points = 15 if self.width() > 380 else 10
        painter.setFont(theme.font(points, bold=True))
        box = QtCore.QRectF(self.rect()).adjusted(12, 6, -12, -6)
        flags = QtCore.Qt.AlignmentFlag.AlignCenter | QtCore.Qt.TextFlag.TextWordWrap
        needed = painter.boundingRect(box, flags, self.text).adjusted(-12, -8, 12, 8)
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("window"))
        painter.drawRoundedRect(needed, 6, 6)
        painter.setPen(theme.colour("text"))
        painter.drawText(box, flags, self.text)
        painter.end()


def short(text: str) -> str:
    """Return what the smaller panels say while one says it all: a wall of one sentence is read by nobody."""
    if text.startswith("waiting"):
        return "waiting"
    return "ended" if text.startswith("the session has ended") else text.partition("\n")[0]


def sentence(store, now_s: float, control_address: str, locked_out: str = "", opening: str = "") -> str:
    """Return why the picture is not alive, or nothing when it is.

    Parameters
    ----------
    store : Store
    now_s : float
    control_address : str
    locked_out : str
        Why the runtime lets nobody in here.
    opening : str
        The recording whose first picture is on its way.
    """
    connection = store.connection(now_s)
    if connection == "waiting" and opening:
        return f"opening {os.path.basename(opening)} …"
    if connection == "waiting" and locked_out:
        return locked_out
    if connection == "waiting":
        where = control_address.removeprefix("tcp://")
        return f"waiting for a session at {where}\nStart (F5) begins one, or type: bmi run"
    if connection == "lost":
        return f"connection lost: last update {store.age_s(now_s):.1f} s ago"
    if connection == "ended":
        found = "\nits recording is in the panel Recordings" if store.recording else ""
        why = f": {store.ended_why}" if store.ended_why else ""
        return f"the session has ended{why} ({store.age_s(now_s):.0f} s ago){found}"
    return ""
