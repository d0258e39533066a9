"""The bar of alarms under the session bar: filled colour, reason, time, advice, Acknowledge."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import theme
from gui.alarms import Alarm
from gui.session_bar import Elided

STYLES = {  # severity: sign, background, text; told apart by lightness and sign where colours look alike
    "alarm": ("✕", "#7a0c00", "#ffffff"),
    "warning": ("!", "#f2b632", "#000000"),
    "acknowledged": ("✓", "#46525e", "#ffffff"),
}


class AlarmBar(QtWidgets.QWidget):
    """Shows the most serious alarm, and how many there are beside it.

    Parameters
    ----------
    run : callable
        ``run("acknowledge")``.
    """

    def __init__(self, run):
        super().__init__()
        self.setObjectName("AlarmBar")
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(14, 5, 10, 5)
        row.setSpacing(12)
        self.title = QtWidgets.QLabel()
        self.reason, self.advice = Elided(), Elided()
        words = QtWidgets.QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.reason)
        words.addWidget(self.advice)
        self.more = QtWidgets.QLabel()
        self.button = QtWidgets.QPushButton("Acknowledge (F4)")
        self.button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.button.clicked.connect(lambda _: run("acknowledge"))
        row.addWidget(self.title)
        row.addLayout(words, 1)
        row.addWidget(self.more)
        row.addWidget(self.button)
        self._style = ""
        self.hide()
        self.restyle()

    def restyle(self) -> None:
        """Take the fonts of the current theme; the colours are the same in all."""
        self.title.setFont(theme.font(16, bold=True))
        self.reason.setFont(theme.font(11, bold=True))
        self.advice.setFont(theme.font(9))
        self.more.setFont(theme.font(9, bold=True))
        self.button.setFont(theme.font(10, bold=True))
        self._style = ""

    def refresh(self, alarms: list[Alarm]) -> None:
        """Show the alarms, the most serious one large."""
        if not alarms:
            if not self.isHidden():
                self.hide()
            return
        first = alarms[0]
        style = "acknowledged" if first.acknowledged else first.found.severity
        self._colour(style)
        sign = STYLES[style][0]
        again = f" ({first.times} times)" if first.times > 1 else ""
        over = "" if first.active else ", over now"
        minutes, seconds = divmod(int(first.session_s), 60)
        self._show(self.title, f"{sign} {first.found.title}{again}")
        self.reason.show_text(f"{first.found.reason}  ·  since {minutes}:{seconds:02d}{over}")
        self.advice.show_text(first.found.advice)
        others = [alarm.found.title.lower() for alarm in alarms[1:]]
        self._show(self.more, f"+ {len(others)} more" if others else "")
        self.more.setToolTip(", ".join(others))
        self.button.setVisible(any(not alarm.acknowledged for alarm in alarms))
        if self.isHidden():
            self.show()

    def _colour(self, style: str) -> None:
        if style == self._style:
            return
        self._style = style
        _, background, text = STYLES[style]
        self.setStyleSheet(f"#AlarmBar {{ background: {background}; }} #AlarmBar QLabel {{ color: {text}; }}")
        for label in (self.reason, self.advice):
            label.setStyleSheet(f"color: {text}")

    @staticmethod
    def _show(label: QtWidgets.QLabel, text: str) -> None:
        if label.text() != text:
            label.setText(text)
