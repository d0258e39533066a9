"""What a session's form says, as values by key of the configuration: checked, and as arguments of `bmi run`."""

from __future__ import annotations

import json
import os
from typing import Any

from gui.block_editor import as_toml

FIELDS = {  # key of the configuration: label, hint
    "metadata.subject_id": ("Sub&ject", "what the laboratory calls the subject"),
    "metadata.species": ("S&pecies", "Latin binomial, such as Macaca mulatta"),
    "metadata.experimenter": ("E&xperimenter", "several with commas"),
    "metadata.session_description": ("Sess&ion", "what it is for, in a sentence"),
    "metadata.notes": ("&Notes", "goes into the recording and into NWB"),
}
BESIDE = ("session.units", "session.likelihood")
"""Taken from an earlier session together with its model, which fits no other units."""
LISTS = ("metadata.experimenter",)
NUMBERS = {  # what must be a number: how it is called, the most that it may be
    "adapter.learning_rate": ("learning rate (adapter.learning_rate)", 1.0),
    "task.assist": ("assist (task.assist)", 1.0),
    "duration": ("duration", 1e9),
}
AS_TEXT = ("source.kind", "source.address", "task.kind", "decoder.kind", "encoding.initial", *FIELDS)
FROM_WHAT_IS_THERE = ("", "untrained", "truth")
"""Models to begin with that are not files."""


def fault(values: dict[str, Any], record: str) -> str:
    """Return in a sentence what cannot be started so, or nothing.

    Parameters
    ----------
    values : dict
        Text by key.
    record : str
        The recording's file; empty for a new one.
    """
    for key, (name, most) in NUMBERS.items():
        text = str(values.get(key, ""))
        try:
            number = float(with_point(text) or 0.0)
        except ValueError:
            return f"{name}: '{text[:20]}' is not a number"
        if not 0.0 <= number <= most:
            return f"{name}: {number:g} lies outside 0 to {most:g}"
    model = str(values.get("encoding.initial", ""))
    if model not in FROM_WHAT_IS_THERE and not os.path.exists(model):
        return f"model: there is no file {model}"
    if record and os.path.exists(record):
        return f"recording: {record} exists already; an existing recording is never overwritten"
    return ""


def arguments(values: dict[str, Any], seed: int, record: str, addresses: dict[str, str]) -> list[str]:
    """Return what `bmi run` is to be given.

    Parameters
    ----------
    values : dict
        Text by key; ``block`` a list.
    seed : int
    record : str
        The recording's file; empty for a new one.
    addresses : dict
        Of the window's own sockets, by key of the section ``telemetry``.
    """
    given = ["--seed", str(seed)]
    if values.get("config", "default") != "default":
        given += ["--config", values["config"]]
    for key in ("adapter.learning_rate", "task.assist"):
        if key in values:
            given += ["--set", f"{key}={with_point(values[key])}"]
    for key in AS_TEXT:
        if key in values:
            given += ["--set", f"{key}={_toml(key, values[key])}"]
    if values.get("block"):
        given += ["--set", f"block={as_toml(values['block'])}"]
    for key in BESIDE:
        if key in values:
            given += ["--set", f"{key}={json.dumps(values[key])}"]
    if "duration" in values:
        given += ["--duration", with_point(values["duration"])]
    if record:
        given += ["--record", record]
    for key, address in addresses.items():
        given += ["--set", f"telemetry.{key}='{address}'"]
    return given


def for_a_check(given: list[str], seconds: int) -> list[str]:
    """Return the arguments of a session that only looks at the source: without sockets, recording and blocks."""
    kept = ["--record", "none", "--duration", str(seconds)]
    for name, value in zip(given[::2], given[1::2], strict=True):
        if name not in ("--record", "--duration") and not value.startswith(("telemetry.", "block=")):
            kept += [name, value]
    return [*kept, "--set", "telemetry.enabled=false", "--set", "telemetry.output_address=''"]


def of_an_earlier(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an earlier session, as the list of recordings tells of it."""
    values = {f"metadata.{key}": value for key, value in (entry.get("metadata") or {}).items()}
    return values | (entry.get("settings") or {})


def shown(value: Any) -> str:
    """Return a value as a line of the form shows it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def with_point(text: str) -> str:
    """Return a number as the configuration reads it: the decimal comma of some keyboards becomes a point."""
    return text.strip().replace(",", ".")


def loaded(text: str) -> dict[str, Any]:
    """Return a remembered dictionary; an empty one where something else was remembered."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _toml(key: str, text: str) -> str:
    """Return a value as TOML."""
    if key in LISTS:
        return json.dumps([part.strip() for part in text.split(",") if part.strip()], ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False)
