"""What recording a bin costs: our writer against a bare ``os.write`` of the same bytes, and against mcap's own writer.

    python benchmarks/recording.py [--bins 20000] [--units 96 256 1000] [--folder DIR] [--cold]

All three write the same steps, interleaved in blocks, into files of the same folder; the synchronising thread of our
writer runs as in a session. The numbers are per bin; `x bare` is the ratio of the medians. With `--cold` 4 MB of other
memory are touched before every call, as a session's other work would (use fewer bins). Then the recording is opened and
every step is checked and read.
"""

import argparse
import json
import os
import tempfile
import time

import numpy as np
from mcap.writer import Writer

from bmi_runtime.messages import step_dtype
from bmi_runtime.recording.frames import MESSAGE_HEAD
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.writer import RecordingWriter

BLOCK = 500


class Unbuffered:
    """What mcap's writer is given so that every message is one system call."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.size = 0

    def write(self, data):
        """Write at once."""
        self.size += os.write(self.file, data)

    def tell(self):
        """Return the bytes written so far."""
        return self.size


def writers(folder, n_units):
    """Return the three ways of writing one step, as functions of (step bytes, time), and the file of ours."""
    ours = RecordingWriter(f"{folder}/{n_units}.mcap", {"benchmark": True}, n_units, False)
    bare = os.open(f"{folder}/{n_units}.raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    peer = Writer(Unbuffered(f"{folder}/{n_units}.peer.mcap"), use_chunking=False)
    peer.start()
    channel = peer.register_channel("step", "raw", peer.register_schema("step", "", b""))
    frame = bytes(MESSAGE_HEAD.size + step_dtype(n_units, False).itemsize)
    return ours, {
        "bare os.write": lambda step, time_ns: os.write(bare, frame),
        "RecordingWriter": ours.write_step,
        "mcap Writer": lambda step, time_ns: peer.add_message(channel, time_ns, step, time_ns),
    }


def measure(ways, steps, cold=False):
    """Return per way the durations of each call, ns, and the CPU seconds of all calls (and of what is between them)."""
    other = np.zeros(500_000)
    durations = {name: np.zeros(len(steps), np.int64) for name in ways}
    cpu_s = dict.fromkeys(ways, 0.0)
    clock = time.perf_counter_ns
    for first in range(0, len(steps), BLOCK):
        for name, write in ways.items():
            taken = durations[name]
            started = time.thread_time()
            for number in range(first, min(first + BLOCK, len(steps))):
                if cold:
                    other += 1.0
                before = clock()
                write(steps[number], number)
                taken[number] = clock() - before
            cpu_s[name] += time.thread_time() - started
    return durations, cpu_s


def benchmark(n_units, n_bins, folder, cold):
    """Return the rows of one number of units."""
    rng = np.random.default_rng(n_units)
    array = np.zeros(n_bins, step_dtype(n_units, False))
    array["input"]["counts"] = rng.poisson(0.05, (n_bins, n_units))
    steps = [step.tobytes() for step in array]
    ours, ways = writers(folder, n_units)
    durations, cpu_s = measure(ways, steps, cold)
    ours.close()
    if ours.failed:
        raise SystemExit(f"the recording failed: {ours.failed}")
    rows = {}
    for name in ways:
        taken_us = durations[name] / 1e3
        p50, p99, p99_9 = np.percentile(taken_us, [50, 99, 99.9])
        cpu_us = None if cold else cpu_s[name] / n_bins * 1e6
        rows[name] = {"cpu_us": cpu_us, "p50_us": p50, "p99_us": p99, "p99_9_us": p99_9}
    started = time.process_time()
    recording = Recording(ours.path)
    read = recording.steps()
    read_us = (time.process_time() - started) / n_bins * 1e6
    if not recording.complete or read.tobytes() != array.tobytes():
        raise SystemExit("the recording did not come back to the bit")
    return {"units": n_units, "step_bytes": array.itemsize, "writers": rows, "read_and_check_us": read_us}


def _number(value):
    """Return a number for the table, or a dash."""
    return f"{'-':>8}" if value is None else f"{value:>8.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bins", type=int, default=20_000)
    parser.add_argument("--units", type=int, nargs="+", default=[96, 256, 1000])
    parser.add_argument("--folder", help="where to write (a temporary folder by default)")
    parser.add_argument("--cold", action="store_true", help="touch other memory before every call")
    arguments = parser.parse_args()
    results = []
    columns = ("cpu us", "p50 us", "p99 us", "p99.9", "x bare")
    print(f"{'units':>6} {'bytes':>6}  {'writer':<16} " + " ".join(f"{name:>8}" for name in columns))
    for n_units in arguments.units:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            result = benchmark(n_units, arguments.bins, folder, arguments.cold)
        results.append(result)
        bare_us = result["writers"]["bare os.write"]["p50_us"]
        for name, row in result["writers"].items():
            row["ratio_to_bare"] = row["p50_us"] / bare_us
            print(
                f"{n_units:>6} {result['step_bytes']:>6}  {name:<16} {_number(row['cpu_us'])} {row['p50_us']:>8.2f} "
                f"{row['p99_us']:>8.2f} {row['p99_9_us']:>8.1f} {row['ratio_to_bare']:>8.2f}"
            )
        print(f"{'':>14}  open, check, read: {result['read_and_check_us']:.2f} us of CPU per bin")
    print(json.dumps({"benchmark": "recording", "bins": arguments.bins, "cold": arguments.cold, "results": results}))


if __name__ == "__main__":
    main()
