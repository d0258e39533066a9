"""A process beside a session that begins with a model of another day: has the array changed, by its first half minute?

It reads the recording, which the loop appends to and never waits for, and tells the session the answer, which records
and publishes it as an event ``stability``. It is started by ``bmi run`` and ends when it has told, or cannot tell.

    python -m bmi_runtime.session.stability_watch REF.mcap tcp://127.0.0.1:5582 [SECONDS]
"""

from __future__ import annotations

import pathlib
import sys
import time
from typing import Any

from bmi_runtime.analysis.array_days import read_day
from bmi_runtime.analysis.array_verdict import judge, sentence
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.session.beside import ask, stand_back

SECONDS = 30.0  # of today that are judged, where the command line gives no other number
LOOK_S = 2.0  # between two looks at a recording that is still too short


def recording_of(address: str, patience_s: float = 120.0) -> pathlib.Path:
    """Return the recording of the session at an address, waiting for the session to begin.

    Raises
    ------
    BadInput
        When the session is not recorded.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            path = ask(address, {"get": "hello"}).get("recording")
        except BmiError:
            if time.monotonic() > until:
                raise
            continue
        if not path:
            raise BadInput("the session is not recorded, so nothing can be said of its array")
        return pathlib.Path(path)


def judged(reference: pathlib.Path, today: pathlib.Path, seconds: float) -> dict[str, Any]:
    """Return what the session is told once `seconds` are there: score, p, verdict, expected cost, and a sentence."""
    while True:
        try:
            found = read_day(today, seconds)
            if len(found.counts) * 0.1 >= 0.95 * seconds:
                break
        except BmiError:
            pass  # nothing whole in it yet
        time.sleep(LOOK_S)
    result = judge([reference, today], seconds)
    changed = [unit["unit"] for unit in result["units"] if unit["verdict"] != "as before"]
    told = {key: result[key] for key in ("score", "p", "verdict", "kept_share", "expected_error_ratio", "carry_sd")}
    return told | {
        "reference": reference.name,
        "seconds": seconds,
        "changed_units": len(changed),
        "units": len(result["units"]),
        "text": sentence(result),
    }


def main(arguments: list[str]) -> int:
    """Judge and tell; return the exit code: 0, too, where nothing can be said, which is no reason to begin again."""
    reference, address = pathlib.Path(arguments[0]), arguments[1]
    seconds = float(arguments[2]) if len(arguments) > 2 else SECONDS
    stand_back()
    try:
        told = judged(reference, recording_of(address), seconds)
    except BmiError as error:
        told = {"verdict": "unknown", "reference": reference.name, "text": str(error)[:300]}
    try:
        ask(address, {"stability": told})
    except BmiError as error:
        print(f"bmi: the stability of the array was not told: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
