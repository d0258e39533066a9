"""A panel in a dock of the console, with a title bar of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pyqtgraph.Qt import QtCore, QtWidgets

from bmi_runtime.errors import described, is_fault_of_part
from gui import stale_overlay, theme
from gui.panels.base import Panel, failed_panel

Answer = TypeVar("Answer")


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
        self.panel, self.name, self.context = panel, name, panel.context
        self.failed: Panel | None = None
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
            ("?", "What is this?", lambda: explain(self.panel)),
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

    def is_ours(self) -> bool:
        """Return whether the panel is one of the project's own."""
        return type(self.panel).__module__.partition(".")[0] == "gui"

    def is_shown(self) -> bool:
        """Return whether the panel can be seen and works."""
        return self.ask(lambda: self.panel.isVisible() and self.seen and not self.panel.failure, False)

    def ask(self, call: Callable[[], Answer], otherwise: Answer) -> Answer:
        """Return what the panel answers; one of another package that fails is taken off, and says why in its place."""
        try:
            return call()
        except BaseException as error:
            if self.is_ours() or not is_fault_of_part(error):
                raise
            self.fail(described(error))
            return otherwise

    def fail(self, said: str) -> None:
        """Put the reason in the place of a panel of another package that failed, and tell it in the log."""
        self.failed, module = self.panel, type(self.panel).__module__
        why = f"the panel '{self.name}' of {module} has failed and is shown no more: {said}"
        self.panel = failed_panel(self.context, self.name, why)
        self.setWidget(self.panel)  # the other one has no place now: it is not painted, and gets no clicks
        _silence(self.failed, self)
        self.overlay = stale_overlay.StaleOverlay(self.panel)
        self.panel.show()
        self.restyle()
        self.context.store.problem(why)

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme."""
        palette = theme.current()
        self.label.setFont(theme.font(9.5, bold=True))
        self.label.setStyleSheet(f"color: {palette.text}")
        self.titleBarWidget().setStyleSheet(f"background: {palette.raised};")
        for button in self.buttons:
            button.setStyleSheet("QToolButton { border: none; padding: 1px 5px; background: transparent; }")
        self.setStyleSheet(f"QDockWidget > QWidget {{ background: {palette.panel}; }}")
        self.ask(self._restyle_panel, None)

    def _restyle_panel(self) -> None:
        self.panel.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        self.panel.restyle()

    def needs_runtime(self) -> bool:
        """Return whether the panel's picture is alive only while a runtime or a replay is connected."""
        return bool(self.ask(lambda: self.panel.needs_runtime, False))

    def cover(self, text: str) -> None:
        """Cover the panel with a sentence; an empty one uncovers it."""
        self.ask(lambda: self.overlay.show_text(text), None)


def _silence(panel: QtWidgets.QWidget, keeper: QtWidgets.QWidget) -> None:
    """Stop what a panel without a place could go on doing: being shown, its timers, its watching of events.

    It is kept, out of sight: what is deleted while Qt has events for it takes the process down.
    """
    application = QtWidgets.QApplication.instance()
    try:
        QtWidgets.QWidget.setParent(panel, keeper)  # which hides it
        for part in [panel, *QtCore.QObject.findChildren(panel, QtCore.QObject)]:
            application.removeEventFilter(part)
            if isinstance(part, QtCore.QTimer):
                part.stop()
    except RuntimeError:
        pass  # it has deleted itself
