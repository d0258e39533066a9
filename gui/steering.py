"""The pointer over the subject's view steers: its place, in metres, goes to the source of the session."""

from __future__ import annotations

import zmq
from pyqtgraph.Qt import QtCore

from bmi_runtime.messages import pack
from gui.panels.subject import SubjectView


class PointerSteering(QtCore.QObject):
    """Sends where the pointer is in any subject's view; what cannot be sent at once is dropped.

    Parameters
    ----------
    address : str
        Of the source (`bmi run --steer mouse`).
    application : QApplication
    """

    def __init__(self, address: str, application):
        super().__init__(application)
        self._socket = zmq.Context.instance().socket(zmq.PUSH)
        self._socket.linger, self._socket.sndhwm = 0, 10
        self._socket.connect(address)
        self.sent = 0
        application.installEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        """Follow the pointer over subject's views; no event is taken from anyone."""
        if isinstance(watched, SubjectView):
            kind = event.type()
            if kind in (QtCore.QEvent.Type.Show, QtCore.QEvent.Type.Enter):
                watched.setMouseTracking(True)
            elif kind == QtCore.QEvent.Type.MouseMove and watched.frames:
                self.send(*place_m(watched, event.pos()))
        return False

    def send(self, x_m: float, y_m: float) -> None:
        """Send one place (m), or drop it."""
        try:
            self._socket.send(pack({"pointer_m": [x_m, y_m]}), zmq.NOBLOCK)
            self.sent += 1
        except zmq.Again:
            pass

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def place_m(view: SubjectView, pixel) -> tuple[float, float]:
    """Return where in the workspace (m) a pixel of a subject's view is."""
    return (pixel.x() - view.middle.x()) / view.scale, (view.middle.y() - pixel.y()) / view.scale
