"""Other programs of the project, started from the window: a session, a replay, a check, a list of recordings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from typing import IO

from pyqtgraph.Qt import QtCore

COMMAND = [sys.executable, "-P", "-m", "bmi_runtime.cli.main"]


class Helper(QtCore.QObject):
    """A program whose standard output is lines of JSON.

    Parameters
    ----------
    arguments : list of str
        After the Python interpreter.
    on_line : callable
        Gets every line that is a JSON object.
    on_end : callable
        Gets the exit code and the last words on standard error.
    """

    def __init__(
        self, arguments: list[str], on_line: Callable[[dict], None], on_end: Callable[[int, str], None], parent=None
    ):
        super().__init__(parent)
        self.on_line, self.on_end = on_line, on_end
        self.process = QtCore.QProcess(self)
        self.process.setProgram(sys.executable)
        self.process.setArguments(arguments)
        self.process.readyReadStandardOutput.connect(self._read)
        self.process.finished.connect(self._finished)
        self.process.errorOccurred.connect(self._failed)
        self._rest, self._done = b"", False
        self.process.start()

    def _read(self) -> None:
        *lines, self._rest = (self._rest + bytes(self.process.readAllStandardOutput())).split(b"\n")
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                self.on_line(found)

    def _finished(self, code: int, _status=None) -> None:
        self._read()
        words = bytes(self.process.readAllStandardError()).decode("utf-8", "replace").strip().splitlines()
        self._end(code, words[-1] if words else "")

    def _failed(self, error) -> None:
        if error == QtCore.QProcess.ProcessError.FailedToStart:
            self._end(1, f"{sys.executable} could not be started")

    def _end(self, code: int, words: str) -> None:
        if not self._done:
            self._done = True
            self.on_end(code, words)

    def stop(self) -> None:
        """End the program and wait for it."""
        self._done = True
        if self.process.state() != QtCore.QProcess.ProcessState.NotRunning:
            self.process.closeWriteChannel()
            self.process.terminate()
            if not self.process.waitForFinished(2000):
                self.process.kill()
                self.process.waitForFinished(2000)


def verify(path: str, on_end: Callable[[dict | None, str], None], parent=None) -> Helper:
    """Replay a recording and compare it to the bit; `on_end` gets the result and an error's words."""
    found: list[dict] = []
    arguments = ["-P", "-m", "bmi_runtime.cli.main", "replay", path, "--verify", "--json"]
    return Helper(arguments, found.append, lambda code, words: on_end(found[-1] if found else None, words), parent)


class SessionProcess:
    """A session that lives on when this window closes.

    Its messages and its result go to files, not to pipes: a pipe that nobody reads any more would stop the session at
    the first message it writes.

    Parameters
    ----------
    arguments : list of str
        Of ``bmi run``.
    """

    def __init__(self, arguments: list[str]):
        self._said, self._answered = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - they live on
        weakref.finalize(self, _close, self._said, self._answered)
        self.process = subprocess.Popen(
            [*COMMAND, "run", "--headless", *arguments, "--json"],
            stdout=self._answered,
            stderr=self._said,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def why_it_failed(self) -> str:
        """Return in a sentence why a session that is over failed, and close its files; nothing where it did not."""
        said, answered = _last_line(self._said), _last_line(self._answered)
        code = self.process.poll()
        if not code:
            return ""
        try:
            result = json.loads(answered)
        except ValueError:  # a session that failed altogether has no result
            result = {}
        if result.get("recording_failed"):
            return f"its recording is incomplete: {result['recording_failed']}; what was written before can be read"
        return said.removeprefix("bmi: ") if said.startswith("bmi: ") else _ending(code, said)


def _close(*files: IO[bytes]) -> None:
    for file in files:
        file.close()


def _ending(code: int, said: str) -> str:
    """Return in a sentence how a process ended that did not say why."""
    if code >= 0:
        return f"its program ended with exit code {code}" + (
            f"; its last words: {said}" if said else " and said nothing"
        )
    names = {number.value: number.name for number in signal.Signals}
    return f"its program was ended from outside ({names.get(-code, f'signal {-code}')}); what was recorded is kept"


def _last_line(file: IO[bytes]) -> str:
    """Return the last line of what a program wrote, and close the file."""
    file.seek(max(file.seek(0, os.SEEK_END) - 65536, 0))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    file.close()
    return lines[-1] if lines else ""
