"""What the page in the browser shows, as plain values for JSON. No Qt here."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from gui import performance, status
from gui.alarms import Alarms
from gui.running_error import running_errors, window_rows
from gui.store import Store

TRAIL_ROWS, MOST_POINTS, LAST_EVENTS, LAST_TRIALS = 72, 200, 14, 60  # of what a browser gets
WORDS = {
    "running": "▶ RUNNING",
    "calibrating": "▶ CALIBRATING",
    "degraded": "! DEGRADED",
    "frozen": "✕ OUTPUT FROZEN",
    "stopped": "■ STOPPED",
    "starting": "… STARTING",
    "held": "❚❚ HELD",
    "ended": "■ ENDED",
    "lost": "✕ CONNECTION LOST",
    "waiting": "… WAITING",
    "playing": "▶ PLAYING",
    "paused": "❚❚ PAUSED",
}


def live(store: Store, alarms: Alarms, now_s: float) -> dict[str, Any]:
    """Return state, alarms and the subject's view of this moment."""
    state = status.state_of(store, now_s)
    word, _, detail = status.adaptation(store, state)
    return {
        "mode": {"waiting": "no session"}.get(store.mode, store.mode),
        "state": state,
        "word": WORDS[state],
        "why": status.why(store, state, now_s),
        "adapting": word,
        "rate": detail,
        "block": status.block(store),
        "time_s": store.elapsed_s,
        "recording": os.path.basename(store.recording or ""),
        "recording_failed": bool(store.health.get("recording_failed")),
        "alarms": [_alarm(alarm) for alarm in alarms.shown[:4]],
        "view": _view(store),
    }


def _alarm(alarm) -> dict[str, Any]:
    found = alarm.found
    return {
        "severity": found.severity,
        "title": found.title,
        "reason": found.reason,
        "advice": found.advice,
        "since_s": alarm.session_s,
    }


def _view(store: Store) -> dict[str, Any] | None:
    """Return the first two axes of target and cursor, m; one axis lies on the x axis."""
    if store.step is None:
        return None
    out, axes = store.step["output"], min(store.space.n_axes, 2)
    trail = store.steps.newest(TRAIL_ROWS)["cursor"][::2, :axes]
    task = store.config.get("task", {})
    return {
        "cursor": _plane(out["cursor"][:axes]),
        "target": _plane(out["target"][:axes]),
        "radius": _number(out["target"][-1]),
        "hold": _number(out["hold_fraction"]),
        "trial_state": int(out["trial_state"]),
        "trail": [_plane(point) for point in trail if np.isfinite(point).all()],
        "reach": min(float(task.get("workspace_m", 0.2)), 1.3 * float(task.get("distance_m", 0.15))),
        "successes": store.score[0],
        "timeouts": store.score[1],
    }


def curves(store: Store) -> dict[str, Any]:
    """Return the main curves and the newest events."""
    rows, trials = store.steps.view, store.trials.view[-LAST_TRIALS:]
    error, angle = running_errors(rows, window_rows(rows))
    every = max(len(rows) // MOST_POINTS, 1)
    thin = slice((len(rows) - 1) % every if len(rows) else 0, None, every)
    last = performance.group("", trials[-20:]) if len(trials) else None
    return {
        "t_s": [round(float(t), 2) for t in rows["t_s"][thin]],
        "error_cm_s": [_number(100.0 * value) for value in error[thin]],
        "angle_deg": [_number(value) for value in angle[thin]],
        "marks": [[mark.t_s, mark.kind, mark.text] for mark in list(store.marks)[-40:]],
        "trials": [[int(row["trial"]), float(row["time_s"]), bool(row["success"])] for row in trials],
        "success": None if last is None else [last.rate, last.low, last.high, last.trials],
        "latency_us": store.health.get("latency_us") or {},
        "events": [
            [event.t_s, event.severity, event.kind, event.text] for event in list(store.events)[-LAST_EVENTS:][::-1]
        ],
    }


def _plane(point) -> list[float | None]:
    x, y = (float(point[0]), float(point[1]) if len(point) > 1 else 0.0)
    return [_number(x), _number(y)]


def _number(value: Any) -> float | None:
    """Return a number that JSON knows, None for one that is not finite."""
    found = float(value)
    return round(found, 5) if math.isfinite(found) else None
