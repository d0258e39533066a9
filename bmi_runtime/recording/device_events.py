"""Events of the device (TTL lines, digital inputs, markers) in a recording, each on all the clocks that are known."""

from __future__ import annotations

import json
import math
from typing import Any

from bmi_runtime.recording.reader import Recording

KNOWN = ("name", "bin", "kind", "device_time_s", "host_time_ns", "uncertainty_s")


def device_events(recording: Recording) -> list[dict[str, Any]]:
    """Return a row per event.

    Returns
    -------
    list of dict
        ``bin``, ``kind``, ``device_time_s`` (as stamped), ``host_time_s`` (NaN where it was not known),
        ``uncertainty_s`` (NaN likewise), ``time_s`` (on the clock of the neural data: the stamp itself, or for events
        with a clock of their own the host time less the fitted offset), ``detail``.
    """
    offsets = recording.column("input", "clock_offset_s")
    rows = []
    for _, event in recording.messages("event"):
        if event.get("name") != "device-event":
            continue
        host_ns, place = event.get("host_time_ns"), recording.place(event.get("bin", 0))
        host_s = host_ns * 1e-9 if host_ns is not None else math.nan
        own_clock = "clock" in event
        time_s = host_s - float(offsets[place]) if own_clock and len(offsets) else float(event["device_time_s"])
        rest = {key: value for key, value in event.items() if key not in KNOWN}
        uncertainty = event.get("uncertainty_s")
        rows.append(
            {
                "bin": int(event.get("bin", 0)),
                "time_s": time_s,
                "kind": str(event.get("kind")),
                "device_time_s": float(event["device_time_s"]),
                "host_time_s": host_s,
                "uncertainty_s": math.nan if uncertainty is None else float(uncertainty),
                "detail": "; ".join(f"{key}: {json.dumps(value, default=str)}" for key, value in rest.items()) or "-",
            }
        )
    return rows
