"""A sign of life in shared memory: the runtime writes where it is in every bin, its supervisor looks whether it moves.

A part that never returns, or that holds the interpreter for ever, can say nothing of itself. The supervisor counts its
own looks, not the time on a clock: a machine that slept, or a terminal that was stopped with everything in it, is not
taken for a runtime that hangs.
"""

from __future__ import annotations

import enum
import mmap
import time

from bmi_runtime.messages import STAGES

LONGEST_LOOK_S = 1.0  # a longer time between two looks counts as this: the supervisor itself stood still
READY_WITHIN_S = 60.0  # for a runtime that was started again


class Place(enum.IntEnum):
    """Where a runtime is: the stages of a bin (`messages.STAGES`), and what comes before them."""

    SOURCE = 0
    DECODE = 1
    TASK = 2
    ADAPT = 3
    RECORD = 4
    PUBLISH = 5
    BETWEEN = 6
    COMMANDS = 7
    FIRST_BIN = 8
    PREPARING = 9
    CONNECTING = 10
    ENDING = 11

    @property
    def in_step(self) -> bool:
        """Whether the session's own parts are at work."""
        return self in (Place.DECODE, Place.TASK, Place.ADAPT)


WHERE = {
    Place.SOURCE: "the source",
    Place.DECODE: "decoding",
    Place.TASK: "the task",
    Place.ADAPT: "adapting",
    Place.RECORD: "recording",
    Place.PUBLISH: "publishing",
    Place.BETWEEN: "what follows a bin",
    Place.COMMANDS: "a command",
    Place.FIRST_BIN: "waiting for the source's first data",
    Place.PREPARING: "getting ready",
    Place.CONNECTING: "connecting to the source",
    Place.ENDING: "the end is being recorded",
}
MAY_WAIT = frozenset({Place.CONNECTING, Place.FIRST_BIN, Place.ENDING})
assert [place.name.lower() for place in Place][: len(STAGES)] == list(STAGES)


class Heartbeat:
    """Where the runtime is, and how many bins it has completed: 16 bytes that a process shares with its children."""

    def __init__(self) -> None:
        self.cell = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
        self.cell[0] = Place.PREPARING
        self.cell[1] = 0

    def beat(self, place: int) -> None:
        """Say where the runtime is now."""
        self.cell[0] = time.monotonic_ns() << 4 | place

    def read(self) -> int:
        """Return the newest beat; two are equal only when nothing has moved between them."""
        return self.cell[0]


class Watch:
    """What a supervisor concludes from a heartbeat: for how long it has stood still, and where.

    Parameters
    ----------
    heartbeat : Heartbeat
    now_s : float
        A monotonic clock.
    """

    def __init__(self, heartbeat: Heartbeat, now_s: float):
        self.heartbeat, self._newest, self._looked_s = heartbeat, heartbeat.read(), now_s
        self.still_s = 0.0

    @property
    def died_in_its_first_step(self) -> bool:
        """Whether the runtime, now dead, completed no bin and was in the session's own parts."""
        self._newest = self.heartbeat.read()
        return self.heartbeat.cell[1] == 0 and self.place.in_step

    @property
    def place(self) -> Place:
        """Where the runtime was at its newest beat."""
        return Place(self._newest & 15)

    def look(self, now_s: float) -> None:
        """Look whether the runtime has moved since the last look."""
        newest = self.heartbeat.read()
        moved, self._newest = newest != self._newest, newest
        self.still_s = 0.0 if moved else self.still_s + min(now_s - self._looked_s, LONGEST_LOOK_S)
        self._looked_s = now_s

    def hangs(self, limit_s: float, restarted: bool) -> bool:
        """Return whether the runtime has stood still for longer than it ever may where it is.

        It may wait for a source that has not delivered yet, or at its end for the disk, and a first start may take long
        (other people's imports).
        """
        if self.place in MAY_WAIT:
            return False
        if self.place is Place.PREPARING:
            return restarted and self.still_s > max(limit_s, READY_WITHIN_S)
        return self.still_s > limit_s

    def waits(self, limit_s: float) -> bool:
        """Return whether it has been waiting for long where it may."""
        return self.still_s > limit_s and (self.place in MAY_WAIT or self.place is Place.PREPARING)
