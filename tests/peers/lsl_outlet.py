"""A program of somebody else's, for its own environment: counts, rates or events on LSL with a rig's habits.

usage: lsl_outlet.py NAME KIND RATE_HZ CHANNELS JITTER BURST SECONDS
"""

import sys
import time

import numpy as np
import pylsl

name, kind = sys.argv[1:3]
rate_hz, jitter, seconds = float(sys.argv[3]), float(sys.argv[5]), float(sys.argv[7])
channels, burst = int(sys.argv[4]), int(sys.argv[6])
rng, sent = np.random.default_rng(1), np.zeros(channels)
events = kind == "events"
info = pylsl.StreamInfo(
    name, kind, 2 if events else channels, 0 if events else rate_hz, "float32", f"{name}-{time.time()}"
)
outlet = pylsl.StreamOutlet(info)
begun, k, waiting = time.monotonic(), 0, []
offset = pylsl.local_clock() - begun
while k < seconds * rate_hz:
    k += 1
    due = begun + k / rate_hz
    time.sleep(max(due - time.monotonic(), 0.0))
    counts = rng.poisson(20.0 / rate_hz, channels)
    sent += counts
    stamp = offset + due + rng.uniform(-0.5, 0.5) * jitter / rate_hz
    if events:  # channels from 0
        for channel in np.repeat(np.arange(channels), counts).tolist():
            outlet.push_sample([channel, 0], offset + due - rng.uniform(0, 1.0 / rate_hz))
    else:
        waiting.append(((counts * (rate_hz if kind == "rates" else 1.0)).tolist(), stamp))
        if len(waiting) >= burst:
            for sample, at in waiting:
                outlet.push_sample(sample, at if burst == 1 else 0.0)  # 0: stamped when it is pushed
            waiting.clear()
print(int(sent.sum()), flush=True)
time.sleep(2.0)
