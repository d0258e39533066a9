"""The recordings of a folder, one line of JSON each: when, with what, how it went."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from bmi_runtime.errors import BmiError
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.summary import summarise


def entry(path: pathlib.Path) -> dict[str, Any]:
    """Return what a list of recordings shows of one file; a file that cannot be read says why."""
    row: dict[str, Any] = {"path": str(path), "modified_s": path.stat().st_mtime}
    try:
        recording = Recording(path, past_damage=True)
        facts = summarise(recording)
    except (BmiError, OSError) as error:
        return row | {"error": str(error)}
    config = recording.header.get("config") or {}
    section = {name: config.get(name, {}) for name in ("session", "source", "decoder", "task", "adapter")}
    latency = facts["latency_us"] or {}
    return row | {
        "created_s": recording.header.get("recording_format", {}).get("created_unix_ns", 0) / 1e9 or row["modified_s"],
        "duration_s": facts["duration_s"],
        "units": facts["units"],
        "likelihood": "gaussian" if facts["continuous"] else "poisson",
        "source": section["source"].get("kind"),
        "decoder": section["decoder"].get("kind"),
        "task": section["task"].get("kind"),
        "seed": section["session"].get("seed"),
        "learning_rate": facts["learning_rate"],
        "trials": facts["trials"],
        "success_rate": facts["success_rate"],
        "latency_p99_us": latency.get("p99"),
        "deadline_misses": facts["deadline_misses"],
        "commands": facts["commands"],
        "complete": facts["complete"],
        "lost_bytes": facts["lost_bytes"],
        "metadata": {key: value for key, value in (config.get("metadata") or {}).items() if value},
        "settings": _settings(config),
        "notes": _notes(recording),
    }


KEPT_SETTINGS = (
    "session.units",
    "session.likelihood",
    "source.kind",
    "source.address",
    "task.kind",
    "task.assist",
    "decoder.kind",
    "adapter.learning_rate",
)
"""What another session may be started with again."""


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key in KEPT_SETTINGS:
        section, _, name = key.partition(".")
        if name in config.get(section, {}):
            found[key] = config[section][name]
    if config.get("block"):
        found["block"] = [{key: value for key, value in block.items() if value} for block in config["block"]]
    return found


def _notes(recording: Recording) -> str:
    """Return the notes of a recording in one line, to search in."""
    if not recording.stream_counts.get("event"):
        return ""
    notes = (str(event.get("note", "")) for _, event in recording.messages("event") if event.get("name") == "note")
    return "; ".join(note for note in notes if note)[:2000]


def entries(folder) -> Iterator[dict[str, Any]]:
    """Yield an entry for every recording in a folder, newest first."""
    files = [path for path in pathlib.Path(folder).glob("*.mcap") if path.is_file()]
    for path in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        yield entry(path)


def main(folder: str) -> int:
    """Print one line per recording."""
    for row in entries(folder):
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "recordings"))
