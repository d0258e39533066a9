"""Floods against a session in real time: what they do to its bins, beside the same flood against somebody else.

    python benchmarks/faults.py --floods 6     # seconds of each stretch

A flood takes a processor from everybody on the machine. To tell that from what it does to the session, each one is
also sent to a bystander, a process that only reads it. ``FAULTS_FIFO=20`` before it gives sender and runtime
precedence, on a machine that does other work.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import msgpack
import numpy as np
import zmq

from bmi_runtime import wire
from bmi_runtime.recording.reader import Recording

KINDS = ("control", "subscriptions", "large subscriptions", "source")
SETTLE_S = 1.0
FIFO = int(os.environ.get("FAULTS_FIFO", "0"))  # with it sender and runtime ask for SCHED_FIFO, for a busy machine


def flood(kind, address, seconds):
    """Send as much as will go, for so long."""
    context, until = zmq.Context.instance(), time.monotonic() + seconds
    types = {"control": zmq.DEALER, "source": zmq.PUB}
    socket = context.socket(types.get(kind, zmq.XSUB))
    socket.linger = 0
    socket.connect(address)
    ask = msgpack.packb({"get": "hello"})
    bad = [b"spikes", b"\x81\xa1v\x63" + bytes(200), b"0000"]
    number = 0
    while time.monotonic() < until:
        for _ in range(100):
            number += 1
            try:
                if kind == "control":
                    socket.send_multipart([b"", ask if number % 2 else os.urandom(40)], zmq.DONTWAIT)
                elif kind == "source":
                    socket.send_multipart(bad, zmq.DONTWAIT)
                elif kind == "subscriptions":
                    socket.send(b"\x01" + os.urandom(12), zmq.DONTWAIT)
                else:
                    socket.send(b"\x01" + number.to_bytes(4, "big") + bytes(1_000_000), zmq.DONTWAIT)
                    time.sleep(0.01)
            except zmq.Again:
                time.sleep(0.0005)
        while socket.poll(0):
            socket.recv_multipart()
        if kind == "subscriptions" and number > 20_000:  # who floods remembers all of it: begin anew
            socket.close()
            socket, number = context.socket(zmq.XSUB), 0
            socket.linger = 0
            socket.connect(address)


def bystander(address):
    """Read everything and do nothing with it."""
    socket = zmq.Context.instance().socket(zmq.ROUTER if address.endswith("1") else zmq.XPUB)
    socket.bind(address)
    while True:
        socket.recv_multipart()


def forwarder(front, back, seconds):
    """Send good spikes, and pass on what comes from anywhere: an acquisition system whose network is flooded."""
    if FIFO:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO))
    context = zmq.Context.instance()
    inlet, out = context.socket(zmq.SUB), context.socket(zmq.PUB)
    inlet.subscribe(b"")
    inlet.bind(back)
    out.bind(front)
    rng, number, begin = np.random.default_rng(1), 0, time.monotonic()
    while (now := time.monotonic()) - begin < seconds:
        if now < begin + 0.005 * (number + 1):
            if inlet.poll(0):
                out.send_multipart(inlet.recv_multipart())
            else:
                time.sleep(0.0002)
            continue
        from_ns = number * 5_000_000
        units = rng.integers(0, 96, 5).astype(np.uint16)
        times = np.sort(rng.integers(from_ns, from_ns + 5_000_000, 5))
        number += 1
        fields = {"from_ns": from_ns, "until_ns": from_ns + 5_000_000, "times_ns": times, "units": units}
        out.send_multipart(wire.encode("spikes", 1, number, **fields))


def stretch(kind, address, seconds):
    """Flood one address from a process of its own; return when, on the host's clock."""
    begin = time.monotonic_ns()
    here = [sys.executable, __file__, "flood", kind, address, str(seconds)]
    process = subprocess.Popen(here)
    time.sleep(seconds)
    end = time.monotonic_ns()
    process.kill()
    process.wait()
    time.sleep(SETTLE_S)
    return begin + round(0.3e9), end


def floods(seconds, folder):
    """Flood control, telemetry and source for so many seconds each, the session and a bystander in turn."""
    from faults import Session, resident_mb

    folder = pathlib.Path(folder)
    back = f"ipc://{folder}/inlet"
    settings = ("session.units=96", f"realtime.fifo_priority={FIFO}")
    session = Session(folder, "--source", "zeromq", *(text for key in settings for text in ("--set", key)))
    total = str((2 * len(KINDS) + 2) * (seconds + SETTLE_S) + 60)
    children = [
        subprocess.Popen([sys.executable, __file__, "forwarder", session.source, back, total]),
        *(subprocess.Popen([sys.executable, __file__, "bystander", f"ipc://{folder}/beside{n}"]) for n in (1, 2)),
    ]
    stretches, memory = {}, {}
    try:
        session.wait_for("ready")
        time.sleep(2.0)
        begin = time.monotonic_ns()
        time.sleep(seconds)
        stretches["quiet", "nobody"] = (begin, time.monotonic_ns())
        targets = {"control": session.control, "source": back}
        for kind in KINDS:
            beside = f"ipc://{folder}/beside{1 if kind in ('control', 'source') else 2}"
            stretches[kind, "a bystander"] = stretch(kind, beside, seconds)
            before = resident_mb(session.children()[0])
            stretches[kind, "the session"] = stretch(kind, targets.get(kind, session.publish), seconds)
            memory[kind] = round(resident_mb(session.children()[0]) - before, 1)
        _, result = session.end()
    finally:
        for child in children:
            child.kill()
            child.wait()
    steps = Recording(result["recording"]).steps()
    return {
        f"{kind}, sent to {whom}": _row(steps, span) | ({"memory_mb": memory[kind]} if whom == "the session" else {})
        for (kind, whom), span in stretches.items()
    }


def _row(steps, span):
    """Return the share of bins within their deadline, of those that there should be, and what else befell them."""
    host = steps["input"]["host_time_ns"]
    inside = steps[(host >= span[0]) & (host < span[1])]
    expected = (span[1] - span[0]) / 5e6
    timing, given = inside["timing"], inside["input"]
    late_ns = np.sum(timing["stage_ns"][:, 1:4], axis=1)
    good = (timing["deadline_missed"] == 0) & (given["stale"] == 0)
    return {
        "bins": len(inside),
        "in_time": round(float(good.sum() / expected), 4),
        "stale": int((given["stale"] > 0).sum()),
        "missed": int(timing["deadline_missed"].sum()),
        "refused": int(given["invalid"].sum()),
        "late_spikes": int(given["late"].sum()),
        "p99_us": round(float(np.percentile(late_ns, 99)) / 1e3, 1) if len(inside) else None,
    }


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    if name == "flood":
        flood(rest[0], rest[1], float(rest[2]))
    elif name == "bystander":
        bystander(rest[0])
    elif name == "forwarder":
        forwarder(rest[0], rest[1], float(rest[2]))
    else:
        sys.exit(json.dumps({"known": ["flood", "bystander", "forwarder"]}))
