"""What the window knows of the session: telemetry folded into fixed memory. No Qt here."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import numbers
import os
from typing import Any

import numpy as np

from bmi_runtime.constants import USUAL_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import PLANE, STREAMS, SafetyState, StateSpace, TrialState, step_dtype, unpack
from gui import event_log
from gui.event_log import Entry, short
from gui.ring_buffer import DecimatedHistory, Ring
from gui.rows import rows_of, step_row, trial_row
from gui.steady_state_error import dense, steady_error_variance
from gui.trial_aligned import TrialAligned, octant

SHOWN_HZ = 60.0
TRAIL_S = 60.0
RASTER_COLUMNS = 600
MODEL_ROWS = 400
MOST_TRIALS = 5000
MOST_EVENTS = 5000
MOST_PROBLEMS = 50
MOST_MARKS = 2000
BLOCK_PARAMETERS = ("task.kind", "adapter.enabled", "decoder.frozen", "decoder.kind")
"""A change of one of these begins another block."""
LOST_AFTER_S = 1.0
MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError)


@dataclasses.dataclass(frozen=True)
class Mark:
    """Something that belongs on every curve: a change of a parameter, a hold, a marker, a change of safety state."""

    bin: int
    t_s: float
    kind: str  # change, hold, marker, safety
    text: str


@dataclasses.dataclass(frozen=True)
class Block:
    """A stretch of the session in which task, adaptation and decoder were the same."""

    number: int
    t_s: float
    task: str
    adapting: bool
    frozen: bool
    name: str = ""


@dataclasses.dataclass
class StreamState:
    """What is known of one stream: is it alive, at what rate, what was lost."""

    received: int = 0
    lost: int = 0
    sequence: int = 0
    last_s: float = -math.inf
    rate_hz: float = 0.0


class Store:
    """Folds telemetry into what panels show; the same for a live session, a simulated one and a replay.

    Attributes
    ----------
    revision : int
        Grows with every message taken in.
    mode : str
        ``waiting``, ``live``, ``simulated`` or ``replay``.
    step : numpy.void or None
        The newest step (`messages.step_dtype`).
    watching : bool
        Whether this window may only watch (it has no operator's key).
    needs_hello : bool
        The runtime must be asked for its state: at the start, after a restart or a seek.
    unreadable : str
        Why the runtime's account of its state could not be taken in; empty when it could.
    """

    def __init__(self):
        self.mode, self.config, self.recording = "waiting", {}, None
        self.live: dict[str, Any] = {}
        self.catalogue: list[dict[str, Any]] | None = None
        self.what_if: dict[str, Any] | None = None
        self.live_parameters: dict[str, dict[str, Any]] = {}
        self.replay: dict[str, Any] = {}
        self.bin_s, self.n_units, self.continuous = USUAL_BIN_S["poisson"], 0, False
        self.needs_hello, self.ended, self.watching = True, False, False
        self.unreadable = ""
        self.revision = self.epoch = 0
        self.last_s = -math.inf
        self.space, self.n_features = PLANE, 0
        self.steps = Ring(round(TRAIL_S * SHOWN_HZ), step_row(2))
        self.raster = Ring(1, np.float32, (0,))
        self.column_bins = Ring(RASTER_COLUMNS)
        self.column_ends_s = Ring(RASTER_COLUMNS)
        self.aligned = TrialAligned(0)
        self.trials = Ring(MOST_TRIALS, trial_row(2))
        self.events: collections.deque[Entry] = collections.deque(maxlen=MOST_EVENTS)
        self.event_count = 0
        self._told: set[tuple[str, int, int]] = set()  # (stream, sequence, bin) of what the answer to hello held
        self.run: int | None = None  # of the runtime that is heard; another one has been started again
        self.markers = 0
        self.problems: collections.deque[str] = collections.deque(maxlen=MOST_PROBLEMS)
        self.streams = {name: StreamState() for name, stream in STREAMS.items() if stream.published}
        self.health: dict[str, Any] = {}
        self.health_rows = DecimatedHistory(1200, float, (4,))  # t, p50, p99, misses
        self.faults = dict.fromkeys(("gap_bins", "late", "duplicates", "invalid", "stale"), 0)
        self.forget_session()

    # -- what a session leaves behind ------------------------------------------------------------------------------

    def forget_session(self) -> None:
        """Forget everything measured, as when another session begins or a replay jumps."""
        self.step, self.bin = None, 0
        self.weights = self.sd = self.truth = self.covariance = self.predicted_sd = None
        self.noise_variance = None
        self.not_finite = 0
        for ring in (self.steps, self.column_bins, self.column_ends_s, self.trials, self.health_rows, self.raster):
            ring.clear()
        self.aligned = TrialAligned(self.n_units)
        self.events.clear()
        self.event_count += 1
        self.marks: collections.deque[Mark] = collections.deque(maxlen=MOST_MARKS)
        self.blocks: list[Block] = []
        self.undoable: list[tuple[str, Any]] = []
        self.safety_why = ""
        self.array_line = ("", "", "information")
        self._set_since: dict[str, Any] = {}
        self._told = set()
        self.health = {}
        self.faults = dict.fromkeys(self.faults, 0)
        self.model_times_s = DecimatedHistory(MODEL_ROWS)
        self.model_rows = DecimatedHistory(MODEL_ROWS, np.float32, (0,))
        self._path_m, self._start, self._last_target = math.nan, None, None
        self.revision += 1

    def _resize(self, n_units: int) -> None:
        """Make room for another number of units; says so when one was known before."""
        if self.n_units and self.n_units != n_units:
            self.problem(
                f"the number of units changed from {self.n_units} to {n_units} at bin {self.bin}: histories start again"
            )
            self.forget_session()
        self.n_units = n_units
        self.raster = Ring(RASTER_COLUMNS, np.float32, (n_units,))
        self.column_bins.clear()
        self.column_ends_s.clear()
        self.aligned = TrialAligned(n_units)

    def problem(self, sentence: str) -> None:
        """Note something wrong with what arrives; the same sentence once in a row."""
        if not self.problems or self.problems[-1] != sentence:
            self.problems.append(sentence)
            self._log(Entry(self.bin, self.elapsed_s, "data", "viewer", sentence, "warning"))

    # -- taking messages in ----------------------------------------------------------------------------------------

    def hello(self, answer: dict[str, Any], at_s: float) -> None:
        """Take the answer to ``{"get": "hello"}``: configuration, live parameters, model, recent past.

        An answer of another shape leaves an empty store that says so (`unreadable`) and asks again.
        """
        try:
            self._take_hello(answer, at_s)
        except MISSHAPEN as error:
            self.__dict__.update(Store().__dict__)
            self.unreadable = (
                f"the runtime's account of the session cannot be read ({error}): is something else on this address, "
                "or a runtime of another installation?"
            )
            self.problem(self.unreadable)

    def _take_hello(self, answer: dict[str, Any], at_s: float) -> None:
        self.needs_hello, self.unreadable = False, ""
        kept = self._goes_on(answer)
        before = self.recording
        if not kept:
            self.forget_session()
        self.config = answer.get("config", {})
        self.epoch = answer.get("epoch", 0)
        self.ended, self.run = False, answer.get("run")
        self.recording, self.catalogue = answer.get("recording"), answer.get("catalogue")
        self.what_if = answer.get("what_if")
        self.live_parameters = answer.get("live_parameters", {})
        self.live = {key: row.get("value") for key, row in self.live_parameters.items()}
        self.replay = answer.get("replay") or {}
        self.mode = "replay" if self.replay else "simulated" if answer.get("simulated") else "live"
        session = self.config.get("session", {})
        self.continuous = session.get("likelihood") == "gaussian"
        self.bin_s = session.get("bin_s") or USUAL_BIN_S["gaussian" if self.continuous else "poisson"]
        self.n_features = int(session.get("features", 0))
        self._take_space(self.config.get("state", {}))
        if session.get("units", self.n_units) != self.n_units:
            self.n_units = 0
            self._resize(session["units"])
        self._take_past(answer, at_s)
        self.live |= {key: row.get("value") for key, row in self.live_parameters.items()}
        self.bin = answer.get("bin", 0)
        self.last_s = at_s
        if kept and self.recording != before:
            file = os.path.basename(self.recording or "") or "no file: it is not recorded any more"
            self._log(Entry(self.bin, self.elapsed_s, "safety", "recording", f"Recording goes on in {file}", "warning"))

    def _take_space(self, section: dict[str, Any]) -> None:
        """Make room for a brain state of other axes."""
        axes = tuple(section.get("axes") or PLANE.axes)
        space = StateSpace(axes, bool(section.get("click", False)), tuple(section.get("units") or ()))
        if space.n_axes != self.space.n_axes:
            self.steps = Ring(self.steps.capacity, step_row(space.n_axes))
            self.trials = Ring(MOST_TRIALS, trial_row(space.n_axes))
        self.space = space

    def _goes_on(self, answer: dict[str, Any]) -> bool:
        """Return whether the answer is of the session that is shown: of the same runtime, or of one that took it up."""
        if self.replay or answer.get("replay") or self.step is None or not self.config:
            return False
        if answer.get("config", {}).get("session", {}).get("units", self.n_units) != self.n_units:
            return False
        if self.recording and answer.get("resumed_from") == self.recording:
            return True  # it takes up what was recorded, which may be some bins less than what was shown
        known = answer.get("run") is not None and answer.get("run") == self.run
        return known and int(answer.get("bin", 0)) >= self.bin - 1

    def _take_past(self, answer: dict[str, Any], at_s: float) -> None:
        known, self._told = self._told, set()
        for stream, body in answer.get("recent", ()):
            try:
                message = unpack(body)
            except BadInput as error:
                self.problem(f"a message of the past was not readable: {error}")
                continue
            told = (stream, int(message.get("seq", 0)), int(message.get("bin", 0)))
            self._told.add(told)
            if stream in self.streams and told[1]:
                self.streams[stream].sequence = max(self.streams[stream].sequence, told[1])
            if told not in known or not told[1]:
                self._fold(stream, message)
        past = answer.get("model_history")
        if past:
            for row, bin_index in enumerate(past["bins"]):
                moment = {name: past[name][row] for name in ("weights", "sd", "truth", "predicted_sd")}
                self._take_model({"bin": int(bin_index), **moment})
        if "model" in answer:
            self._take_model({"bin": answer.get("bin", 0), **answer["model"]})
        if answer.get("health"):
            self._fold("health", {"bin": answer.get("bin", 0), **answer["health"]})

    def _another_run(self, stream: str, sequence: int, at_bin: int, run: int | None) -> bool:
        """Return whether a message is of another run; where runs have no names, numbers that begin again say so."""
        if run is not None:
            known, self.run = self.run, self.run or run
            return known is not None and run != known
        return 0 < sequence < self.streams[stream].sequence and (stream, sequence, at_bin) not in self._told

    def _restarted(self, run: int | None) -> None:
        """Another runtime speaks on the address of the one that was heard: its sequence numbers begin again."""
        self.run, self._told, self.needs_hello = run, set(), True
        for state in self.streams.values():
            state.sequence = 0
        why = "another runtime answers on the same address: it was started again, or another session was"
        self._log(Entry(self.bin, self.elapsed_s, "safety", "runtime-restarted", f"Restart: {why}", "alarm"))

    def receive(self, stream: str, message: dict[str, Any], at_s: float) -> None:
        """Take one telemetry message in."""
        state = self.streams.get(stream)
        if state is None:
            self.problem(f"an unknown stream '{stream[:40]}' arrived and was ignored")
            return
        for name in ("seq", "bin"):
            if not isinstance(message.get(name, 0), numbers.Integral):
                self.problem(f"a message of stream '{stream}' whose {name} is no whole number was ignored")
                return
        if message.get("epoch", 0) != self.epoch:
            self.needs_hello = True  # a replay has jumped, or another one began
            return
        sequence, at_bin = int(message.get("seq", 0)), int(message.get("bin", 0))
        if self._another_run(stream, sequence, at_bin, message.get("run")):
            self._restarted(message.get("run"))
        self.last_s, self.ended = at_s, False
        told = bool(sequence) and (stream, sequence, at_bin) in self._told  # was on its way while the answer told it
        self._count(state, message, at_s)
        if stream == "step" and at_bin < self.bin - 1:
            self.needs_hello = True  # another session began on the same address
        if not told:
            if stream in ("event", "command") and sequence:
                self._told.add((stream, sequence, at_bin))
            self._fold(stream, message)

    def _fold(self, stream: str, message: dict[str, Any]) -> None:
        fold = getattr(self, f"_take_{stream}", None)
        if fold is None:
            return
        try:
            fold(message)
        except MISSHAPEN as error:
            self.problem(f"a message of stream '{stream}' does not have the expected shape ({error}) and was ignored")
        self.revision += 1

    def _count(self, state: StreamState, message: dict[str, Any], at_s: float) -> None:
        sequence = int(message.get("seq", 0))
        if state.sequence and sequence > state.sequence + 1:
            state.lost += sequence - state.sequence - 1
        sequence = max(sequence, state.sequence)
        gap_s = at_s - state.last_s
        if 0.0 < gap_s < 10.0:
            weight = 1.0 - math.exp(-gap_s)  # a running mean over about a second
            state.rate_hz += weight * (1.0 / gap_s - state.rate_hz) if state.rate_hz else 1.0 / gap_s
        state.sequence, state.last_s, state.received = sequence, at_s, state.received + 1

    def _take_step(self, message: dict[str, Any]) -> None:
        counts = message["counts"]
        if len(counts) != self.n_units:
            self._resize(len(counts))
        step = self._decoded_step(message["step"])
        if step is None:
            return
        if "past_steps" in message:
            self._take_past_steps(message)
        self.step, self.bin = step, int(message["bin"])
        self._note_faults(step["input"])
        self._append_row(step)
        self._append_column(counts, message["bins"], self.elapsed_s)

    def _take_past_steps(self, message: dict[str, Any]) -> None:
        """Take the pictures of a replay that came in one message with the newest one."""
        dtype = _step_dtype(self.n_units, self.continuous, self.space, self.n_features)
        steps, times_s = np.frombuffer(message["past_steps"], dtype), np.asarray(message["past_at"]) * self.bin_s
        if len(steps) != len(times_s):
            raise ValueError(f"{len(steps)} steps for {len(times_s)} times")
        for row in rows_of(steps, times_s, self.steps.view.dtype):
            self.steps.append(row)
        stops = message["past_at"][-len(message["past_bins"]) :]
        for counts, bins, stop in zip(message["past_counts"], message["past_bins"], stops, strict=True):
            self._append_column(counts, bins, float(stop) * self.bin_s)

    def _append_column(self, counts, bins: int, end_s: float) -> None:
        self.raster.append(counts)
        self.column_bins.append(bins)
        self.column_ends_s.append(end_s)

    def _decoded_step(self, data: bytes) -> np.void | None:
        for continuous in (self.continuous, not self.continuous):
            dtype = _step_dtype(self.n_units, continuous, self.space, self.n_features)
            if dtype.itemsize == len(data):
                self.continuous = continuous
                return np.frombuffer(data, dtype)[0]
        self.problem(
            f"a step of {len(data)} bytes is no step of {self.n_units} units; runtime and window differ in version"
        )
        return None

    def _note_faults(self, given: np.void) -> None:
        for name in ("gap_bins", "late", "duplicates", "invalid"):
            self.faults[name] += int(given[name])
        self.faults["stale"] = int(given["stale"])

    def _append_row(self, step: np.void) -> None:
        self._follow_path(step["output"])
        self.steps.append(rows_of(np.array([step]), self.elapsed_s, self.steps.view.dtype)[0])

    def _follow_path(self, out: np.void) -> None:
        here = tuple(out["cursor"][: self.space.n_axes].tolist())
        if len(self.steps) == 0 or self._start is None or self.steps.view[-1]["trial"] != out["trial"]:
            self._start, self._path_m = here, 0.0
        else:
            before = self.steps.view[-1]["cursor"]
            self._path_m += math.dist(here, before[: len(here)])

    def _take_model(self, message: dict[str, Any]) -> None:
        weights = np.asarray(message["weights"], np.float64)
        if weights.shape[1] != self.n_units:
            self._resize(weights.shape[1])
        sd = message.get("sd")
        if sd is None:
            self.covariance = message["covariance"]
            diagonal = [row * (row + 3) // 2 for row in range(weights.shape[0])]
            sd = np.sqrt(np.maximum(self.covariance[diagonal], 0.0))
        self.weights, self.sd = weights, np.asarray(sd, np.float64)
        self.predicted_sd = message.get("predicted_sd")
        self.noise_variance = message.get("noise_variance")
        truth = message.get("truth")
        self.truth = np.asarray(truth, np.float64) if truth is not None and np.isfinite(truth).all() else None
        self.not_finite = int(np.sum(~np.isfinite(weights)) + np.sum(~np.isfinite(self.sd)))
        if self.not_finite:
            self.problem(
                f"{self.not_finite} parameters of the encoding model are not finite; they are left out of plots"
            )
        truth = self.truth if self.truth is not None else np.full_like(weights, np.nan)
        predicted = self.predicted_sd if self.predicted_sd is not None else self._closed_form_sd()
        row = np.stack([weights, self.sd, truth, predicted]).astype(np.float32)
        if self.model_rows.view.shape[1:] != row.shape:
            self.model_rows = DecimatedHistory(MODEL_ROWS, np.float32, row.shape)
            self.model_times_s = DecimatedHistory(MODEL_ROWS)
        time_s = int(message["bin"]) * self.bin_s
        if len(self.model_times_s) and self.model_times_s.view[-1] == time_s:
            self.model_rows.replace_last(row)  # a replay that stands still tells its model again and again
            return
        self.model_rows.append(row)
        self.model_times_s.append(time_s)

    def _closed_form_sd(self) -> np.ndarray:
        """Return the error that the closed form predicts in the steady state, where the runtime does not say."""
        unknown = np.full_like(self.weights, np.nan)
        if self.covariance is None or self.step is None:
            return unknown
        rate = float(self.step["output"]["learning_rate"])
        return np.sqrt(steady_error_variance(dense(self.covariance, len(unknown)), rate)).T

    def _take_health(self, message: dict[str, Any]) -> None:
        self.health = message
        latency = message.get("latency_us") or {}
        row = [latency.get("p50"), latency.get("p99"), message.get("deadline_misses")]
        self.health_rows.append([message["bin"] * self.bin_s, *(math.nan if v is None else v for v in row)])

    def _take_event(self, message: dict[str, Any]) -> None:
        if message.get("name") == "trial":
            self._take_trial(message)
            return
        entry = event_log.of_event(message, self.bin_s)
        if entry.name == "safety":
            self.safety_why = str(message.get("why", ""))
            self._mark(entry, "safety", str(message.get("to", "")))
        elif entry.name == "note" and event_log.is_marker(entry.text):
            self._mark(entry, "marker", entry.text)
        elif entry.name == "stability":
            self.array_line = (event_log.array_words(message), entry.text, entry.severity)
        elif entry.name == "block":
            self._take_block(message, entry)
        elif entry.name in ("learning-rate", "resumed", "runtime-restarted"):
            self._mark(entry, "change", entry.text)
        self._log(entry)

    def _take_command(self, message: dict[str, Any]) -> None:
        entry = event_log.of_command(message, self.bin_s)
        if "set" not in message:
            self.ended = message.get("do") == "stop"
            self._log(entry)
            return
        key, old, new = str(message["set"]), message.get("old"), message.get("new")
        self.live[key] = self._set_since[key] = new
        if key == "session.hold":
            self._mark(entry, "hold", "held" if new else "resumed")
        else:
            self._mark(entry, "change", f"{event_log.PARAMETERS.get(key, key)} {short(new)}")
        if not key.startswith("session.") and old != new:
            self._note_undoable(key, old, new)
        if key in BLOCK_PARAMETERS and old != new and not self.planned_blocks:
            self._begin_block(entry.t_s)
        self._log(entry)

    def _note_undoable(self, key: str, old: Any, new: Any) -> None:
        """Keep the value to go back to; a change that takes the last one back takes it off the list."""
        if self.undoable and self.undoable[-1] == (key, new):
            self.undoable.pop()
        else:
            self.undoable.append((key, old))
            del self.undoable[:-100]

    def _begin_block(self, t_s: float, number: int = 0, name: str = "") -> None:
        task, adapting = str(self._then("task.kind", "")), bool(self._then("adapter.enabled", True))
        frozen = bool(self._set_since.get("decoder.frozen", False))
        self.blocks.append(Block(number or len(self.blocks) + 1, t_s, task, adapting, frozen, name))

    def _take_block(self, message: dict[str, Any], entry: Entry) -> None:
        """Take the event of a block of the configuration: what it set is set, without a command."""
        for key, value in dict(message.get("settings") or {}).items():
            self.live[key] = self._set_since[key] = value
        self.live["session.block"] = int(message["block"])
        self.undoable.clear()
        self._begin_block(int(message["first_bin"]) * self.bin_s, int(message["block"]), str(message["title"]))
        self._mark(entry, "change", f"block {message['block']}: {message['title']}")

    @property
    def planned_blocks(self) -> list[dict[str, Any]]:
        """The blocks of the configuration."""
        return list(self.config.get("block") or ())

    def _then(self, key: str, default: Any) -> Any:
        """Return a parameter's value at the event that is being folded: as configured, or set since."""
        section, _, name = key.partition(".")
        return self._set_since.get(key, self.config.get(section, {}).get(name, default))

    def _mark(self, entry: Entry, kind: str, text: str) -> None:
        self.marks.append(Mark(entry.bin, entry.t_s, kind, text))

    def _take_trial(self, message: dict[str, Any]) -> None:
        if not self.blocks:
            self._begin_block(0.0)
        row = np.zeros((), self.trials.view.dtype)
        target, time_s = message["target_m"], float(message["time_to_target_s"])
        success = message["result"] == "success"
        start, path_m = self._start or self._last_target, self._path_m if self._start else math.nan
        if "start_m" in message:
            start, path_m = message["start_m"], float(message["path_m"])
        distance = math.dist(start, target) if start else math.nan
        width = 2.0 * self.config.get("task", {}).get("target_radius_m", math.nan)
        inside_s = message.get("time_inside_s")
        row["trial"], row["t_s"], row["success"] = message["trial"], message["bin"] * self.bin_s, success
        row["time_s"], row["target"] = time_s, target
        row["inside_s"] = math.nan if inside_s is None else float(inside_s)
        row["bits"] = math.log2(1.0 + distance / width) if success else 0.0
        row["efficiency"] = min(distance / path_m, 1.0) if path_m > 0 else math.nan
        row["assist"] = float(self._then("task.assist", 0.0))
        row["block"] = len(self.blocks) - 1
        self.trials.append(row)
        if len(self.raster) and start is not None and inside_s is None:
            end_s = float(row["t_s"])
            widths_s, way = self.column_bins.view * self.bin_s, octant(start, target)
            columns, ends_s = self.raster.view, self.column_ends_s.view
            self.aligned.add(columns, ends_s, widths_s, end_s - time_s, end_s, way, success)
        self._last_target, self._start = tuple(target), None
        word = "reached" if success else "timed out"
        text = f"Trial {message['trial']} {word} in {time_s:.2f} s"
        if inside_s is not None:
            text = (
                f"Trial {message['trial']}: {100 * float(inside_s) / max(time_s, 1e-9):.0f} % of {time_s:.1f} s inside"
            )
        self._log(Entry(int(message["bin"]), message["bin"] * self.bin_s, "trial", "trial", text))

    def _log(self, entry: Entry) -> None:
        self.events.append(entry)
        self.event_count += 1

    # -- what panels ask -------------------------------------------------------------------------------------------

    @property
    def elapsed_s(self) -> float:
        """Session time of the newest step, s."""
        return self.bin * self.bin_s

    @property
    def trial_state(self) -> TrialState | None:
        """Where the trial is, or None before the first step."""
        return None if self.step is None else _member(TrialState, self.step["output"]["trial_state"])

    @property
    def safety(self) -> SafetyState | None:
        """Whether the output may be trusted, or None before the first step."""
        return None if self.step is None else _member(SafetyState, self.step["output"]["safety"])

    @property
    def held(self) -> bool:
        """Whether the operator holds the session."""
        return bool(self.live.get("session.hold"))

    @property
    def left_out(self) -> frozenset[int]:
        """Units that neither decode nor are learned."""
        text = str(self.live.get("session.left_out") or "")
        return frozenset(int(part) for part in text.replace(",", " ").split() if part.isdigit())

    @property
    def score(self) -> tuple[int, int]:
        """Successes and timeouts."""
        if self.step is None:
            return 0, 0
        return int(self.step["output"]["successes"]), int(self.step["output"]["timeouts"])

    @property
    def lost_messages(self) -> int:
        """Telemetry messages that never arrived."""
        return sum(state.lost for state in self.streams.values())

    def age_s(self, now_s: float) -> float:
        """Seconds since the newest message."""
        return now_s - self.last_s

    def connection(self, now_s: float) -> str:
        """Return ``waiting`` (nothing ever came), ``ended``, ``lost`` or ``connected``."""
        if self.last_s == -math.inf:
            return "waiting"
        if self.age_s(now_s) <= LOST_AFTER_S or self.replay.get("paused"):
            return "connected"
        return "ended" if self.ended else "lost"

    def preferred_directions(self) -> np.ndarray | None:
        """Return the decoder's idea of each unit's preferred direction in the first two axes, rad, (units,)."""
        if self.weights is None or len(self.weights) < 2:
            return None
        across = self.weights[2] if self.space.n_axes > 1 and len(self.weights) > 2 else np.zeros(self.n_units)
        return np.arctan2(across, self.weights[1])


@functools.lru_cache(maxsize=8)
def _step_dtype(n_units: int, continuous: bool, space: StateSpace, n_features: int) -> np.dtype:
    return step_dtype(n_units, continuous, space, n_features)


def _member(kind, value):
    """Return the enumeration's member of a number, or None for a number it does not know."""
    try:
        return kind(int(value))
    except ValueError:
        return None
