"""A recording in the window: its player in a process of its own, and moving through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtCore

from gui import processes
from gui.client import Client
from gui.link import Link
from gui.panels.replay import ReplayPanel


class ReplayControl(QtCore.QObject):
    """Opens recordings, and sends what moves through them.

    Parameters
    ----------
    link : Link
    panel : ReplayPanel
    say : callable
        Shows a sentence.
    opened, failed : callable
        Called when a recording is open, and when it could not be opened.
    """

    def __init__(self, link: Link, panel: ReplayPanel, say: Callable[[str], None], opened, failed):
        super().__init__(panel)
        self.link, self.store, self.panel, self.say = link, link.store, panel, say
        self.opened, self.failed = opened, failed
        self.helper: processes.Helper | None = None
        self._path, self._connected = "", False
        self._seeking, self._next_seek = False, None

    @property
    def opening(self) -> str:
        """The recording that is being opened, until its first picture is here; else nothing."""
        if self._connected and self.store.mode == "replay":
            self._path = ""
        return self._path

    def open(self, path: str) -> None:
        """Play a recording in this window."""
        self.close()
        self._path, self._connected = str(path), False
        self.say(f"opening {path} …")
        arguments = ["-P", "-m", "bmi_runtime.playback.server", str(path)]
        self.helper = processes.Helper(arguments, self._ready, self._ended, self)

    def _ready(self, addresses: dict[str, str]) -> None:
        self.turn_to(Client(addresses["telemetry"], addresses["control"]))
        self._connected = True
        self.say("the recording is open; Ctrl+L goes back to the live session")
        self.opened()

    def _ended(self, code: int, words: str) -> None:
        self.helper, self._path = None, ""
        self.failed()
        self.say(f"✕ {words}" if words else f"✕ the replay ended with exit code {code}")

    def close(self) -> None:
        """End the player."""
        self._path = ""
        if self.helper:
            self.helper.stop()
            self.helper = None

    def turn_to(self, client: Client) -> None:
        """Listen to another runtime or player."""
        self.link.connect(client)
        self._seeking, self._next_seek = False, None  # what was asked of the one before is never answered
        self.link.ask_hello()

    def send(self, command: dict[str, Any]) -> None:
        """Send a command to the player."""

        def answered(answer: dict[str, Any]) -> None:
            if answer.get("ok"):
                self.store.replay = answer["replay"]
            else:
                self.say(f"✕ {answer.get('error', 'refused')}")

        self.link.send(command, answered)

    def jump(self, forward: bool) -> None:
        """Go to the next event, or to the one before."""
        wanted = self.panel.neighbour(forward)
        if wanted is None:
            self.say("there is no event " + ("after" if forward else "before") + " this moment")
        else:
            self.seek(wanted)

    def seek(self, bin_index: int) -> None:
        """Go to a bin; while one seek is under way only the newest wish is kept."""
        if self.store.mode != "replay":
            return
        if self._seeking:
            self._next_seek = bin_index
            return
        self._seeking = True
        self.link.send({"do": "seek", "bin": int(bin_index)}, self._sought)

    def _sought(self, answer: dict[str, Any]) -> None:
        self._seeking = False
        if not answer.get("ok"):
            self.say(f"✕ {answer.get('error', 'refused')}")
        else:
            self.link.ask_hello()
        if self._next_seek is not None:
            wanted, self._next_seek = self._next_seek, None
            self.seek(wanted)

    def change_speed(self, change: int) -> None:
        """Play at the next higher speed (1) or lower one (-1)."""
        self.send({"do": "speed", "value": self.panel.next_speed(change)})
