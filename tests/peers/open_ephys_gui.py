"""A program as the GUI's ZMQ Interface 1.0 behind its spike detector: of each block spikes first, then channels.

usage: open_ephys_gui.py PORT BLOCK_SAMPLES CHANNELS UNITS SECONDS LOG.npy

Spikes whose waveform is not complete at a block's end (its last 50 samples) come with the next block. The times of all
spikes, s, are saved at the end, and when the program is told to end.
"""

import json
import signal
import sys
import time

import numpy as np
import zmq

port, block, channels, units, seconds = map(int, sys.argv[1:6])
FS, TAIL, WAVEFORM = 30_000.0, 50, bytes(4 * 40)
context = zmq.Context()
data, heart = context.socket(zmq.PUB), context.socket(zmq.REP)
data.bind(f"tcp://127.0.0.1:{port}")
heart.bind(f"tcp://127.0.0.1:{port + 1}")
rng, sent, number = np.random.default_rng(1), [], 0
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def send(envelope, kind, header, payload):
    """Number one message and send it, written as JUCE writes its JSON."""
    global number
    number += 1
    header = {"message_num": number, "type": kind} | header | {"timestamp": int(time.time() * 1000)}
    data.send_multipart([envelope, json.dumps(header, indent=2).replace("\n", "\r\n").encode(), payload])


def spike(sample, unit):
    """Send one spike of one electrode."""
    body = {"stream": "Acquisition Board", "source_node": 101, "electrode": f"Electrode {unit + 1}"}
    body |= {"sample_num": sample, "num_channels": 1, "num_samples": 40, "sorted_id": 0, "threshold": [-50.0]}
    send(b"EVENT\0", "spike", {"spike": body}, WAVEFORM)


def channel(index, first, samples):
    """Send the block of one continuous channel."""
    body = {"stream": "Acquisition Board", "channel_num": index, "channel_name": f"CH{index + 1}"}
    body |= {"num_samples": block, "sample_num": first, "sample_rate": FS}
    send(b"DATA\0", "data", {"content": body, "data_size": len(samples)}, samples)


try:
    begun, first, held, samples = time.monotonic(), 0, [], bytes(4 * block)
    while first / FS < seconds:
        time.sleep(max(begun + (first + block) / FS - time.monotonic(), 0.0))
        drawn = [
            (first + int(at), unit)
            for unit in range(units)
            for at in rng.integers(0, block, rng.poisson(20 * block / FS))
        ]
        for sample, unit in [*held, *(one for one in drawn if one[0] < first + block - TAIL)]:
            spike(sample, unit)
            sent.append(sample / FS)
        held = [one for one in drawn if one[0] >= first + block - TAIL]
        for index in range(channels):
            channel(index, first, samples)
        first += block
        while heart.poll(0):
            heart.recv()
            heart.send(b"heartbeat received")
finally:
    np.save(sys.argv[6], np.array(sent))
