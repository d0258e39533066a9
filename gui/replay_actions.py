"""What the operator does with a recording in the window: open it, move through it, go back to the live session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyqtgraph.Qt import QtWidgets

from gui.client import Client
from gui.replay_control import ReplayControl

if TYPE_CHECKING:
    from gui.console import Console


class ReplayActions:
    """Does what actions of the menu *Replay* say, by ``do_<name>``.

    Parameters
    ----------
    window : Console
    control : ReplayControl
    """

    def __init__(self, window: Console, control: ReplayControl):
        self.window, self.store, self.control = window, window.store, control

    def do_open_file(self) -> None:
        """Choose a recording and replay it."""
        folder = self.window.docks["recordings"].panel.folder
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self.window, "Open a recording", folder, "Recordings (*.mcap)")
        if path:
            self.do_open_recording(path)

    def do_open_recording(self, path: str) -> None:
        """Replay a recording in this window."""
        self.control.open(path)
        self.window.chrome.refresh_soon()

    def do_live(self) -> None:
        """Listen to the runtime again."""
        self.control.close()
        self.control.turn_to(Client(*self.window.home))
        self.window.apply_layout("run")

    def do_play_pause(self) -> None:
        """Play or pause."""
        self.control.send({"do": "play" if self.store.replay.get("paused") else "pause"})

    def do_step_on(self) -> None:
        """One bin on."""
        self.control.send({"do": "step", "bins": 1})

    def do_step_back(self) -> None:
        """One bin back."""
        self.do_seek(self.store.bin - 1)

    def do_next_trial(self) -> None:
        """Go to the next event."""
        self.control.jump(True)

    def do_previous_trial(self) -> None:
        """Go to the event before."""
        self.control.jump(False)

    def do_seek(self, bin_index: int) -> None:
        """Go to a bin of the recording."""
        self.control.seek(bin_index)

    def do_faster(self) -> None:
        """Play at the next higher speed."""
        self.control.change_speed(1)

    def do_slower(self) -> None:
        """Play at the next lower speed."""
        self.control.change_speed(-1)

    def do_what_if(self) -> None:
        """Go to the setting that a what if asks about."""
        self.window.show_panel("replay")
        self.window.docks["replay"].panel.enter_what_if()
