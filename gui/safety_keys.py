"""The keys that steer a session work wherever the keyboard's focus is in this program: dialogs, menus, other windows.

Qt gives a key to the window that has the focus, and shuts the shortcuts of all others out while a dialog is open. Hold
and the stop of the output must not wait for a dialog to be closed, so these few keys are taken before any window sees
them.
"""

from __future__ import annotations

from collections.abc import Callable

from pyqtgraph.Qt import QtCore, QtWidgets

HELD_DOWN_MS = 600
"""How long Shift+F9 is kept down to stop the output without a question."""
SURE_MS = 60  # in which a release that waits to be read may still come

_KEYS, _MODIFIERS = QtCore.Qt.Key, QtCore.Qt.KeyboardModifier
ACTIONS = {
    (_KEYS.Key_F4, False): "acknowledge",
    (_KEYS.Key_F5, False): "start",
    (_KEYS.Key_F6, False): "hold",
    (_KEYS.Key_F7, False): "toggle_adaptation",
    (_KEYS.Key_F8, False): "marker",
    (_KEYS.Key_F9, False): "stop",
    (_KEYS.Key_F9, True): "stop_output",
}
"""``(key, whether Shift is down)``: name in the table of actions."""


class SafetyKeys(QtCore.QObject):
    """Takes the keys of :data:`ACTIONS` from the whole application.

    Parameters
    ----------
    run : callable
        ``run(action_name)``; also gets ``stop_output_now`` when Shift+F9 was kept down.
    parent : QObject
        The filter lives as long as this.
    """

    def __init__(self, run: Callable[[str], object], parent: QtCore.QObject):
        super().__init__(parent)
        self.run = run
        self._kept_down = QtCore.QTimer(self)
        self._kept_down.setSingleShot(True)
        self._kept_down.setInterval(HELD_DOWN_MS)
        self._sure = QtCore.QTimer(self)  # on a busy machine the release may have come, and only wait to be read
        self._sure.setSingleShot(True)
        self._sure.setInterval(SURE_MS)
        self._kept_down.timeout.connect(self._sure.start)
        self._sure.timeout.connect(lambda: self.run("stop_output_now"))
        QtWidgets.QApplication.instance().installEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        """Take a key of the table; leave every other event alone."""
        kind = event.type()
        if kind not in (
            QtCore.QEvent.Type.ShortcutOverride,
            QtCore.QEvent.Type.KeyPress,
            QtCore.QEvent.Type.KeyRelease,
        ):
            return False
        name = self._action(event)
        if name is None:
            return False
        event.accept()
        if event.isAutoRepeat() or kind == QtCore.QEvent.Type.ShortcutOverride:
            return True
        if kind == QtCore.QEvent.Type.KeyRelease:
            self._let_go()
            return True
        if name == "stop_output":
            self._kept_down.start()
        self.run(name)
        return True

    def _action(self, event) -> str | None:
        modifiers = event.modifiers() & ~_MODIFIERS.KeypadModifier
        if event.type() == QtCore.QEvent.Type.KeyRelease and event.key() == _KEYS.Key_F9:
            return "stop"  # Shift may have been released first
        if modifiers not in (_MODIFIERS.NoModifier, _MODIFIERS.ShiftModifier):
            return None
        return ACTIONS.get((event.key(), modifiers == _MODIFIERS.ShiftModifier))

    def _let_go(self) -> None:
        self._kept_down.stop()
        self._sure.stop()

    def close(self) -> None:
        """Leave the keys alone."""
        self._let_go()
        application = QtWidgets.QApplication.instance()
        if application is not None:
            application.removeEventFilter(self)
