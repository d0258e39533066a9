"""What stands around the panels: session bar, alarms, banner, counters, and the overlay of every panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import big_numbers, stale_overlay, theme
from gui.alarm_bar import AlarmBar
from gui.alarms import Alarms
from gui.session_bar import SessionBar
from gui.sounds import Sounds

if TYPE_CHECKING:
    from gui.console import Console

CHORES_HZ = 10.0  # of the bar, the overlays, what may be pressed
ALWAYS_LIVE = ("recordings", "events", "replay", "calibration", "summary", "performance")
"""Panels of use before a session and after it."""


class Chrome:
    """Builds the bars of the console and keeps them true.

    Parameters
    ----------
    window : Console
    audible : bool
        Whether alarms sound at all.
    """

    def __init__(self, window: Console, audible: bool):
        self.window, self.store, self.link = window, window.store, window.link
        self.alarms, self.sounds = Alarms(), Sounds() if audible else None
        self.muted = window.memory.get("muted", "no") == "yes"
        self.bar, self.alarm_bar = SessionBar(window.run), AlarmBar(window.run)
        self.banner = QtWidgets.QLabel("")
        self.banner.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self.banner.hide()
        self.array_line, self.counters = QtWidgets.QLabel(), big_numbers.FixedWidthLabel()
        self._next_s, self._shown = 0.0, ()
        self._build_top()
        self._build_status_bar()

    def _build_top(self) -> None:
        top = QtWidgets.QToolBar("Session")
        top.setObjectName("toolbar.session")
        top.setMovable(False)
        top.setContextMenuPolicy(QtCore.Qt.ContextMenuPolicy.PreventContextMenu)
        top.setStyleSheet("QToolBar { border: none; padding: 0; margin: 0; }")
        holder = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for part in (self.bar, self.alarm_bar, self.banner):
            column.addWidget(part)
        top.addWidget(holder)
        self.window.addToolBar(QtCore.Qt.ToolBarArea.TopToolBarArea, top)

    def _build_status_bar(self) -> None:
        status = self.window.statusBar()
        self.array_line.setContentsMargins(0, 0, 16, 0)
        self.counters.setContentsMargins(0, 0, 12, 0)
        status.addPermanentWidget(self.array_line)
        status.addPermanentWidget(self.counters)
        status.setSizeGripEnabled(False)

    def refresh_soon(self) -> None:
        """Have everything refreshed with the next frame."""
        self._shown = ()

    def refresh_when_due(self, now_s: float, at_once: bool) -> None:
        """Refresh when the state has changed, when it is time, or `at_once`."""
        state = self._state()
        if at_once or state != self._shown or now_s >= self._next_s:
            self._shown, self._next_s = state, now_s + 1.0 / CHORES_HZ
            self.refresh()

    def _state(self) -> tuple:
        """Return what the bar, the overlays and the actions depend on, but for ages and counts."""
        store, frozen = self.store, self.window.context.frozen
        connection, paused = store.connection(self.link.now_s()), store.replay.get("paused")
        return store.mode, connection, store.held, paused, store.safety, store.watching, store.recording, frozen

    def refresh(self) -> None:
        """Show the state in the bars and over the panels, and what may be pressed."""
        now_s = self.link.now_s()
        self.bar.refresh(self.store, now_s, self.window.enabled, self._progress())
        for name, action in self.window.actions_by_name.items():
            action.setEnabled(self.window.enabled(name))
        self._refresh_overlays(now_s)
        if self.alarms.update(self.store, now_s) and self.sounds is not None and not self.muted:
            self.sounds.play("alarm")
        self.alarm_bar.refresh(self.alarms.shown)
        self._refresh_banner()
        self._refresh_counters()

    def _progress(self) -> tuple[str, str]:
        """Return the word and the reason of what takes its time now, or two empty ones."""
        if self.window.replay.opening:
            return "OPENING", self.window.replay.opening
        waiting = self.store.connection(self.link.now_s()) != "connected"
        told = self.window.session_actions.starting.progress() if waiting else ""
        return ("STARTING", told) if told else ("", "")

    def _refresh_overlays(self, now_s: float) -> None:
        """Have empty panels say what they wait for; after the end all keep their picture."""
        client = self.link.client
        address, locked_out = (client.control_address, client.locked_out) if client else ("", "")
        text = stale_overlay.sentence(self.store, now_s, address, locked_out, self.window.replay.opening)
        connection = self.store.connection(now_s)
        none_runs = self.store.mode == "waiting" or connection == "ended"
        idle = connection in ("waiting", "ended") and not text.startswith("the ")
        for name, dock in self.window.docks.items():
            alive = not dock.needs_runtime() or (none_runs and (name in ALWAYS_LIVE or (idle and name != "subject")))
            dock.cover("" if alive else text if name == "subject" else stale_overlay.short(text))

    def _refresh_banner(self) -> None:
        client, text = self.link.client, ""
        if self.window.context.frozen:
            text = "DISPLAY FROZEN: the session goes on unseen (Space to go on)"
        elif client is not None and client.refuses:
            text = f"! {client.problem}"
        elif client is not None and client.locked_out:
            text = f"! {client.locked_out}"
        if text != self.banner.text() or self.banner.isHidden() == bool(text):
            self.banner.setText(text)
            self.banner.setVisible(bool(text))
            self.banner.setFont(theme.font(11, bold=True))
            self.banner.setStyleSheet("background: #E69F00; color: #000000; padding: 4px;")

    def _refresh_counters(self) -> None:
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

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        self.bar.restyle()
        self.alarm_bar.restyle()
