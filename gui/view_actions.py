"""What the operator does to the picture: layouts, units, theme, text, the subject's window, a frozen display."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import layouts, subject_options, theme
from gui.subject_settings import SubjectSettings
from gui.subject_window import SubjectWindow

if TYPE_CHECKING:
    from gui.console import Console


class ViewActions:
    """Does what actions of the menu *View* say, by ``do_<name>``.

    Parameters
    ----------
    window : Console

    Attributes
    ----------
    subject : SubjectWindow or None
        Once it was opened.
    """

    def __init__(self, window: Console):
        self.window, self.memory = window, window.memory
        self.subject: SubjectWindow | None = None
        self.settings: SubjectSettings | None = None

    def do_freeze(self) -> None:
        """Freeze or thaw the display."""
        self.window.context.frozen = not self.window.context.frozen
        self.window.actions_by_name["freeze"].setChecked(self.window.context.frozen)

    def do_mute(self) -> None:
        """Switch the sound of alarms, for this user."""
        chrome = self.window.chrome
        chrome.muted = not chrome.muted
        self.memory.put("muted", "yes" if chrome.muted else "no")
        self.window.do_say(f"alarms are {'silent' if chrome.muted else 'heard'}")

    def do_acknowledge(self) -> None:
        """Acknowledge all alarms: they are silent, and go when they are over."""
        count = self.window.chrome.alarms.acknowledge()
        self.window.do_say(f"{count} acknowledged" if count else "there is no alarm to acknowledge")
        self.window.chrome.refresh_soon()

    # -- units -----------------------------------------------------------------------------------------------------

    def do_next_unit(self) -> None:
        """Select the next row of the raster."""
        self._move_unit(1)

    def do_previous_unit(self) -> None:
        """Select the row before."""
        self._move_unit(-1)

    def _move_unit(self, change: int) -> None:
        order = list(self.window.docks["raster"].panel.order)
        unit = self.window.context.selection.units[0]
        if order:
            at = order.index(unit) if unit in order else 0
            self.window.context.selection.choose(int(order[(at + change) % len(order)]))

    def do_zoom_in(self) -> None:
        """Show fewer units in the raster, larger."""
        self.window.docks["raster"].panel.zoom(0.5)

    def do_zoom_out(self) -> None:
        """Show more units in the raster."""
        self.window.docks["raster"].panel.zoom(2.0)

    # -- layouts ---------------------------------------------------------------------------------------------------

    def do_layout_run(self) -> None:
        """Arrange for running."""
        self.window.apply_layout("run")

    def do_layout_calibrate(self) -> None:
        """Arrange for calibration."""
        self.window.apply_layout("calibrate")

    def do_layout_inspect(self) -> None:
        """Arrange for understanding a recording."""
        self.window.apply_layout("inspect")

    def do_reset_layout(self) -> None:
        """Put the panels of this layout back."""
        self.memory.forget(self.window.layout_name, self.window)
        layouts.arrange(self.window, self.window.docks, self.window.layout_name)

    def do_show_panel(self, name: str) -> None:
        """Bring a panel to the front (the palette's wish)."""
        self.window.show_panel(name)
        self.window.docks[name].panel.enter()

    # -- the subject's window --------------------------------------------------------------------------------------

    def do_subject_window(self) -> None:
        """Open the subject's window, or close it."""
        options = subject_options.from_text(self.memory.get("subject", ""))
        if self.subject is not None and self.subject.isVisible():
            self.subject.close()
            self.window.do_say("the subject's window is closed (F12 opens it again)")
            return
        self.subject = SubjectWindow(self.window.link, own_timer=False, options=options, say=self.window.do_say)
        self.subject.show_on_screen()
        self.window.quicken()

    def do_subject_settings(self) -> None:
        """Choose the subject's screen, sizes, patch and sounds."""
        found = subject_options.from_text(self.memory.get("subject", ""))
        self.settings = SubjectSettings(self.window, found)
        self.settings.accepted.connect(self._take_subject_settings)
        self.settings.open()

    def _take_subject_settings(self) -> None:
        options = self.settings.options()
        self.memory.put("subject", options.text())
        if self.subject is not None and self.subject.isVisible():
            self.subject.close()
        self.subject = None
        self.do_subject_window()

    # -- theme, text, picture --------------------------------------------------------------------------------------

    def do_theme(self) -> None:
        """Switch between dark and light."""
        self.apply_theme("light" if theme.current() is theme.DARK else "dark")
        self.memory.put("theme", theme.current().name)

    def apply_theme(self, name: str) -> None:
        """Take a theme."""
        theme.use(name, QtWidgets.QApplication.instance())
        self.window.chrome.restyle()
        for dock in self.window.docks.values():
            dock.restyle()
        self.window.refresh(all_panels=True)

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
        self.window.do_say(f"text at {100 * theme.scale():.0f} %")

    def do_full_screen(self) -> None:
        """Fill the screen, and back."""
        self.window.setWindowState(self.window.windowState() ^ QtCore.Qt.WindowState.WindowFullScreen)

    def do_save_picture(self) -> None:
        """Save this window as PNG."""
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self.window, "Save a picture", "console.png", "PNG (*.png)")
        if path and not self.window.grab().save(path, "PNG"):
            self.window.do_say(f"{path} could not be written; choose a folder that can be written")
