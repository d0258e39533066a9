"""What the runtime's process does under a supervisor: assemble, run, report; begin again or go on from a recording."""

from __future__ import annotations

import contextlib
import signal
import time

from bmi_runtime.errors import BadInput, BmiError, EndNow, described
from bmi_runtime.session import launch, realtime, run_report
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.loop import Loop
from bmi_runtime.session.resume import Resumption, resume, with_own_filter
from bmi_runtime.session.runtime_report import Report
from bmi_runtime.session.supervisor import CRASHED, RuntimeJob

PATIENCE_S = 0.5  # for a part of others to come back, once the session is to end


def work(assignment: RuntimeJob, report: Report) -> int:
    """Run one runtime process to its end; return its exit code."""
    try:
        realtime.raise_threads_to_come(assignment.config.realtime)
        loop = assemble_assignment(assignment, report)
        _end_on_signal(loop)
        launch.apply_realtime(loop, lambda text: report.send(say=text))
        report.send(bins=loop.session.bins)
        report.send(ready=_ready(loop), recording=str(loop.recorder.path) if loop.recorder else None)
        with contextlib.suppress(_Ended):
            launch.run(loop, assignment.total_bins)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    except BmiError as error:
        report.send_last(error=str(error), code=error.exit_code)
        return error.exit_code
    except _Ended:  # between the end of the loop and here
        pass
    except BaseException as error:
        report.send_last(crash=described(error))
        return CRASHED
    report.send_last(result=loop.result(), stopped_by_operator=loop.stopped_by_operator)
    return 0


class _Ended(EndNow):
    """The session is to end, and the source still waits for data."""


def _end_on_signal(loop: Loop) -> None:
    """On SIGTERM end after the current bin; when there is none within `PATIENCE_S`, leave what holds the loop up.

    Only other people's parts are left: an end that is being recorded is let finish, however long the disk takes.
    """

    def out_of_patience(*_) -> None:
        if not loop.stopping:  # the timer is somebody else's
            loop.session.events.append({"name": "signal-ignored", "signal": "SIGALRM"})
            return
        if loop.interruptible:
            raise _Ended
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)

    def on_signal(*_) -> None:
        loop.stop()
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)

    signal.signal(signal.SIGALRM, out_of_patience)
    signal.signal(signal.SIGTERM, on_signal)


def assemble_assignment(assignment: RuntimeJob, report: Report) -> Loop:
    """Return the loop of this process, and connect it to the supervisor."""
    again, source = assignment.why != "", assignment.config.source
    resumption = _resumption(assignment, report)
    config = assignment.config if resumption or not assignment.cautious else with_own_filter(assignment.config)
    if source.kind != "simulated":
        report.send(say=f"waiting for data from the source '{source.kind}'")
    loop = assemble(
        config,
        resumed=resumption,
        path=assignment.path,
        must_record=not again,
        on_snapshot=lambda offset: report.send(snapshot=offset),
        heartbeat=report.heartbeat,
    )
    if again:
        kind = loop.session.decoder_settings()["kind"]
        loop.opening_events.append({"name": "runtime-restarted", "why": assignment.why, "decoder": kind})
        if assignment.bare:
            loop.session.goal.without_others(f"the runtime died three times with it: {assignment.why}")
        if assignment.cautious:
            report.send(say=f"going on with the decoder '{kind}'")
        if loop.tally.recording_failed:
            report.send(say=f"NOT RECORDED: {loop.tally.recording_failed}; the session goes on")
    loop.on_trouble = lambda text: report.send(say=text)
    loop.on_bin = run_report.reporter(config.bin_s, lambda bins, more: report.send(bins=bins), loop.on_trouble)
    return loop


def _resumption(assignment: RuntimeJob, report: Report) -> Resumption | None:
    """Return the session to go on with; after a death nothing that can be read is no reason to stop."""
    if not assignment.resume:
        return None
    try:
        return resume(assignment.resume, assignment.config, assignment.snapshot_offset, assignment.cautious)
    except BadInput as error:
        if not assignment.why:
            raise
        report.send(say=f"nothing to go on from, so the session begins again: {error}")
        return None


def _ready(loop: Loop) -> str:
    resumed = loop.resumed
    if resumed is None:
        return f"ready: {run_report.describe(loop)}"
    down = (time.monotonic_ns() - resumed.last_host_ns) * 1e-9
    since = f" {down:.2f} s after its last bin" if 0 < down < 3600 else ""
    where = f"recording {loop.recorder.path}" if loop.recorder else "not recorded"
    return f"going on{since} at bin {resumed.session.bins} ({len(resumed.replayed)} bins taken again), {where}"
