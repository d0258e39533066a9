"""Why a replay differs from its recording: a part that answers otherwise each time, or other code or packages."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.decoding.hosting import HostedDecoder
from bmi_runtime.recording.provenance import provenance
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.core import Session
from bmi_runtime.session.replay import Replay

GLOBAL_NUMBERS: dict[str, Callable[[], Any]] = {
    "random": random.getstate,
    "numpy.random": lambda: np.random.get_state(legacy=False),  # noqa: NPY002
}
"""Random numbers that a whole process shares; nothing of the runtime draws from them."""
TOLD_OF = {
    "code_version": "version",
    "git_commit": "commit",
    "git_dirty": "changed files",
    "python": "Python",
    "cpu": "processor",
}


def parts_of_others(session: Session) -> list[str]:
    """Return the decoder, task and intention of a session that are of other packages, each with its kind."""
    goal, decoder = session.goal, session.decoding.decoder
    parts: list[tuple[str, str, object]] = [("task", goal.task_kind, goal.task)]
    parts.append(("intention", goal.intention_kind, goal.intention))
    if isinstance(decoder, HostedDecoder):
        parts.insert(0, ("decoder", decoder.name, decoder.decoder))
    return [
        f"the {part} '{kind}'" for part, kind, made in parts if made is not None and not registry.is_own(type(made))
    ]


def why_different(recording: Recording, first: Replay, index: int) -> str:
    """Return why a replay differs from its recording, as far as it can be told; empty where nothing tells it.

    With parts of other packages the recording is replayed once more: where two replays differ, a part does not depend
    on what the session gives it alone.

    Parameters
    ----------
    recording : Recording
    first : Replay
        Without overrides, after the bin that differed.
    index : int
        That bin.
    """
    others = parts_of_others(first.session)
    if not others:
        return _other_than_then(recording.header.get("provenance") or {})
    replayed = bytes(first.session.record.output_bytes)
    before = {name: repr(state()) for name, state in GLOBAL_NUMBERS.items()}
    second = Replay(recording)
    for _ in range(first.first, index + 1):
        second.next()
    drawn = [name for name, state in GLOBAL_NUMBERS.items() if repr(state()) != before[name]]
    theirs = " or ".join(others)
    if bytes(second.session.record.output_bytes) == replayed:
        changed = _other_than_then(recording.header.get("provenance") or {})
        return f"{theirs} is of another package, whose code may have changed since" + (
            f"; {changed}" if changed else ""
        )
    draws = f"draws from the random numbers that the whole process shares ({', '.join(drawn)})"
    unknown = "uses something that no recording holds: random numbers without a seed, or a clock"
    return (
        f"two replays differ, too: {theirs} {draws if drawn else unknown}. A part with a generator of its own, seeded "
        "and kept in its snapshot, replays"
    )


def _shown(name: str, value: object) -> str:
    """Return a value of the provenance in a sentence; two processors of one maker differ at the end of their names."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[: 12 if name == "git_commit" else 60]


def _other_than_then(recorded: dict[str, Any]) -> str:
    """Return which code, packages and machine are not those that made a recording."""
    now = provenance()
    found = [
        f"{told} {_shown(name, recorded[name])} (now {_shown(name, now[name])})"
        for name, told in TOLD_OF.items()
        if recorded.get(name) is not None and recorded[name] != now[name]
    ]
    packages = recorded.get("packages") or {}
    found += [
        f"{name} {version} (now {now['packages'].get(name, 'missing')})"
        for name, version in packages.items()
        if now["packages"].get(name) != version
    ]
    return f"the recording was made with {', '.join(found)}" if found else ""
