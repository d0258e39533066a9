"""What the operator, and processes beside the loop, may ask of a running session."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bmi_runtime.decoding.recorded_files import content_of
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.writer import RecordingWriter
from bmi_runtime.session import stability_report
from bmi_runtime.session.core import Session
from bmi_runtime.session.learner_watch import LearnerWatch
from bmi_runtime.session.live_parameters import is_word, shown
from bmi_runtime.session.part_loading import PartLoading
from bmi_runtime.session.status import Status

NOTE_CHARACTERS = 2000  # of a note that are kept
UNKNOWN_COMMAND = "unknown command; send {'set': key, 'value': v}, {'do': 'stop'}, {'note': text} or {'get': 'hello'}"


class OperatorCommands:
    """Answers commands; what touches the session is recorded with the bin it takes effect.

    Parameters
    ----------
    session : Session
    status : Status
    recorder : RecordingWriter or None
    tell : callable
        ``tell(stream, message, now_ns)`` records a message and publishes it.
    stop : callable
        Ends the run after the current bin.

    Attributes
    ----------
    learners : LearnerWatch
        Who refits decoders beside the loop.
    parts : PartLoading
        Imports parts of other packages beside the loop.
    """

    def __init__(
        self,
        session: Session,
        status: Status,
        recorder: RecordingWriter | None,
        tell: Callable[[str, dict[str, Any], int], None],
        stop: Callable[[], None],
    ):
        self.session, self.status, self.recorder = session, status, recorder
        self._tell, self._stop = tell, stop
        self.learners, self.parts = LearnerWatch(), PartLoading()
        self._verbs = {
            "set": self._set,
            "do": self._do,
            "note": self._note,
            "get": self._get,
            "stability": self._stability,
            "learner": self._learner,
        }

    def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Answer one command.

        Raises
        ------
        BadInput
            When there is no such command.
        """
        for verb, answer in self._verbs.items():
            if verb in command:
                return answer(command)
        raise BadInput(UNKNOWN_COMMAND)

    def _set(self, command: dict[str, Any]) -> dict[str, Any]:
        self.parts.see_to(command["set"], command.get("value"))
        answer, now_ns = self.session.apply(command), time.monotonic_ns()
        if is_word(command["set"], "decoder.fitted_file") and answer["new"]:
            self.keep_file(answer["new"], now_ns)
        self._tell("command", answer, now_ns)
        return answer

    def keep_file(self, path: str, now_ns: int) -> None:
        """Record the file of a decoder, so that the session replays where only its recording was taken to."""
        if not self.recorder:
            return
        try:
            content = content_of(path)
        except OSError:  # it was there a moment ago, when the decoder was made
            self._tell("event", {"name": "decoder-file-not-recorded", "file": path, "bin": self.session.bins}, now_ns)
            return
        self.recorder.write("decoder_file", {"path": path, "bin": self.session.bins, "content": content}, now_ns)

    def _learner(self, command: dict[str, Any]) -> dict[str, Any]:
        now_ns = time.monotonic_ns()
        if name := self.learners.heard(command["learner"], now_ns):
            self._tell("event", {"name": name, "bin": self.session.bins}, now_ns)
        return {"learner": command["learner"], "bin": self.session.bins}

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        if not is_word(command["do"], "stop"):
            raise BadInput(UNKNOWN_COMMAND)
        self._stop()
        answer = {"do": "stop", "bin": self.session.bins}
        self._tell("command", answer, time.monotonic_ns())
        return answer

    def _note(self, command: dict[str, Any]) -> dict[str, Any]:
        note = command["note"]
        if not isinstance(note, str):
            raise BadInput(f"a note is a text, got {shown(note)}")
        answer = {"note": note[:NOTE_CHARACTERS], "bin": self.session.bins}
        self._tell("event", {"name": "note", **answer}, time.monotonic_ns())
        return answer

    def _stability(self, command: dict[str, Any]) -> dict[str, Any]:
        """Record and publish what a process beside the loop found out of the array."""
        answer = {**stability_report.checked(command["stability"]), "bin": self.session.bins}
        self._tell("event", {"name": "stability", **answer}, time.monotonic_ns())
        return answer

    def _get(self, command: dict[str, Any]) -> dict[str, Any]:
        if not is_word(command["get"], "hello"):
            raise BadInput(UNKNOWN_COMMAND)
        return self.status.hello()
