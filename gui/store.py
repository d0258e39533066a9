"""What the window knows of the session: telemetry folded into fixed memory. No Qt here."""

from __future__ import annotations

import collections
import dataclasses
import math
import numbers
from typing import Any

import numpy as np

from bmi_runtime.constants import USUAL_BIN_S
from bmi_runtime.messages import PLANE, STREAMS, SafetyState, TrialState
from gui import fold_events, fold_hello, fold_steps
from gui.event_log import Entry
from gui.ring_buffer import DecimatedHistory, Ring
from gui.rows import step_row, trial_row
from gui.timeline import Block, Mark, Path
from gui.trial_aligned import TrialAligned

SHOWN_HZ = 60.0  # of steps, as `messages.STREAMS` has it
TRAIL_S = 60.0  # of steps that curves and trails are drawn from
RASTER_COLUMNS = 600  # ten seconds at 60 a second
MODEL_ROWS = 400  # of a session of any length, thinned as it grows
MOST_TRIALS = 5000
MOST_EVENTS = 5000
MOST_PROBLEMS = 50
MOST_MARKS = 2000
LOST_AFTER_S = 1.0  # without a message
MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError)
FOLDS = {  # stream: what takes its messages in; the others are only counted
    "step": fold_steps.take_step,
    "model": fold_steps.take_model,
    "health": fold_steps.take_health,
    "event": fold_events.take_event,
    "command": fold_events.take_command,
}


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
    told : set of (str, int, int)
        Stream, sequence number and bin of what the answer to hello held, so that it is not taken in twice.
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
    hold_owed : bool
        Whether the operator asked for a hold while the runtime was silent.
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
        self.unreadable = self.ended_why = ""
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
        self.told: set[tuple[str, int, int]] = set()
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
        self.hold_owed = False
        self.safety_why = ""
        self.array_line = ("", "", "information")
        self.set_since: dict[str, Any] = {}  # by commands, by the bin that is being folded
        self.told = set()
        self.health = {}
        self.faults = dict.fromkeys(self.faults, 0)
        self.path = Path()
        self.make_room_for_models((0,))
        self.revision += 1

    def resize(self, n_units: int) -> None:
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

    def make_room_for_models(self, shape: tuple[int, ...]) -> None:
        """Begin the history of the encoding model again, for rows of another shape."""
        self.model_times_s = DecimatedHistory(MODEL_ROWS)
        self.model_rows = DecimatedHistory(MODEL_ROWS, np.float32, shape)

    def start_over(self) -> None:
        """Forget everything, as when the window turns to another runtime."""
        self.__dict__.update(Store().__dict__)

    def problem(self, sentence: str) -> None:
        """Note something wrong with what arrives; the same sentence once in a row."""
        if not self.problems or self.problems[-1] != sentence:
            self.problems.append(sentence)
            self.log(Entry(self.bin, self.elapsed_s, "data", "viewer", sentence, "warning"))

    # -- taking messages in ----------------------------------------------------------------------------------------

    def hello(self, answer: dict[str, Any], at_s: float) -> None:
        """Take the answer to ``{"get": "hello"}``: configuration, live parameters, model, recent past.

        An answer of another shape leaves an empty store that says so (`unreadable`) and asks again.
        """
        try:
            fold_hello.take_hello(self, answer, at_s)
        except MISSHAPEN as error:
            self.start_over()
            self.unreadable = (
                f"the runtime's account of the session cannot be read ({error}): is something else on this address, "
                "or a runtime of another installation?"
            )
            self.problem(self.unreadable)

    def _another_run(self, stream: str, sequence: int, at_bin: int, run: int | None) -> bool:
        """Return whether a message is of another run; where runs have no names, numbers that begin again say so."""
        if run is not None:
            known, self.run = self.run, self.run or run
            return known is not None and run != known
        return 0 < sequence < self.streams[stream].sequence and (stream, sequence, at_bin) not in self.told

    def _restarted(self, run: int | None) -> None:
        """Another runtime speaks on the address of the one that was heard: its sequence numbers begin again."""
        self.run, self.told, self.needs_hello = run, set(), True
        for state in self.streams.values():
            state.sequence = 0
        ended, self.ended = self.ended, False
        if ended:  # nobody died: the session before had said that it was over
            self.log(Entry(self.bin, self.elapsed_s, "command", "session-began", "Another session began"))
            return
        why = "another runtime answers on the same address: it was started again, or another session was"
        self.log(Entry(self.bin, self.elapsed_s, "safety", "runtime-restarted", f"Restart: {why}", "alarm"))

    def receive(self, stream: str, message: dict[str, Any], at_s: float) -> None:
        """Take one telemetry message in."""
        state = self.streams.get(stream)
        if state is None:
            self.problem(f"an unknown stream '{stream[:40]}' arrived and was ignored")
            return
        for name in ("seq", "bin"):
            if not isinstance(message.get(name, 0), numbers.Integral):
                self.problem(f"a message of stream '{stream}' whose {name} is not a whole number was ignored")
                return
        if message.get("epoch", 0) != self.epoch:
            self.needs_hello = True  # a replay has jumped, or another one began
            return
        sequence, at_bin = int(message.get("seq", 0)), int(message.get("bin", 0))
        if self._another_run(stream, sequence, at_bin, message.get("run")):
            self._restarted(message.get("run"))
        self.last_s = at_s
        if stream == "step":  # a session that is over may still tell what it owed, but makes no step
            self.ended = False
        told = bool(sequence) and (stream, sequence, at_bin) in self.told  # was on its way while the answer told it
        self._count(state, message, at_s)
        if stream == "step" and at_bin < self.bin - 1:
            self.needs_hello = True  # another session began on the same address
        if not told:
            if stream in ("event", "command") and sequence:
                self.told.add((stream, sequence, at_bin))
            self.fold(stream, message)

    def fold(self, stream: str, message: dict[str, Any]) -> None:
        """Take what a message says; one of another shape is noted and ignored."""
        if stream not in FOLDS:
            return
        try:
            FOLDS[stream](self, message)
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

    @property
    def planned_blocks(self) -> list[dict[str, Any]]:
        """The blocks of the configuration."""
        return list(self.config.get("block") or ())

    def log(self, entry: Entry) -> None:
        """Put a line into the event log."""
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


def _member(kind, value):
    """Return the enumeration's member of a number, or None for a number it does not know."""
    try:
        return kind(int(value))
    except ValueError:
        return None
