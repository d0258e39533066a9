"""A session of hours under faults on a schedule, as real processes, watched from outside.

    python benchmarks/soak.py --hours 1
    python benchmarks/soak.py --hours 0.05 --every 12      # three minutes, a fault every 12 s

The faults come in turn: the runtime is killed, the device's clock jumps forward and back, the source is silent, floods
arrive from the source and at the control socket, the sender is killed, a viewer stops reading, the disk is full (the
runtime may write no further; it is killed once that was noticed). A receiver outside notes when each output came.
Printed are, for each kind of fault, how long no output came at most and how long until the safety state allowed
movement again; over everything the gaps between outputs (p99.9, longest), the latency that the runtime itself recorded,
and what the recordings hold.
"""

import argparse
import collections
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import msgpack
import numpy as np
import zmq
from faults import Session, check_lineage, resident_mb

from bmi_runtime.messages import SafetyState

UNITS, RATE_HZ, BLOCK_NS = 96, 20.0, 5_000_000
MOVING = {SafetyState.CALIBRATING, SafetyState.ACTIVE, SafetyState.DEGRADED}
FAULTS = ("kill", "jump-forward", "flood-source", "jump-back", "silence", "flood-control",
          "kill-sender", "frozen-viewer", "disk-full")  # fmt: skip
SETTINGS = (
    f"session.units={UNITS}",
    "recording.snapshot_s=2.0",
    "task.kind=random-target",
    "realtime.lock_memory=false",
)


def sender(address):
    """Send spikes in real time; lines on standard input shift the device's clock, silence it or let it flood."""
    from bmi_runtime.session.pacing import Pacer
    from bmi_runtime.sources.sender import Sender

    os.set_blocking(0, False)
    out, pacer, rng = Sender(address), Pacer(BLOCK_NS * 1e-9, 0.0), np.random.default_rng(1)
    shift_ns, silent_until, flood_until, number = 0, 0.0, 0.0, 0
    while True:
        pacer.wait()
        for line in (sys.stdin.buffer.read() or b"").split():
            word, _, amount = line.decode().partition("=")
            shift_ns += round(float(amount) * 1e9) if word == "jump" else 0
            silent_until = time.monotonic() + float(amount) if word == "silence" else silent_until
            flood_until = time.monotonic() + float(amount) if word == "flood" else flood_until
        number += 1
        for _ in range(100 if time.monotonic() < flood_until else 0):  # 20,000 a second
            out.socket.send_multipart((b"spikes", rng.bytes(60)))
        if time.monotonic() < silent_until:
            continue
        begin = number * BLOCK_NS + shift_ns + 100 * 10**9  # so that a jump back stays above zero
        times = np.sort(rng.integers(0, BLOCK_NS, rng.poisson(UNITS * RATE_HZ * BLOCK_NS * 1e-9))) + begin
        out.spikes(begin, begin + BLOCK_NS, times, rng.integers(0, UNITS, len(times)).astype(np.uint16))


class Soak:
    """The session, its sender, the receiver outside, and what is done to them."""

    def __init__(self, folder):
        self.session = Session(folder, "--source", "zeromq", *(w for key in SETTINGS for w in ("--set", key)))
        self.context = zmq.Context.instance()
        self.witness = self._subscriber()
        self.frozen = None
        self.control = next(w.partition("=")[2] for w in self.session.process.args if w.startswith("telemetry.control"))
        self.sending = self._start_sender()
        self.arrivals, self.states, self.bins = [], [], set()

    def _subscriber(self):
        made = self.context.socket(zmq.SUB)
        made.linger, made.rcvhwm, made.reconnect_ivl = 0, 0, 5
        made.subscribe(b"")
        made.connect(self.session.output)
        return made

    def _start_sender(self):
        here = [sys.executable, __file__, "--sender", self.session.source]
        return subprocess.Popen(here, stdin=subprocess.PIPE)

    def tell_sender(self, text):
        """Send a line to the sender."""
        self.sending.stdin.write(f"{text}\n".encode())
        self.sending.stdin.flush()

    def runtime(self):
        """Return the pid of the runtime."""
        return self.session.children()[0]

    def listen(self, seconds, until=None):
        """Note outputs for so long, or until a condition holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (until and until()):
            if self.witness.poll(5):
                message = msgpack.unpackb(self.witness.recv_multipart()[1])
                self.arrivals.append(time.monotonic())
                self.states.append(message["safety"])
                self.bins.add(message["bin"])

    def fault(self, fault):
        """Let one fault happen."""
        getattr(self, fault.replace("-", "_"))()

    def kill(self):
        """Kill the runtime."""
        os.kill(self.runtime(), signal.SIGKILL)

    def jump_forward(self):
        """Let the device's clock jump forward."""
        self.tell_sender("jump=7.5")

    def jump_back(self):
        """Let the device's clock jump back."""
        self.tell_sender("jump=-7.5")

    def silence(self):
        """Let the source be silent for a second and a half."""
        self.tell_sender("silence=1.5")

    def kill_sender(self):
        """Kill the sender and start another."""
        self.sending.kill()
        self.sending.wait()
        self.sending = self._start_sender()

    def frozen_viewer(self):
        """Subscribe, and never read."""
        if self.frozen:
            self.frozen.close()
        self.frozen = self._subscriber()  # and is never read

    def flood_source(self):
        """Let the source send nonsense between its messages for a second."""
        self.tell_sender("flood=1.0")

    def flood_control(self):
        """Send nonsense to the control socket for a second, as fast as it takes it."""
        flood = self.context.socket(zmq.DEALER)
        flood.linger, flood.sndhwm, flood.sndtimeo = 0, 1000, 0
        flood.connect(self.control)
        rng, end = np.random.default_rng(2), time.monotonic() + 1.0
        while time.monotonic() < end:
            for _ in range(50):
                try:
                    flood.send_multipart((b"", rng.bytes(60)))
                except zmq.Again:
                    break
            self.listen(0.005)
        flood.close()

    def disk_full(self):
        """Let the runtime's files grow no further; kill it when it has said so, so that the next one may write."""
        said = len(self.session.lines)
        newest = max(self.session.folder.glob("*.mcap"), key=lambda path: path.stat().st_mtime)
        pid, size = self.runtime(), newest.stat().st_size  # of the file that grows: an older one may be larger
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        self.listen(10.0, until=lambda: any("STOPPED" in line for line in self.session.lines[said:]))
        self.noticed_disk = any("STOPPED" in line for line in self.session.lines[said:])
        os.kill(pid, signal.SIGKILL)

    noticed_disk = None


def soak(hours, every_s, folder):
    """Run the schedule; return the report."""
    run = Soak(folder)
    run.session.wait_for("ready")
    run.listen(5.0)
    begin, number, rows, memory = time.monotonic(), 0, collections.defaultdict(list), []
    while time.monotonic() - begin < hours * 3600.0:
        fault = FAULTS[number % len(FAULTS)]
        at, before = time.monotonic(), len(run.arrivals)
        run.fault(fault)
        run.listen(every_s)
        memory.append(resident_mb(run.runtime()))
        rows[fault].append(aftermath(run, at, before))
        number += 1
    gaps = np.diff(run.arrivals)
    _, result = run.session.end()
    run.sending.kill()
    run.sending.wait()
    return {
        "hours": (time.monotonic() - begin) / 3600.0,
        "faults": number,
        **{fault: {"times": len(found), **worst(found)} for fault, found in rows.items()},
        "disk_full_was_said": run.noticed_disk,
        "outputs": len(run.arrivals),
        "gap_ms": dict(
            zip(("p50", "p99_9", "longest"), np.round(1e3 * np.percentile(gaps, (50, 99.9, 100)), 1).tolist())
        ),
        "latency_us": result["latency_us"],
        "deadline_misses": result["deadline_misses"],
        "resident_mb_first_and_last": [round(memory[0], 1), round(memory[-1], 1)],
        **check_lineage(result, len(rows["kill"]) + len(rows["disk-full"]), run.bins),
    }


def aftermath(run, at, before):
    """Return the longest time without an output after a fault, and when movement was allowed for good again."""
    times = np.array([at, *run.arrivals[before:]])
    still = [when for when, state in zip(times[1:], run.states[before:], strict=True) if state not in MOVING]
    return {"no_output_s": float(np.diff(times).max()) if len(times) > 1 else float("inf"),
            "not_moving_s": float(still[-1] - at) if still else 0.0}  # fmt: skip


def worst(found):
    """Return the largest of each number."""
    return {name: round(float(max(row[name] for row in found)), 3) for name in found[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds from one fault to the next")
    parser.add_argument("--sender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sender:
        sender(options.sender)
        return
    folder = tempfile.mkdtemp()
    try:
        report = soak(options.hours, options.every, pathlib.Path(folder))
    finally:
        shutil.rmtree(folder)
    for key, value in report.items():
        print(f"{key:40}  {value}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
