"""A runtime's account of its whole state, folded into the store: what a window that joins late is told. No Qt here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bmi_runtime.constants import USUAL_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import PLANE, StateSpace, unpack
from gui.event_log import Entry
from gui.fold_steps import take_model
from gui.ring_buffer import Ring
from gui.rows import step_row, trial_row

if TYPE_CHECKING:
    from gui.store import Store


def take_hello(store: Store, answer: dict[str, Any], at_s: float) -> None:
    """Take the whole state in: of another session after forgetting what was shown, of the same one beside it.

    Parameters
    ----------
    store : Store
    answer : dict
        To ``{"get": "hello"}``.
    at_s : float
        When it arrived.
    """
    store.needs_hello, store.unreadable = False, ""
    kept = _goes_on(store, answer)
    before = store.recording
    if not kept:
        store.forget_session()
    store.config = answer.get("config", {})
    store.epoch = answer.get("epoch", 0)
    known, store.run = store.run, answer.get("run")
    store.ended = store.ended and store.run is not None and store.run == known  # an answer may come after the end
    store.recording, store.catalogue = answer.get("recording"), answer.get("catalogue")
    store.what_if = answer.get("what_if")
    store.live_parameters = answer.get("live_parameters", {})
    store.live = {key: row.get("value") for key, row in store.live_parameters.items()}
    store.replay = answer.get("replay") or {}
    store.mode = "replay" if store.replay else "simulated" if answer.get("simulated") else "live"
    _take_session(store)
    _take_past(store, answer)
    store.live |= {key: row.get("value") for key, row in store.live_parameters.items()}
    store.bin = answer.get("bin", 0)
    store.last_s = at_s
    if kept and store.recording != before:
        file = os.path.basename(store.recording or "") or "no file: it is not recorded any more"
        store.log(Entry(store.bin, store.elapsed_s, "safety", "recording", f"Recording goes on in {file}", "warning"))


def _take_session(store: Store) -> None:
    """Take bin, units, features and axes from the configuration."""
    session = store.config.get("session", {})
    store.continuous = session.get("likelihood") == "gaussian"
    store.bin_s = session.get("bin_s") or USUAL_BIN_S["gaussian" if store.continuous else "poisson"]
    store.n_features = int(session.get("features", 0))
    _take_space(store, store.config.get("state", {}))
    if session.get("units", store.n_units) != store.n_units:
        store.n_units = 0
        store.resize(session["units"])


def _take_space(store: Store, section: dict[str, Any]) -> None:
    """Make room for a brain state of other axes."""
    axes = tuple(section.get("axes") or PLANE.axes)
    space = StateSpace(axes, bool(section.get("click", False)), tuple(section.get("units") or ()))
    if space.n_axes != store.space.n_axes:
        store.steps = Ring(store.steps.capacity, step_row(space.n_axes))
        store.trials = Ring(store.trials.capacity, trial_row(space.n_axes))
    store.space = space


def _goes_on(store: Store, answer: dict[str, Any]) -> bool:
    """Return whether the answer is of the session that is shown: of the same runtime, or of one that took it up."""
    if store.replay or answer.get("replay") or store.step is None or not store.config:
        return False
    if answer.get("config", {}).get("session", {}).get("units", store.n_units) != store.n_units:
        return False
    if store.recording and answer.get("resumed_from") == store.recording:
        return True  # it takes up what was recorded, which may be some bins less than what was shown
    known = answer.get("run") is not None and answer.get("run") == store.run
    return known and int(answer.get("bin", 0)) >= store.bin - 1


def _take_past(store: Store, answer: dict[str, Any]) -> None:
    """Take recent messages, and what the model and the loop's health were."""
    known, store.told = store.told, set()
    for stream, body in answer.get("recent", ()):
        try:
            message = unpack(body)
        except BadInput as error:
            store.problem(f"a message of the past was not readable: {error}")
            continue
        told = (stream, int(message.get("seq", 0)), int(message.get("bin", 0)))
        store.told.add(told)
        if stream in store.streams and told[1]:
            store.streams[stream].sequence = max(store.streams[stream].sequence, told[1])
        if told not in known or not told[1]:
            store.fold(stream, message)
    past = answer.get("model_history")
    if past:
        for row, bin_index in enumerate(past["bins"]):
            moment = {name: past[name][row] for name in ("weights", "sd", "truth", "predicted_sd")}
            take_model(store, {"bin": int(bin_index), **moment})
    if "model" in answer:
        take_model(store, {"bin": answer.get("bin", 0), **answer["model"]})
    if answer.get("health"):
        store.fold("health", {"bin": answer.get("bin", 0), **answer["health"]})
