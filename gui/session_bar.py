"""The bar over everything: what this is (LIVE, SIMULATED, REPLAY), its state, Start, Hold, Stop, record light, time."""

from __future__ import annotations

import os

from pyqtgraph.Qt import QtCore, QtWidgets

from bmi_runtime.messages import SafetyState
from gui import actions, plots, theme
from gui.panels.events import clock

BADGES = {  # mode: (word, sign, background, text)
    "waiting": ("NO SESSION", "○", "#5a6672", "#ffffff"),
    "live": ("LIVE", "●", theme.VERMILLION, "#ffffff"),
    "simulated": ("SIMULATED", "◇", theme.SKY, "#000000"),
    "replay": ("REPLAY", "↺", theme.PURPLE, "#000000"),
}
STATES = {  # state: (word, sign, role)
    "running": ("RUNNING", "▶", "good"),
    "calibrating": ("CALIBRATING", "▶", "warn"),
    "degraded": ("DEGRADED", "!", "warn"),
    "frozen": ("OUTPUT FROZEN", "✕", "bad"),
    "stopped": ("STOPPED", "■", "bad"),
    "starting": ("STARTING", "…", "warn"),
    "held": ("HELD", "❚❚", "warn"),
    "ended": ("ENDED", "■", "muted"),
    "lost": ("CONNECTION LOST", "✕", "bad"),
    "waiting": ("WAITING", "…", "muted"),
    "playing": ("PLAYING", "▶", "good"),
    "paused": ("PAUSED", "❚❚", "warn"),
}
SAFETY = {
    SafetyState.STARTING: "starting",
    SafetyState.CALIBRATING: "calibrating",
    SafetyState.ACTIVE: "running",
    SafetyState.DEGRADED: "degraded",
    SafetyState.FROZEN: "frozen",
    SafetyState.STOPPED: "stopped",
}


def state_of(store, now_s: float) -> str:
    """Return the state in one word, a key of `STATES`."""
    connection = store.connection(now_s)
    if connection != "connected":
        return connection
    if store.mode == "replay":
        return "paused" if store.replay.get("paused") else "playing"
    if store.held:
        return "held"
    return SAFETY.get(store.safety, "waiting")


class SessionBar(QtWidgets.QWidget):
    """The bar. Buttons run the actions of the table.

    Parameters
    ----------
    run : callable
        ``run(action_name)``.
    """

    def __init__(self, run):
        super().__init__()
        self.setObjectName("SessionBar")
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        self.run, self.state = run, "waiting"
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(10, 8, 10, 8)
        row.setSpacing(14)
        self.badge, self.word = QtWidgets.QLabel(), QtWidgets.QLabel()
        self.badge.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self.time = plots.Steady()
        self.record, self.file = QtWidgets.QLabel(), QtWidgets.QLabel()
        facts = QtWidgets.QVBoxLayout()
        facts.setSpacing(0)
        facts.addWidget(self.record)
        facts.addWidget(self.file)
        for part in (self.badge, self.word):
            row.addWidget(part)
        row.addStretch(1)
        row.addWidget(self.time)
        row.addLayout(facts)
        row.addSpacing(8)
        self.buttons = {}
        for name in ("start", "hold", "stop"):
            button = self.buttons[name] = QtWidgets.QPushButton()
            action = actions.named(name)
            button.setObjectName(f"bar.{name}")
            button.setToolTip(f"{action.tip} ({action.keys})")
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _, name=name: self.run(name))
            row.addWidget(button)
        self.restyle()

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme."""
        palette = theme.current()
        self.setStyleSheet(f"#SessionBar {{ background: {palette.panel}; border-bottom: 1px solid {palette.line}; }}")
        self.badge.setFont(theme.font(20, bold=True))
        self.word.setFont(theme.font(20, bold=True))
        self.time.setFont(theme.font(20, bold=True))
        self.record.setFont(theme.font(11, bold=True))
        self.file.setFont(theme.font(8.5))
        self.file.setStyleSheet(f"color: {palette.muted}")
        for button in self.buttons.values():
            button.setFont(theme.font(13, bold=True))
            button.setMinimumSize(128, 46)

    def refresh(self, store, now_s: float, enabled) -> None:
        """Show the session; `enabled(name)` says which buttons may be pressed."""
        self.state = state_of(store, now_s)
        word, sign, background, text = BADGES[store.mode]
        _set(
            self.badge,
            f"{sign} {word}",
            f"background: {background}; color: {text}; border-radius: 6px; padding: 4px 14px;",
        )
        word, sign, role = STATES[self.state]
        if self.state == "playing":
            word = f"PLAYING × {store.replay.get('speed', 1):g}"
        _set(self.word, f"{sign} {word}", f"color: {getattr(theme.current(), role)}")
        self.time.show_text(clock(store.elapsed_s)[:-1] if store.n_units else "")
        self._record(store)
        names = {"start": "▶ Start", "hold": "❚❚ Hold", "stop": "■ Stop"}
        if store.mode == "replay":
            names |= {"start": "▶ Play", "hold": "❚❚ Pause"}
        elif store.held and self.state == "held":
            names["start"] = "▶ Resume"
        for name, button in self.buttons.items():
            _set(button, names[name])
            button.setEnabled(enabled(name))

    def _record(self, store) -> None:
        palette = theme.current()
        file = os.path.basename(store.recording) if store.recording else ""
        if store.mode == "replay" and not store.replay.get("complete", True):
            _set(self.record, "! cut off", f"color: {palette.warn}")
        elif store.mode == "replay":
            _set(self.record, "↺ recorded", f"color: {palette.muted}")
        elif store.mode == "waiting":
            _set(self.record, "", "")
        elif store.health.get("recording_failed"):
            _set(self.record, "✕ RECORDING FAILED", f"color: {palette.bad}")
        elif not store.recording:
            _set(self.record, "○ not recorded", f"color: {palette.warn}")
        elif self.state in ("ended", "lost"):
            _set(self.record, "■ recorded" if self.state == "ended" else "? recording", f"color: {palette.muted}")
        else:
            _set(self.record, "● RECORDING", f"color: {palette.bad}")
        _set(self.file, file)
        self.file.setToolTip(store.recording or "")


def _set(widget, text: str, style: str | None = None) -> None:
    """Set text and style only when they change: both cost a layout."""
    if widget.text() != text:
        widget.setText(text)
    if style is not None and widget.styleSheet() != style:
        widget.setStyleSheet(style)
