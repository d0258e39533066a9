"""Sessions under fault, as real processes: what is lost, how soon it goes on, whether memory stays flat.

    python benchmarks/faults.py --kills 500         # kill -9 of the runtime at random moments, under the supervisor
    python benchmarks/faults.py --sustained 600     # 1,024 units, 100,000 spikes/s over ZeroMQ for so many seconds
                                                    # (FAULTS_FIFO=20 before it asks for SCHED_FIFO)
    python benchmarks/faults.py --memory 1000000    # so many bins in one process: memory of the hot loop
    python benchmarks/faults.py --endings 10        # Ctrl-C, SIGTERM and SIGHUP: seconds until everything is down
    python benchmarks/faults.py --floods 6          # control, subscriptions and source flooded for so many seconds each
    python benchmarks/faults.py --start 3           # first start from an empty kernel cache, and later ones

Each prints a table and one line of JSON.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import msgpack
import numpy as np
import zmq
from floods import floods

from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.replay import Replay

FIFO = int(os.environ.get("FAULTS_FIFO", "0"))  # with it sender and runtime ask for SCHED_FIFO, for a busy machine
SPIKES_PER_BIN, UNITS, BIN_NS, PATTERNS = 500, 1024, 5_000_000, 97
LATE_REACH = 10  # bins: late spikes go into the next complete bin, at most `late_limit_s` away


class Session:
    """One supervised ``bmi run``."""

    def __init__(self, folder, *arguments, env=None):
        sockets = [socket.socket() for _ in range(4)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        addresses = [f"tcp://127.0.0.1:{opened.getsockname()[1]}" for opened in sockets]
        for opened in sockets:
            opened.close()
        keys = ("telemetry.publish_address", "telemetry.control_address", "telemetry.output_address", "source.address")
        self.folder = pathlib.Path(folder)
        self.publish, self.control, self.output, self.source = addresses
        flags = [text for pair in zip(keys, addresses, strict=True) for text in ("--set", "=".join(pair))]
        command = [sys.executable, "-m", "bmi_runtime.cli.main", "run", "--headless", "--json", *flags]
        command += ["--record", str(self.folder / "a.mcap"), *arguments]
        self.begun_s, self.lines = time.monotonic(), []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True).start()

    def wait_for(self, text, times=1):
        """Wait until it has said `text` so often; return the seconds since the start."""
        while sum(text in line for line in self.lines) < times:
            if self.process.poll() is not None:
                raise SystemExit("the session ended:\n" + "".join(self.lines))
            time.sleep(0.002)
        return time.monotonic() - self.begun_s

    def children(self):
        """Return the pids under the supervisor; the first is the runtime."""
        pid = self.process.pid
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self, number=signal.SIGTERM):
        """End it; return the seconds that took and the answer."""
        begin = time.monotonic()
        self.process.send_signal(number)
        out = self.process.stdout.read()
        self.process.wait()
        if not out:
            raise SystemExit("the session ended without a result:\n" + "".join(self.lines))
        return time.monotonic() - begin, json.loads(out.splitlines()[-1])


def percentiles(values):
    """Return median, p99 and largest."""
    return {"p50": float(np.median(values)), "p99": float(np.percentile(values, 99)), "max": float(np.max(values))}


def kills(count, folder, settings=()):
    """Kill the runtime at random moments; check every file, and what a receiver outside saw."""
    settings = ("recording.snapshot_s=1.0", "task.kind=random-target", *settings)
    session = Session(folder, *(text for key in settings for text in ("--set", key)))
    witness = zmq.Context.instance().socket(zmq.SUB)
    witness.linger, witness.rcvhwm, witness.reconnect_ivl = 0, 0, 5
    witness.subscribe(b"")
    witness.connect(session.output)
    rng, messages = np.random.default_rng(1), []
    session.wait_for("ready")
    for number in range(1, count + 1):
        until = time.monotonic() + rng.uniform(0.02, 0.6)
        while time.monotonic() < until:
            if witness.poll(2):
                messages.append(witness.recv_multipart())
        os.kill(session.children()[0], signal.SIGKILL)
        session.wait_for("going on", number)
    _, result = session.end()
    while witness.poll(0):
        messages.append(witness.recv_multipart())
    return check_lineage(result, count, {msgpack.unpackb(frames[1])["bin"] for frames in messages})


def check_lineage(result, count, seen):
    """Return what the recordings of a session that was killed so often hold."""
    on_file, down_s, identical, state = [], [], 0, None
    kept, last_ns = True, None
    for path in result["recordings"]:
        recording = Recording(path)
        first = next(message for _, message in recording.messages("snapshot"))["model"]
        if state is not None:
            kept &= all(np.array_equal(first[name], state[name]) for name in ("weights", "covariance"))
        on_file += recording.column("input", "bin_index").tolist()
        host_ns = recording.column("input", "host_time_ns")
        if last_ns and len(host_ns):
            down_s.append((int(host_ns[0]) - last_ns) * 1e-9)
        last_ns = int(host_ns[-1]) if len(host_ns) else last_ns
        replay = Replay(recording)
        identical += replay.run()["identical"]
        state = replay.session.snapshot()["model"]
    return {
        "kills": count,
        "files": len(result["recordings"]),
        "readable_and_replayed_identically": identical,
        "adaptation_kept_to_the_bit": bool(kept),
        "bins_on_file": len(on_file),
        "bins_missing_or_twice": int(np.sum(np.diff(on_file) != 1)),
        "bins_seen_by_the_receiver": len(seen),
        "of_those_not_on_file": len(seen - set(on_file)),
        "s_from_the_last_bin_to_the_next": percentiles(down_s),
    }


def sender(address, seconds, diary):
    """Send spikes at the rate asked for, paced by absolute deadlines; the spikes of a bin follow from its number.

    The bins that left too late for the runtime to wait for them are noted in the file `diary`.
    """
    if FIFO:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO))
    from bmi_runtime.session.pacing import Pacer
    from bmi_runtime.sources.sender import Sender

    out, pacer = Sender(address), Pacer(BIN_NS * 1e-9, 150e-6)
    patterns = [pattern(number) for number in range(PATTERNS)]
    with open(diary, "w", buffering=1) as late:
        for number in range(round(seconds * 1e9 / BIN_NS)):
            due_ns = pacer.deadline_ns + BIN_NS
            pacer.wait()
            times, units = patterns[number % PATTERNS]
            out.spikes(number * BIN_NS, (number + 1) * BIN_NS, times + number * BIN_NS, units)
            if time.monotonic_ns() - due_ns > BIN_NS:
                late.write(f"{number}\n")
    out.close()


def pattern(number):
    """Return times within a bin (ns) and units of its spikes."""
    rng = np.random.default_rng([number, 5])
    return np.sort(rng.integers(0, BIN_NS, SPIKES_PER_BIN)), rng.integers(0, UNITS, SPIKES_PER_BIN).astype(np.uint16)


def sustained(seconds, folder):
    """Run 1,024 units at 100,000 spikes/s; check each recorded bin against what was sent in it."""
    settings = (
        f"session.units={UNITS}",
        "recording.snapshot_s=60.0",
        "safety.max_rate_hz=1e5",
        f"realtime.fifo_priority={FIFO}",
    )
    session = Session(folder, "--source", "zeromq", *(text for key in settings for text in ("--set", key)))
    diary = pathlib.Path(folder) / "sent_late"
    here = [sys.executable, __file__, "--sender", session.source, "--seconds", str(seconds + 60), "--diary", str(diary)]
    sending = subprocess.Popen(here)
    try:
        session.wait_for("ready")
        memory = []
        for _ in range(round(seconds)):
            time.sleep(1.0)
            memory.append(resident_mb(session.children()[0]))
        _, result = session.end()
    finally:
        sending.kill()
        sending.wait()
    recording = Recording(result["recording"])
    steps = recording.steps()["input"]
    numbers = np.rint(steps["device_time_s"] * 1e9 / BIN_NS).astype(int) - 1
    expected = np.array([np.bincount(pattern(k)[1], minlength=UNITS) for k in range(PATTERNS)])
    wrong = numbers[(steps["counts"] != expected[numbers % PATTERNS]).any(axis=1)]
    sent_late = np.array([int(line) for line in diary.read_text().split()], int)
    near = [bool(sent_late.size) and int(np.abs(sent_late - number).min()) <= LATE_REACH for number in wrong]
    warm = memory[min(10, len(memory) // 2)]
    return {
        "seconds": seconds,
        "scheduler": f"SCHED_FIFO {FIFO}" if FIFO else "stock",
        "without": [line.strip() for line in session.lines if "without:" in line],
        "bins": len(steps),
        "spikes": int(steps["counts"].sum(dtype=np.int64)),
        "bins_whose_spikes_are_not_those_sent": len(wrong),
        "of_those_not_beside_a_bin_that_the_sender_sent_late": len(wrong) - sum(near),
        "bins_that_the_sender_sent_late": int(np.isin(sent_late, numbers).sum()),
        "bins_skipped": int(np.sum(np.diff(numbers) - 1)),
        **{name: int(steps[name].sum(dtype=np.int64)) for name in ("gap_bins", "late", "duplicates", "invalid")},
        "stale_bins": int(np.sum(steps["stale"] != 0)),
        "deadline_misses": result["deadline_misses"],
        "latency_us": result["latency_us"],
        "resident_mb_after_10_s_and_at_the_end": [warm, memory[-1]],
    }


def resident_mb(pid):
    """Return the resident anonymous memory of a process, MB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


def memory(bins, folder):
    """Run so many bins of simulated time in this process; look at memory and at the garbage collector."""
    import gc
    import tracemalloc

    from bmi_runtime import config as configuration
    from bmi_runtime.session import launch
    from bmi_runtime.session.assemble import assemble

    settings = ["session.units=96", f"recording.path='{folder}/m.mcap'", "recording.snapshot_s=60.0"]
    loop = assemble(configuration.load(None, settings), "max")
    marks, traced = [], {}

    def look(loop):
        done = loop.session.bins
        if done % max(bins // 10, 1) == 0:
            marks.append(resident_mb(os.getpid()))
        if done == bins - 6000:
            tracemalloc.start()
        elif done == bins - 5000:
            traced["before"] = tracemalloc.get_traced_memory()[0]
        elif done == bins:
            traced["after"] = tracemalloc.get_traced_memory()[0]

    loop.on_bin = look
    collections = [row["collections"] for row in gc.get_stats()]
    begin = time.process_time()
    launch.run(loop, bins)
    tracemalloc.stop()
    return {
        "bins": bins,
        "resident_mb_by_tenths": [round(mark, 2) for mark in marks],
        "python_bytes_more_after_5000_bins": traced["after"] - traced["before"],
        "collections_in_the_loop": sum(row["collections"] for row in gc.get_stats()) - sum(collections) - 1,
        "cpu_us_per_bin": (time.process_time() - begin) / bins * 1e6,
    }


def endings(count, folder):
    """End sessions by each signal; measure until the process is gone and no child is left."""
    table = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        took, left = [], 0
        for run in range(count):
            place = pathlib.Path(folder) / f"{number.name}{run}"
            place.mkdir()
            session = Session(place, "--source", "zeromq", "--with-simulator", "--set", "session.units=24")
            session.wait_for("ready")
            time.sleep(0.3)
            pids = session.children()
            took.append(session.end(number)[0])
            left += sum(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
        table[number.name] = percentiles(took) | {"processes_left": left}
    return table


def start(count, folder):
    """Measure from the command to the first decoded bins: with an empty kernel cache, and with a filled one."""
    seconds = []
    for run in range(count + 1):
        place = pathlib.Path(folder) / f"start{run}"
        place.mkdir()
        session = Session(place, env={"XDG_CACHE_HOME": f"{folder}/cache"})
        session.wait_for("ready")
        while (place / "a.mcap").stat().st_size < 20_000:
            time.sleep(0.002)
        seconds.append(time.monotonic() - session.begun_s)
        fields = pathlib.Path(f"/proc/{session.process.pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        seconds[-1] = {"wall_s": round(seconds[-1], 2), "cpu_s_of_the_supervisor": cpu_s}
        session.end()
    return {"empty_cache": seconds[0], "later": seconds[1:]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = {"kills": kills, "sustained": sustained, "memory": memory, "endings": endings, "start": start}
    modes["floods"] = floods
    for name, function in modes.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=function.__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the session that is killed")
    parser.add_argument("--sender", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--diary", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sender:
        sender(options.sender, options.seconds, options.diary)
        return
    chosen = {name: getattr(options, name) for name in modes if getattr(options, name) is not None} or {"kills": 500}
    report = {}
    for name, amount in chosen.items():
        folder = tempfile.mkdtemp()
        try:
            more = {"settings": tuple(options.set)} if name == "kills" else {}
            report[name] = modes[name](amount, folder, **more)
        finally:
            shutil.rmtree(folder)
        for key, value in report[name].items():
            print(f"{name:10}  {key:40}  {value}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
