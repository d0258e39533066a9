"""Events, commands and trials, folded into the log, the marks, the blocks and the table of trials. No Qt here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gui import event_log
from gui.event_log import Entry, short
from gui.timeline import Block, Mark
from gui.trial_aligned import octant

if TYPE_CHECKING:
    from gui.store import Store

BLOCK_PARAMETERS = ("task.kind", "adapter.enabled", "decoder.frozen", "decoder.kind")
"""A change of one of these begins another block."""


def take_event(store: Store, message: dict[str, Any]) -> None:
    """Take an event: a trial, a block, or a line of the log that may be a mark."""
    if message.get("name") == "trial":
        _take_trial(store, message)
        return
    entry = event_log.of_event(message, store.bin_s)
    if entry.name == "safety":
        store.safety_why = str(message.get("why", ""))
        _mark(store, entry, "safety", str(message.get("to", "")))
    elif entry.name == "note" and event_log.is_marker(entry.text):
        _mark(store, entry, "marker", entry.text)
    elif entry.name == "stability":
        store.array_line = (event_log.array_words(message), entry.text, entry.severity)
    elif entry.name == "block":
        _take_block(store, message, entry)
    elif entry.name == "session-ended":
        store.ended_why = event_log.session_end(str(message.get("why")))
        store.ended = store.mode != "replay"  # there it is only what the recording ends with
    elif entry.name in ("learning-rate", "resumed", "runtime-restarted"):
        _mark(store, entry, "change", entry.text)
    store.log(entry)


def take_command(store: Store, message: dict[str, Any]) -> None:
    """Take a command that was carried out: a parameter that was set, or an end."""
    entry = event_log.of_command(message, store.bin_s)
    if "set" not in message:
        store.ended, store.ended_why = message.get("do") == "stop", event_log.SESSION_ENDS["operator"]
        store.log(entry)
        return
    key, old, new = str(message["set"]), message.get("old"), message.get("new")
    store.live[key] = store.set_since[key] = new
    if key == "session.hold":
        _mark(store, entry, "hold", "held" if new else "resumed")
    else:
        _mark(store, entry, "change", f"{event_log.PARAMETERS.get(key, key)} {short(new)}")
    if not key.startswith("session.") and old != new:
        _note_undoable(store, key, old, new)
    if key in BLOCK_PARAMETERS and old != new and not store.planned_blocks:
        _begin_block(store, entry.t_s)
    store.log(entry)


def _note_undoable(store: Store, key: str, old: Any, new: Any) -> None:
    """Keep the value to go back to; a change that takes the last one back takes it off the list."""
    if store.undoable and store.undoable[-1] == (key, new):
        store.undoable.pop()
    else:
        store.undoable.append((key, old))
        del store.undoable[:-100]


def _begin_block(store: Store, t_s: float, number: int = 0, name: str = "") -> None:
    task, adapting = str(_value_then(store, "task.kind", "")), bool(_value_then(store, "adapter.enabled", True))
    frozen = bool(store.set_since.get("decoder.frozen", False))
    store.blocks.append(Block(number or len(store.blocks) + 1, t_s, task, adapting, frozen, name))


def _take_block(store: Store, message: dict[str, Any], entry: Entry) -> None:
    """Take the event of a block of the configuration: what it set is set, without a command."""
    for key, value in dict(message.get("settings") or {}).items():
        store.live[key] = store.set_since[key] = value
    store.live["session.block"] = int(message["block"])
    store.undoable.clear()
    _begin_block(store, int(message["first_bin"]) * store.bin_s, int(message["block"]), str(message["title"]))
    _mark(store, entry, "change", f"block {message['block']}: {message['title']}")


def _value_then(store: Store, key: str, default: Any) -> Any:
    """Return a parameter's value at the event that is being folded: as configured, or set since."""
    section, _, name = key.partition(".")
    return store.set_since.get(key, store.config.get(section, {}).get(name, default))


def _mark(store: Store, entry: Entry, kind: str, text: str) -> None:
    store.marks.append(Mark(entry.bin, entry.t_s, kind, text))


def _take_trial(store: Store, message: dict[str, Any]) -> None:
    if not store.blocks:
        _begin_block(store, 0.0)
    row = np.zeros((), store.trials.view.dtype)
    target, time_s = message["target_m"], float(message["time_to_target_s"])
    success = message["result"] == "success"
    start, path_m = store.path.start or store.path.last_target, store.path.length_m if store.path.start else math.nan
    if "start_m" in message:
        start, path_m = message["start_m"], float(message["path_m"])
    distance = math.dist(start, target) if start else math.nan
    width = 2.0 * store.config.get("task", {}).get("target_radius_m", math.nan)
    inside_s = message.get("time_inside_s")
    row["trial"], row["t_s"], row["success"] = message["trial"], message["bin"] * store.bin_s, success
    row["time_s"], row["target"] = time_s, target
    row["inside_s"] = math.nan if inside_s is None else float(inside_s)
    row["bits"] = math.log2(1.0 + distance / width) if success else 0.0
    row["efficiency"] = min(distance / path_m, 1.0) if path_m > 0 else math.nan
    row["assist"] = float(_value_then(store, "task.assist", 0.0))
    row["block"] = len(store.blocks) - 1
    store.trials.append(row)
    if len(store.raster) and start is not None and inside_s is None:
        end_s = float(row["t_s"])
        widths_s, way = store.column_bins.view * store.bin_s, octant(start, target)
        columns, ends_s = store.raster.view, store.column_ends_s.view
        store.aligned.add(columns, ends_s, widths_s, end_s - time_s, end_s, way, success)
    store.path.last_target, store.path.start = tuple(target), None
    word = "reached" if success else "timed out"
    text = f"Trial {message['trial']} {word} in {time_s:.2f} s"
    if inside_s is not None:
        text = f"Trial {message['trial']}: {100 * float(inside_s) / max(time_s, 1e-9):.0f} % of {time_s:.1f} s inside"
    store.log(Entry(int(message["bin"]), message["bin"] * store.bin_s, "trial", "trial", text))
