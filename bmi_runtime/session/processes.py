"""What parts of others do to the process that they run in: copies of it (``fork``), threads that outlive the session.

A copy of the runtime that a part forked and that comes back from the part's call would go on as a second runtime: it
would write into the same recording and send from the same sockets. It ends instead, and the file is never its own. A
copy that runs a task of its own (`multiprocessing`) is left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

OF_PARTS = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that end a process by default, and that libraries send to themselves."""
TIMERS: dict[int, int] = {
    signal.SIGALRM: signal.ITIMER_REAL,
    signal.SIGVTALRM: signal.ITIMER_VIRTUAL,
    signal.SIGPROF: signal.ITIMER_PROF,
}
_running: list[Any] = []
"""The loop of this process, while it runs."""
is_copy = False
copies = 0  # that parts made of this process
left_threads: list[threading.Thread] = []
"""Threads that a session left behind, and at whose end the interpreter would wait."""


@contextlib.contextmanager
def watched(loop: Any) -> Iterator[None]:
    """Watch for copies and threads while a loop (a `session.loop.Loop`) runs."""
    before = set(threading.enumerate())
    _running.append(loop)
    kept = _outlive_signals(loop)
    try:
        yield
    finally:
        for number, handler in kept.items():
            if number in TIMERS:
                signal.setitimer(TIMERS[number], 0.0)  # one that a part left running would end the process now
            signal.signal(number, handler)
        _running.remove(loop)
        left_threads.extend(one for one in threading.enumerate() if one not in before and not one.daemon)


def _outlive_signals(loop: Any) -> dict[int, Any]:
    """Note, in place of dying of it, a timer or signal of a part that nobody answers; return what was set before."""
    if threading.current_thread() is not threading.main_thread():
        return {}

    def note(number: int, _frame: Any) -> None:
        loop.session.events.append({"name": "signal-ignored", "signal": signal.Signals(number).name})

    return {number: signal.signal(number, note) for number in OF_PARTS if signal.getsignal(number) is signal.SIG_DFL}


def leave_if_copied() -> None:
    """End this process where it is a copy that a part made and that came back from the part's call."""
    if is_copy:
        os._exit(0)


def _after_fork_in_child() -> None:
    global is_copy
    for loop in _running:
        is_copy = True
        if loop.recorder:
            loop.recorder.let_go()


def _after_fork_in_parent() -> None:
    global copies
    copies += bool(_running)
    for loop in _running:
        loop.session.events.append({"name": "process-forked"})


os.register_at_fork(after_in_child=_after_fork_in_child, after_in_parent=_after_fork_in_parent)
