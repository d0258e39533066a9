"""What a process beside the loop may tell it of the array: checked, so that nothing else reaches the recording."""

from __future__ import annotations

import math
from typing import Any

from bmi_runtime.errors import BadInput
from bmi_runtime.session.live_parameters import is_word

VERDICTS = ("go-on", "widen", "recalibrate", "unknown")
NUMBERS = ("score", "p", "kept_share", "expected_error_ratio", "carry_sd", "seconds", "changed_units", "units")
TEXTS = ("reference", "text")
CHARACTERS = 300  # of each text that are kept


def checked(told: Any) -> dict[str, Any]:
    """Return the verdict with the numbers and texts that are known; raise `BadInput` where there is none."""
    verdict = told.get("verdict") if isinstance(told, dict) else None
    if not any(is_word(verdict, word) for word in VERDICTS):
        raise BadInput(f"stability must be a map with a verdict of {', '.join(VERDICTS)}")
    found: dict[str, Any] = {"verdict": verdict}
    for name in NUMBERS:
        value = told.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            found[name] = value
    for name in TEXTS:
        if isinstance(told.get(name), str):
            found[name] = told[name][:CHARACTERS]
    return found
