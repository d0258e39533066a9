"""A panel in a dock of the console, with a title bar of its own."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import stale_overlay, theme
from gui.panels.base import Panel


class Dock(QtWidgets.QDockWidget):
    """A panel with a title bar of its own: name, ?, float, close.

    Parameters
    ----------
    name : str
    panel : Panel
    explain : callable
    """

    def __init__(self, name: str, panel: Panel, explain):
        super().__init__(panel.title)
        self.setObjectName(f"dock.{name}")
        self.panel, self.name = panel, name
        self.setWidget(panel)
        self.overlay = stale_overlay.StaleOverlay(panel)
        bar = QtWidgets.QWidget()
        row = QtWidgets.QHBoxLayout(bar)
        row.setContentsMargins(10, 2, 4, 2)
        row.setSpacing(2)
        self.label = QtWidgets.QLabel(panel.title)
        self.label.setMinimumWidth(1)
        row.addWidget(self.label, 1)
        self.buttons = []
        for sign, tip, what in (
            ("?", "What is this?", lambda: explain(panel)),
            ("◰", "Float or dock", lambda: self.setFloating(not self.isFloating())),
            ("✕", "Close (reopen it in the menu Panels)", self.close),
        ):
            button = QtWidgets.QToolButton()
            button.setText(sign)
            button.setToolTip(tip)
            button.setAutoRaise(True)
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
            button.clicked.connect(what)
            self.buttons.append(button)
            row.addWidget(button)
        self.setTitleBarWidget(bar)
        self.seen = True
        self.visibilityChanged.connect(self._note_visibility)
        self.restyle()

    def _note_visibility(self, seen: bool) -> None:
        """Note whether the panel can be seen, or lies behind another tab."""
        self.seen = seen
        self.panel.next_s = 0.0

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme."""
        palette = theme.current()
        self.label.setFont(theme.font(9.5, bold=True))
        self.label.setStyleSheet(f"color: {palette.text}")
        self.titleBarWidget().setStyleSheet(f"background: {palette.raised};")
        for button in self.buttons:
            button.setStyleSheet("QToolButton { border: none; padding: 1px 5px; background: transparent; }")
        self.setStyleSheet(f"QDockWidget > QWidget {{ background: {palette.panel}; }}")
        self.panel.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        self.panel.restyle()
