"""What an operator must be told at once: rules over the store, grouped, kept until acknowledged. No Qt here."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Iterator

import numpy as np

from gui import status
from gui.store import Store

LINGER_S = 5.0
"""How long a warning that is over stays; an alarm stays until it is acknowledged."""
SOUND_EVERY_S = 10.0
"""How often an alarm that is not acknowledged sounds again."""
QUIET_S = 3.0
"""The shortest time between two sounds, whatever happens."""
DISK_EVERY_S = 5.0
"""How often the disk is asked: one in the network may be slow to answer."""
LEAST_FREE_BYTES = 2_000_000_000  # of the disk that is recorded to
RECENT_S = 10.0  # over which lateness is judged


@dataclasses.dataclass(frozen=True)
class Found:
    """What a rule has found.

    Attributes
    ----------
    key : str
        One alarm for each; what is found again joins it.
    severity : {"alarm", "warning"}
    title, reason, advice : str
    """

    key: str
    severity: str
    title: str
    reason: str
    advice: str


@dataclasses.dataclass
class Alarm:
    """An alarm as it is shown."""

    found: Found
    since_s: float
    session_s: float
    last_s: float
    times: int = 1
    active: bool = True
    acknowledged: bool = False
    sounded_s: float = -math.inf


def _connection(store: Store, now_s: float) -> Iterator[Found]:
    if store.connection(now_s) == "lost" and store.mode in ("live", "simulated"):
        yield Found(
            "lost",
            "alarm",
            "CONNECTION LOST",
            f"nothing has arrived from the runtime for {store.age_s(now_s):.0f} s",
            "It comes back by itself under its supervisor. If not: bmi run --resume, or a new session (F5)",
        )


def _recording(store: Store, now_s: float) -> Iterator[Found]:
    failed = store.health.get("recording_failed")
    if failed:
        advice = "Nothing is recorded from here on. Hold, make room or change the disk, start a new session"
        yield Found("recording", "alarm", "RECORDING FAILED", str(failed), advice)
    elif store.recording and not store.replay:
        free = free_bytes(store.recording, int(now_s // DISK_EVERY_S))
        if free is not None and free < LEAST_FREE_BYTES:
            room = f"{free / 1e9:.1f} GB" if free >= 1e9 else f"{free / 1e6:.0f} MB"
            reason = f"{room} are left where the recording goes"
            yield Found("disk", "warning", "DISK NEARLY FULL", reason, "Make room now: a full disk ends the recording")


def _safety(store: Store, now_s: float) -> Iterator[Found]:
    state = status.state_of(store, now_s)
    why = status.why(store, state, now_s)
    if state == "frozen":
        advice = "Check the cable and the acquisition program; the output comes back by itself with good data"
        yield Found("frozen", "alarm", "OUTPUT FROZEN", why, advice)
    elif state == "stopped":
        yield Found("stopped", "alarm", "OUTPUT STOPPED", why, "Stop (F9) and start a new session to go on")
    elif state == "degraded":
        yield Found("degraded", "warning", "OUTPUT DOUBTFUL", why, "The decoder coasts; Hold (F6) if it lasts")
    elif state == "starting" and store.elapsed_s > RECENT_S:
        advice = "Is the acquisition program running, and sending to the address of source.address?"
        yield Found("starting", "warning", "NO DATA YET", why, advice)


def _model(store: Store, now_s: float) -> Iterator[Found]:
    if store.not_finite:
        reason = f"{store.not_finite} parameters of the encoding model are not finite"
        yield Found("model", "alarm", "MODEL BROKEN", reason, "Hold (F6); the runtime starts such units again")
    lost = int((store.health.get("adaptation") or {}).get("lost") or 0)
    if store.n_units and lost >= max(0.2 * store.n_units, 2):
        reason = f"{lost} of {store.n_units} units are silent"
        yield Found("units", "warning", "UNITS LOST", reason, "Look at the raster: connector, reference, headstage?")


def _timing(store: Store, now_s: float) -> Iterator[Found]:
    rows = store.steps.view
    if store.replay or store.ended or len(rows) < 100:
        return
    recent = rows[rows["t_s"] > rows["t_s"][-1] - RECENT_S]
    missed = float(np.mean(recent["deadline_missed"] != 0))
    if missed > 0.02:
        reason = f"{100 * missed:.0f} % of the bins of the last {RECENT_S:g} s were late"
        yield Found("late", "warning", "BINS TOO LATE", reason, "Close other programs here; bmi doctor says more")


def _performance(store: Store, now_s: float) -> Iterator[Found]:
    trials = store.trials.view
    if store.replay or len(trials) < 40:
        return
    before, last = float(np.mean(trials["success"][:-15][-60:])), float(np.mean(trials["success"][-15:]))
    if before >= 0.6 and last <= 0.5 * before:
        reason = f"{100 * last:.0f} % of the last 15 trials succeeded, {100 * before:.0f} % before"
        advice = "Tired subject, lost units, or a learning rate too high? Look at Decoder error and Performance"
        yield Found("success", "warning", "SUCCESS HAS FALLEN", reason, advice)


def _viewer(store: Store, now_s: float) -> Iterator[Found]:
    if store.unreadable:
        yield Found("unreadable", "alarm", "UNREADABLE RUNTIME", store.unreadable, "Start window and runtime alike")


RULES = (_connection, _recording, _safety, _model, _timing, _performance, _viewer)
EVENT_ADVICE = {
    "stability": "Stop (F9) and start untrained with assistance, or watch whether adaptation catches up",
    "runtime-restarted": "Check that decoder and recording are the ones you expect; the bar names the new file",
    "decoder-not-finite": "The decoder starts again at the cursor; Hold (F6) if it happens again",
    "covariance-lost": "These units learn again; if there are many, hold and look at the raster",
    "rates-exploded": "They learn again, unless the decoder is frozen; if it happens often, run bmi calibrate again",
    "source-unreachable": "Is the acquisition program running? Check source.address",
}


class Alarms:
    """All alarms of a session, most serious first.

    Attributes
    ----------
    shown : list of Alarm
        Those that are to be seen now.
    """

    def __init__(self):
        self.by_key: dict[str, Alarm] = {}
        self._events_seen = 0
        self._quiet_until_s = -math.inf
        self._of_replay = False

    def update(self, store: Store, now_s: float) -> bool:
        """Look at the store; return whether a sound is due."""
        if bool(store.replay) != self._of_replay:  # what a session had to say is not about a recording
            self._of_replay = bool(store.replay)
            self.by_key.clear()
        found = [one for rule in RULES for one in rule(store, now_s)]
        found += self._from_events(store)
        keys = {one.key for one in found}
        for one in found:
            self._note(one, store, now_s)
        for key, alarm in list(self.by_key.items()):
            if key not in keys:
                alarm.active = False
                over = now_s - alarm.last_s > LINGER_S
                if alarm.acknowledged or (over and alarm.found.severity == "warning"):
                    del self.by_key[key]
        return self._sound_due(now_s)

    def _note(self, one: Found, store: Store, now_s: float) -> None:
        alarm = self.by_key.get(one.key)
        if alarm is None:
            self.by_key[one.key] = Alarm(one, now_s, store.elapsed_s, now_s)
            return
        if not alarm.active:  # it was over, and is here again
            alarm.times, alarm.acknowledged, alarm.session_s = alarm.times + 1, False, store.elapsed_s
        alarm.found, alarm.last_s, alarm.active = one, now_s, True

    def _from_events(self, store: Store) -> Iterator[Found]:
        """Yield what events have said since the last look; the same name is one alarm that counts."""
        new = store.event_count - self._events_seen
        self._events_seen = store.event_count
        if new <= 0 or store.replay:
            return
        for entry in list(store.events)[-new:]:
            if entry.severity == "alarm" and entry.name in EVENT_ADVICE and store.elapsed_s - entry.t_s < RECENT_S:
                title = entry.name.replace("-", " ").upper()
                yield Found(f"event.{entry.name}", "alarm", title, entry.text, EVENT_ADVICE[entry.name])

    def _sound_due(self, now_s: float) -> bool:
        due = [
            alarm
            for alarm in self.by_key.values()
            if alarm.found.severity == "alarm" and not alarm.acknowledged and now_s - alarm.sounded_s > SOUND_EVERY_S
        ]
        if not due or now_s < self._quiet_until_s:
            return False
        for alarm in due:
            alarm.sounded_s = now_s
        self._quiet_until_s = now_s + QUIET_S
        return True

    @property
    def shown(self) -> list[Alarm]:
        """What is to be seen: not acknowledged first, alarms before warnings, the newest first."""
        rank = {"alarm": 0, "warning": 1}
        return sorted(
            self.by_key.values(), key=lambda alarm: (alarm.acknowledged, rank[alarm.found.severity], -alarm.since_s)
        )

    def acknowledge(self) -> int:
        """Acknowledge all that is shown; return how many there were. What lasts is shown on, small and silent."""
        fresh = [alarm for alarm in self.by_key.values() if not alarm.acknowledged]
        for alarm in fresh:
            alarm.acknowledged = True
        return len(fresh)


@functools.lru_cache(maxsize=4)
def free_bytes(path: str, moment: int = 0) -> int | None:
    """Return the free room where a file lies, or None where that cannot be seen from this machine; once a `moment`."""
    try:
        found = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
