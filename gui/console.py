"""The operator's console: the session bar, the panels in docks, and what every action does."""

from __future__ import annotations

import time

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from bmi_runtime.errors import BadInput
from gui import actions, dialogs, files, layouts, panels, plots, screens, stale_overlay, subject_options, theme
from gui.alarm_bar import AlarmBar
from gui.alarms import Alarms
from gui.client import Client
from gui.dock import Dock
from gui.event_log import PARAMETERS, short
from gui.link import Link
from gui.panels.base import Context, Panel
from gui.panels.file_panel import panel_for
from gui.replay_control import ReplayControl
from gui.safety_keys import SafetyKeys
from gui.session_bar import SessionBar
from gui.session_commands import SessionCommands, ask
from gui.session_start import SessionStart
from gui.sounds import Sounds
from gui.subject_settings import SubjectSettings
from gui.subject_window import SubjectWindow

FRAME_MS = 30
SUBJECT_MS = 15  # while the subject's window is open: it shows every message
CHORES_HZ = 10.0  # of the bar, the overlays, what may be pressed
FAST_HZ = 25.0  # panels at least this fast are in every frame; of the others few at a time, so that no frame is long
ALWAYS_LIVE = ("recordings", "events", "replay", "calibration", "summary", "performance")
"""Panels of use before a session and after it."""
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
    """

    def __init__(self, link: Link, layout="run", remember=True, live=True, recordings_folder="recordings"):
        super().__init__()
        self.link, self.store = link, link.store
        self.setWindowTitle("bmi-runtime")
        self.setDockNestingEnabled(True)
        self.setDockOptions(self.dockOptions() | QtWidgets.QMainWindow.DockOption.AllowTabbedDocks)
        self.setMinimumSize(SMALLEST)  # a small screen must be able to hold it, whatever the panels wish for
        self.resize(WANTED)
        self.context = Context(self.store, self.link.send, self.run)
        self.memory = layouts.Memory(remember)
        self.layout_name, self.frozen = layout, False
        client = link.client
        self.home = (client.telemetry_address, client.control_address, client.keys) if client else ("", "", "")
        self.subject: SubjectWindow | None = None
        self.frames, self.drawn_revision, self._arranged = 0, -1, False
        self._next_chores_s, self._between = 0.0, False
        self._state_shown: tuple = ()
        self._ended_seen = False
        self.alarms, self.sounds = Alarms(), Sounds() if live else None
        self.muted = self.memory.get("muted", "no") == "yes"
        self._build(recordings_folder)
        self.commands = SessionCommands(link, self, self.do_say)
        self.commands.on_stopped = lambda: QtCore.QTimer.singleShot(1500, self.docks["recordings"].panel.read)
        self.replay = ReplayControl(
            link, self.docks["replay"].panel, self.do_say, self._recording_opened, self._recording_failed
        )
        recordings = self.docks["recordings"].panel
        self.starting = SessionStart(self, self.home, self.memory, lambda: recordings.folder, self.do_say)
        self._make_actions()
        self.keys = SafetyKeys(self.run_if_enabled, self) if live else None
        self.apply_layout(layout)
        self.setFocus()
        self.timer = QtCore.QTimer(self)
        self.timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self.tick)
        if live:
            self.timer.start(FRAME_MS)

    # -- building --------------------------------------------------------------------------------------------------

    def _build(self, recordings_folder: str) -> None:
        self.bar = SessionBar(self.run)
        self.banner = QtWidgets.QLabel("")
        self.banner.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self.banner.hide()
        top = QtWidgets.QToolBar("Session")
        top.setObjectName("toolbar.session")
        top.setMovable(False)
        top.setContextMenuPolicy(QtCore.Qt.ContextMenuPolicy.PreventContextMenu)
        top.setStyleSheet("QToolBar { border: none; padding: 0; margin: 0; }")
        holder = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.bar)
        self.alarm_bar = AlarmBar(self.run)
        column.addWidget(self.alarm_bar)
        column.addWidget(self.banner)
        top.addWidget(holder)
        self.addToolBar(QtCore.Qt.ToolBarArea.TopToolBarArea, top)
        self.docks: dict[str, Dock] = {}
        for name, row in panels.available().items():
            panel = panels.made(name, row, self.context)
            if name == "recordings":
                panel.folder = recordings_folder
            self.docks[name] = Dock(name, panel, self.do_explain)
            self.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, self.docks[name])
        self.array_line = QtWidgets.QLabel()
        self.array_line.setContentsMargins(0, 0, 16, 0)
        self.statusBar().addPermanentWidget(self.array_line)
        self.counters = plots.FixedWidthLabel()
        self.counters.setContentsMargins(0, 0, 12, 0)
        self.statusBar().addPermanentWidget(self.counters)
        self.statusBar().setSizeGripEnabled(False)
        self.setTabPosition(QtCore.Qt.DockWidgetArea.AllDockWidgetAreas, QtWidgets.QTabWidget.TabPosition.North)

    def _make_actions(self) -> None:
        self.actions_by_name: dict[str, QtGui.QAction] = {}
        menus = {name: self.menuBar().addMenu(f"&{name}") for name in actions.MENUS}
        kind = getattr(QtGui, "QAction", None) or QtWidgets.QAction
        for action in actions.ACTIONS:
            made = kind(action.text, self)
            made.setShortcut(QtGui.QKeySequence(action.keys))
            made.setToolTip(action.tip)
            made.setStatusTip(action.tip)
            made.setCheckable(action.checkable)
            made.triggered.connect(lambda _=False, name=action.name: self.run(name))
            menus[action.menu].addAction(made)
            self.addAction(made)
            self.actions_by_name[action.name] = made
        for name, dock in self.docks.items():
            toggle = dock.toggleViewAction()
            toggle.triggered.connect(lambda shown, name=name: self.show_panel(name) if shown else None)
            menus["Panels"].addAction(toggle)

    def enabled(self, name: str) -> bool:
        """Return whether an action makes sense now."""
        store, action = self.store, actions.named(name)
        if store.watching and action.when in ("session", "startable", "holdable"):
            return False
        connection = store.connection(self.link.now_s())
        return actions.enabled(action, store.mode, connection, store.held, bool(store.replay.get("paused")))

    def run(self, name: str, *arguments):
        """Do an action, by its name in the table (or one of the panels' own requests)."""
        return getattr(self, f"do_{name}")(*arguments)

    def run_if_enabled(self, name: str) -> None:
        """Do an action that a key asked for, or say why it does nothing now."""
        wanted = "stop_output" if name == "stop_output_now" else name
        if self.enabled(wanted):
            self.run(name)
        else:
            self.do_say(f"{actions.named(wanted).text}: {self._why_not()}")

    def _why_not(self) -> str:
        store = self.store
        if store.watching:
            return "this window only watches (no operator's key)"
        connection = store.connection(self.link.now_s())
        if connection in ("waiting", "ended"):
            return "no session runs (F5 starts one)"
        if connection == "lost":
            return "the runtime does not answer; the session bar says since when"
        return "it is held already" if store.held else "not in a replay" if store.mode == "replay" else "not now"

    # -- every frame -----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take in what has arrived; show it here, and at twice the rate in the subject's window if open."""
        self.link.tick()
        if self._beside():
            self.subject.refresh()
            self._between = not self._between
            if self._between:
                return
        self.starting.watch()
        self._watch_end()
        self.refresh()

    def _beside(self) -> bool:
        """Return whether the subject's window is open; once it is closed, frames are as far apart as before."""
        if self.subject is None:
            return False
        if self.subject.isVisible():
            return True
        if self.timer.interval() == SUBJECT_MS:
            self.timer.setInterval(FRAME_MS)
        return False

    def refresh(self, all_panels: bool = False) -> None:
        """Refresh the bar, and the panels that are seen and due (or all that are seen)."""
        now_s = time.monotonic()
        state = self._state()
        if all_panels or state != self._state_shown or now_s >= self._next_chores_s:
            self._state_shown, self._next_chores_s = state, now_s + 1.0 / CHORES_HZ
            self._refresh_chrome()
        if self.frozen and not all_panels:
            return
        self.frames += self.store.revision != self.drawn_revision
        for panel in self._due(now_s, all_panels):
            panel.next_s = max(panel.next_s + 1.0 / panel.refresh_hz, now_s - 0.5 / panel.refresh_hz)
            panel.refresh()
        self.drawn_revision = self.store.revision

    def _state(self) -> tuple:
        """Return what the bar, the overlays and the actions depend on, but for ages and counts."""
        store = self.store
        connection, paused = store.connection(self.link.now_s()), store.replay.get("paused")
        return store.mode, connection, store.held, paused, store.safety, store.watching, store.recording, self.frozen

    def _due(self, now_s: float, all_panels: bool) -> list[Panel]:
        """Return the panels to refresh in this frame: the fast ones, and of the others those that waited longest."""
        seen = [dock.panel for dock in self.docks.values() if dock.seen and dock.panel.isVisible()]
        if all_panels:
            return seen
        new = self.store.revision != self.drawn_revision
        fast = [panel for panel in seen if panel.refresh_hz >= FAST_HZ and (new or now_s >= panel.next_s + 1.0)]
        slow = [panel for panel in seen if panel.refresh_hz < FAST_HZ and now_s >= panel.next_s]
        slow.sort(key=lambda panel: panel.next_s)
        return fast + slow[: 1 + len(slow) // 4]

    def _refresh_chrome(self) -> None:
        now_s = self.link.now_s()
        self.bar.refresh(self.store, now_s, self.enabled, self._progress())
        for name, action in self.actions_by_name.items():
            action.setEnabled(self.enabled(name))
        client = self.link.client
        address, locked_out = (client.control_address, client.locked_out) if client else ("", "")
        text = stale_overlay.sentence(self.store, now_s, address, locked_out)
        connection = self.store.connection(now_s)
        none_runs = self.store.mode == "waiting" or connection == "ended"
        idle = connection in ("waiting", "ended") and not text.startswith("the ")
        for name, dock in self.docks.items():  # empty ones say what they wait for; after the end all keep their picture
            alive = not dock.panel.needs_runtime or (
                none_runs and (name in ALWAYS_LIVE or (idle and name != "subject"))
            )
            dock.overlay.show_text("" if alive else text if name == "subject" else stale_overlay.short(text))
        if self.alarms.update(self.store, now_s) and self.sounds is not None and not self.muted:
            self.sounds.play("alarm")
        self.alarm_bar.refresh(self.alarms.shown)
        self._banner()
        self._count()

    def _banner(self) -> None:
        if self.frozen:
            text = "DISPLAY FROZEN: the session goes on unseen (Space to go on)"
        elif self.link.client is not None and self.link.client.refused:
            text = f"! {self.link.client.problem}"
        elif self.link.client is not None and self.link.client.locked_out:
            text = f"! {self.link.client.locked_out}"
        else:
            text = ""
        if text != self.banner.text() or self.banner.isHidden() == bool(text):
            self.banner.setText(text)
            self.banner.setVisible(bool(text))
            self.banner.setFont(theme.font(11, bold=True))
            self.banner.setStyleSheet("background: #E69F00; color: #000000; padding: 4px;")

    def _count(self) -> None:
        store, client = self.store, self.link.client
        parts = [f"bin {store.bin}"]
        if store.n_units:
            parts.append(f"{store.n_units} units")
        received = sum(state.received for state in store.streams.values())
        parts.append(f"{received} messages, {store.lost_messages} lost")
        if client is not None and client.refused:
            parts.append(f"{client.refused} refused")
        if store.watching:
            parts.append("watching only: no operator's key")
        self.counters.show_text("   ".join(parts))
        short_text, text, severity = store.array_line
        if self.array_line.toolTip() != text:
            role = {"information": "text", "warning": "warn", "alarm": "bad"}[severity]
            self.array_line.setText(short_text)
            self.array_line.setToolTip(text)
            self.array_line.setStyleSheet(f"color: {getattr(theme.current(), role)}")

    # -- the session -----------------------------------------------------------------------------------------------

    def do_start(self) -> None:
        """Start a session, resume a held one, or play a recording."""
        if self.store.mode == "replay":
            self.replay.send({"do": "play"})
        elif self.store.held and self.store.connection(self.link.now_s()) == "connected":
            self.commands.resume()
        else:
            self.starting.ask()

    @property
    def new_session(self):
        """The form of a new session, or None before the first one."""
        return self.starting.form

    @property
    def session(self):
        """The process of the session that was started here, while it runs."""
        return self.starting.process

    def _progress(self) -> tuple[str, str]:
        """Return the word and the reason of what takes its time now, or two empty ones."""
        if self.replay.opening:
            return "OPENING", self.replay.opening
        waiting = self.store.connection(self.link.now_s()) in ("waiting", "ended")
        told = self.starting.progress() if waiting else ""
        return ("STARTING", told) if told else ("", "")

    def _watch_end(self) -> None:
        """Show the summary once a session that was seen has ended."""
        ended = self.store.ended and self.store.mode in ("live", "simulated")
        if ended and not self._ended_seen and self.store.step is not None:
            self.show_panel("summary")
        self._ended_seen = ended

    @property
    def question(self):
        """The question that is asked about the session now, or None."""
        return self.commands.question

    def do_hold(self) -> None:
        """Hold the session, or pause the replay."""
        if self.store.mode == "replay":
            self.replay.send({"do": "pause"})
        else:
            self.commands.hold()

    def do_stop(self) -> None:
        """End the session; asks first."""
        self.commands.stop()

    def do_stop_output(self) -> None:
        """Stop the output for good: holds at once, and asks unless the session was held already."""
        self.commands.stop_output()

    def do_stop_output_now(self) -> None:
        """Stop the output for good: Shift+F9 was kept down."""
        self.commands.stop_output_now()

    def do_marker(self) -> None:
        """Put a numbered marker into the recording."""
        self.commands.marker()

    def do_note(self, text: str) -> None:
        """Put a note into the recording."""
        self.commands.note(text)

    def do_focus_note(self) -> None:
        """Go to the note line."""
        self.show_panel("events")
        self.docks["events"].panel.note.setFocus()

    def do_toggle_adaptation(self) -> None:
        """Switch adaptation."""
        self.commands.toggle_adaptation()

    def do_next_block(self) -> None:
        """Begin the next block of the session."""
        self.commands.next_block()

    def do_acknowledge(self) -> None:
        """Acknowledge all alarms: they are silent, and go when they are over."""
        count = self.alarms.acknowledge()
        self.do_say(f"{count} acknowledged" if count else "there is no alarm to acknowledge")
        self._state_shown = ()

    def do_mute(self) -> None:
        """Switch the sound of alarms, for this user."""
        self.muted = not self.muted
        self.memory.put("muted", "yes" if self.muted else "no")
        self.do_say(f"alarms are {'silent' if self.muted else 'heard'}")

    def do_undo(self) -> None:
        """Set the parameter that was changed last back to what it was."""
        self.commands.undo()

    def do_propose(self, key: str, value) -> None:
        """Put a value into the live parameters' editor, for the operator to apply."""
        self.show_panel("controls")
        if not self.docks["controls"].panel.propose(key, value):
            self.do_say(f"no runtime has offered the parameter {key}")

    def do_open_analysis(self, path: str = "") -> None:
        """Choose a file of an offline module (unless one is given) and show it in the panel that it is for."""
        if not path:
            path, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Open an analysis", "", "Results (*.npz)")
        if not path:
            return
        try:
            name = panel_for(files.read(path), path)
        except BadInput as error:
            self.do_say(f"✕ {error}")
            return
        self.show_panel(name)
        self.docks[name].panel.open_file(path)

    # -- replay ----------------------------------------------------------------------------------------------------

    def do_open_file(self) -> None:
        """Choose a recording and replay it."""
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Open a recording", "recordings", "Recordings (*.mcap)")
        if path:
            self.do_open_recording(path)

    def do_open_recording(self, path: str) -> None:
        """Replay a recording in this window."""
        self.replay.open(path)
        self._state_shown = ()

    def _recording_opened(self) -> None:
        if self.layout_name != "inspect":
            self.apply_layout("inspect")

    def _recording_failed(self) -> None:
        self._state_shown = ()

    def do_live(self) -> None:
        """Listen to the runtime again."""
        self.replay.close()
        self.replay.turn_to(Client(*self.home))
        self.apply_layout("run")

    def do_play_pause(self) -> None:
        """Play or pause."""
        self.replay.send({"do": "play" if self.store.replay.get("paused") else "pause"})

    def do_step_on(self) -> None:
        """One bin on."""
        self.replay.send({"do": "step", "bins": 1})

    def do_step_back(self) -> None:
        """One bin back."""
        self.do_seek(self.store.bin - 1)

    def do_next_trial(self) -> None:
        """Go to the next event."""
        self.replay.jump(True)

    def do_previous_trial(self) -> None:
        """Go to the event before."""
        self.replay.jump(False)

    def do_seek(self, bin_index: int) -> None:
        """Go to a bin of the recording."""
        self.replay.seek(bin_index)

    def do_faster(self) -> None:
        """Play at the next higher speed."""
        self.replay.change_speed(1)

    def do_slower(self) -> None:
        """Play at the next lower speed."""
        self.replay.change_speed(-1)

    # -- the window ------------------------------------------------------------------------------------------------

    def do_say(self, text: str) -> None:
        """Show a sentence in the status bar."""
        self.statusBar().showMessage(text, 12_000)

    def do_explain(self, panel: Panel) -> None:
        """Explain a panel."""
        self.explanation = dialogs.explanation(self, panel)
        self.explanation.show()

    def do_explain_panel(self) -> None:
        """Explain the panel under the mouse, or the first one that is seen."""
        seen = [dock for dock in self.docks.values() if dock.seen and dock.isVisible()]
        under = [dock for dock in seen if dock.underMouse()]
        for dock in (under or seen)[:1]:
            self.do_explain(dock.panel)

    def do_freeze(self) -> None:
        """Freeze or thaw the display."""
        self.frozen = self.context.frozen = not self.frozen
        self.actions_by_name["freeze"].setChecked(self.frozen)

    def do_next_unit(self) -> None:
        """Select the next row of the raster."""
        self._move_unit(1)

    def do_previous_unit(self) -> None:
        """Select the row before."""
        self._move_unit(-1)

    def _move_unit(self, change: int) -> None:
        order = list(self.docks["raster"].panel.order)
        unit = self.context.selection.units[0]
        if order:
            at = order.index(unit) if unit in order else 0
            self.context.selection.choose(int(order[(at + change) % len(order)]))

    def do_toggle_unit(self, unit: int | None = None) -> None:
        """Put a unit (the selected one) out of decoding and learning, or in again."""
        if unit is None:
            unit = self.context.selection.units[0]
        if not self.enabled("toggle_unit"):
            self.do_say(f"Unit out / in: {self._why_not()}")
            return
        out = self.store.left_out
        wanted = out - {unit} if unit in out else out | {unit}
        word = f"unit {unit} {'in' if unit in out else 'out'}"
        self.commands.set("session.left_out", ", ".join(map(str, sorted(wanted))), word)

    def do_zoom_in(self) -> None:
        """Show fewer units in the raster, larger."""
        self.docks["raster"].panel.zoom(0.5)

    def do_zoom_out(self) -> None:
        """Show more units in the raster."""
        self.docks["raster"].panel.zoom(2.0)

    def do_layout_run(self) -> None:
        """Arrange for running."""
        self.apply_layout("run")

    def do_layout_calibrate(self) -> None:
        """Arrange for calibration."""
        self.apply_layout("calibrate")

    def do_layout_inspect(self) -> None:
        """Arrange for understanding a recording."""
        self.apply_layout("inspect")

    def do_reset_layout(self) -> None:
        """Put the panels of this layout back."""
        self.memory.forget(self.layout_name, self)
        layouts.arrange(self, self.docks, self.layout_name)

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

    def do_show_panel(self, name: str) -> None:
        """Bring a panel to the front (the palette's wish)."""
        self.show_panel(name)

    def do_subject_window(self) -> None:
        """Open the subject's window, or close it."""
        options = subject_options.from_text(self.memory.get("subject", ""))
        if self.subject is not None and self.subject.isVisible():
            self.subject.close()
            self.do_say("the subject's window is closed (F12 opens it again)")
            return
        self.subject = SubjectWindow(self.link, own_timer=False, options=options, say=self.do_say)
        self.subject.show_on_screen()
        self.timer.setInterval(SUBJECT_MS)

    def do_subject_settings(self) -> None:
        """Choose the subject's screen, sizes, patch and sounds."""
        found = subject_options.from_text(self.memory.get("subject", ""))
        self.settings = SubjectSettings(self, found)
        self.settings.accepted.connect(self._take_subject_settings)
        self.settings.open()

    def _take_subject_settings(self) -> None:
        options = self.settings.options()
        self.memory.put("subject", options.text())
        if self.subject is not None and self.subject.isVisible():
            self.subject.close()
        self.subject = None
        self.do_subject_window()

    def do_theme(self) -> None:
        """Switch between dark and light."""
        self.apply_theme("light" if theme.current() is theme.DARK else "dark")
        self.memory.put("theme", theme.current().name)

    def apply_theme(self, name: str) -> None:
        """Take a theme."""
        theme.use(name, QtWidgets.QApplication.instance())
        self.bar.restyle()
        self.alarm_bar.restyle()
        for dock in self.docks.values():
            dock.restyle()
        self.refresh(all_panels=True)

    def do_full_screen(self) -> None:
        """Fill the screen, and back."""
        self.setWindowState(self.windowState() ^ QtCore.Qt.WindowState.WindowFullScreen)

    def do_save_picture(self) -> None:
        """Save this window as PNG."""
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save a picture", "console.png", "PNG (*.png)")
        if path and not self.grab().save(path, "PNG"):
            self.do_say(f"{path} could not be written; choose a folder that can be written")

    def do_palette(self) -> None:
        """Find a command by typing."""
        titles = {name: dock.panel.title for name, dock in self.docks.items()}
        self.palette_dialog = dialogs.Palette(self, self.run, self.enabled, titles, self._offered())
        self.palette_dialog.show()
        self.palette_dialog.line.setFocus()

    def _offered(self) -> dict[str, dict]:
        """Return the live parameters that can be set now, with what the operator calls them."""
        if self.store.mode == "replay" or not self.enabled("undo"):
            return {}
        return {
            key: {**facts, "name": PARAMETERS.get(key, key), "value": self.store.live.get(key)}
            for key, facts in self.store.live_parameters.items()
            if not key.startswith("session.")
        }

    def do_set_parameter(self, key: str, value) -> None:
        """Set a live parameter (the palette's wish)."""
        self.commands.set(key, value, f"{PARAMETERS.get(key, key)} {short(value)}")

    def do_text_larger(self) -> None:
        """Make all text larger."""
        self._scale_text(1.1)

    def do_text_smaller(self) -> None:
        """Make all text smaller."""
        self._scale_text(1 / 1.1)

    def _scale_text(self, factor: float) -> None:
        theme.set_scale(theme.scale() * factor)
        self.memory.put("text_scale", f"{theme.scale():.3f}")
        theme.use(theme.current().name, QtWidgets.QApplication.instance(), again=True)
        self.apply_theme(theme.current().name)
        self.do_say(f"text at {100 * theme.scale():.0f} %")

    def do_shortcuts(self) -> None:
        """Show all keys."""
        self.sheet = dialogs.TextDialog(self, "Keys", dialogs.shortcut_sheet(), (640, 760))
        self.sheet.show()

    def do_about(self) -> None:
        """Explain badges, states and signs."""
        self.sheet = dialogs.TextDialog(self, "What the colours mean", dialogs.COLOURS_HTML)
        self.sheet.show()

    def do_show_comparison(self, first: dict, second: dict) -> None:
        """Show two recordings side by side."""
        self.sheet = dialogs.TextDialog(self, "Two recordings", dialogs.comparison(first, second), (720, 620))
        self.sheet.show()

    def do_show_sessions(self, entries: list) -> None:
        """Show the success of many sessions."""
        self.sessions = dialogs.SessionsDialog(self, entries)
        self.sessions.show()

    def do_quit(self) -> None:
        """Close the window; while a session runs, ask what shall become of it."""
        if self._session_runs():
            self._ask_before_closing()
        else:
            self.close()

    def _session_runs(self) -> bool:
        store = self.store
        connected = store.connection(self.link.now_s()) == "connected"
        return connected and store.mode in ("live", "simulated") and not store.watching

    def _ask_before_closing(self) -> None:
        def stop() -> None:
            self.commands.on_stopped = self.close
            self.commands.stop_now()

        text = "A session is running. It goes on without this window, and bmi gui shows it again."
        choices = {"Keep it running, close the window": self.close, "Stop the session and close": stop}
        self.closing = ask(self, "Close the window?", text, "Cancel", choices)

    def show_on_screen(self) -> None:
        """Show the window where it stood last, or as large as wanted, but never larger than the screen."""
        place = self.memory.geometry()
        if place is None:
            screens.show_fitting(self, WANTED)
        else:
            self.setGeometry(screens.on_a_screen(place))
            self.show()

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
        if event.spontaneous() and self._session_runs():
            event.ignore()
            self._ask_before_closing()
            return
        self.memory.save(self.layout_name, self, self.docks)
        self.memory.put_geometry(self)
        self.timer.stop()
        if self.keys is not None:
            self.keys.close()
        if self.sounds is not None:
            self.sounds.close()
        self.replay.close()
        self.docks["recordings"].panel.stop()
        if self.subject is not None:
            self.subject.close()
        event.accept()
