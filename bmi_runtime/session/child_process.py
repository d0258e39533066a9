"""Processes that a command starts beside the runtime: restarted when they die, ended with the session."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable

QUICK_DEATH_S = 5.0  # after its start
QUICK_DEATHS = 4  # in a row: what dies so soon each time would die for ever
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


@dataclasses.dataclass
class ChildProcess:
    """A process beside the runtime, started by a command: restarted when it dies, ended with the session.

    Attributes
    ----------
    name : str
        For messages.
    start : callable
        Starts it and returns the process.
    """

    name: str
    start: Callable[[], subprocess.Popen]
    process: subprocess.Popen | None = None
    started_s: float = 0.0
    quick_deaths: int = 0

    def begin(self) -> None:
        """Start the process."""
        self.process, self.started_s = self.start(), time.monotonic()

    def restart_if_dead(self, say: Callable[[str], None]) -> None:
        """Start the process again if it died; when it keeps dying, say so and leave it."""
        if self.process is None or (status := self.process.poll()) is None:
            return
        self.process = None
        if status == 0:
            say(f"the {self.name} has ended; the session goes on")
            return
        self.quick_deaths = self.quick_deaths + 1 if time.monotonic() - self.started_s < QUICK_DEATH_S else 0
        if self.quick_deaths >= QUICK_DEATHS:
            say(f"the {self.name} died {QUICK_DEATHS} times at once ({died_of(status)}); going on without it")
            return
        self.begin()
        say(f"the {self.name} died ({died_of(status)}) and was started again")

    def end(self) -> None:
        """Ask the process to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait_until(self, deadline_s: float) -> None:
        """Wait for the process to end, and kill it at the deadline."""
        if self.process is None:
            return
        try:
            self.process.wait(max(deadline_s - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def died_of(status: int) -> str:
    """Return an exit status of `subprocess` as text."""
    if status >= 0:
        return f"exit code {status}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-status).name}"
    return f"signal {-status}"


def start_helper(command: list[str]) -> subprocess.Popen:
    """Start a command in a process group of its own (Ctrl-C reaches the supervisor alone) that dies with its parent."""
    die = death_with_parent()
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, process_group=0, preexec_fn=die)


def death_with_parent() -> Callable[[], None]:
    """Return a call for a new child: the kernel ends it when its parent dies, in whatever way (Linux)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
