"""The windows: the subject's and the operator's. A separate process fed by telemetry."""
