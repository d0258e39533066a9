"""The windows: the subject's view and the operator's console. Their own process; telemetry in, commands out."""
