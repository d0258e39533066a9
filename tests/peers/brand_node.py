"""A node as BRAND's thresholdExtraction: every millisecond an entry with the crossings of each channel in int16.

usage: brand_node.py PORT STREAM CHANNELS SECONDS LOG.npy

The times of all crossings, s, as its entries are due, are saved at the end, and when the program is told to end.
"""

import json
import signal
import sys
import time

import numpy as np
import redis

port, stream, channels, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
connection, rng = redis.Redis(port=port), np.random.default_rng(1)
begun, k, sent = time.monotonic(), 0, []
try:
    while k < seconds * 1000:
        k += 1
        time.sleep(max(begun + k / 1000 - time.monotonic(), 0.0))
        crossings = (rng.random(channels) < 0.02).astype(np.int16)
        sent.extend([begun + k / 1000 - 0.0005] * int(crossings.sum()))
        entry = {
            b"timestamps": np.uint64(30 * k).tobytes(),
            b"ts": np.uint64(time.monotonic_ns()).tobytes(),
            b"sync": json.dumps({"nsp_idx": 30 * k}),
            b"crossings": crossings.tobytes(),
        }
        pipe = connection.pipeline()
        pipe.xadd(stream, entry, maxlen=20_000, approximate=True)
        pipe.execute()
finally:
    np.save(sys.argv[5], np.array(sent))
