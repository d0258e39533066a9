"""Events and commands of a session as sentences, with how serious they are and what they are about. No Qt here."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from typing import Any

SEVERITIES = ("alarm", "warning", "information")
"""Most serious first."""

GROUPS = ("trial", "safety", "data", "command", "note", "unit")
"""What an entry is about; each is a filter of the log. ``data`` is the source, the recording and the messages."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the event log.

    Attributes
    ----------
    bin : int
    t_s : float
    kind : str
        One of `GROUPS`.
    name : str
        The event's name on the wire, or the parameter that a command set.
    text : str
        The sentence shown.
    severity : str
        One of `SEVERITIES`.
    """

    bin: int
    t_s: float
    kind: str
    name: str
    text: str
    severity: str = "information"


PARAMETERS = {
    "adapter.learning_rate": "Learning rate",
    "adapter.enabled": "Adaptation",
    "task.assist": "Assist",
    "task.kind": "Task",
    "decoder.frozen": "Decoder",
    "decoder.kind": "Decoder kind",
    "decoder.velocity_time_constant_s": "Velocity memory",
    "decoder.velocity_sd_m_s": "Velocity spread",
    "decoder.parameter_trust": "Caution",
    "decoder.gain": "Cursor gain",
    "adapter.intention": "Intention",
    "session.block": "Block",
    "session.left_out": "Units left out",
    "session.hold": "Hold",
    "session.stopped": "Output stop",
}
"""What the operator calls a live parameter; others are called by their key."""

SAFETY_WORDS = {
    "starting": "waiting for the first usable bin",
    "calibrating": "calibrating: the output moves, but is not to be relied on yet",
    "active": "the output is trusted",
    "degraded": "the output is doubtful: the decoder coasts over bins that it cannot use",
    "frozen": "the output is frozen: the cursor stands still",
    "stopped": "the output is stopped for good",
}
WHY_WORDS = {
    "first usable bin": "the first usable bin has arrived",
    "calibration time is over": "the calibration time is over",
    "bins unusable or a rate exploded": "bins could not be used, or a predicted rate exploded",
    "no usable bin for too long": "no usable data for too long",
    "the decoder or a covariance broke": "the decoder or a covariance broke",
    "enough good bins in a row": "enough good bins in a row",
    "operator stop": "the operator stopped it",
}
SAFETY_SEVERITY = {"degraded": "warning", "frozen": "alarm", "stopped": "alarm"}


def _safety(m: dict[str, Any]) -> str:
    state, why = str(m.get("to", "")), str(m.get("why", ""))
    return f"Safety: {SAFETY_WORDS.get(state, state)} ({WHY_WORDS.get(why, why)})"


def _resumed(m: dict[str, Any]) -> str:
    parent = os.path.basename(str(m.get("parent_path", "")))
    down = f" after {m['down_s']:.1f} s" if isinstance(m.get("down_s"), float | int) else ""
    return f"The session goes on{down} from {parent}; {m.get('missed_bins', 0)} bins were missed"


def _unit(words: dict[str, str]) -> Callable[[dict[str, Any]], str]:
    def told(m: dict[str, Any]) -> str:
        detail = f": {m['detail']}" if m.get("detail") else ""
        return f"Unit {m.get('unit')} {words.get(str(m.get('change')), m.get('change'))}{detail}"

    return told


def _device_event(m: dict[str, Any]) -> str:
    kind = str(m.get("kind", "event"))
    if kind == "ttl":
        return f"TTL line {m.get('line')} went {'up' if m.get('state') else 'down'}"
    if kind == "digital-input":
        return f"Digital input {m.get('port')}: {m.get('value')} (changed bits {m.get('bits_changed')})"
    return f"{kind[:1].upper()}{kind[1:]}: {short(m.get('value', m.get('text', '')))}"


STABILITY_SEVERITY = {"go-on": "information", "widen": "warning", "recalibrate": "alarm", "unknown": "information"}


def _stability(message: dict[str, Any]) -> str:
    if message.get("verdict") == "unknown":
        return f"Array: nothing can be said against {message.get('reference')}: {message.get('text')}"
    moved = f"{message.get('changed_units', 0):g} of {message.get('units', 0):g} units changed"
    score = f"score {message.get('score', 0):.2g} against {message.get('reference')}"
    return f"Array: {message.get('text')} ({score}, {moved})"


ARRAY_WORDS = {
    "go-on": "✓ array as before",
    "widen": "! array changed: widen",
    "recalibrate": "✕ array changed: recalibrate",
}


def array_words(message: dict[str, Any]) -> str:
    """Return what is said of the array in a few words, with a sign."""
    score = f" (score {message['score']:.2g})" if "score" in message else ""
    return ARRAY_WORDS.get(str(message.get("verdict")), "array: not known") + score


BLOCK_ENDS = {
    "length": "its length is over",
    "trials": "its trials are done",
    "criterion": "its success rate was reached",
    "operator": "the operator went on",
}


def _block(message: dict[str, Any]) -> str:
    before = message.get("before") or {}
    text = f"Block {message.get('block')} begins: {message.get('title')}"
    if not before:
        return text
    done = f", {before.get('successes')} of {before.get('trials')} reached" if before.get("trials") else ""
    ended = BLOCK_ENDS.get(str(message.get("why")), str(message.get("why")))
    return f"{text} (block {before.get('block')}: {ended}{done})"


SESSION_ENDS = {
    "operator": "the operator stopped it",
    "signal": "Ctrl-C, or a signal to end",
    "blocks": "all blocks are done",
    "duration": "its duration is over",
    "source": "the source has no more data",
}


def session_end(why: str) -> str:
    """Return in a few words why a session ended."""
    return SESSION_ENDS.get(why, why[:80])


Told = Callable[[dict[str, Any]], str]
PARTS = ("decoder", "task", "intention")


def _failed(part: str) -> Told:
    def told(m: dict[str, Any]) -> str:
        then = f"; {m['goes_on_with']} goes on" if m.get("goes_on_with") else ""
        return f"The {part} {m.get('kind', '')} failed: {short(m.get('error'))}{then}"

    return told


def _not_kept(part: str) -> Told:
    return lambda m: f"What the {part} {m.get('kind', '')} depends on cannot be recorded: {short(m.get('error'))}"


def _share(m: dict[str, Any]) -> str:
    share = m.get("teaching_share")
    return f" ({100 * share:.0f} % of bins teach)" if isinstance(share, float | int) else ""


EVENTS: dict[str, tuple[str, str, Told]] = {  # name: group, severity, sentence
    "safety": ("safety", "information", _safety),
    "decoder-not-finite": ("safety", "alarm", lambda m: "The decoder's state was not finite; it started again"),
    "covariance-lost": (
        "safety",
        "alarm",
        lambda m: f"{m.get('units')} units lost their covariance and started again as unknown",
    ),
    "rates-exploded": (
        "safety",
        "alarm",
        lambda m: f"Units whose predicted rate exploded start again untuned: {', '.join(map(str, m.get('units', ())))}",
    ),
    "resumed": ("safety", "warning", _resumed),
    "block": ("command", "information", _block),
    "stability": ("unit", "information", _stability),
    "blocks-done": ("command", "information", lambda m: f"All {m.get('blocks')} blocks are done: the session ends"),
    "session-ended": ("command", "information", lambda m: f"The session ended: {session_end(str(m.get('why')))}"),
    "block-setting-refused": (
        "command",
        "warning",
        lambda m: f"The block could not set {m.get('set')}: {m.get('error')}",
    ),
    "runtime-restarted": ("safety", "alarm", lambda m: f"The runtime was restarted: {m.get('why', 'not known why')}"),
    **{f"{part}-failed": ("safety", "alarm", _failed(part)) for part in PARTS},
    **{f"{part}-not-in-snapshot": ("safety", "warning", _not_kept(part)) for part in PARTS},
    "decoder-implausible": (
        "safety",
        "alarm",
        lambda m: "The decoded velocity was faster than safety.max_speed; the decoder started again",
    ),
    "decoder-file-not-recorded": (
        "safety",
        "alarm",
        lambda m: f"The decoder's file {m.get('file')} could not be recorded: the recording does not replay without it",
    ),
    "model-loaded": ("unit", "information", lambda m: f"The model to begin with: {m.get('text')}"),
    "labels-uncertain": ("unit", "warning", lambda m: f"Hardly a bin teaches: the goal is not known{_share(m)}"),
    "labels-known": ("unit", "information", lambda m: f"Bins teach again: the goal is known{_share(m)}"),
    "process-forked": ("safety", "warning", lambda m: "A part made a copy of the runtime's process"),
    "signal-ignored": (
        "safety",
        "warning",
        lambda m: f"A timer or signal of a part that nobody answers ({m.get('signal')}) was ignored",
    ),
    "refused-features": (
        "data",
        "warning",
        lambda m: f"{m.get('features')} features that cannot be, or are far off, were left out",
    ),
    "source-refused": (
        "data",
        "warning",
        lambda m: f"What the source answers to {m.get('method')} cannot be used: {m.get('error')}",
    ),
    "trigger-refused": ("data", "warning", lambda m: f"A trigger of the device was refused: {m.get('reason')}"),
    "source-restarted": ("data", "warning", lambda m: "The source has started again: a new segment begins"),
    "acquisition-restarted": ("data", "warning", lambda m: "The acquisition was restarted: a new segment begins"),
    "learner-lost": ("command", "warning", lambda m: "the learner beside the loop is gone; the decoder stays as it is"),
    "recording-failed": ("data", "alarm", lambda m: f"THE RECORDING HAS STOPPED: {m.get('reason')}"),
    "refused-counts": (
        "data",
        "warning",
        lambda m: f"Counts that cannot be, or features far off, were left out, of {m.get('units')} units",
    ),
    "artifact": (
        "data",
        "warning",
        lambda m: (
            f"{m['features']} features were far off at once: taken as an artifact"
            if "features" in m
            else f"Many units fired at once ({m.get('counts')} counts, usually {m.get('usual')}): taken as an artifact"
        ),
    ),
    "message-refused": ("data", "warning", lambda m: f"A message of the source was refused: {m.get('reason')}"),
    "messages-lost": ("data", "warning", lambda m: f"{m.get('count')} messages of the source were lost on the way"),
    "bins-skipped": ("data", "warning", lambda m: f"{m.get('count')} bins were skipped: the data ran ahead"),
    "data-missing": ("data", "warning", lambda m: "The source has stopped delivering data"),
    "data-back": ("data", "information", lambda m: f"Data are back after {m.get('stale_bins')} bins without"),
    "source-unreachable": ("data", "alarm", lambda m: f"The source cannot be reached: {m.get('reason')}"),
    "source-ended": ("data", "warning", lambda m: "The source says that it has ended"),
    "clock-stood": ("data", "warning", lambda m: f"The device clock stood still ({m.get('jump_s', 0):g} s)"),
    "realtime": (
        "data",
        "warning",
        lambda m: f"Not all real-time settings were granted; missing: {', '.join(map(str, m.get('missing', ())))}",
    ),
    "learning-rate": (
        "command",
        "information",
        lambda m: f"Learning rate {short(m.get('old'))} → {short(m.get('new'))}, by itself: {m.get('why')}",
    ),
    "rate-off": (
        "unit",
        "information",
        _unit({"began": "fires unlike its model", "ended": "fires like its model again"}),
    ),
    "tuning-drifting": ("unit", "information", _unit({"began": "drifts", "ended": "does not drift any more"})),
    "unit-lost": ("unit", "warning", _unit({"began": "is silent: lost?", "ended": "is back"})),
    "source-told": ("data", "information", lambda m: f"The source: {m.get('text')}"),
    "device-event": ("note", "information", _device_event),
    "stimulation": ("note", "information", lambda m: f"Stimulation of unit {m.get('unit', m.get('units', ''))}"),
    "note": ("note", "information", lambda m: str(m.get("note", ""))),
}


def of_event(message: dict[str, Any], bin_s: float) -> Entry:
    """Return the line for an event; one that this table does not know is told by its fields."""
    name = str(message.get("name", "unnamed"))
    group, severity, told = EVENTS.get(name, ("data", "warning", _by_fields))
    if name == "safety":
        severity = SAFETY_SEVERITY.get(str(message.get("to")), severity)
    if name == "stability":
        severity = STABILITY_SEVERITY.get(str(message.get("verdict")), severity)
    at = int(message.get("bin", 0))
    return Entry(at, at * bin_s, group, name, told(message), severity)


def of_command(message: dict[str, Any], bin_s: float) -> Entry:
    """Return the line for a command."""
    at = int(message.get("bin", 0))
    if "set" in message:
        key = str(message["set"])
        text = f"{PARAMETERS.get(key, key)}: {short(message.get('old'))} → {short(message.get('new'))} ({key})"
        return Entry(at, at * bin_s, "command", key, text)
    words = {"stop": "The operator stopped the session"}
    done = str(message.get("do", "command"))
    return Entry(at, at * bin_s, "command", done, words.get(done, f"{done} {message.get('note', '')}".strip()))


MARKER = re.compile(r"marker (\d+)\b")


def is_marker(text: str) -> bool:
    """Return whether a note is one of the numbered markers."""
    return MARKER.match(text) is not None


def _by_fields(message: dict[str, Any]) -> str:
    facts = {key: value for key, value in message.items() if key not in ("name", "bin", "v", "seq", "epoch", "run")}
    name = str(message.get("name", "unnamed")).replace("-", " ")
    told = ", ".join(f"{key.replace('_', ' ')} {short(value)}" for key, value in facts.items())
    return f"{name[:1].upper()}{name[1:]}{': ' if told else ''}{told}"


def short(value: Any) -> str:
    """Return a value as the log shows it."""
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)[:120]
