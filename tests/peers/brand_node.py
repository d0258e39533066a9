"""A node as BRAND's thresholdExtraction: every millisecond an entry with the crossings of each channel in int16.

usage: brand_node.py PORT STREAM CHANNELS SECONDS
"""

import json
import sys
import time

import numpy as np
import redis

port, stream, channels, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
connection, rng = redis.Redis(port=port), np.random.default_rng(1)
begun, k, sent = time.monotonic(), 0, 0
while k < seconds * 1000:
    k += 1
    time.sleep(max(begun + k / 1000 - time.monotonic(), 0.0))
    crossings = (rng.random(channels) < 0.02).astype(np.int16)
    sent += int(crossings.sum())
    entry = {
        b"timestamps": np.uint64(30 * k).tobytes(),
        b"ts": np.uint64(time.monotonic_ns()).tobytes(),
        b"sync": json.dumps({"nsp_idx": 30 * k}),
        b"crossings": crossings.tobytes(),
    }
    pipe = connection.pipeline()
    pipe.xadd(stream, entry, maxlen=20_000, approximate=True)
    pipe.execute()
print(sent, flush=True)
