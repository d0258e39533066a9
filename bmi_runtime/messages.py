"""What travels: the table of streams and the layout of a step.

Every consumer (recording, telemetry, control, replay, windows) uses this module and none defines a layout of its own.
`pack` and `unpack` of the `codec`, and the `state_space`, may be imported from here too.
"""

import dataclasses
import enum
import functools
import struct
from typing import Any

import numpy as np

from bmi_runtime.codec import pack as pack
from bmi_runtime.codec import unpack as unpack
from bmi_runtime.state_space import PLANE as PLANE
from bmi_runtime.state_space import StateSpace as StateSpace

WIRE_VERSION = 1  # grows when a reader of today could not read what is sent


@dataclasses.dataclass(frozen=True)
class Stream:
    """One stream of the session: what it carries, whether it is recorded, and how often viewers get it."""

    carries: str
    recorded: bool
    published: bool
    publish_hz: float = 0.0  # 0: every message


STREAMS = {
    "step": Stream("one bin: everything that the step consumed and produced", True, True, 60.0),
    "event": Stream("a named event: trial ends, safety states, warnings, notes", True, True),
    "command": Stream("a command, the bin at which it took effect, and its answer", True, True),
    "snapshot": Stream("every parameter of the session's state, enough to go on from", True, False),
    "model": Stream(
        "weights and covariances of the encoding model, with predicted and true ones where known", False, True, 4.0
    ),
    "health": Stream("latency histograms, deadline misses, gaps, data age, clock, viewers' losses", True, True, 2.0),
    "configuration": Stream(
        "the full configuration and the live parameters, for viewers that may not ask", True, True, 0.5
    ),
    "decoder_file": Stream("the file of a decoder that was handed over, whole, with its name and bin", True, False),
}

SESSION_EVENTS = frozenset(
    {"safety", "guard", "session-ended", "resumed", "runtime-restarted", "recording-failed", "block", "blocks-done"}
    | {"command", "model-loaded", "learning-rate", "stability", "decoder-failed", "task-failed", "intention-failed"}
)
"""What the session alone can say: a window believes that it is over, frozen or restarted when it hears so."""


class TrialState(enum.IntEnum):
    """Where a trial is."""

    REACH = 0
    HOLD = 1
    SUCCESS = 2
    TIMEOUT = 3
    PAUSE = 4


class SafetyState(enum.IntEnum):
    """Whether the output may be trusted; only ``ACTIVE``, ``CALIBRATING`` and ``DEGRADED`` move the cursor."""

    STARTING = 0
    CALIBRATING = 1
    ACTIVE = 2
    DEGRADED = 3
    FROZEN = 4
    STOPPED = 5


STAGES = ("source", "decode", "task", "adapt", "record", "publish")
"""The stages of a bin whose durations are recorded, in order."""


def input_dtype(n_units: int, continuous: bool, space: StateSpace = PLANE, n_features: int = 0) -> np.dtype:
    """Return the layout of what the step consumes in one bin.

    Parameters
    ----------
    n_units : int
        Number of units.
    continuous : bool
        True for real-valued features, False for spike counts.
    space : StateSpace
    n_features : int
        Continuous features beside spiking units; NaN where none came in a bin.
    """
    features = [("features", "<f8", (n_features,))] if n_features else []
    return np.dtype(
        [
            ("bin_index", "<u8"),
            ("device_time_s", "<f8"),  # end of the bin on the acquisition clock, never rewritten
            ("host_time_ns", "<i8"),  # host monotonic clock when the bin closed
            ("clock_offset_s", "<f8"),  # fitted host minus device time
            ("clock_uncertainty_s", "<f8"),
            ("data_age_s", "<f8"),
            ("gap_bins", "<u4"),  # bins lost just before this one
            ("late", "<u4"),
            ("duplicates", "<u4"),
            ("invalid", "<u4"),  # counts or features refused in this bin
            ("stale", "<u4"),  # bins since the source last delivered
            ("behind", "<u4"),  # deadlines missed just before this bin
            ("segment", "<u4"),  # grows with every reset or jump of the device clock
            ("kinematics", "<f8", (2 * space.n_axes,)),  # recorded position, velocity; NaN where there are none
            *features,
            ("counts", "<f8" if continuous else "<u2", (n_units,)),
        ]
    )


MISSING = 65535
"""The count of a unit that is missing in a bin: its part of several merged sources is silent."""


def known_counts(recorded: np.ndarray) -> np.ndarray:
    """Return recorded counts or features as float64, NaN where a unit was missing in a bin."""
    values = recorded.astype(np.float64)
    if recorded.dtype.kind in "iu":
        values[recorded == MISSING] = np.nan
    return values


def without_missing(recorded: np.ndarray) -> np.ndarray:
    """Return recorded counts in which a unit that was missing in a bin has none; features as they are."""
    return np.where(recorded == MISSING, recorded.dtype.type(0), recorded) if recorded.dtype.kind in "iu" else recorded


INPUT_HEAD = struct.Struct("<Qd q 3d 5I")
"""The first fields of a bin, ``bin_index`` to ``stale``, for one fast write; `input_dtype` names them."""
assert INPUT_HEAD.size == input_dtype(1, False).fields["behind"][1]  # type: ignore[index]


@functools.lru_cache
def output_dtype(space: StateSpace = PLANE) -> np.dtype:
    """Return the layout of what the step produces in one bin; with `struct_of` it is written in one call."""
    n = space.n_axes
    click = [("click_posterior", "<f8", (3,)), ("intended_click", "<f8"), ("clicked", "<u8")] if space.click else []
    return np.dtype(
        [
            ("decoded", "<f8", (2 * n,)),  # position (m), velocity (m/s)
            ("decoded_variance", "<f8", (2 * n,)),
            ("cursor", "<f8", (2 * n,)),  # what the subject sees, after assist
            ("target", "<f8", (n + 1,)),  # position, radius (m)
            ("intended", "<f8", (n,)),  # m/s
            ("hold_fraction", "<f8"),
            ("assist", "<f8"),
            ("learning_rate", "<f8"),
            ("log_likelihood", "<f8"),  # of this bin under the model before its update, nats
            ("model_checksum", "<u8"),  # of the weights after the update
            ("trial", "<u4"),
            ("successes", "<u4"),
            ("timeouts", "<u4"),
            ("trial_state", "<u1"),
            ("safety", "<u1"),
            ("adapting", "<u1"),
            ("stimulated", "<u1"),
            ("padding", "<u4"),
            *click,  # of idle, move, click
        ]
    )


_STRUCT_CODES = {"<f8": "d", "<i8": "q", "<u8": "Q", "<u4": "I", "<u2": "H", "|u1": "B"}


@functools.lru_cache
def struct_of(dtype: np.dtype) -> struct.Struct:
    """Return the structure that writes and reads a flat dtype's fields in one fast call, in the order of the dtype."""
    parts = [(dtype[name].base.str, int(np.prod(dtype[name].shape))) for name in dtype.names or ()]
    made = struct.Struct("<" + "".join(f"{count}{_STRUCT_CODES[kind]}" for kind, count in parts))
    assert made.size == dtype.itemsize
    return made


def places_in(dtype: np.dtype) -> dict[str, slice]:
    """Return where in the numbers that `struct_of` unpacks each field lies."""
    places, start = {}, 0
    for name in dtype.names or ():
        places[name] = slice(start, start + int(np.prod(dtype[name].shape)))
        start = places[name].stop
    return places


TIMING_DTYPE = np.dtype([("stage_ns", "<i8", (len(STAGES),)), ("lateness_ns", "<i8"), ("deadline_missed", "<u8")])


def latency_ns(stage_ns: np.ndarray, lateness_ns: np.ndarray) -> np.ndarray:
    """Return the latency of recorded bins as the loop counts it.

    It runs from the deadline, or from the data's arrival, to the command. Recording and messages to viewers follow
    the command and do not count, nor does what a source does before.

    Parameters
    ----------
    stage_ns : ndarray, (bins, stages)
        As in `TIMING_DTYPE`.
    lateness_ns : ndarray, (bins,)

    Returns
    -------
    ndarray, (bins,)
    """
    worked = np.sum(stage_ns[:, STAGES.index("decode") : STAGES.index("record")], axis=1)
    return worked + np.maximum(lateness_ns, 0)


def step_dtype(n_units: int, continuous: bool, space: StateSpace = PLANE, n_features: int = 0) -> np.dtype:
    """Return the layout of a recorded step: ``input``, ``output`` (compared by replay), ``timing`` (not compared).

    A recording carries its own layout; a reader takes it from there (`recording.frames.parse_layout`). That of two axes
    without click and without features is the one that every recording had before there were others.
    """
    given = input_dtype(n_units, continuous, space, n_features)
    return np.dtype([("input", given), ("output", output_dtype(space)), ("timing", TIMING_DTYPE)])


class Views:
    """Views of the fields of one part of a record, so that reading and writing one costs nothing.

    Arrays are views; scalars are one-element views (``views.trial[0] = 3``).
    """

    def __init__(self, part: np.ndarray):
        for name in part.dtype.names or ():
            field = part[name]
            setattr(self, name, field[0] if field.ndim > 1 else field)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the record has no field '{name}'")


class Bin:
    """The input of one step: memory that a source fills, with a view of every field of `input_dtype`."""

    def __init__(self, n_units: int, continuous: bool, space: StateSpace = PLANE, n_features: int = 0):
        self.array = np.zeros(1, input_dtype(n_units, continuous, space, n_features))
        self.bytes = self.array.data.cast("B")
        self.fields = Views(self.array)
        self.fields.kinematics[:] = np.nan
        if n_features:
            self.fields.features[:] = np.nan


class StepRecord:
    """The memory of one step: input, output and timing, as bytes and as views."""

    def __init__(self, n_units: int, continuous: bool, space: StateSpace = PLANE, n_features: int = 0):
        self.dtype = step_dtype(n_units, continuous, space, n_features)
        self.array = np.zeros(1, self.dtype)
        self.bytes = self.array.data.cast("B")
        start, middle, end = (self.dtype.fields[name][1] for name in ("input", "output", "timing"))  # type: ignore[index]
        self.input_bytes = self.bytes[start:middle]
        self.output_bytes = self.bytes[middle:end]
        self.input, self.output, self.timing = (Views(self.array[name]) for name in ("input", "output", "timing"))
