"""What the next step of a session depends on, as a snapshot: names with values, never positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bmi_runtime.session.live_parameters import kept, restore_kept

if TYPE_CHECKING:
    from bmi_runtime.session.core import Session


def snapshot(session: Session) -> dict[str, Any]:
    """Return copies of everything that the next step depends on."""
    blocks = session.blocks
    return {
        "bins": session.bins,
        **session.learning.snapshot(),
        **session.decoding.snapshot(),
        **session.goal.snapshot(),
        "cursor": list(session.cursor),
        "safety": session.safety.snapshot(),
        "live": kept(session),
        "rng": _rng_state(session.rng),
        **({"inputs": inputs} if (inputs := session.inputs.snapshot()) else {}),
        **({"click": session.click.filter.snapshot()} if session.click else {}),
        **({"blocks": blocks.snapshot() | {"fade_from": list(session.fading.start)}} if blocks else {}),
    }


def restore(session: Session, saved: dict[str, Any]) -> None:
    """Bring a session into the state that :func:`snapshot` saved."""
    session.bins = saved["bins"]
    session.learning.restore_model(saved)
    session.decoding.restore(saved)
    session.goal.restore_kinds(saved)
    if session.blocks:
        session.blocks.restore(saved["blocks"])
        session.fading.start = tuple(saved["blocks"]["fade_from"])
    if saved["task"] is not None:
        session.goal.task.restore(saved["task"])
    session.cursor[:] = saved["cursor"]
    session.learning.restore(saved)
    session.safety.restore(saved["safety"])
    session.inputs.restore(saved.get("inputs", {}))
    restore_kept(session, saved["live"])
    session.rng.bit_generator.state = _rng_parse(saved["rng"])
    if session.click:
        session.click.restore(saved["click"], session.decoding.model, session.decoding.decoder)


def _rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state with its 128-bit integers as text (msgpack holds 64 bits)."""
    state = dict(rng.bit_generator.state)
    return state | {"state": {key: str(value) for key, value in state["state"].items()}}


def _rng_parse(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"state": {key: int(value) for key, value in state["state"].items()}}
