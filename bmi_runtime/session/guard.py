"""The guard: the last look at what leaves for an effector. Pure: fed message by message, it reads no clock.

Two requirements, whatever arrives:

1. The operator can always stop the output at once, and nothing but a new guard starts it again.
2. What leaves never changes faster than the configured limits: no position ever jumps, no speed exceeds ``max_speed``,
   no velocity changes faster than ``max_acceleration``. Standing still is the one exception: a stop is not slowed down.

Everything else follows from them. The guard is silent until it has seen ``healthy_bins`` sound messages in a row. A
message that asks for too much is limited: what leaves follows the wanted position as fast as the limits allow, braking
in time. A message that cannot be believed (not finite, out of date, the runtime's own output stopped or frozen), or no
message for ``heartbeat_s``, stops the output: it stands still where it is until the stream is sound again.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence

from bmi_runtime.config import GuardConfig
from bmi_runtime.messages import SafetyState, StepRecord

BEYOND = 1e6  # m and m/s: no effector is there, and the arithmetic of the limits holds for all that is less
ROUNDING = 1e-9  # relative: a velocity that is at its limit but for the last digits is within it
TRUSTED = frozenset({SafetyState.CALIBRATING, SafetyState.ACTIVE, SafetyState.DEGRADED})


class GuardState(enum.Enum):
    """What the guard is doing."""

    WAITING = "waiting for a healthy stream"
    PASSING = "passing"
    LIMITING = "limiting"
    STOPPED = "stopped"
    ENDED = "ended by the operator"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What one message of the runtime asks of the effector.

    Attributes
    ----------
    position, velocity : sequence of float
        One number per axis: m and m/s.
    age_s : float
        How old the data behind it are.
    safety : int
        The runtime's `SafetyState`.
    """

    position: Sequence[float]
    velocity: Sequence[float]
    age_s: float
    safety: int


@dataclasses.dataclass(frozen=True)
class Leaving:
    """What leaves for the effector: position and velocity, nothing when both are None; and why it is not as asked."""

    state: GuardState
    position: tuple[float, ...] | None = None
    velocity: tuple[float, ...] | None = None
    why: str = ""


class Guard:
    """The guard of one stream.

    Parameters
    ----------
    config : GuardConfig
    bin_s : float
        Time from one message to the next. A message that was lost does not let the next one move further.

    Attributes
    ----------
    state : GuardState
    passed, limited, stopped, withheld : int
        Messages that left as they came, that left limited, that left standing still, and that did not leave.
    changes : list of dict
        The changes of `state` since they were last taken: ``from``, ``to``, ``why``.
    """

    def __init__(self, config: GuardConfig, bin_s: float):
        self.config, self.bin_s = config, bin_s
        self.state = GuardState.WAITING
        self.passed = self.limited = self.stopped = self.withheld = 0
        self.changes: list[dict[str, str]] = []
        self._healthy = 0
        self._position: tuple[float, ...] = ()
        self._velocity: tuple[float, ...] = ()

    def judge(self, wanted: Wanted) -> Leaving:
        """Return what leaves for one message."""
        if self.state is GuardState.ENDED:
            return self._hold_still("the operator has stopped it")
        if wanted.safety == SafetyState.STOPPED:
            return self.end("the operator has stopped the runtime")
        fault = self._fault(wanted)
        if fault:
            self._healthy = 0
            return self._hold_still(fault) if self.state is GuardState.WAITING else self._stop(fault)
        self._healthy += 1
        if self.state in (GuardState.WAITING, GuardState.STOPPED) and self._healthy < self.config.healthy_bins:
            return self._hold_still("not yet sound for long enough")
        return self._move(tuple(wanted.position), tuple(wanted.velocity))

    def missed(self) -> Leaving:
        """Return what leaves when no message has come for ``heartbeat_s``."""
        self._healthy = 0
        if self.state is GuardState.WAITING:
            return Leaving(self.state)  # nobody has been heard of, so there is nothing to count
        if self.state is GuardState.ENDED:
            return self._hold_still("the operator has stopped it")
        return self._stop(f"no message for {self.config.heartbeat_s:g} s")

    def end(self, why: str = "the operator has stopped it") -> Leaving:
        """Stop the output at once and for good; return what leaves."""
        self._turn(GuardState.ENDED, why)
        return self._hold_still(why)

    def _fault(self, wanted: Wanted) -> str:
        """Return why a message cannot be believed, or nothing."""
        if len(wanted.position) != len(wanted.velocity) or not wanted.position:
            return "position and velocity have different numbers of axes"
        if self._position and len(wanted.position) != len(self._position):
            return "the number of axes has changed"
        if not all(abs(value) <= BEYOND for value in (*wanted.position, *wanted.velocity)):
            return "a value is not finite, or beyond anything that can be"
        if not wanted.age_s <= self.config.max_age_s:
            return f"its data are older than {self.config.max_age_s:g} s"
        if wanted.safety not in TRUSTED:
            return "the runtime does not trust its own output"
        return ""

    def _move(self, position: tuple[float, ...], velocity: tuple[float, ...]) -> Leaving:
        """Pass the message, or follow it within the limits."""
        if not self._position:  # the first that leaves says where the effector is, at rest
            self._position, self._velocity = position, (0.0,) * len(position)
        limits, dt = self.config, self.bin_s
        step = tuple((new - old) / dt for new, old in zip(position, self._position, strict=True))
        too_fast = max(_norm(step), _norm(velocity)) > limits.max_speed * (1.0 + ROUNDING)
        change = limits.max_acceleration * dt * (1.0 + ROUNDING)
        too_sudden = max(_apart(step, self._velocity), _apart(velocity, self._velocity)) > change
        at_rest = not any(step) and not any(velocity)
        if at_rest or not (too_fast or too_sudden):
            self._turn(GuardState.PASSING, "within the limits")
            self.passed += 1
            self._position, self._velocity = position, velocity
            return Leaving(self.state, position, velocity)
        why = f"faster than {limits.max_speed:g} m/s" if too_fast else f"more than {limits.max_acceleration:g} m/s^2"
        self._turn(GuardState.LIMITING, why)
        self.limited += 1
        self._follow(position)
        return Leaving(self.state, self._position, self._velocity, why)

    def _follow(self, goal: tuple[float, ...]) -> None:
        """Go one bin toward a position, within the limits: no faster than may still be braked before it."""
        limits, dt = self.config, self.bin_s
        apart = tuple(there - here for there, here in zip(goal, self._position, strict=True))
        distance = _norm(apart)
        speed = min(limits.max_speed, braking_speed(distance, limits.max_acceleration, dt), distance / dt)
        aimed = tuple(speed * d / distance for d in apart) if distance else (0.0,) * len(apart)
        change = tuple(new - old for new, old in zip(aimed, self._velocity, strict=True))
        size, most = _norm(change), limits.max_acceleration * dt
        if size > most:
            change = tuple(most / size * value for value in change)
        velocity = tuple(old + value for old, value in zip(self._velocity, change, strict=True))
        self._velocity = velocity
        self._position = tuple(x + dt * v for x, v in zip(self._position, velocity, strict=True))

    def _stop(self, why: str) -> Leaving:
        self._turn(GuardState.STOPPED, why)
        return self._hold_still(why)

    def _hold_still(self, why: str) -> Leaving:
        """Stand still where the effector is; before anything has left, nothing does."""
        if not self._position:
            self.withheld += 1
            return Leaving(self.state, why=why)
        self.stopped += 1
        self._velocity = (0.0,) * len(self._position)
        return Leaving(self.state, self._position, self._velocity, why)

    def _turn(self, to: GuardState, why: str) -> None:
        if self.state is not to:
            self.changes.append({"from": self.state.name.lower(), "to": to.name.lower(), "why": why})
            self.state = to

    def drain(self) -> list[dict[str, str]]:
        """Return the changes since the last call."""
        changes, self.changes = self.changes, []
        return changes

    def counts(self) -> dict[str, int]:
        """Return how many messages left how."""
        return {name: getattr(self, name) for name in ("passed", "limited", "stopped", "withheld")}


def braking_speed(distance: float, acceleration: float, dt: float) -> float:
    """Return the highest speed from which one can stand still within a distance, braking once per step.

    With n steps of braking from v = n a dt the way is v dt (n + 1) / 2 (derived: the sum of v - k a dt, times dt), so
    v = a dt (sqrt(1 + 8 d / (a dt^2)) - 1) / 2.

    Parameters
    ----------
    distance : float
        m.
    acceleration : float
        m/s^2, above 0.
    dt : float
        s, above 0.
    """
    unit = acceleration * dt
    return 0.5 * unit * (math.sqrt(1.0 + 8.0 * distance / (unit * dt)) - 1.0)


def _norm(values: Sequence[float]) -> float:
    return math.hypot(*values)


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return math.dist(one, other)


def guarded(guard: Guard, record: StepRecord, copy: StepRecord, bin_s: float) -> bool:
    """Fill `copy` with a step as it may leave; return whether anything may.

    Parameters
    ----------
    guard : Guard
    record, copy : StepRecord
        What the step produced, and memory of the same layout.
    bin_s : float
    """
    cursor = record.output.cursor.tolist()
    half = len(cursor) // 2
    age_s = int(record.input.stale[0]) * bin_s
    leaving = guard.judge(Wanted(cursor[:half], cursor[half:], age_s, int(record.output.safety[0])))
    if leaving.position is None or leaving.velocity is None:
        return False
    copy.bytes[:] = record.bytes
    copy.output.cursor[:] = (*leaving.position, *leaving.velocity)
    return True
