"""What a rehearsal tries: the configuration of its sessions and the settings that differ."""

from __future__ import annotations

import itertools
import os
import pathlib
from typing import Any

from bmi_runtime import config as configuration
from bmi_runtime.config import Config
from bmi_runtime.constants import USUAL_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.pilot import Pilot
from bmi_runtime.rehearsal.sessions import session_config
from bmi_runtime.rehearsal.study import Settings, check_candidates, check_settings, default_settings
from bmi_runtime.rehearsal.world import FittedWorld
from bmi_runtime.sweep import grid_values

RESET = ("recording", "telemetry")
"""Sections whose recorded values have no meaning in a simulated session."""
AXES = "xyzabcde"
"""Names of the axes of a pilot that names none."""


def refuse_early(pilot: Pilot | None, path, overrides, grids, tried, write: str | None) -> None:
    """Refuse, before a world is fitted for a minute, what would be refused after it.

    Keys are judged whatever the pilot is; values where its own configuration is that of the sessions.

    Raises
    ------
    BadInput
        Naming the key, the value, or the file that is there already.
    """
    if write is not None and pathlib.Path(write).exists():
        raise _there_already(write)
    check_settings([{text.partition("=")[0].strip(): ""} for text in overrides])
    found = _spelled(grids, tried)
    check_candidates(found)
    if path is None and pilot is not None and pilot.config is not None:
        base = _recorded(pilot.config, overrides).model_dump()
        for point in found:
            session_config(base, point, 1)


def base_configuration(world: FittedWorld, pilot: Pilot | None, path, overrides) -> dict[str, Any]:
    """Return the configuration of every session: a file's, or the recording's own, with what the world decides.

    Raises
    ------
    BadInput
        When it is wrong, or contradicts the world.
    """
    from simulators.rehearsed import adopted

    settings = [{text.partition("=")[0].strip(): ""} for text in overrides]
    check_settings(settings)
    if path is not None or pilot is None or pilot.config is None:
        given = [*overrides, f"state.axes={list(AXES[: world.axes])}"] if path is None else overrides
        config = configuration.load(path, given)
        if pilot is not None and pilot.config is None and path is None:
            config = _slower(config, world, overrides)
    else:
        config = _recorded(pilot.config, overrides)
    data = adopted(config, world).model_dump()
    fresh = configuration.load(None).model_dump()
    data |= {name: fresh[name] for name in RESET}
    data["source"] = fresh["source"]
    return data


def _recorded(config: Config, overrides) -> Config:
    """Return the configuration of a recording with what is set."""
    data = config.model_dump()
    for text in overrides:
        configuration.override(data, text)
    return configuration.from_dict(data, "the recorded configuration with --set")


def _slower(config, world: FittedWorld, overrides):
    """Return a configuration whose learning rate, where none was said, learns as much per second in these bins."""
    if any(text.startswith("adapter.learning_rate") for text in overrides):
        return config
    usual_s = USUAL_BIN_S[world.likelihood]
    data = config.model_dump(exclude_unset=True)
    data.setdefault("adapter", {})["learning_rate"] = config.adapter.learning_rate * world.bin_s / usual_s
    return configuration.from_dict(data)


def candidates(grids, tried, base: dict[str, Any]) -> list[Settings]:
    """Return the settings to rehearse, the unchanged configuration first; every one is checked before any is simulated.

    Parameters
    ----------
    grids : sequence of str
        ``KEY=V1,V2`` or ``KEY=logspace(A,B,N)``; their product.
    tried : sequence of str
        ``KEY=VALUE KEY=VALUE``, one candidate each.

    Raises
    ------
    BadInput
        When a text is not of its form, a key or value cannot be, or a rehearsal has no say in it.
    """
    found = _spelled(grids, tried)
    if len(found) == 1:
        found = default_settings(base["adapter"]["learning_rate"])
    check_candidates(found)
    for point in found:
        session_config(base, point, 1)
    return found


def _spelled(grids, tried) -> list[Settings]:
    """Return the candidates that were asked for, the unchanged configuration first."""
    spaces = [grid_values(text) for text in grids]
    found: list[Settings] = [{}]
    if spaces:
        found += [
            dict(zip((key for key, _ in spaces), values, strict=True))
            for values in itertools.product(*(values for _, values in spaces))
        ]
    for text in tried:
        found.append(dict(_pair(part) for part in _parts(text)))
    return found


def _parts(text: str) -> list[str]:
    """Split at blanks, but not within quotes or brackets; what the value is written in stays as ``--set`` takes it."""
    parts, depth, quote = [""], 0, ""
    for letter in text.strip():
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in "[{") - (letter in "]}")
            if letter.isspace() and depth <= 0:
                parts.append("")
                continue
        parts[-1] += letter
    if quote:
        raise BadInput(f"--try has a quote that does not end: {text}")
    return [part[1:-1] if part[0] == part[-1] == '"' else part for part in parts if part]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or ("." not in key and key not in configuration.TABLES):
        raise BadInput(f"--try takes 'section.key=value ...', got '{text}'")
    return key, value


def write_recommended(path: str | os.PathLike, base: dict[str, Any], chosen: dict[str, Any], pilot: str) -> None:
    """Write the recommended configuration as TOML: what differs from the defaults, and where it comes from.

    Raises
    ------
    BadInput
        When the file exists already or cannot be written.
    """
    config = session_config(base, chosen["settings"], base["session"]["seed"])
    text = f"# rehearsed on {pilot}: {chosen['why']}\n\n{configuration.as_toml(config)}"
    try:
        with open(pathlib.Path(path), "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _there_already(path) from None
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from None


def _there_already(path: str | os.PathLike) -> BadInput:
    return BadInput(f"{path} exists already; give --write another name")
