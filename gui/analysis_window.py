"""One result of an offline module in a window of the console's style: `bmi glm plot FIT --gui` and its like."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import actions, dialogs, panels, screens, theme
from gui.application import application
from gui.panels.base import Context
from gui.store import Store

ACTIONS = ("open_analysis", "save_picture", "quit", "theme", "full_screen", "explain_panel")
"""Which of the console's actions this window has, with the same keys."""


class AnalysisWindow(QtWidgets.QMainWindow):
    """A window around one panel.

    Parameters
    ----------
    name : str
        Of the panel, in the registry.
    """

    def __init__(self, name: str):
        super().__init__()
        self.panel = panels.panel_class(panels.available()[name])(Context(Store(), run=self.run))
        self.setWindowTitle(f"bmi-runtime: {self.panel.title}")
        self.setCentralWidget(self.panel)
        self.resize(screens.fitting(QtCore.QSize(1100, 680), screens.available()))
        self._make_actions()
        self.apply_theme(theme.current().name)

    def _make_actions(self) -> None:
        menus: dict[str, QtWidgets.QMenu] = {}
        kind = getattr(QtGui, "QAction", None) or QtWidgets.QAction
        for name in ACTIONS:
            action = actions.named(name)
            if action.menu not in menus:
                menus[action.menu] = self.menuBar().addMenu(action.menu)
            made = kind(action.text, self)
            made.setShortcut(QtGui.QKeySequence(action.keys))
            made.setToolTip(action.tip)
            made.setStatusTip(action.tip)
            made.triggered.connect(lambda _=False, name=name: self.run(name))
            menus[action.menu].addAction(made)
            self.addAction(made)
        self.statusBar().setSizeGripEnabled(False)

    def run(self, name: str, *arguments):
        """Do an action, by its name in the table (or the panel's own request)."""
        return getattr(self, f"do_{name}")(*arguments)

    def do_open_analysis(self) -> None:
        """Open another file of this kind."""
        self.panel.open_button.click()

    def do_save_picture(self) -> None:
        """Save this window as PNG."""
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save a picture", "view.png", "PNG (*.png)")
        if path and not self.grab().save(path, "PNG"):
            self.do_say(f"{path} could not be written; choose a folder that can be written")

    def do_quit(self) -> None:
        """Close the window."""
        self.close()

    def do_theme(self) -> None:
        """Switch between dark and light."""
        self.apply_theme("light" if theme.current() is theme.DARK else "dark")

    def apply_theme(self, name: str) -> None:
        """Take a theme."""
        theme.use(name, QtWidgets.QApplication.instance())
        self.panel.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        self.panel.setStyleSheet(f"#{self.panel.objectName()} {{ background: {theme.current().panel}; }}")
        self.panel.restyle()

    def do_full_screen(self) -> None:
        """Fill the screen, and back."""
        self.setWindowState(self.windowState() ^ QtCore.Qt.WindowState.WindowFullScreen)

    def do_explain_panel(self) -> None:
        """Explain what is shown."""
        self.do_explain(self.panel)

    def do_explain(self, panel) -> None:
        """Explain a panel."""
        self.explanation = dialogs.explanation(self, panel)
        self.explanation.show()

    def do_say(self, text: str) -> None:
        """Show a sentence in the status bar."""
        self.statusBar().showMessage(text, 12_000)


def show(name: str, arrays, title: str, theme_name: str = "dark") -> int:
    """Open a view of `arrays` and return when it is closed; `title` says where they come from."""
    app = application(theme_name)
    window = AnalysisWindow(name)
    window.panel.show_arrays(arrays, title)
    window.show()
    return app.exec() if hasattr(app, "exec") else app.exec_()
