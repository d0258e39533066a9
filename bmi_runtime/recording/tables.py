"""A session as Arrow tables (Parquet files) for pandas, polars and anything else that reads columns."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording.device_events import device_events
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.trials import is_whole_trial

PLAIN = {float, str, bool, type(None)}
"""What a column of a table holds as it is; integers count as numbers."""


def export_tables(recording: Recording, folder) -> dict[str, Any]:
    """Write ``bins``, ``trials``, ``events`` and ``device_events``, each a ``.parquet``, into a new folder.

    ``bins`` has a row per bin: every input and output field (vectors as columns ``cursor_x``, ...), counts as one list
    column. The schema's metadata hold configuration and provenance as JSON.

    Raises
    ------
    BadInput
        When pyarrow is not installed or the folder exists.
    BmiError
        When it cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise BadInput("export to tables needs pyarrow; install bmi-runtime[tables]") from None
    target = Path(folder)
    if target.exists():
        raise BadInput(f"{target} exists; give another name (existing files are never overwritten)")
    header = {key: json.dumps(value, default=str) for key, value in recording.header.items()}
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of an export that was killed
    try:
        partial.mkdir(parents=True)
        counted = _write(recording, partial, header, pa, pq)
        partial.rename(target)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise BmiError(f"{target} cannot be written: {why}; nothing is left of it") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {"path": str(target), "bins": recording.n_steps, **counted}


def _write(recording: Recording, target: Path, header: dict[str, str], pa: Any, pq: Any) -> dict[str, int]:
    """Write the tables into a folder; return how many trials and other events there are."""
    pq.write_table(_bins(recording, pa).replace_schema_metadata(header), target / "bins.parquet")
    events = [message for _, message in recording.messages("event")]
    whole = [is_whole_trial(event, recording.space.n_axes) for event in events]
    trials = _alike([event for event, is_trial in zip(events, whole, strict=True) if is_trial])
    others = [
        {"bin": e.get("bin"), "name": e["name"], "detail": json.dumps(e, default=str)}
        for e, is_trial in zip(events, whole, strict=True)
        if not is_trial
    ]
    for name, rows in (("trials", trials), ("events", others), ("device_events", device_events(recording))):
        pq.write_table(
            pa.Table.from_pylist(rows) if rows else pa.table({"bin": pa.array([], pa.int64())}),
            target / f"{name}.parquet",
        )
    return {"trials": len(trials), "events": len(others)}


def _alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of which every column holds one kind of value: what a task adds to its trials may be anything."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for key, value in row.items():
            kinds.setdefault(key, set()).add(float if type(value) is int else type(value))
    plain = {key for key, found in kinds.items() if len(found - {type(None)}) == 1 and found <= PLAIN}
    lists = {"target_m"}  # of the same length and kind in every whole trial
    return [
        {key: value if key in plain | lists else json.dumps(value, default=str) for key, value in row.items()}
        for row in rows
    ]


def _bins(recording: Recording, pa: Any) -> Any:
    columns: dict[str, Any] = {}
    space = recording.space
    kinematics = dict.fromkeys(("kinematics", "decoded", "decoded_variance", "cursor"), space.kinematics)
    names = kinematics | {"target": space.target, "intended": space.axes, "click_posterior": ("idle", "move", "click")}
    for part in ("input", "output"):
        for name in recording.dtype[part].names or ():
            data = np.ascontiguousarray(recording.column(part, name))
            if name == "padding":
                continue
            if name in ("counts", "features"):
                columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(data.ravel()), data.shape[1])
            elif data.ndim == 2:
                for index, short in enumerate(names[name]):
                    columns[f"{name}_{short}"] = pa.array(np.ascontiguousarray(data[:, index]))
            else:
                columns[name] = pa.array(data)
    return pa.table(columns)
