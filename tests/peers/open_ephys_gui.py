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


def as_juce(header):
    """Return JSON as the plugin's library writes it, with its three numbers that change left open."""
    text = json.dumps({"message_num": "N", **header, "timestamp": "T"}, indent=2).replace("\n", "\r\n")
    return text.replace("%", "%%").replace('"N"', "%d").replace('"S"', "%d").replace('"T"', "%d")


SPIKES, CHANNELS = [], []  # made once: a GUI writes 16,000 headers a second, and takes hardly any time for it
for unit in range(units):
    body = {"stream": "Acquisition Board", "source_node": 101, "electrode": f"Electrode {unit + 1}"}
    body |= {"sample_num": "S", "num_channels": 1, "num_samples": 40, "sorted_id": 0, "threshold": [-50.0]}
    SPIKES.append(as_juce({"type": "spike", "spike": body}))
for index in range(channels):
    body = {"stream": "Acquisition Board", "channel_num": index, "channel_name": f"CH{index + 1}"}
    body |= {"num_samples": block, "sample_num": "S", "sample_rate": FS}
    CHANNELS.append(as_juce({"type": "data", "content": body, "data_size": 4 * block}))


def send(envelope, header, sample, payload):
    """Number one message and send it."""
    global number
    number += 1
    data.send_multipart([envelope, (header % (number, sample, int(time.time() * 1000))).encode(), payload])


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
            send(b"EVENT\0", SPIKES[unit], sample, WAVEFORM)
            sent.append(sample / FS)
        held = [one for one in drawn if one[0] >= first + block - TAIL]
        for header in CHANNELS:
            send(b"DATA\0", header, first, samples)
        first += block
        while heart.poll(0):
            heart.recv()
            heart.send(b"heartbeat received")
finally:
    np.save(sys.argv[6], np.array(sent))
