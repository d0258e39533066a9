"""The live parameters as a window needs them: unit, bounds, choices, value of this moment."""

from typing import Any

from bmi_runtime.intention import registry as intentions
from bmi_runtime.session.commands import LIVE_PARAMETERS, decoder_kinds, why_these_kinds
from bmi_runtime.session.core import Session
from bmi_runtime.tasks import registry as tasks

KINDS = {float: "number", bool: "switch", str: "choice"}


def live_parameters(session: Session) -> dict[str, dict[str, Any]]:
    """Return every live parameter of a session: ``unit, low, high, about, kind, choices, why, value``.

    ``why`` says why only these choices are offered, where that is a question.
    """
    values, likelihood = current_values(session), session.model.likelihood
    choices = {"task.kind": tasks.names(), "decoder.kind": decoder_kinds(session)}
    choices["adapter.intention"] = intentions.names()
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
