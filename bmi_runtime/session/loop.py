"""The shell around the session: waits for bins, steps, records, publishes, answers commands."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from bmi_runtime.errors import BadInput, EndNow
from bmi_runtime.messages import STAGES, Bin
from bmi_runtime.session.core import Session
from bmi_runtime.session.device_triggers import DeviceTriggers
from bmi_runtime.session.event_limiter import EventLimiter
from bmi_runtime.session.heartbeat import Heartbeat, Place
from bmi_runtime.session.operator_commands import OperatorCommands
from bmi_runtime.session.pacing import NoPacer, Pacer
from bmi_runtime.session.processes import leave_if_copied
from bmi_runtime.session.status import Status
from bmi_runtime.session.tally import Tally
from bmi_runtime.sources.base import KnowsCompletion, Stimulates

SOURCE, RECORD, PUBLISH = (STAGES.index(name) for name in ("source", "record", "publish"))


class Loop:
    """One thread, one process: bins in, cursor out.

    Parameters
    ----------
    session : Session
    source : Source
    recorder : RecordingWriter or None
    telemetry : Telemetry or None
    control : Control or None
    speed : {"real", "max"}
        ``max``: simulated time, no waiting.
    on_bin : callable or None
        Called after each bin with the loop (progress in a terminal).
    output : Outputs or None
        Decoded state for effectors; leaves after the bin was recorded, so that nothing moves that is not on file.
    resumed : Resumption or None
        When this loop goes on where a recording ended.
    on_snapshot : callable or None
        Called with the first byte of each snapshot in the recording.
    heartbeat : Heartbeat, optional
        Told in every bin where the loop is; its supervisor looks at it.
    """

    def __init__(
        self,
        session: Session,
        source,
        recorder=None,
        telemetry=None,
        control=None,
        speed="real",
        on_bin=None,
        output=None,
        resumed=None,
        on_snapshot=None,
        heartbeat=None,
    ):
        self.session, self.source = session, source
        self.recorder, self.telemetry, self.control, self.on_bin = recorder, telemetry, control, on_bin
        self.output, self.resumed, self.on_snapshot = output, resumed, on_snapshot
        config = session.config
        self.real_time = speed == "real"
        paced = self.real_time and source.paced
        self.pacer = Pacer(config.bin_s, config.realtime.spin_s) if paced else NoPacer()
        self.bin = Bin(*config.layout)
        self.tally = Tally()
        self.status = Status(session, source, self.tally, recorder, telemetry, control, resumed)
        self.running, self.started_ns, self._stop_wanted = False, 0, False
        self.interruptible = True  # not while the end is told and recorded, which nobody else's part can hold up
        self.stopped_by_operator = False
        self.opening_events: list[dict[str, Any]] = []
        self.on_trouble: Callable[[str], None] = lambda text: None
        self._bin_ns = round(config.bin_s * 1e9)
        self._snapshot_every = max(round(config.recording.snapshot_s / config.bin_s), 1)
        self.heartbeat = heartbeat or Heartbeat()
        self._cell = self.heartbeat.cell
        self._marks, self._begun, self._missed = [0] * len(STAGES), 0, 0
        self._stimulates, self._knows_completion = isinstance(source, Stimulates), isinstance(source, KnowsCompletion)
        self._alarms = EventLimiter(config.bin_s)
        self._commands = OperatorCommands(session, self.status, recorder, self._both, self._stop_for_operator)
        self._triggers = DeviceTriggers(session)
        session.mark = self._mark
        if resumed:
            self._go_on_from(resumed)

    def run(self, bins: int = 0) -> None:
        """Run until `bins` are done (0: until stopped or the source ends)."""
        why = ""  # nothing to announce where the loop breaks: who died cannot say that it is over
        self._start()
        try:
            waits_in, beat = Place.FIRST_BIN, self.heartbeat.beat
            while self.running and (not bins or self.session.bins < bins):
                lateness_ns = self.pacer.wait()
                beat(Place.COMMANDS)
                self._take_commands()
                beat(waits_in)
                asked_ns = time.monotonic_ns()
                self.bin.fields.segment[0] = 0  # sources without a clock of their own do not write it
                if not self.source.next_bin(self.bin, self.session.cursor, self.session.shown_target()):
                    break
                self._one_bin(lateness_ns, asked_ns)
                waits_in = Place.SOURCE
                if self.session.blocks and self.session.blocks.over:
                    break
            why = self._why_over(bins)
        except EndNow:  # whoever asked for it will not wait for another bin
            why = self._why_over(bins)
            raise
        finally:
            self._finish(why)

    def stop(self) -> None:
        """End the run after the current bin (or before the first one)."""
        self.running, self._stop_wanted = False, True

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to end."""
        return self._stop_wanted

    def _stop_for_operator(self) -> None:
        self.stop()
        self.stopped_by_operator = True

    def _start(self) -> None:
        self.running, self.started_ns = not self._stop_wanted, time.monotonic_ns()
        if self.resumed:
            self._missed = self.resumed.missed_bins(self.source.paced)
            self.opening_events.append(self._resumed_event(self.resumed))
        if file := self.session.decoder_settings()["fitted_file"]:
            self._commands.keep_file(file, self.started_ns)
        self._snapshot(self.started_ns)
        for event in self.opening_events:
            self._both("event", {**event, "bin": self.session.bins}, self.started_ns)
        if self.real_time:
            gc.collect()
            gc.freeze()
            gc.disable()  # a collection takes several bins' time, and bins make no cycles that it would have to free
        self.pacer.begin()

    def _why_over(self, bins: int) -> str:
        """Return why the session is over."""
        session = self.session
        if self.stopped_by_operator:
            return "operator"
        if self._stop_wanted or not self.running:
            return "signal"
        if session.blocks and session.blocks.over:
            return "blocks"
        return "duration" if bins and session.bins >= bins else "source"

    def _finish(self, why: str) -> None:
        """Tell and record what is still owed, last of all that the session is over: silence alone could be a crash."""
        self.interruptible = False
        if self.real_time:
            gc.enable()
            gc.unfreeze()
        now, last = time.monotonic_ns(), max(self.session.bins - 1, 0)
        for event in self._alarms.suppressed():
            self._both("event", {**event, "bin": last}, now)
        if why:
            self._both("event", {"name": "session-ended", "why": why, "bin": last}, now)
        if self.recorder:
            self._snapshot(now)
            self.recorder.write("health", self.status.health() | {"histograms": self.tally.histograms()}, now)
        self.heartbeat.beat(Place.ENDING)  # from here on nobody else's part is asked: the disk may take its time

    def _one_bin(self, lateness_ns: int, asked_ns: int) -> None:
        begin = self._begun = time.monotonic_ns()
        self.heartbeat.beat(Place.DECODE)
        # a source that waits for data says when the bin's were complete; one that makes them is timed from the question
        completed_ns = self._completed_ns(asked_ns if self.source.paced else begin)
        self._marks[SOURCE] = max(begin - completed_ns, 0)
        self.bin.fields.host_time_ns[0] = begin
        if self.resumed:
            self.resumed.shift(self.bin, self._missed)
        record = self.session.respond(self.bin.bytes)
        leave_if_copied()
        duration_ns = self._time(record, begin, lateness_ns)
        self._record_events(begin)
        if self.recorder:
            self.recorder.write_step(record.bytes, begin)
        if self.output:
            self.output.send(record)
        self._mark(RECORD)
        # the command has left: what is below is for those who watch
        self.session.settle()
        self._cell[1] += 1
        leave_if_copied()
        self.tally.add(record, duration_ns)
        self._record_events(begin)
        self._keep(begin)
        self._publish(record)
        if self.on_bin:
            self.on_bin(self)

    def _completed_ns(self, otherwise_ns: int) -> int:
        """Return when the bin's data were complete, where the source knows."""
        return self.source.completed_ns if self._knows_completion else otherwise_ns

    def _mark(self, stage: int) -> None:
        now = time.monotonic_ns()
        self._marks[stage] = now - self._begun
        self._begun = now
        self._cell[0] = now << 4 | stage + 1  # as `Heartbeat.beat`, without the call

    def _time(self, record, begin: int, lateness_ns: int) -> int:
        """Write the bin's durations into its record; return that from its deadline (or arrival) on."""
        duration_ns = time.monotonic_ns() - begin + max(lateness_ns, 0)
        missed = self.real_time and duration_ns > self._bin_ns
        self.bin.fields.behind[0] = duration_ns // self._bin_ns if missed else 0
        timing = record.timing
        timing.stage_ns[:] = self._marks
        timing.lateness_ns[0], timing.deadline_missed[0] = lateness_ns, missed
        self.tally.deadline_misses += missed
        return duration_ns

    def _record_events(self, now_ns: int) -> None:
        """Record and publish what has happened since the last call."""
        session = self.session
        events = session.events + self.source.drain_events()
        if self.output:
            events += self.output.drain_events()
        session.events.clear()
        for event in events:
            event["bin"] = session.bins - 1
            if event["name"] == "stimulation" and self._stimulates:
                self.source.stimulate(event)
            self._triggers.see(event)
            if self._alarms.admits(event, session.bins):
                self._both("event", event, now_ns)

    def _keep(self, now_ns: int) -> None:
        """Record a snapshot when one is due; notice a recording that has failed, and a learner that is silent."""
        if self._commands.learners.lost(now_ns):
            self._both("event", {"name": "learner-lost", "bin": self.session.bins}, now_ns)
        recorder = self.recorder
        if not recorder:
            return
        if self.session.bins % self._snapshot_every == 0:
            self._snapshot(now_ns)
        if recorder.failed and not self.tally.recording_failed:
            self._recording_failed(recorder.failed)

    def _snapshot(self, now_ns: int) -> None:
        """Record the session's state and the shell's own counts; tell where in the file they stand."""
        recorder = self.recorder
        if not recorder or recorder.failed:
            return
        offset = recorder.path.stat().st_size if self.on_snapshot else 0
        shell = self.tally.figures(self.bin, self.session.bins)
        recorder.write("snapshot", self.session.snapshot() | {"shell": shell}, now_ns)
        if self.on_snapshot:
            self.on_snapshot(offset)

    def _recording_failed(self, reason: str) -> None:
        """Say once that nothing is recorded any more; the loop goes on."""
        self.tally.recording_failed = reason
        event = {"name": "recording-failed", "reason": reason, "bin": self.session.bins - 1}
        if self.telemetry:
            self.telemetry.send("event", self.session.bins, event)
        self.on_trouble(f"THE RECORDING HAS STOPPED: {reason}; the session goes on and is no longer recorded")

    def _both(self, stream: str, message: dict[str, Any], now_ns: int) -> None:
        """Record a message and publish it."""
        if self.recorder:
            self.recorder.write(stream, message, now_ns)
        if self.telemetry:
            self.telemetry.send(stream, self.session.bins, message)

    def _publish(self, record) -> None:
        telemetry, session = self.telemetry, self.session
        if not telemetry:
            return
        telemetry.step(record, session.bins)
        if telemetry.due("model", session.bins):
            telemetry.send("model", session.bins, self.status.model())
        if telemetry.due("health", session.bins):
            telemetry.send("health", session.bins, self.status.health())
        if telemetry.due("configuration", session.bins):
            telemetry.send("configuration", session.bins, self.status.greeting())
        self._mark(PUBLISH)

    def _go_on_from(self, resumed) -> None:
        """Count on from where the resumed recording ended."""
        self.tally.resume(resumed)
        given = self.bin.fields
        given.bin_index[0], given.segment[0] = max(resumed.next_bin_index - 1, 0), max(resumed.next_segment - 1, 0)
        given.host_time_ns[0] = resumed.last_host_ns

    def _resumed_event(self, resumed) -> dict[str, Any]:
        """Return the event that says where this session comes from."""
        down_s = (self.started_ns - resumed.last_host_ns) * 1e-9
        return {
            "name": "resumed",
            **{f"parent_{name}": value for name, value in resumed.parent.items()},
            "replayed_bins": len(resumed.replayed),
            "missed_bins": self._missed,
            "down_s": down_s if 0 < down_s < 86400 else None,  # None: from before the machine was started
        }

    def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Answer one command of the operator; see `OperatorCommands.handle`."""
        return self._commands.handle(command)

    def _take_commands(self) -> None:
        for command in self._triggers.take():
            try:
                self._commands.handle(command)
            except BadInput as error:
                event = {"name": "trigger-refused", "reason": str(error), "bin": self.session.bins}
                self._both("event", event, time.monotonic_ns())
        if self.control:
            self.control.poll(self.handle)

    def result(self) -> dict[str, Any]:
        """Return the figures of the run."""
        return self.status.result()
