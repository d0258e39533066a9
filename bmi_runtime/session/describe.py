"""The live parameters as a window needs them: unit, bounds, choices, value of this moment."""

from typing import Any

from bmi_runtime.messages import SafetyState
from bmi_runtime.session.commands import LIVE_PARAMETERS, decoder_kinds, why_these_kinds
from bmi_runtime.session.core import Session
from bmi_runtime.tasks.registry import TASKS

KINDS = {float: "number", bool: "switch", str: "choice"}


def live_parameters(session: Session) -> dict[str, dict[str, Any]]:
    """Return every live parameter of a session: ``unit, low, high, about, kind, choices, why, value``.

    ``why`` says why only these choices are offered, where that is a question.
    """
    values, likelihood = current_values(session), session.model.likelihood
    choices = {"task.kind": list(TASKS), "decoder.kind": decoder_kinds(likelihood)}
    return {
        key: {
            "unit": parameter.unit,
            "low": parameter.low,
            "high": parameter.high,
            "about": parameter.about,
            "kind": KINDS[parameter.kind],
            "choices": choices.get(key, []),
            "why": why_these_kinds(likelihood) if key == "decoder.kind" else "",
            "value": values.get(key),
        }
        for key, parameter in LIVE_PARAMETERS.items()
    }


def current_values(session: Session) -> dict[str, Any]:
    """Return the value of every live parameter now."""
    return {
        "adapter.learning_rate": session.oversight.learning_rate,
        "adapter.enabled": session.adapting,
        "task.assist": session.assist,
        "decoder.frozen": session.decoder_model is not session.model,
        **{f"decoder.{name}": value for name, value in session.decoder_settings().items()},
        "task.kind": session.task_kind,
        "session.hold": session.hold,
        "session.stopped": session.safety.state is SafetyState.STOPPED,
    }
