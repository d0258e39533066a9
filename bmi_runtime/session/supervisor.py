"""One supervisor for the processes of a session: the runtime, the window, and a source of its own.

The supervisor has loaded and compiled everything before it forks the runtime, and then does nothing but wait: it is
the warm standby. A runtime that is killed is forked again, restores the last snapshot of its recording, takes the bins
behind it again, and goes on in a new recording that names the old one.

The runtime tells how it stands through a pipe that it never waits on (`Report`), so neither a frozen supervisor nor a
stopped terminal can hold the loop up. One that says nothing because a part of it never returns is known by its
`heartbeat`: it is killed, and started again like one that died.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bmi_runtime.config import Config
from bmi_runtime.errors import BmiError
from bmi_runtime.session.child_process import QUICK_DEATH_S, QUICK_DEATHS, ChildProcess, death_with_parent, died_of
from bmi_runtime.session.heartbeat import WHERE, Heartbeat, Place, Watch
from bmi_runtime.session.runtime_report import Report, RuntimeStatus

END_WITHIN_S = 1.5  # from the wish to end until a process is killed that does not move
END_AT_MOST_S = 15.0  # and one that moves: a busy machine, or a slow disk
CRASHED = 70  # exit code of a runtime whose own code failed, as EX_SOFTWARE of <sysexits.h>
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KILLED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclasses.dataclass
class RuntimeJob:
    """What a runtime process is to do: begin, or go on where a recording ends."""

    config: Config
    total_bins: int
    path: Path | None
    resume: str | None = None
    snapshot_offset: int | None = None
    fallback: bool = False
    why: str = ""
    cautious: bool = False  # the same death twice: go on with the last decoder that completed a bin before
    bare: bool = False  # and a third time: without anybody else's task and intention, too


class Supervisor:
    """Runs the processes of a session until it is over.

    Parameters
    ----------
    assignment : RuntimeJob
        What the first runtime process is to do.
    work : callable
        ``work(assignment, report)`` runs in the runtime's process (`worker.work`).
    screen : object
        ``say(text)`` and ``advance(bins)``, toward the operator.
    helpers : sequence of ChildProcess
    hung_after_s : float
        A runtime that does not move for so long is killed and started again; 0: never.
    """

    def __init__(
        self, assignment: RuntimeJob, work, screen, helpers: tuple[ChildProcess, ...] = (), hung_after_s: float = 0.0
    ):
        self.assignment, self.work, self.screen, self.helpers = assignment, work, screen, helpers
        self.hung_after_s, self._told_waiting = hung_after_s, False
        self.runtime = RuntimeStatus()
        self.pid, self.pipe, self._unread = 0, -1, b""
        self.recordings: list[str] = []
        self.restarts = 0
        self._quick_deaths, self._started_s = 0, 0.0
        self._last_death = ""
        self._ending_s: float | None = None
        self._wished_s = self._killed_after_s = 0.0
        self._end = ""  # of a runtime that died while it was to end
        self._at_once = self._told_late = False

    def run(self) -> dict[str, Any]:
        """Run to the end; return the result, with ``restarts`` and ``recordings`` (oldest first).

        Raises
        ------
        BmiError
            When the runtime reports an error, or keeps dying.
        KeyboardInterrupt
            When it was ended before the session had begun.
        """
        with _signals() as self._wake_up:
            try:
                self._start_runtime()
                for helper in self.helpers:
                    helper.begin()
                while self.pid:
                    self._wait()
            finally:
                self._end_all()
        return self._outcome()

    def _wait(self) -> None:
        # woken by reports and signals; the half second is for looking at the heartbeat and at the helpers
        left_s = 0.5 if self._ending_s is None else min(max(self._ending_s - time.monotonic(), 0.0), 0.5)
        ready, _, _ = select.select([self.pipe, self._wake_up], [], [], left_s)
        if self._wake_up in ready:
            self._take_signals()
        if self.pipe in ready:
            self._take_reports()
        self._look_whether_it_moves()
        if self._ending_s is not None and self.pid and time.monotonic() >= self._ending_s:
            self._end_late()
        if self._ending_s is None:
            for helper in self.helpers:
                helper.restart_if_dead(self.screen.say)

    def _end_late(self) -> None:
        """Kill a runtime that has not ended in time; one that still moves, or waits for the disk, gets more of it."""
        now_s = time.monotonic()
        moves = self.watch.place is Place.ENDING or self.watch.still_s < 0.5 * END_WITHIN_S
        self._ending_s = now_s + END_WITHIN_S
        if not moves or self._at_once or now_s > self._wished_s + END_AT_MOST_S:
            self._killed_after_s = now_s - self._wished_s
            os.kill(self.pid, signal.SIGKILL)
        elif not self._told_late:
            self._told_late = True
            self.screen.say(f"still ending ({WHERE[self.watch.place]}); Ctrl-C again ends it at once")

    def _look_whether_it_moves(self) -> None:
        """Kill a runtime that hangs. Where it may rightly wait, say so once."""
        self.watch.look(time.monotonic())
        limit_s, runtime = self.hung_after_s, self.runtime
        if not self.pid or not limit_s or runtime.hung_in is not None or self._ending_s is not None:
            return
        if self.watch.hangs(limit_s, self.restarts > 0):
            runtime.hung_in = self.watch.place
            os.kill(self.pid, signal.SIGKILL)
        elif self.watch.waits(limit_s) and not self._told_waiting:
            self._told_waiting = True
            self.screen.say(f"no bin for {self.watch.still_s:.0f} s: {WHERE[self.watch.place]}; Ctrl-C ends it")

    def _take_signals(self) -> None:
        for number in os.read(self._wake_up, 512):  # a death of a child only wakes: `_wait` looks at all of them
            if number not in ENDING:
                continue
            if self._ending_s is None:
                self._wished_s = time.monotonic()
                self._ending_s = self._wished_s + END_WITHIN_S
                if self.pid:
                    os.kill(self.pid, signal.SIGTERM)
                for helper in self.helpers:
                    helper.end()
            else:  # the second time: at once
                self._ending_s, self._at_once = time.monotonic(), True

    def _take_reports(self) -> None:
        data = os.read(self.pipe, 1 << 16)
        if not data:
            self._runtime_ended()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):  # a line cut short because the pipe was full
                self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        runtime = self.runtime
        if "say" in message:
            self.screen.say(message["say"])
        if "bins" in message:
            self.screen.advance(message["bins"] - runtime.bins)
            runtime.bins = message["bins"]
        if "snapshot" in message:
            runtime.snapshot_offset = message["snapshot"]
        if "ready" in message:
            runtime.ready, runtime.recording = True, message["recording"]
            if message["recording"]:
                self.recordings.append(message["recording"])
            self.screen.say(message["ready"])
        if "result" in message:
            runtime.result = message["result"]
            runtime.stopped_by_operator = message["stopped_by_operator"]
        if "error" in message or "crash" in message:
            runtime.failure = message

    def _start_runtime(self) -> None:
        """Fork the runtime; it is warm at once, because this process is."""
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        gc.freeze()  # what is here now stays shared with the child: its collector never looks at it
        parent = os.getpid()
        heartbeat = Heartbeat()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os._exit(self._in_child(parent, Report(writing, heartbeat)))
        os.close(writing)
        self.pid, self.pipe, self._unread, self._started_s = pid, reading, b"", time.monotonic()
        self.watch, self._told_waiting = Watch(heartbeat, self._started_s), False

    def _in_child(self, parent: int, report: Report) -> int:
        status = CRASHED
        try:
            signal.set_wakeup_fd(-1)
            for number in (*ENDING, signal.SIGCHLD):
                signal.signal(number, signal.SIG_IGN if number in (signal.SIGINT, signal.SIGHUP) else signal.SIG_DFL)
            os.setpgid(0, 0)
            death_with_parent()()
            if os.getppid() == parent:
                status = self.work(self.assignment, report)
        except BaseException:
            with contextlib.suppress(BaseException):
                sys.excepthook(*sys.exc_info())
        return status

    def _runtime_ended(self) -> None:
        os.close(self.pipe)
        _, waited = os.waitpid(self.pid, 0)
        status, self.pid = os.waitstatus_to_exitcode(waited), 0  # 0: it must not be signalled, the number may be reused
        runtime = self.runtime
        self._end = self._cause(status)
        if runtime.result or self._ending_s is not None or (runtime.failure and "error" in runtime.failure):
            return
        cause, outside = self._cause(status), self._from_outside(status)
        self._quick_deaths = self._quick_deaths + 1 if self._was_quick() and not outside else 0
        if self._quick_deaths >= QUICK_DEATHS:
            runtime.failure = {"error": f"the runtime died {QUICK_DEATHS} times at once ({cause})"}
            return
        of_its_own = not outside and (runtime.hung_in is None or runtime.hung_in.in_step)
        again = of_its_own and cause == self._last_death
        self._last_death = cause if of_its_own else ""
        self._restart(cause, again)

    def _was_quick(self) -> bool:
        """Return whether the runtime died, or began to hang, soon after its start."""
        hung_s = self.watch.still_s if self.runtime.hung_in is not None else 0.0
        return time.monotonic() - self._started_s - hung_s < QUICK_DEATH_S

    def _from_outside(self, status: int) -> bool:
        """Return whether somebody else ended the runtime; a hanging one is killed by its supervisor.

        One that was started again and is killed within its first step, before any bin, is so by what it does there: a
        part that kills its process, or asks for more memory than there is.
        """
        runtime = self.runtime
        killed = runtime.hung_in is None and status < 0 and -status in KILLED_FROM_OUTSIDE and runtime.ready
        return killed and not (self.restarts and self.watch.died_in_its_first_step)

    def _cause(self, status: int) -> str:
        if (place := self.runtime.hung_in) is not None:
            return f"it completed no bin for {self.hung_after_s:g} s and was killed: it hung in {WHERE[place]}"
        failure = self.runtime.failure
        return f"{failure['crash']}" if failure and "crash" in failure else died_of(status)

    def _restart(self, cause: str, again: bool) -> None:
        from bmi_runtime.session.resume import next_path

        before, old = self.runtime, self.assignment
        resume = before.recording or old.resume
        offset = before.snapshot_offset if before.recording else old.snapshot_offset
        path = next_path(resume) if resume else old.path
        self.assignment = dataclasses.replace(
            old,
            path=path,
            resume=resume,
            snapshot_offset=offset,
            fallback=True,
            why=cause,
            cautious=again or old.cautious,
            bare=(again and old.cautious) or old.bare,
        )
        self.runtime = RuntimeStatus(bins=before.bins)
        self.restarts += 1
        self._start_runtime()
        how = " for the second time, so with the last decoder that worked before" if again else ""
        if again and old.cautious:
            how = " once more, so without tasks and intentions of other packages"
        self.screen.say(f"the runtime died ({cause}); starting it again{how}")

    def _end_all(self) -> None:
        """Take everything down, whatever happened; leave no process behind."""
        deadline_s = time.monotonic() + END_WITHIN_S
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.pipe)
            self.pid = 0
        if self._ending_s is None and self.runtime.stopped_by_operator:
            self._wait_for_windows()
            deadline_s = time.monotonic() + END_WITHIN_S
        for helper in self.helpers:
            helper.end()
        for helper in self.helpers:
            helper.wait_until(deadline_s)

    def _wait_for_windows(self) -> None:
        """Let who stopped the session from the window look at it until it is closed (or Ctrl-C)."""
        windows = [helper.process for helper in self.helpers if helper.name == "window" and helper.process]
        if any(process.poll() is None for process in windows):
            self.screen.say("stopped by the operator; the window stays open until it is closed")
        while self._ending_s is None and any(process.poll() is None for process in windows):
            if select.select([self._wake_up], [], [], 0.5)[0]:
                self._take_signals()

    def _outcome(self) -> dict[str, Any]:
        runtime = self.runtime
        if runtime.failure and "error" in runtime.failure and not runtime.result:
            error = BmiError(runtime.failure["error"])
            error.exit_code = runtime.failure.get("code", 1)
            raise error
        if runtime.result is None:
            if runtime.ready:
                late = f"the runtime did not end within {self._killed_after_s:.1f} s and was killed"
                how = late if self._killed_after_s else f"the runtime died while it ended ({self._end})"
                raise BmiError(f"{how}; the recording can be read")
            raise KeyboardInterrupt
        return runtime.result | {"restarts": self.restarts, "recordings": self.recordings}


@contextlib.contextmanager
def _signals():
    """Yield a file that becomes readable on Ctrl-C, SIGTERM, SIGHUP and a child's death: one byte each, its number."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    kept = {number: signal.signal(number, lambda *_: None) for number in (*ENDING, signal.SIGCHLD)}
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in kept.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
