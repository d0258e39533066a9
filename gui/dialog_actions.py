"""The small windows that actions open: all commands, keys, explanations, comparisons, the choice of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyqtgraph.Qt import QtWidgets

from bmi_runtime.errors import BadInput
from gui import dialogs, files
from gui.event_log import PARAMETERS
from gui.panels.base import Panel
from gui.panels.file_panel import panel_for

if TYPE_CHECKING:
    from gui.console import Console


class DialogActions:
    """Does what actions of the menu *Help* say, and others that open a small window, by ``do_<name>``.

    Parameters
    ----------
    window : Console

    Attributes
    ----------
    open : QDialog or None
        The one that was opened last.
    """

    def __init__(self, window: Console):
        self.window, self.store = window, window.store
        self.open: QtWidgets.QDialog | None = None

    def _show(self, dialog: QtWidgets.QDialog) -> None:
        self.open = dialog
        dialog.show()

    def do_explain(self, panel: Panel) -> None:
        """Explain a panel."""
        self._show(dialogs.explanation(self.window, panel))

    def do_explain_panel(self) -> None:
        """Explain the panel under the mouse, or the first one that is seen."""
        seen = [dock for dock in self.window.docks.values() if dock.seen and dock.isVisible()]
        under = [dock for dock in seen if dock.underMouse()]
        for dock in (under or seen)[:1]:
            self.do_explain(dock.panel)

    def do_palette(self) -> None:
        """Find a command by typing."""
        titles = {name: dock.panel.title for name, dock in self.window.docks.items()}
        palette = dialogs.Palette(self.window, self.window.run, self.window.enabled, titles, self._offered())
        self._show(palette)
        palette.line.setFocus()

    def _offered(self) -> dict[str, dict]:
        """Return the live parameters that can be set now, with what the operator calls them."""
        if self.store.mode == "replay" or not self.window.enabled("undo"):
            return {}
        return {
            key: {**facts, "name": PARAMETERS.get(key, key), "value": self.store.live.get(key)}
            for key, facts in self.store.live_parameters.items()
            if not key.startswith("session.")
        }

    def do_shortcuts(self) -> None:
        """Show all keys."""
        self._show(dialogs.TextDialog(self.window, "Keys", dialogs.shortcut_sheet(), (640, 760)))

    def do_about(self) -> None:
        """Explain badges, states and signs."""
        self._show(dialogs.TextDialog(self.window, "What the colours mean", dialogs.COLOURS_HTML))

    def do_show_comparison(self, first: dict, second: dict) -> None:
        """Show two recordings side by side."""
        text = dialogs.comparison(first, second)
        self._show(dialogs.TextDialog(self.window, "Two recordings", text, (720, 620)))

    def do_show_sessions(self, entries: list) -> None:
        """Show the success of many sessions."""
        self._show(dialogs.SessionsDialog(self.window, entries))

    def do_open_analysis(self, path: str = "") -> None:
        """Choose a file of an offline module (unless one is given) and show it in the panel that it is for."""
        if not path:
            path, _ = QtWidgets.QFileDialog.getOpenFileName(self.window, "Open an analysis", "", "Results (*.npz)")
        if not path:
            return
        try:
            name = panel_for(files.read(path), path)
        except BadInput as error:
            self.window.do_say(f"✕ {error}")
            return
        self.window.show_panel(name)
        self.window.docks[name].panel.open_file(path)
