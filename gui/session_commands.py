"""What keys and buttons do to a session: hold, stop, markers, notes, parameters; shared by both windows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtWidgets

from gui.event_log import MARKER
from gui.link import Link

Role = QtWidgets.QMessageBox.ButtonRole
LEAST_WIDTH = 400  # pixels, of a question


def ask(parent, title: str, text: str, safe: str, choices: dict[str, Callable[[], None]]) -> QtWidgets.QMessageBox:
    """Open a question that does not stop the window; Enter and Escape take the safe answer, which does nothing.

    Parameters
    ----------
    parent : QWidget
    title, text : str
        The question, and what follows from the answers.
    safe : str
        The button that changes nothing; the default.
    choices : dict
        Word on the button: what is done then.
    """
    box = QtWidgets.QMessageBox(parent)
    box.setWindowTitle(title)
    box.setText(title)
    box.setInformativeText(text)
    done = {box.addButton(word, Role.AcceptRole): action for word, action in choices.items()}
    stay = box.addButton(safe, Role.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    if isinstance(grid := box.layout(), QtWidgets.QGridLayout):  # wide enough for its title
        grid.addItem(QtWidgets.QSpacerItem(LEAST_WIDTH, 0), grid.rowCount(), 0, 1, grid.columnCount())
    box.buttonClicked.connect(lambda button: done[button]() if button in done else None)
    box.open()
    return box


class SessionCommands:
    """Commands to a session, each answered by a sentence.

    Parameters
    ----------
    link : Link
    window : QWidget
        Questions are asked over it.
    say : callable
        Shows a sentence.
    """

    def __init__(self, link: Link, window: QtWidgets.QWidget, say: Callable[[str], None]):
        self.link, self.store, self.window, self.say = link, link.store, window, say
        self.question: QtWidgets.QMessageBox | None = None
        self.on_stopped: Callable[[], None] = lambda: None

    def set(self, key: str, value: Any, done: str) -> None:
        """Set a live parameter; say `done` with the bin at which it took effect, or why it was refused."""

        def answered(answer: dict[str, Any]) -> None:
            if answer.get("ok"):
                self.store.live[key] = answer["new"]
                self.say(f"{done} at bin {answer['bin']}")
            else:
                self.say(f"✕ {answer.get('error', 'refused')}")

        self.link.send({"set": key, "value": value}, answered)

    def hold(self) -> None:
        """Stop the cursor and freeze adaptation."""
        self.set("session.hold", True, "held")

    def hold_when_it_answers(self, wanted: bool = True) -> None:
        """Remember a hold for a runtime that is silent now, or forget it."""
        self.store.hold_owed = wanted
        told = "Hold is sent as soon as it does; F6 again takes that back" if wanted else "no Hold is sent"
        self.say(f"the runtime does not answer: {told}")

    def send_what_is_owed(self, connection: str) -> None:
        """Send a hold that was asked for while the runtime was silent; one for a session that is over is void."""
        if self.store.hold_owed and connection in ("connected", "ended"):
            self.store.hold_owed = False
            if connection == "connected":
                self.set("session.hold", True, "held, as you asked while the runtime was silent,")

    def resume(self) -> None:
        """Go on after a hold."""
        self.set("session.hold", False, "resumed")

    def stop(self) -> None:
        """End the session; asks first, and the answer that Enter gives is to go on."""
        self._close_question()
        name = os.path.basename(self.store.recording or "")
        told = f"Its recording will be complete: {name}" if name else "It is not being recorded."
        self.question = ask(self.window, "Stop the session?", told, "Go on", {"&Stop the session": self.stop_now})

    def stop_now(self) -> None:
        """End the session."""

        def answered(answer: dict[str, Any]) -> None:
            self.store.ended = bool(answer.get("ok"))
            stopped = f"stopped at bin {answer['bin']}" if answer.get("ok") else f"✕ {answer.get('error', 'refused')}"
            self.say(stopped)
            self.on_stopped()

        self.link.send({"do": "stop"}, answered)

    def stop_output(self) -> None:
        """Stop the output for good: the cursor is held at once, the question follows; a held session is not asked."""
        if self.store.held or (self.question is not None and self.question.objectName() == "stop_output"):
            self.stop_output_now()
            return
        self.set("session.hold", True, "held, while you are asked whether the output shall stop for good,")
        self._close_question()
        told = (
            "The cursor is held now. Stopped output does not come back in this session; recording goes on. "
            "Shift+F9 again stops it; Resume (F5) goes on."
        )
        choices = {"Stop the output for good": self.stop_output_now, "&Resume": self.resume}
        self.question = ask(self.window, "Stop the output for good?", told, "Stay held", choices)
        self.question.setObjectName("stop_output")
        self.question.finished.connect(lambda _: self._forget_question())

    def stop_output_now(self) -> None:
        """Stop the output for good, without a question."""
        self._close_question()
        self.set("session.stopped", True, "output stopped")

    def _close_question(self) -> None:
        question, self.question = self.question, None
        if question is not None:
            question.close()

    def _forget_question(self) -> None:
        self.question = None

    def marker(self) -> None:
        """Put the next numbered marker into the recording."""
        numbers = [int(found[1]) for e in self.store.events if e.kind == "note" and (found := MARKER.match(e.text))]
        self.store.markers = max([self.store.markers, *numbers]) + 1
        self.note(f"marker {self.store.markers}")

    def note(self, text: str) -> None:
        """Put a note into the recording."""

        def answered(answer: dict[str, Any]) -> None:
            noted = f"noted at bin {answer['bin']}: {text}" if answer.get("ok") else None
            self.say(noted or f"✕ {answer.get('error', 'refused')}")

        self.link.send({"note": text}, answered)

    def toggle_adaptation(self) -> None:
        """Switch adaptation of the encoding model."""
        wanted = not self.store.live.get("adapter.enabled", True)
        self.set("adapter.enabled", wanted, f"adaptation {'on' if wanted else 'off'}")

    def next_block(self) -> None:
        """Begin the next block of the session."""
        planned, number = self.store.planned_blocks, int(self.store.live.get("session.block") or 1)
        if not planned:
            self.say("this session has no blocks; the form of a new session makes them")
        elif number >= len(planned):
            self.say(f"block {number} is the last one; Stop (F9) ends the session")
        else:
            self.set("session.block", number + 1, f"block {number + 1}")

    def undo(self) -> None:
        """Set the parameter that was changed last back to what it was."""
        if not self.store.undoable:
            self.say("no parameter has been changed in this session")
            return
        key, old = self.store.undoable[-1]
        self.set(key, old, f"{key} back to {old}")
