"""What state a session is in and why, whether it adapts, and in which block, as short sentences. No Qt here."""

from __future__ import annotations

import math
import os

from bmi_runtime.messages import SafetyState
from gui import event_log

RECENT_ROWS = 30  # of telemetry, half a second: a single bin that could not be used does not change the state
SAFETY = {
    SafetyState.STARTING: "starting",
    SafetyState.CALIBRATING: "calibrating",
    SafetyState.ACTIVE: "running",
    SafetyState.DEGRADED: "degraded",
    SafetyState.FROZEN: "frozen",
    SafetyState.STOPPED: "stopped",
}


def state_of(store, now_s: float) -> str:
    """Return the state in one word."""
    connection = store.connection(now_s)
    if connection != "connected":
        return connection
    if store.mode == "replay":
        return "paused" if store.replay.get("paused") else "playing"
    safety = SAFETY.get(store.safety, "waiting")
    if store.held and safety not in ("stopped", "frozen"):
        return "held"
    return safety


def source_name(store) -> str:
    """Return the kind of the source, as the configuration names it."""
    kind = str(store.config.get("source", {}).get("kind", "the source"))
    return "the simulator" if kind == "simulated" else kind


def silent_s(store) -> float:
    """Return for how long the source has delivered nothing, s."""
    return 0.0 if store.step is None else float(store.step["input"]["stale"]) * store.bin_s


def why(store, state: str, now_s: float) -> str:
    """Return why the state is what it is, in one short sentence."""
    silence_s = silent_s(store)
    data = "features" if store.continuous else "spikes"
    if state == "lost":
        owed = "Hold is sent when it answers; " if store.hold_owed else ""
        return f"{owed}silent for {store.age_s(now_s):.0f} s: runtime or network"
    if state == "ended":
        return f"{_ago(store.age_s(now_s))}{': ' if store.ended_why else ''}{store.ended_why}"
    if state == "waiting":
        return "press Start (F5)"
    if state == "held":
        return "F5 resumes; recording goes on"
    if state in ("playing", "paused"):
        return os.path.basename(store.recording or "")
    if state == "stopped":
        return "the operator stopped the output; only a new session brings it back"
    if silence_s >= 0.05:
        return f"no {data} for {silence_s:.0f} s from {source_name(store)}" if silence_s >= 1 else f"no {data} just now"
    if state == "starting":
        return f"waiting for the first {data} from {source_name(store)}"
    if state in ("degraded", "frozen"):
        return event_log.WHY_WORDS.get(store.safety_why, store.safety_why or "the runtime does not say why")
    if state == "calibrating":
        left_s = float(store.config.get("safety", {}).get("calibrating_s", 0.0)) - store.elapsed_s
        return f"the first usable data; {left_s:.0f} s to go" if left_s > 0 else "the first usable data"
    return f"{data} arrive from {source_name(store)}"


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


def adaptation(store, state: str) -> tuple[str, str, str]:
    """Return whether the encoding model adapts: ``(word, role, reason or rate)``."""
    if store.step is None or state in ("waiting", "ended", "lost"):
        return "", "muted", ""
    rate = float(store.step["output"]["learning_rate"])
    told = f"rate {rate:.3g} per bin"
    if store.live.get("decoder.frozen"):
        adapting = store.live.get("adapter.enabled", True) and rate > 0
        return "DECODER FROZEN", "warn", ("the model adapts unseen; " if adapting else "") + told
    rows = store.steps.newest(RECENT_ROWS)
    if len(rows) and rows["adapting"].mean() > 0.5:
        return ("ADAPTING", "good", told) if rate > 0.0 else ("NOT ADAPTING", "warn", "the learning rate is 0")
    return "NOT ADAPTING", "warn", _why_not_adapting(store, state, rate, rows)


def _why_not_adapting(store, state: str, rate: float, rows) -> str:
    if not store.live.get("adapter.enabled", True):
        return "switched off (F7)"
    if rate == 0.0:
        return "the learning rate is 0"
    if state in ("held", "frozen", "stopped", "starting"):
        return {"held": "held", "frozen": "output frozen", "stopped": "output stopped"}.get(state, "no usable bin yet")
    if silent_s(store) > 0.0:
        return "no data to learn from"
    if not math.isfinite(float(store.step["output"]["intended"].sum())):
        return "no intention known"
    if len(rows) and rows["behind"].mean() > 0.4:
        return "late bins teach nothing"
    return "the data of these bins cannot be used"


def block(store) -> str:
    """Return the block as text: its number, its name, its task, the assist."""
    if store.step is None:
        return ""
    task = str(store.live.get("task.kind") or store.config.get("task", {}).get("kind", ""))
    assist = float(store.step["output"]["assist"])
    helped = f", assist {100 * assist:.0f} %" if assist > 0 else ""
    planned = store.planned_blocks
    if not planned:
        return f"block {store.blocks[-1].number if store.blocks else 1}: {task}{helped}"
    number = int(store.live.get("session.block") or 1)
    plan = planned[min(number, len(planned)) - 1]
    name = str(plan.get("name") or plan.get("kind"))
    return f"block {number} of {len(planned)}: {name}, {task}{helped}"
