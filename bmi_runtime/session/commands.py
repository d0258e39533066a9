"""The few parameters that may change during a session: one table with units and bounds, applied on a bin boundary."""

import dataclasses
import math
from typing import Any

from bmi_runtime.decoding.base import DECODERS, names
from bmi_runtime.errors import BadInput


@dataclasses.dataclass(frozen=True)
class LiveParameter:
    """A parameter that a command may set while the session runs."""

    unit: str
    low: float
    high: float
    about: str
    kind: type = float


LIVE_PARAMETERS = {
    "adapter.learning_rate": LiveParameter("per bin", 0.0, 1.0, "learning rate of every unit"),
    "adapter.enabled": LiveParameter("", 0, 1, "adaptation on or off", bool),
    "task.assist": LiveParameter("", 0.0, 1.0, "blend of the command toward the target"),
    "decoder.frozen": LiveParameter("", 0, 1, "decode with the parameters of this moment, or with the live ones", bool),
    "decoder.kind": LiveParameter("", 0, 0, "which filter decodes", str),
    "decoder.velocity_time_constant_s": LiveParameter("s", 1e-3, 60.0, "how long the velocity prior remembers"),
    "decoder.velocity_sd_m_s": LiveParameter("m/s", 1e-3, 10.0, "stationary sd of the velocity prior"),
    "decoder.parameter_trust": LiveParameter(
        "", 0.0, 1.0, "1: uncertain units are trusted less; 0: weights taken as exact"
    ),
    "task.kind": LiveParameter("", 0, 0, "which targets", str),
    "session.stopped": LiveParameter("", 0, 1, "stop the output for good: the cursor stays, recording goes on", bool),
    "session.hold": LiveParameter("", 0, 1, "hold: cursor still, adaptation frozen, recording goes on", bool),
}

FILTER_OF = {"poisson": "point-process", "gaussian": "kalman"}
"""Which of the project's own decoders fits the units: the evidence of a bin is that of their likelihood."""
DECODER_SETTINGS = ("kind", "velocity_time_constant_s", "velocity_sd_m_s", "parameter_trust")


def decoder_kinds(likelihood: str) -> list[str]:
    """Return the decoders that a session of such units may change to: the one that fits, then other packages' own."""
    return [FILTER_OF[likelihood], *(name for name in names() if name not in DECODERS)]


def why_these_kinds(likelihood: str) -> str:
    """Return in one sentence why only these kinds are offered."""
    other = {"poisson": "gaussian", "gaussian": "poisson"}[likelihood]
    return f"the units are {likelihood}; {FILTER_OF[other]} wants {other} ones"


def checked(key: str, value: Any) -> Any:
    """Return `value` in the type of the live parameter `key`.

    Raises
    ------
    BadInput
        When there is no such parameter, the type is wrong, or the value is out of bounds.
    """
    parameter = LIVE_PARAMETERS.get(key)
    if parameter is None:
        raise BadInput(f"{shown(key)} cannot change during a session; these can: {', '.join(LIVE_PARAMETERS)}")
    if parameter.kind is str:
        if not isinstance(value, str):
            raise BadInput(f"{key} wants a name, got {shown(value)}")
        return value
    if not isinstance(value, int | float):
        raise BadInput(f"{key} wants a number, got {shown(value)}")
    number = float(value)
    if not math.isfinite(number) or not parameter.low <= number <= parameter.high:
        raise BadInput(f"{key} must lie between {parameter.low:g} and {parameter.high:g}, got {shown(value)}")
    return bool(number) if parameter.kind is bool else number


def shown(value: Any) -> str:
    """Return what somebody sent, short enough for a sentence."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
