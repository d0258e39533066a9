"""What the operator does to a session, and to the units and parameters in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui.event_log import PARAMETERS, short
from gui.session_commands import SessionCommands, ask
from gui.session_start import SessionStart

if TYPE_CHECKING:
    from gui.console import Console


class SessionActions:
    """Does what actions of the menu *Session* say, by ``do_<name>``.

    Parameters
    ----------
    window : Console

    Attributes
    ----------
    commands : SessionCommands
        To the session that runs.
    starting : SessionStart
        Of a new one.
    closing : QMessageBox or None
        The question what becomes of the session when the window is closed.
    """

    def __init__(self, window: Console):
        self.window, self.store, self.link = window, window.store, window.link
        recordings = window.docks["recordings"].panel
        self.commands = SessionCommands(window.link, window, window.do_say)
        self.commands.on_stopped = lambda: QtCore.QTimer.singleShot(1500, recordings.read)
        self.starting = SessionStart(window, window.home, window.memory, lambda: recordings.folder, window.do_say)
        self.closing: QtWidgets.QMessageBox | None = None
        self._ended_seen = False

    def watch(self) -> None:
        """Say why a session that was started here did not run; show the summary once one that was seen has ended."""
        self.starting.watch()
        connection = self.store.connection(self.link.now_s())
        self.commands.send_what_is_owed(connection)
        if connection == "connected":
            self.starting.heard = True
        ended = self.store.ended and self.store.mode in ("live", "simulated")
        if ended and not self._ended_seen and self.store.step is not None:
            self.window.show_panel("summary")
        again = self._ended_seen and not ended and connection == "connected" and self.store.mode != "replay"
        if again and not self.window.docks["subject"].isHidden():
            self.window.docks["subject"].raise_()  # the summary of the session before lies over it
        self._ended_seen = ended

    def do_start(self) -> None:
        """Start a session, resume a held one, or play a recording."""
        if self.store.mode == "replay":
            self.window.replay.send({"do": "play"})
        elif self.store.held and self.store.connection(self.link.now_s()) == "connected":
            self.commands.resume()
        elif self.window.replay.opening:
            self.window.do_say(f"{self.window.replay.opening} is still being opened")
        else:
            self.starting.ask()

    def do_hold(self) -> None:
        """Hold the session, or pause the replay."""
        if self.store.mode == "replay":
            self.window.replay.send({"do": "pause"})
        else:
            self.commands.hold()

    def do_stop(self) -> None:
        """End the session; asks first."""
        self.commands.stop()

    def do_stop_output(self) -> None:
        """Stop the output for good: holds at once, and asks unless the session was held already."""
        self.commands.stop_output()

    def do_stop_output_now(self) -> None:
        """Stop the output for good: Shift+F9 was kept down."""
        self.commands.stop_output_now()

    def do_marker(self) -> None:
        """Put a numbered marker into the recording."""
        self.commands.marker()

    def do_note(self, text: str) -> None:
        """Put a note into the recording."""
        self.commands.note(text)

    def do_focus_note(self) -> None:
        """Go to the note line."""
        self.window.show_panel("events")
        self.window.docks["events"].panel.note.setFocus()

    def do_toggle_adaptation(self) -> None:
        """Switch adaptation."""
        self.commands.toggle_adaptation()

    def do_next_block(self) -> None:
        """Begin the next block of the session."""
        self.commands.next_block()

    def do_undo(self) -> None:
        """Set the parameter that was changed last back to what it was."""
        self.commands.undo()

    def do_propose(self, key: str, value: Any) -> None:
        """Put a value into the live parameters' editor, for the operator to apply."""
        self.window.show_panel("controls")
        if not self.window.docks["controls"].panel.propose(key, value):
            self.window.do_say(f"no runtime has offered the parameter {key}")

    def do_set_parameter(self, key: str, value: Any) -> None:
        """Set a live parameter (the palette's wish)."""
        self.commands.set(key, value, f"{PARAMETERS.get(key, key)} {short(value)}")

    def do_toggle_unit(self, unit: int | None = None) -> None:
        """Put a unit (the selected one) out of decoding and learning, or in again."""
        if unit is None:
            unit = self.window.context.selection.units[0]
        if not self.window.enabled("toggle_unit"):
            self.window.do_say(f"Unit out / in: {self.window.why_not()}")
            return
        out = self.store.left_out
        wanted = out - {unit} if unit in out else out | {unit}
        word = f"unit {unit} {'in' if unit in out else 'out'}"
        self.commands.set("session.left_out", ", ".join(map(str, sorted(wanted))), word)

    def do_quit(self) -> None:
        """Close the window; while a session runs, ask what shall become of it."""
        if self.runs():
            self.ask_before_closing()
        else:
            self.window.close()

    def runs(self) -> bool:
        """Return whether a session runs that this window steers."""
        connected = self.store.connection(self.link.now_s()) == "connected"
        return connected and self.store.mode in ("live", "simulated") and not self.store.watching

    def ask_before_closing(self) -> None:
        """Ask whether the session goes on without the window."""

        def stop() -> None:
            self.commands.on_stopped = self.window.close
            self.commands.stop_now()

        text = "A session is running. It goes on without this window, and bmi gui shows it again."
        choices = {"&Keep it running, close the window": self.window.close, "&Stop the session and close": stop}
        self.closing = ask(self.window, "Close the window?", text, "Cancel", choices)
