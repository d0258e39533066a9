"""The few parameters that may change during a session: one table with everything that anybody needs of them.

Commands, windows, snapshots, resumption and replay read this table. A change is prepared first, which touches nothing
of the session, and committed on a bin boundary: what is refused leaves no trace.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bmi_runtime.decoding.tables import DECODERS, FILTER_OF, names
from bmi_runtime.errors import BadInput
from bmi_runtime.intention import registry as intentions
from bmi_runtime.messages import SafetyState, TrialState
from bmi_runtime.session.blocks import checked_number
from bmi_runtime.session.event_limiter import checked_event
from bmi_runtime.session.inputs import parsed_left_out
from bmi_runtime.session.safety import SafetyEvent
from bmi_runtime.tasks import registry as tasks

if TYPE_CHECKING:
    from bmi_runtime.session.core import Session

KINDS = {float: "number", bool: "switch", str: "choice"}
DECODER_SETTINGS = ("kind", "fitted_file", "velocity_time_constant_s", "velocity_sd_m_s", "parameter_trust")


def _as_it_is(session: Session, value: Any) -> Any:
    """Return the value: nothing is to be prepared."""
    return value


@dataclasses.dataclass(frozen=True)
class LiveParameter:
    """A parameter that a command may set while the session runs.

    Attributes
    ----------
    unit, about : str
    low, high : float
        Bounds of a number.
    get : callable
        ``get(session)``: its value now.
    commit : callable
        ``commit(session, prepared)``: puts the new value into effect; cannot fail.
    prepare : callable
        ``prepare(session, value)``: makes what is committed, or raises `BadInput`; changes nothing.
    kind : type
        float, bool or str.
    """

    unit: str
    low: float
    high: float
    about: str
    get: Callable[[Session], Any]
    commit: Callable[[Session, Any], None]
    prepare: Callable[[Session, Any], Any] = _as_it_is
    kind: type = float


def _set(name: str) -> Callable[[Session, Any], None]:
    """Return what puts a value into an attribute of the session."""
    return lambda session, value: setattr(session, name, value)


def _stop(session: Session, wanted: bool) -> None:
    if wanted:
        session.safety.handle(SafetyEvent.STOP)


def _tell_trial(session: Session, what: str) -> None:
    try:
        if event := session.task.tell(what):
            session.events.append(checked_event(event))
            session.decoder.on_done()
    except BaseException as error:
        session.goal.task_failed(error)


def _decoder_setting(name: str, low: float, high: float, unit: str, about: str, kind: type = float) -> LiveParameter:
    """Return the row of a setting of the decoder, which is made again with it."""
    return LiveParameter(
        unit,
        low,
        high,
        about,
        get=lambda session: session.decoder_settings()[name],
        prepare=lambda session, value: session.decoding.prepare({name: value}, session.bins, decoder_kinds(session)),
        commit=lambda session, prepared: session.decoding.take(prepared),
        kind=kind,
    )


LIVE_PARAMETERS = {
    "adapter.learning_rate": LiveParameter(
        "per bin",
        0.0,
        1.0,
        "learning rate of every unit",
        get=lambda session: session.adaptation.learning_rate,
        commit=lambda session, value: session.adaptation.set_learning_rate(value),
    ),
    "adapter.enabled": LiveParameter(
        "", 0, 1, "adaptation on or off", lambda session: session.adapting, _set("adapting"), kind=bool
    ),
    "task.assist": LiveParameter(
        "", 0.0, 1.0, "blend of the command toward the target", lambda session: session.assist, _set("assist")
    ),
    "decoder.frozen": LiveParameter(
        "",
        0,
        1,
        "decode with the parameters of this moment, or with the live ones",
        get=lambda session: session.decoder_model is not session.model,
        prepare=lambda session, value: session.decoding.prepare_frozen(value),
        commit=lambda session, prepared: session.decoding.take(prepared),
        kind=bool,
    ),
    "decoder.kind": _decoder_setting("kind", 0, 0, "", "which filter decodes", str),
    "decoder.fitted_file": LiveParameter(
        "",
        0,
        0,
        "the file of a fitted decoder that takes over (bmi train, bmi learn, bmi compare --write)",
        get=lambda session: session.decoder_settings()["fitted_file"],
        prepare=lambda session, value: session.decoding.prepare_fitted(value, session.bins),
        commit=lambda session, prepared: session.decoding.take(prepared),
        kind=str,
    ),
    "decoder.velocity_time_constant_s": _decoder_setting(
        "velocity_time_constant_s", 1e-3, 60.0, "s", "how long the velocity prior remembers"
    ),
    "decoder.velocity_sd_m_s": _decoder_setting(
        "velocity_sd_m_s", 1e-3, 10.0, "m/s", "stationary sd of the velocity prior"
    ),
    "decoder.parameter_trust": _decoder_setting(
        "parameter_trust", 0.0, 1.0, "", "1: uncertain units are trusted less; 0: weights taken as exact"
    ),
    "decoder.gain": LiveParameter(
        "", 0.0, 10.0, "the cursor moves by this times the decoded velocity", lambda session: session.gain, _set("gain")
    ),
    "task.kind": LiveParameter(
        "",
        0,
        0,
        "which targets",
        get=lambda session: session.goal.task_kind,
        prepare=lambda session, value: session.goal.prepare_task(value),
        commit=lambda session, prepared: session.goal.take_task(prepared),
        kind=str,
    ),
    "task.trial": LiveParameter(
        "",
        0,
        0,
        "begin a trial, or end the one that runs, now",
        get=lambda session: TrialState(session.task.trial_state).name.lower(),
        prepare=lambda session, value: session.goal.prepare_trial(value),
        commit=_tell_trial,
        kind=str,
    ),
    "adapter.intention": LiveParameter(
        "",
        0,
        0,
        "what the subject is taken to want while the model learns",
        get=lambda session: session.goal.intention_kind,
        prepare=lambda session, value: session.goal.prepare_intention(value),
        commit=lambda session, prepared: session.goal.take_intention(*prepared),
        kind=str,
    ),
    "session.block": LiveParameter(
        "",
        0,
        1000,
        "number of the block that runs, from 1; setting it lets that block begin (0: the session has no blocks)",
        get=lambda session: float(session.blocks.number) if session.blocks else 0.0,
        prepare=lambda session, value: checked_number(session.blocks, value),
        commit=lambda session, number: session.begin_block(number, "operator"),
    ),
    "session.left_out": LiveParameter(
        "",
        0,
        0,
        "units that neither decode nor are learned: their numbers, from 0, with commas",
        get=lambda session: ", ".join(str(unit) for unit in session.left_out),
        prepare=lambda session, value: parsed_left_out(value, session.model.n_units),
        commit=lambda session, prepared: session.inputs.leave_out(prepared),
        kind=str,
    ),
    "session.stopped": LiveParameter(
        "",
        0,
        1,
        "stop the output for good: the cursor stays, recording goes on",
        get=lambda session: session.safety.state is SafetyState.STOPPED,
        commit=_stop,
        kind=bool,
    ),
    "session.hold": LiveParameter(
        "",
        0,
        1,
        "hold: cursor still, adaptation frozen, recording goes on",
        lambda session: session.hold,
        _set("hold"),
        kind=bool,
    ),
}

IN_SNAPSHOTS = ("adapter.enabled", "task.assist", "session.hold", "session.left_out", "decoder.gain")
"""Those that snapshots keep by name; of the others the snapshot of their part holds the value."""


def kept(session: Session) -> dict[str, Any]:
    """Return the live parameters that a snapshot keeps, by name."""
    return {key: LIVE_PARAMETERS[key].get(session) for key in IN_SNAPSHOTS}


def restore_kept(session: Session, values: Any) -> None:
    """Restore what :func:`kept` returned; older recordings hold a list in the order of `IN_SNAPSHOTS`."""
    if not isinstance(values, dict):
        values = dict(zip(IN_SNAPSHOTS, values, strict=False))
    for key in IN_SNAPSHOTS:
        if key in values:  # snapshots of older recordings know fewer
            parameter = LIVE_PARAMETERS[key]
            parameter.commit(session, parameter.prepare(session, values[key]))


def decoder_kinds(session: Session) -> list[str]:
    """Return the decoders that a session may change to.

    The project's own that fits the units, the fitted one where the configuration names its file, and other packages'.
    """
    configured = session.config.decoder
    fitted = [configured.kind] if configured.fitted_file else []
    return [FILTER_OF[session.model.likelihood], *fitted, *(name for name in names() if name not in DECODERS)]


def why_these_kinds(likelihood: str) -> str:
    """Return in one sentence why only these kinds are offered."""
    other = {"poisson": "gaussian", "gaussian": "poisson"}[likelihood]
    return f"the units are {likelihood}; {FILTER_OF[other]} needs {other} ones"


def checked(key: Any, value: Any) -> Any:
    """Return `value` in the type of the live parameter `key`.

    Raises
    ------
    BadInput
        When there is no such parameter, the type is wrong, or the value is out of bounds.
    """
    parameter = LIVE_PARAMETERS.get(key) if isinstance(key, str) else None
    if parameter is None:
        raise BadInput(f"{shown(key)} cannot change during a session; these can: {', '.join(LIVE_PARAMETERS)}")
    if parameter.kind is str:
        if not isinstance(value, str):
            raise BadInput(f"{key} must be a name, got {shown(value)}")
        return value
    if parameter.kind is bool:
        if not isinstance(value, int | float) or value not in (0, 1):
            raise BadInput(f"{key} must be true or false, got {shown(value)}")
        return bool(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadInput(f"{key} must be a number, got {shown(value)}")
    number = float(value)
    if not math.isfinite(number) or not parameter.low <= number <= parameter.high:
        raise BadInput(f"{key} must lie between {parameter.low:g} and {parameter.high:g}, got {shown(value)}")
    return number


def apply(session: Session, command: dict[str, Any]) -> dict[str, Any]:
    """Apply a command to a session between two bins; return the old and new value and the bin it takes effect.

    Raises
    ------
    BadInput
        As :func:`checked`, and when the value cannot be prepared; nothing has changed then.
    """
    key: Any = command.get("set")
    value, parameter = checked(key, command.get("value")), LIVE_PARAMETERS[key]
    old, prepared = parameter.get(session), parameter.prepare(session, value)
    parameter.commit(session, prepared)
    return {"set": key, "old": old, "new": value, "bin": session.bins}


def shown(value: Any) -> str:
    """Return what somebody sent, short enough for a sentence."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def is_word(value: Any, word: str) -> bool:
    """Return whether somebody sent this word, and not an array or anything else that compares oddly."""
    return isinstance(value, str) and value == word


def live_parameters(session: Session) -> dict[str, dict[str, Any]]:
    """Return every live parameter of a session: ``unit, low, high, about, kind, choices, why, value``.

    ``why`` says why only these choices are offered, where that is a question.
    """
    values, likelihood = current_values(session), session.model.likelihood
    choices = {"task.kind": tasks.names(), "decoder.kind": decoder_kinds(session)}
    choices["adapter.intention"], choices["task.trial"] = intentions.names(), ["begin", "end"]
    return {
        key: {
            "unit": parameter.unit,
            "low": parameter.low,
            "high": parameter.high,
            "about": parameter.about,
            "kind": "text" if parameter.kind is str and key not in choices else KINDS[parameter.kind],
            "choices": choices.get(key, []),
            "why": why_these_kinds(likelihood) if key == "decoder.kind" else "",
            "value": values.get(key),
        }
        for key, parameter in LIVE_PARAMETERS.items()
    }


def current_values(session: Session) -> dict[str, Any]:
    """Return the value of every live parameter now."""
    return {key: parameter.get(session) for key, parameter in LIVE_PARAMETERS.items()}
