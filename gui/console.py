"""The operator's console: the session bar, the panels in docks, and who does what an action says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import actions, layouts, panels, screens
from gui.chrome import Chrome
from gui.dialog_actions import DialogActions
from gui.dock import Dock
from gui.frames import Frames
from gui.link import Link
from gui.panels.base import Context
from gui.replay_actions import ReplayActions
from gui.replay_control import ReplayControl
from gui.safety_keys import SafetyKeys
from gui.session_actions import SessionActions
from gui.view_actions import ViewActions

FRAME_MS = 30  # between two looks at what came
SUBJECT_MS = 15  # while the subject's window is open: it shows every message
WANTED = QtCore.QSize(1600, 1000)
SMALLEST = QtCore.QSize(480, 300)


class Console(QtWidgets.QMainWindow):
    """The operator's window.

    Parameters
    ----------
    link : Link
    layout : {"run", "calibrate", "inspect"}
    remember : bool
        Whether arrangements are read and written per user.
    live : bool
        Whether the window's own timer runs; False for pictures.
    recordings_folder : str

    Attributes
    ----------
    docks : dict of Dock
        One for each panel, by the panel's name.
    chrome : Chrome
        The bars around them.
    session_actions, replay_actions, view_actions, dialog_actions
        Who does what, by ``do_<name>``.
    """

    def __init__(self, link: Link, layout="run", remember=True, live=True, recordings_folder="recordings"):
        super().__init__()
        self.link, self.store = link, link.store
        client = link.client
        self.home = (client.telemetry_address, client.control_address, client.keys) if client else ("", "", "")
        self.context = Context(self.store, self.link.send, self.run)
        self.memory, self.layout_name = layouts.Memory(remember), layout
        self.frames, self._arranged, self._between = Frames(), False, False
        self._set_up_window()
        self.chrome = Chrome(self, audible=live)
        self.docks = self._make_docks(recordings_folder)
        self._make_actors()
        self.actions_by_name = self._make_menus()
        self.keys = SafetyKeys(self.run_if_enabled, self) if live else None
        self.apply_layout(layout)
        self.setFocus()
        QtWidgets.QApplication.instance().screenRemoved.connect(self._screen_removed)
        self.timer = QtCore.QTimer(self)
        self.timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self.tick)
        if live:
            self.timer.start(FRAME_MS)

    # -- building --------------------------------------------------------------------------------------------------

    def _set_up_window(self) -> None:
        self.setWindowTitle("bmi-runtime")
        self.setDockNestingEnabled(True)
        self.setDockOptions(self.dockOptions() | QtWidgets.QMainWindow.DockOption.AllowTabbedDocks)
        self.setTabPosition(QtCore.Qt.DockWidgetArea.AllDockWidgetAreas, QtWidgets.QTabWidget.TabPosition.North)
        self.setMinimumSize(SMALLEST)  # a small screen must be able to hold it, whatever the panels wish for
        self.resize(WANTED)

    def _make_docks(self, recordings_folder: str) -> dict[str, Dock]:
        docks: dict[str, Dock] = {}
        for name, row in panels.available().items():
            panel = panels.made(name, row, self.context)
            if name == "recordings":
                panel.folder = recordings_folder
            docks[name] = Dock(name, panel, lambda panel: self.run("explain", panel))
            self.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, docks[name])
        return docks

    def _make_actors(self) -> None:
        panel = self.docks["replay"].panel
        self.replay = ReplayControl(
            self.link, panel, self.do_say, self._recording_opened, lambda: self.chrome.refresh_soon()
        )
        self.session_actions, self.replay_actions = SessionActions(self), ReplayActions(self, self.replay)
        self.view_actions, self.dialog_actions = ViewActions(self), DialogActions(self)
        actors = (self, self.session_actions, self.replay_actions, self.view_actions, self.dialog_actions)
        self.handlers: dict[str, Callable[..., Any]] = actions.handlers(*actors)

    def _make_menus(self) -> dict[str, QtGui.QAction]:
        """Make menus and keys from the one table; return its actions by name."""
        made = {}
        menus = {name: self.menuBar().addMenu(f"&{name}") for name in actions.MENUS}
        kind = getattr(QtGui, "QAction", None) or QtWidgets.QAction
        texts = actions.with_letters()
        for action in actions.ACTIONS:
            entry = made[action.name] = kind(texts[action.name], self)
            entry.setShortcut(QtGui.QKeySequence(action.keys))
            entry.setToolTip(action.tip)
            entry.setStatusTip(action.tip)
            entry.setCheckable(action.checkable)
            entry.triggered.connect(lambda _=False, name=action.name: self.run(name))
            menus[action.menu].addAction(entry)
            self.addAction(entry)
        for name, dock in self.docks.items():
            toggle = dock.toggleViewAction()
            toggle.triggered.connect(lambda shown, name=name: self.show_panel(name) if shown else None)
            menus["Panels"].addAction(toggle)
        return made

    # -- actions ---------------------------------------------------------------------------------------------------

    def enabled(self, name: str) -> bool:
        """Return whether an action makes sense now."""
        store, action = self.store, actions.named(name)
        if store.watching and action.when in ("session", "startable", "holdable"):
            return False
        connection = store.connection(self.link.now_s())
        goes_on = store.held and not store.live.get("session.stopped")  # stopped output does not come back
        held = goes_on if action.when == "startable" else store.held
        return actions.enabled(action, store.mode, connection, held, bool(store.replay.get("paused")))

    def run(self, name: str, *arguments):
        """Do an action, by its name in the table (or one of the panels' own requests)."""
        return self.handlers[name](*arguments)

    def run_if_enabled(self, name: str) -> None:
        """Do an action that a key asked for, or say why it does nothing now."""
        wanted = "stop_output" if name == "stop_output_now" else name
        if self.enabled(wanted):
            self.run(name)
        elif wanted in ("hold", "stop_output") and self._session_is_silent():
            self.session_actions.commands.hold_when_it_answers(wanted != "hold" or not self.store.hold_owed)
        else:
            self.do_say(f"{actions.named(wanted).text}: {self.why_not()}")

    def _session_is_silent(self) -> bool:
        store = self.store
        steers = store.mode in ("live", "simulated") and not store.watching
        return steers and store.connection(self.link.now_s()) == "lost"

    def why_not(self) -> str:
        """Return why an action makes no sense now."""
        store = self.store
        if store.watching:
            return "this window only watches (no operator's key)"
        connection = store.connection(self.link.now_s())
        if connection in ("waiting", "ended"):
            return "no session runs (F5 starts one)"
        if connection == "lost":
            return "the runtime does not answer; the session bar says since when"
        if store.live.get("session.stopped"):
            return "the output is stopped for good; Stop (F9), then start a new session"
        return "it is held already" if store.held else "not in a replay" if store.mode == "replay" else "not now"

    def do_say(self, text: str) -> None:
        """Show a sentence in the status bar."""
        self.statusBar().showMessage(text, 12_000)

    # -- every frame -----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take what has arrived; show it here, and at twice the rate in the subject's window if open."""
        self.link.tick()
        if self._beside():
            self.view_actions.subject.refresh()
            self._between = not self._between
            if self._between:
                return
        self.session_actions.watch()
        self.refresh()

    def quicken(self) -> None:
        """Tick at the pace of the subject's window, as long as it is open."""
        self.timer.setInterval(SUBJECT_MS)

    def _beside(self) -> bool:
        """Return whether the subject's window is open; once it is closed, frames are as far apart as before."""
        subject = self.view_actions.subject
        if subject is None:
            return False
        if subject.isVisible():
            return True
        if self.timer.interval() == SUBJECT_MS:
            self.timer.setInterval(FRAME_MS)
        return False

    def refresh(self, all_panels: bool = False) -> None:
        """Refresh the bar, and the panels that are seen and due (or all that are seen)."""
        now_s = time.monotonic()
        self.chrome.refresh_when_due(now_s, all_panels)
        if all_panels or not self.context.frozen:
            self.frames.draw(self.docks.values(), self.store.revision, now_s, all_panels)

    # -- layouts ---------------------------------------------------------------------------------------------------

    def _recording_opened(self) -> None:
        if self.layout_name != "inspect":
            self.apply_layout("inspect")

    def apply_layout(self, name: str, keep: bool = True) -> None:
        """Change to a layout; what was changed in the one before is remembered (`keep`)."""
        if keep and self.isVisible():
            self.memory.save(self.layout_name, self, self.docks)
        self.layout_name = name
        if not self.memory.restore(name, self, self.docks):
            layouts.arrange(self, self.docks, name)

    def show_panel(self, name: str) -> None:
        """Bring a panel to the front; one that the layout does not hold becomes a tab of its largest cell."""
        dock = self.docks[name]
        layouts.put_in(self, self.docks, name)
        dock.show()
        dock.raise_()

    def show_on_screen(self) -> None:
        """Show the window where it stood last, or as large as wanted, but never larger than the screen."""
        place = self.memory.geometry()
        if place is None:
            screens.show_fitting(self, WANTED)
        else:
            self.setGeometry(screens.on_a_screen(place))
            self.show()

    def _screen_removed(self) -> None:
        QtCore.QTimer.singleShot(screens.SETTLE_MS, lambda: screens.bring_back(self))

    def showEvent(self, event):
        """Arrange once more when the window has its size: docks cannot be sized before."""
        super().showEvent(event)
        if not self._arranged:
            self._arranged = True
            if QtGui.QGuiApplication.platformName() != "offscreen" and not self.isMaximized():
                self.resize(screens.fitting(self.size(), screens.available(self)))
            QtCore.QTimer.singleShot(0, lambda: self.apply_layout(self.layout_name, keep=False))

    def closeEvent(self, event):
        """Remember the layout, end the helpers; the session is left alone (asked about when the frame closes it)."""
        if event.spontaneous() and self.session_actions.runs():
            event.ignore()
            self.session_actions.ask_before_closing()
            return
        self.memory.save(self.layout_name, self, self.docks)
        self.memory.put_geometry(self)
        self.timer.stop()
        if self.keys is not None:
            self.keys.close()
        self.replay.close()
        self.docks["recordings"].panel.stop()
        if self.view_actions.subject is not None:
            self.view_actions.subject.close()
        event.accept()
