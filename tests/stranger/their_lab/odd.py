"""A decoder, a task and an intention that behave oddly after a while, each in the way that its option names."""

import itertools
import os
import random
import sys
import threading
import time

import numpy as np

from bmi_runtime.registry import Options
from bmi_runtime.tasks.centre_out import CentreOut
from their_lab.sources import SineSource

SOUND_BINS = 60
WAITS = threading.Event()


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("cannot be said")


def raises(error):
    raise error


class NotAnArray:
    def __array__(self, *_arguments, **_options):
        raise ZeroDivisionError("no array")


def writes(values, value):
    values[...] = value
    return [0.0, 0.0]


def forks(decoder):
    """Fork once; both come back, as from a library that forks a helper and forgets to leave it."""
    if decoder.bins == SOUND_BINS + 1 and (child := os.fork()):
        decoder.child = child
    return [0.0, 0.0]


def starts_thread(decoder):
    if decoder.bins == SOUND_BINS + 1:
        threading.Thread(target=decoder.waits.wait, name="theirs").start()
    return [0.0, 0.0]


ANSWERS = {
    "forks": lambda decoder, counts: forks(decoder),
    "thread": lambda decoder, counts: starts_thread(decoder),
    "numpy": lambda decoder, counts: np.random.normal(size=2),  # noqa: NPY002
    "python": lambda decoder, counts: [random.random(), 0.0],
    "unseeded": lambda decoder, counts: np.random.default_rng().normal(size=2),
    "clock": lambda decoder, counts: [time.perf_counter() % 1.0, 0.0],
    "complex": lambda decoder, counts: np.array([1 + 2j, 0]),
    "objects": lambda decoder, counts: np.array([None, object()], object),
    "texts": lambda decoder, counts: ["1.0", "2.0"],
    "ragged": lambda decoder, counts: [[1.0], [1.0, 2.0]],
    "nothing": lambda decoder, counts: None,
    "masked": lambda decoder, counts: np.ma.masked_array([1.0, 2.0], [True, False]),
    "three": lambda decoder, counts: [0.0, 0.0, 0.0],
    "no-array": lambda decoder, counts: NotAnArray(),
    "exits": lambda decoder, counts: sys.exit(3),
    "recursion": lambda decoder, counts: decoder.late(counts),
    "memory": lambda decoder, counts: raises(MemoryError()),
    "generator": lambda decoder, counts: raises(GeneratorExit()),
    "unspeakable": lambda decoder, counts: raises(Unspeakable()),
    "unprintable": lambda decoder, counts: raises(ValueError("\u202e\x1b[31m\x00\ud800\n")),
    "model": lambda decoder, counts: writes(decoder.model.weights, np.nan),
    "sound": lambda decoder, counts: [0.0, 0.0],
    "writes": lambda decoder, counts: writes(counts, 1e6),
    "largest": lambda decoder, counts: setattr(decoder, "largest", None) or [0.0, 0.0],
    "on_done": lambda decoder, counts: [0.0, 0.0],
}


class Decoder:
    class Options(Options):
        way: str = "sound"

    largest = 0.0

    def __init__(self, model, way="sound"):
        self.model, self.way, self.bins = model, way, 0
        self.waits = WAITS

    def predict(self, counts):
        self.bins += 1
        return self.late(counts) if self.bins > SOUND_BINS else [0.0, 0.0]

    def late(self, counts):
        return ANSWERS[self.way](self, counts)


class Untold(Decoder):
    """Its snapshots hold what no recording can, at once (``now``) or after a while."""

    def snapshot(self):
        return {"state": object()} if self.way == "now" or self.bins > SOUND_BINS else {}

    def restore(self, snapshot):
        pass


def changed(task, name, value):
    setattr(task, name, value)


ADVANCES = {
    "exits": lambda task: sys.exit(1),
    "text-event": lambda task: "event",
    "object-event": lambda task: {"name": "trial", "what": object()},
    "ended-event": lambda task: {"name": "session-ended", "why": "operator"},
    "bare-trial": lambda task: {"name": "trial", "result": "success", "note": task.bins if task.bins % 2 else "even"},
    "trial-text": lambda task: changed(task, "trial", "x"),
    "trial-negative": lambda task: changed(task, "trial", -5),
    "trial-huge": lambda task: changed(task, "trial", 2**32),
    "successes-part": lambda task: changed(task, "successes", 0.5),
    "state": lambda task: changed(task, "trial_state", 999),
    "far": lambda task: changed(task, "position", (1e300, 0.0)),
    "three": lambda task: changed(task, "position", (0.1, 0.1, 0.1)),
    "moved": lambda task: changed(task, "position", [0.1, float("nan")]),
    "texts": lambda task: changed(task, "position", ("a", "b")),
    "endless": lambda task: changed(task, "position", itertools.count()),
    "hold": lambda task: None,
}


class Task(CentreOut):
    class Options(CentreOut.Options):
        way: str = "exits"

    bins = 0

    def next_target(self):
        if self.options.way == "begins-huge":
            self.trial = 2**32
        return super().next_target() if self.trial < 2**32 else (0.0,) * self.n_axes

    def advance(self, *position_m):
        self.bins += 1
        return super().advance(*position_m) if self.bins <= SOUND_BINS else ADVANCES[self.options.way](self)

    @property
    def hold_fraction(self):
        return None if self.bins > SOUND_BINS and self.options.way == "hold" else 0.0


def tampers():
    """Change the tables that the fallbacks of the session come from, which is refused."""
    from bmi_runtime.intention import registry as intentions
    from bmi_runtime.tasks import registry as tasks

    for table in (intentions.TABLE, tasks.TABLE):
        table.rows["optimal-control"] = table.rows["centre-out"] = "nowhere:Nothing"


INFERS = {
    "exits": lambda cursor: sys.exit(1),
    "nothing": lambda cursor: None,
    "texts": lambda cursor: ["a", "b"],
    "complex": lambda cursor: [1j, 1j],
    "square": lambda cursor: np.zeros((2, 2)),
    "endless": lambda cursor: itertools.count(),
    "rows": lambda cursor: tampers(),
    "writes": lambda cursor: writes(cursor, float("nan")),
}


class Intention:
    class Options(Options):
        way: str = "exits"

    def __init__(self, config, bin_s, n_axes=2):
        self.way, self.bins = config.intention_options["way"], 0

    def infer(self, cursor, target, trial_state):
        self.bins += 1
        return INFERS[self.way](cursor) if self.bins > SOUND_BINS else [0.0, 0.0]

    def snapshot(self):
        return [self.bins]

    def restore(self, snapshot):
        (self.bins,) = snapshot


LABELS = {
    "shares": lambda: [([0.0, 0.0], 2.0), ([0.1, 0.0], -1.0)],
    "nan": lambda: [([float("nan"), 0.0], 0.5), ([0.1, 0.0], 0.5)],
    "none": lambda: None,
    "exits": lambda: sys.exit(1),
}


class Labels(Intention):
    """Weighs labels."""

    def infer(self, cursor, target, trial_state):
        self.bins += 1
        return [0.0, 0.0]

    def offer(self, candidates, workspace_m):
        pass

    def labels(self):
        return LABELS[self.way]() if self.bins > SOUND_BINS else [([0.0, 0.0], 1.0)]

    def news(self):
        return None


NEXT_BIN = {
    "nothing": lambda source: None,
    "array": lambda source: np.array([True, True]),
    "raises": lambda source: raises(KeyError("cable")),
    "exits": lambda source: sys.exit(0),
}
EVENTS = {
    "text-event": ["gap"],
    "nameless": [{"what": 1}],
    "object-event": [{"name": "gap", "what": object()}],
    "tuple": ({"name": "gap"},),
    "own-event": [{"name": "safety", "to": "active"}],
}


class Source(SineSource):
    """A sine whose methods beside the bins behave oddly after a while."""

    class Options(SineSource.Options):
        way: str = "sound"

    def __init__(self, config):
        super().__init__(config)
        self.way = self.Options(**config.source.options).way

    def odd(self, way):
        return self.bins > SOUND_BINS and self.way == way

    def next_bin(self, into, cursor, target):
        more = super().next_bin(into, cursor, target)
        return NEXT_BIN[self.way](self) if self.way in NEXT_BIN and self.bins > SOUND_BINS else more

    def drain_events(self):
        if self.odd("events-raise"):
            raise ZeroDivisionError("events")
        return EVENTS[self.way] if self.way in EVENTS and self.bins == SOUND_BINS else []

    def health(self):
        return {"object": object()} if self.way == "health" else raises(OSError("gone")) if self.odd("raises") else {}

    def truth(self):
        return "unknown" if self.way == "truth" else np.zeros((3, self.units))

    def stimulate(self, event):
        raise ValueError("no stimulator")

    @property
    def completed_ns(self):
        return None

    def close(self):
        if self.way == "close":
            raise OSError("the driver is gone")


class Later(SineSource):
    async def next_bin(self, into, cursor, target):
        return True


class Promises(Decoder):
    def on_done(self):
        yield


class PlainOptions(Decoder):
    class Options:
        way = "sound"


class NotBack(Decoder):
    """Tells its state, and cannot take it back."""

    def snapshot(self):
        return {"bins": self.bins}

    def restore(self, snapshot):
        self.bins = snapshot["bin"]


class Generated(CentreOut):
    """Its targets are a generator's numbers; after a while, or some readings, it cannot say where it is."""

    class Options(CentreOut.Options):
        way: str = "sound"

    bins = readings = 0

    def next_target(self):
        return (0.05 for _ in range(self.n_axes))

    def advance(self, *position_m):
        self.bins += 1
        return super().advance(*position_m)

    @property
    def target(self):
        self.readings += 1
        late = {"target": self.bins > SOUND_BINS, "readings": self.readings > 2 * SOUND_BINS}.get(self.options.way)
        x, *others, radius = raises(RuntimeError("no target")) if late else super().target
        return (x + 1e-6 * self.readings if self.options.way == "wanders" else x, *others, radius)
