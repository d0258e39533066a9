"""Sessions that the window starts: the form, the process, and why one did not run."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

from pyqtgraph.Qt import QtWidgets

from gui import processes
from gui.layouts import Memory
from gui.session_commands import ask
from gui.session_form import SessionForm


class SessionStart:
    """Starts sessions that live on when the window closes.

    Parameters
    ----------
    window : QWidget
    home : (str, str, str)
        Telemetry, control, keys: where the window listens, and the session shall publish.
    memory : Memory
    folder : callable
        Returns the folder of recordings.
    say : callable
        Shows a sentence.

    Attributes
    ----------
    form : SessionForm or None
    process : subprocess.Popen or None
        Of the session that was started last, while it runs.
    heard : bool
        Whether that session has been heard: from then on silence is a lost connection, and no start.
    """

    def __init__(
        self,
        window: QtWidgets.QWidget,
        home: tuple[str, str, str],
        memory: Memory,
        folder: Callable[[], str],
        say: Callable[[str], None],
    ):
        self.window, self.home, self.memory, self.folder, self.say = window, home, memory, folder, say
        self.form: SessionForm | None = None
        self.process: subprocess.Popen | None = None
        self.failure: QtWidgets.QMessageBox | None = None
        self._begun_s, self.heard = 0.0, False

    def ask(self) -> None:
        """Open the form; its Start starts a session."""
        if self.process is not None and self.process.poll() is None:
            self.say(f"the session that was started here has not ended (process {self.process.pid})")
            return
        self.form = SessionForm(self.window, *self.home, self.memory, self.folder())
        self.form.refused = self.say
        self.form.accepted.connect(self._start)
        self.form.open()

    def _start(self) -> None:
        assert self.form is not None
        self.process, self._words = processes.start_session(self.form.arguments())
        self._begun_s, self.heard = time.monotonic(), False
        self.say("starting a session: kernels are compiled on the first start, which takes up to half a minute")

    def progress(self) -> str:
        """Return how long a session has been starting, or nothing when none is."""
        if self.process is None or self.heard or self.process.poll() is not None:
            return ""
        return f"{time.monotonic() - self._begun_s:.0f} s; the first start compiles"

    def watch(self) -> None:
        """Say why a session that was started here did not run."""
        if self.process is None or self.process.poll() is None:
            return
        words = processes.last_words(self._words)
        if self.process.returncode:
            told = words.removeprefix("bmi: ") or _ending(self.process.returncode)
            self.say(f"✕ {told}")
            self.failure = ask(self.window, "The session failed", told, "Close", {"C&hange the form": self.ask})
        self.process = None


def _ending(code: int) -> str:
    """Return in a sentence how a process ended that said nothing."""
    if code >= 0:
        return f"its program ended with exit code {code} and said nothing"
    names = {number.value: number.name for number in signal.Signals}
    return f"its program was ended from outside ({names.get(-code, f'signal {-code}')}); what was recorded is kept"
