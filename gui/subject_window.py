"""The subject's window: nothing but the task, for a second display."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import veil
from gui.link import Link
from gui.panels.base import Context
from gui.panels.subject import SubjectPanel


class SubjectWindow(QtWidgets.QMainWindow):
    """A window with the subject's view; F11 fills the screen, Escape leaves it.

    Parameters
    ----------
    link : Link
    own_timer : bool
        Whether this window drives the link (it is the only window).
    """

    def __init__(self, link: Link, own_timer: bool = True):
        super().__init__()
        self.link = link
        self.setWindowTitle("bmi-runtime: subject")
        self.panel = SubjectPanel(Context(link.store))
        self.setCentralWidget(self.panel)
        self.veil = veil.Veil(self.panel)
        self.resize(800, 800)
        self.timer = QtCore.QTimer(self)
        self.timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self.tick)
        self._seen = -1
        if own_timer:
            self.timer.start(16)

    def tick(self) -> None:
        """Take in what has arrived and repaint when something has."""
        self.link.tick()
        self.refresh()

    def refresh(self) -> None:
        """Repaint when something new has arrived; grey the view when nothing has for a while."""
        if self.link.store.revision != self._seen:
            self._seen = self.link.store.revision
            self.panel.refresh()
        client = self.link.client
        address, locked_out = (client.control_address, client.locked_out) if client else ("", "")
        self.veil.show_text(veil.sentence(self.link.store, self.link.now_s(), address, locked_out))

    def keyPressEvent(self, event: QtGui.QKeyEvent):
        """F11: full screen and back; Escape: back."""
        if event.key() == QtCore.Qt.Key.Key_F11:
            self.setWindowState(self.windowState() ^ QtCore.Qt.WindowState.WindowFullScreen)
        elif event.key() == QtCore.Qt.Key.Key_Escape and self.isFullScreen():
            self.showNormal()
        else:
            super().keyPressEvent(event)
