"""The bar over everything: what this is (LIVE, SIMULATED, REPLAY), its state, Start, Hold, Stop, record light, time."""

from __future__ import annotations

import os

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import actions, big_numbers, status, theme
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
LEVELS = (  # points of the big words, of the small ones, smallest size of the buttons, room between the parts
    (19, 9, (124, 46), 14),
    (15, 8.5, (104, 42), 9),
    (12, 8, (86, 38), 6),
    (10, 7.5, (66, 34), 4),
)


class Elided(QtWidgets.QLabel):
    """A label that gives way: what does not fit is cut with an ellipsis, and told whole by the tool tip."""

    def __init__(self, mode=QtCore.Qt.TextElideMode.ElideRight):
        super().__init__()
        self.whole, self.mode = "", mode
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)

    def show_text(self, text: str) -> None:
        """Show a text, as far as there is room."""
        if text != self.whole:
            self.whole = text
            self.setToolTip(text)
            self.update()

    def text(self) -> str:
        """Return the whole text."""
        return self.whole

    def sizeHint(self) -> QtCore.QSize:
        """Return the room of one line."""
        return QtCore.QSize(10, self.fontMetrics().height())

    def paintEvent(self, event):
        """Paint as much as fits."""
        painter = QtGui.QPainter(self)
        shown = self.fontMetrics().elidedText(self.whole, self.mode, self.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.rect(), QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.AlignmentFlag.AlignLeft, shown)
        painter.end()


class SessionBar(QtWidgets.QWidget):
    """The bar. Buttons run the actions of the table; they are never cut, the words beside them give way first.

    Parameters
    ----------
    run : callable
        ``run(action_name)``.
    """

    def __init__(self, run):
        super().__init__()
        self.setObjectName("SessionBar")
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        self.run, self.state, self.level = run, "waiting", 0
        self.badge, self.word, self.adapting = QtWidgets.QLabel(), QtWidgets.QLabel(), QtWidgets.QLabel()
        self.badge.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self.why, self.rate, self.block = Elided(), Elided(), Elided()
        self.file = Elided(QtCore.Qt.TextElideMode.ElideMiddle)  # its end says which part it is
        self.time, self.record = big_numbers.FixedWidthLabel(), QtWidgets.QLabel()
        self._lay_out()
        self.restyle()

    def _lay_out(self) -> None:
        row = self.row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(10, 7, 10, 7)
        row.addWidget(self.badge)
        self._columns = [_column(self.word, self.why), _column(self.adapting, self.rate)]
        self._columns += [_column(self.time, self.block), _column(self.record, self.file)]
        for column, stretch in zip(self._columns, (5, 3, 3, 2), strict=True):
            row.addWidget(column, stretch)
        self.buttons = {}
        for name in ("start", "hold", "stop"):
            button = self.buttons[name] = QtWidgets.QPushButton()
            action = actions.named(name)
            button.setObjectName(f"bar.{name}")
            button.setToolTip(f"{action.tip} ({action.keys})")
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _, name=name: self.run(name))
            row.addWidget(button)

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme, in the largest size that the width allows."""
        palette = theme.current()
        self.setStyleSheet(f"#SessionBar {{ background: {palette.panel}; border-bottom: 1px solid {palette.line}; }}")
        big, small, (width, height), spacing = LEVELS[self.level]
        for part in (self.badge, self.word, self.time):
            part.setFont(theme.font(big, bold=True))
        self.adapting.setFont(theme.font(0.75 * big, bold=True))
        self.record.setFont(theme.font(0.6 * big, bold=True))
        for part in (self.why, self.rate, self.file, self.block):
            part.setFont(theme.font(small))
            part.setStyleSheet(f"color: {palette.text if part in (self.why, self.rate) else palette.muted}")
        for button in self.buttons.values():
            button.setFont(theme.font(0.65 * big, bold=True))
            button.setMinimumSize(width, height)
        self.row.setSpacing(spacing)

    def resizeEvent(self, event):
        """Choose the size of the words again."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Take the largest size with which all stands side by side."""
        level = next((n for n in range(len(LEVELS)) if self._needed(n) <= self.width()), len(LEVELS) - 1)
        if level != self.level:
            self.level = level
            self.restyle()

    def _needed(self, level: int) -> int:
        """Return the width, pixels, of all that must not be cut."""
        big, _, (width, _), spacing = LEVELS[level]
        texts = ((self.badge.text(), big), (self.word.text(), big), (self.time.text(), big))
        texts += ((self.adapting.text(), 0.75 * big), (self.record.text(), 0.6 * big))
        words = sum(_advance(text, points) for text, points in texts)
        buttons = sum(max(_advance(b.text(), 0.65 * big) + 34, width) for b in self.buttons.values())
        return words + buttons + 7 * spacing + 70

    def minimumSizeHint(self) -> QtCore.QSize:
        """Allow any width: what does not fit is made smaller."""
        return QtCore.QSize(100, super().minimumSizeHint().height())

    def refresh(self, store, now_s: float, enabled, progress: tuple[str, str] = ("", "")) -> None:
        """Show the session; `enabled(name)` says which buttons may be pressed, `progress` what takes its time."""
        self.state = status.state_of(store, now_s)
        word, sign, background, text = BADGES[store.mode]
        badge = f"background: {background}; color: {text}; border-radius: 6px; padding: 4px 12px;"
        _set(self.badge, f"{sign} {word}", badge)
        self._state(store, now_s, progress)
        self.time.show_text(clock(store.elapsed_s)[:-1] if store.n_units else "")
        self.block.show_text(status.block(store))
        self._record(store)
        self._buttons(store, enabled)
        self._fit()

    def _state(self, store, now_s: float, progress: tuple[str, str]) -> None:
        word, sign, role = STATES[self.state]
        if self.state == "playing":
            word = f"PLAYING × {store.replay.get('speed', 1):g}"
        reason = status.why(store, self.state, now_s)
        if progress[0]:
            (word, reason), sign, role = progress, "…", "warn"
        _set(self.word, f"{sign} {word}", f"color: {getattr(theme.current(), role)}")
        self.why.show_text(reason)
        word, role, detail = status.adaptation(store, self.state)
        _set(self.adapting, word, f"color: {getattr(theme.current(), role)}")
        self.rate.show_text(detail)

    def _buttons(self, store, enabled) -> None:
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
        if store.mode == "replay" and store.replay.get("growing"):
            _set(self.record, "! being written", f"color: {palette.warn}")
            self.record.setToolTip("shown up to where it was when it was opened; open it again for more")
        elif store.mode == "replay" and not store.replay.get("complete", True):
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
        self.file.show_text(file if store.mode != "replay" else "")
        self.file.setToolTip(store.recording or "")


def _column(upper: QtWidgets.QWidget, lower: QtWidgets.QWidget) -> QtWidgets.QWidget:
    """Return two lines of text, the lower one as wide as there is room."""
    holder = QtWidgets.QWidget()
    column = QtWidgets.QVBoxLayout(holder)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(upper)
    column.addWidget(lower)
    return holder


def _advance(text: str, points: float) -> int:
    return QtGui.QFontMetrics(theme.font(points, bold=True)).horizontalAdvance(text)


def _set(widget, text: str, style: str | None = None) -> None:
    """Set text and style only when they change: both cost a layout."""
    if widget.text() != text:
        widget.setText(text)
    if style is not None and widget.styleSheet() != style:
        widget.setStyleSheet(style)
