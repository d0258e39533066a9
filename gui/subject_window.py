"""The subject's window: nothing but the task, on a screen of its own, in centimetres, with patch and sounds."""

from __future__ import annotations

from collections.abc import Callable

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import screens, stale_overlay
from gui.link import Link
from gui.panels.subject import SubjectView
from gui.safety_keys import SafetyKeys
from gui.session_commands import SessionCommands
from gui.sounds import Sounds
from gui.subject_options import SubjectOptions

MM_PER_INCH = 25.4


class SubjectWindow(QtWidgets.QMainWindow):
    """A window with the subject's view. F11 fills its screen, Escape leaves it; it never takes the keyboard's focus.

    Parameters
    ----------
    link : Link
    own_timer : bool
        Whether this window drives the link (it is the only window).
    options : SubjectOptions, optional
    say : callable, optional
        Shows the operator a sentence.
    """

    def __init__(
        self, link: Link, own_timer: bool = True, options: SubjectOptions | None = None, say: Callable | None = None
    ):
        super().__init__()
        self.link, self.say = link, say or (lambda text: None)
        self.setWindowTitle("bmi-runtime: subject")
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self.options = options or SubjectOptions()
        self.view = SubjectView(link.store, self.options)
        self.setCentralWidget(self.view)
        self.overlay = stale_overlay.StaleOverlay(self.view)
        self.sounds: Sounds | None = None
        self.resize(screens.fitting(QtCore.QSize(800, 800), screens.available()))
        self._seen, self._heard = -1, (0, 0, 0)
        self.timer = QtCore.QTimer(self)
        self.timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self.tick)
        self.keys: SafetyKeys | None = None
        if own_timer:
            self.commands = SessionCommands(link, self, self.say)
            self.keys = SafetyKeys(self.run, self)
            self.timer.start(16)
        self._stands_on = ""  # the screen's name; Qt has moved the window before it says that a screen is gone
        self._gone: str | None = None
        self._followed: QtGui.QWindow | None = None
        application = QtWidgets.QApplication.instance()
        application.screenRemoved.connect(self._screen_removed)
        application.screenAdded.connect(self._screen_added)
        self.apply(self.options)

    def run(self, name: str) -> None:
        """Do what a key asked for, in a window that is alone."""
        held = self.link.store.held
        known = ("hold", "stop", "stop_output", "stop_output_now", "marker", "toggle_adaptation")
        action = getattr(self.commands, name) if name in known else None
        if name == "start" and held:
            action = self.commands.resume
        if action is not None and self.link.store.connection(self.link.now_s()) == "connected":
            action()

    # -- place and size --------------------------------------------------------------------------------------------

    def apply(self, options: SubjectOptions) -> None:
        """Take other options."""
        self.options = self.view.options = options
        self.setCursor(QtCore.Qt.CursorShape.BlankCursor if options.hide_pointer else QtCore.Qt.CursorShape.ArrowCursor)
        if options.sounds and self.sounds is None:
            self.sounds = Sounds()
        self.view.pixels_per_cm = self._pixels_per_cm(self.screen())
        self.view.update()

    def _pixels_per_cm(self, screen: QtGui.QScreen) -> float:
        """Return how many of the screen's logical pixels are a centimetre: as measured, or as it says of itself."""
        width_cm = self.options.screen_width_cm or screen.physicalSize().width() / 10.0
        if not 5.0 <= width_cm <= 1000.0:  # projectors and virtual screens often say nonsense
            return screen.logicalDotsPerInch() * 10.0 / MM_PER_INCH
        return screen.size().width() / width_cm

    def show_on_screen(self, found: QtGui.QScreen | None = None) -> None:
        """Show the window on its screen (or on the one given); the keyboard stays where it is."""
        if found is None and self.options.screen:
            found = screens.named(self.options.screen)
        if self.options.screen and found is None:
            there = "; ".join(screens.names())
            self.say(f"✕ there is no screen '{self.options.screen}' now, there are: {there}. The window opens here")
        several = len(QtGui.QGuiApplication.screens()) > 1
        screen = found or (QtGui.QGuiApplication.screens()[-1] if several and not self.options.screen else None)
        if screen is not None:
            room = screen.availableGeometry()
            size = screens.fitting(QtCore.QSize(800, 800), room)
            self.setGeometry(QtCore.QRect(room.topLeft() + QtCore.QPoint(30, 40), size))
            self.create()
            self.windowHandle().setScreen(screen)
        if self.options.full_screen and screen is not None and several:
            self.showFullScreen()
        else:
            if not several:
                self._stand_beside()
            self.show()
        self._gone = None
        self._note_screen()
        if self._followed is not self.windowHandle():
            self._followed = self.windowHandle()
            self._followed.screenChanged.connect(lambda _: self._note_screen())

    def _stand_beside(self) -> None:
        """Take a corner of the operator's screen, beside the buttons, not over them."""
        room = screens.available()
        side = min(room.width(), room.height()) // 2
        self.setGeometry(room.left() + 8, room.bottom() - side - 40, side, side)  # the status bar stays in view

    def _note_screen(self) -> None:
        """Remember the screen, and take its centimetres: the window was shown or moved to it."""
        if self.screen() in QtGui.QGuiApplication.screens() and self._gone is None:
            self._stands_on = self.screen().name()
        self.apply(self.options)

    def _screen_removed(self, screen: QtGui.QScreen) -> None:
        """Leave full screen when the subject's screen has gone: Qt would fill the operator's, or show nothing."""
        if self.isVisible() and screen.name() == self._stands_on and self._gone is None:
            self._gone = screen.name()
            self.showNormal()
            self._stand_beside()
            self.say(f"✕ the subject's screen {screen.name()} is gone: its window is here until the screen is back")

    def _screen_added(self, screen: QtGui.QScreen) -> None:
        if self.isVisible() and screen.name() == self._gone:
            QtCore.QTimer.singleShot(screens.SETTLE_MS, self._go_back)

    def _go_back(self) -> None:
        """Return to the screen that was gone."""
        found = screens.named(self._gone or "")
        if not self.isVisible() or found is None:
            return
        self.show_on_screen(found)
        self.say(f"the subject's screen {found.name()} is back, and its window on it")

    # -- what arrives ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take what has arrived and repaint when something has."""
        self.link.tick()
        self.refresh()

    def refresh(self) -> None:
        """Repaint when something new has arrived; show the rest picture when nothing runs."""
        store = self.link.store
        alive = store.connection(self.link.now_s()) == "connected"
        if store.revision != self._seen or alive == self.view.resting:
            self._seen, self.view.resting = store.revision, not alive
            self.view.update()
        if alive and self.sounds is not None and self.options.sounds:
            self._sound()
        client = self.link.client
        address, locked_out = (client.control_address, client.locked_out) if client else ("", "")
        told = "" if self.isFullScreen() else stale_overlay.sentence(store, self.link.now_s(), address, locked_out)
        self.overlay.show_text(told)  # to whoever sets it up; a subject before the whole screen is told nothing

    def _sound(self) -> None:
        out = self.link.store.step["output"] if self.link.store.step is not None else None
        if out is None or self.sounds is None:
            return
        heard = int(out["successes"]), int(out["timeouts"]), int(out["trial"])
        before, self._heard = self._heard, heard
        if before == (0, 0, 0):
            return
        for index, name in enumerate(("success", "failure", "go")):
            if heard[index] == before[index] + 1:
                self.sounds.play(name)
                return

    def keyPressEvent(self, event: QtGui.QKeyEvent):
        """F11: full screen and back; Escape: back."""
        if event.key() == QtCore.Qt.Key.Key_F11:
            self.setWindowState(self.windowState() ^ QtCore.Qt.WindowState.WindowFullScreen)
        elif event.key() == QtCore.Qt.Key.Key_Escape and self.isFullScreen():
            self.showNormal()
        elif event.key() == QtCore.Qt.Key.Key_F12 and self.keys is None:  # as in the console, which opened it
            self.close()
        else:
            super().keyPressEvent(event)

    def closeEvent(self, event):
        """End what belongs to the window."""
        self.timer.stop()
        if self.keys is not None:
            self.keys.close()
        self.sounds = None
        event.accept()
