"""Sessions of a folder as a chain: what was carried from which, how each went, how stable every unit was."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from bmi_runtime.analysis.array_days import common_units, read_day, reference_model
from bmi_runtime.analysis.stability import Reference, block_length_s, compare
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording.model_file import load_model
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.recording_list import entry


def lineage(folder: pathlib.Path) -> dict[str, Any]:
    """Return the sessions of a folder in their order, each held against the one before it.

    Returns
    -------
    dict
        ``sessions``: a list with ``file``, ``created_s``, ``duration_s``, ``success_rate``, ``carried_from`` (the
        recording whose model it began with, or None), ``score`` and ``p`` against the session before (None where one
        is too short), ``weight_change`` (root mean square, log rate or feature, per dm/s). ``units``: for every unit
        of the newest session the number of sessions that have it and its root mean square change a session.
        ``carry_sd``: the median change over the chain. ``unread``: files that could not be read, with the reason.

    Raises
    ------
    BadInput
        When there is no readable recording in the folder.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder: give the one that holds the recordings")
    read, unread = _entries(folder)
    if not read:
        raise BadInput(f"{folder} holds no recording that can be read")
    models = [_model(pathlib.Path(row["path"])) for row in read]
    sessions, changes = [], []
    for number, row in enumerate(read):
        before = _before(read, number)
        changes.append(_change(models[before], models[number]) if before is not None else {})
        sessions.append(_session(row, pathlib.Path(read[before]["path"]) if before is not None else None, changes[-1]))
    units = _units(models, changes)
    moved = [session["weight_change"] for session in sessions if session["weight_change"] is not None]
    return {
        "sessions": sessions,
        "units": units,
        "carry_sd": float(np.median(moved)) if moved else None,
        "unread": unread,
    }


def _entries(folder: pathlib.Path) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the recordings of a folder that can be read, oldest first, and which cannot, with the reason."""
    rows = [entry(path) for path in sorted(folder.glob("*.mcap"))]
    unread = [{"file": pathlib.Path(row["path"]).name, "why": row["error"]} for row in rows if "error" in row]
    return sorted((row for row in rows if "error" not in row), key=lambda row: row["created_s"]), unread


def _before(rows: list[dict[str, Any]], number: int) -> int | None:
    """Return the number of the session before, of the same subject, or None."""
    subject = rows[number]["metadata"].get("subject_id")
    same = (earlier for earlier in reversed(range(number)) if rows[earlier]["metadata"].get("subject_id") == subject)
    return next(same, None)


def _model(path: pathlib.Path) -> EncodingModel | None:
    try:
        return load_model(path)
    except BmiError:
        return None


def _session(row: dict[str, Any], before: pathlib.Path | None, change: dict[str, float]) -> dict[str, Any]:
    path = pathlib.Path(row["path"])
    config = Recording(path, past_damage=True).header.get("config") or {}
    initial = str(config.get("encoding", {}).get("initial", ""))
    score, p = _against(before, path) if before else (None, None)
    return {
        "file": path.name,
        "created_s": row["created_s"],
        "duration_s": row["duration_s"],
        "subject": row["metadata"].get("subject_id"),
        "trials": row["trials"],
        "success_rate": row["success_rate"],
        "units": row["units"],
        "carried_from": pathlib.Path(initial).name if initial.endswith(".mcap") else None,
        "score": score,
        "p": p,
        "weight_change": float(np.sqrt(np.mean(np.square(list(change.values()))))) if change else None,
    }


def _against(before: pathlib.Path, path: pathlib.Path) -> tuple[float | None, float | None]:
    """Return the stability score against the session before, or None where they cannot be compared."""
    try:
        days, _, _ = common_units([read_day(before), read_day(path)])
        *reference_days, today = days
        known = reference_model([before], today.units)
        block_s = block_length_s(reference_days, today)
        found = compare(Reference(reference_days, known.tuning if known else None, block_s), today)
    except BmiError:
        return None, None
    return found.score, found.p


def _change(before: EncodingModel | None, now: EncodingModel | None) -> dict[str, float]:
    """Return by unit the root mean square change of the weights; of units that both models have and learned."""
    if before is None or now is None or before.labels != now.labels or before.likelihood != now.likelihood:
        return {}
    there = {name: unit for unit, name in enumerate(before.names)}
    found = {}
    for unit, name in enumerate(now.names):
        if name in there:
            moved = now.weights[:, unit] - before.weights[:, there[name]]
            found[name] = float(np.sqrt(np.mean(moved**2)))
    return found


def _units(models: list[EncodingModel | None], changes: list[dict[str, float]]) -> list[dict[str, Any]]:
    newest = next((model for model in reversed(models) if model is not None), None)
    if newest is None:
        return []
    rows = []
    for name in newest.names:
        moved = [change[name] for change in changes if name in change]
        rows.append(
            {
                "unit": name,
                "sessions": sum(model is not None and name in model.names for model in models),
                "change": float(np.sqrt(np.mean(np.square(moved)))) if moved else None,
            }
        )
    return rows
