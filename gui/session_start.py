"""Sessions that the window starts: the form, the process, and why one did not run."""

from __future__ import annotations

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
    session : SessionProcess or None
        The session that was started last, while it runs.
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
        self.session: processes.SessionProcess | None = None
        self.failure: QtWidgets.QMessageBox | None = None
        self._begun_s, self.heard = 0.0, False

    def ask(self) -> None:
        """Open the form; its Start starts a session."""
        if self._running():
            self.say(f"the session that was started here has not ended (process {self.session.process.pid})")
            return
        self.form = SessionForm(self.window, *self.home, self.memory, self.folder())
        self.form.refused = self.say
        self.form.accepted.connect(self._start)
        self.form.open()

    def _start(self) -> None:
        assert self.form is not None
        self.session = processes.SessionProcess(self.form.arguments())
        self._begun_s, self.heard = time.monotonic(), False
        self.say("starting a session: kernels are compiled on the first start, which takes up to half a minute")

    def progress(self) -> str:
        """Return how long a session has been starting, or nothing when none is."""
        if self.heard or not self._running():
            return ""
        return f"{time.monotonic() - self._begun_s:.0f} s; the first start compiles"

    def watch(self) -> None:
        """Say why a session that was started here failed."""
        if self.session is None or self._running():
            return
        if told := self.session.why_it_failed():
            self.say(f"✕ {told}")
            self.failure = ask(self.window, "The session failed", told, "Close", {"C&hange the form": self.ask})
        self.session = None

    def _running(self) -> bool:
        return self.session is not None and self.session.process.poll() is None
