"""What each adapter costs a bin: from the message as it came to the bin filled, under a virtual clock.

    python benchmarks/adapters.py [--units 96] [--bins 4000] [--rounds 5] [--only NAME] [--beside TREE]

Messages of `--bins` bins of 5 ms are made first (10 Hz a unit); then they are taken one after the other and the
processor time from the first to the last bin is divided by their number. No socket is read: what is measured is
parsing, checking, the clock and the bins. `--beside` runs the same of another working copy in turn, process by
process, and prints the ratio of the smallest times: on a shared machine the only number to be believed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

HERE = pathlib.Path(__file__).parent.parent
BIN_NS = 5_000_000
DEVICE_START_NS, HOST_NS = 10**10, 10**13
RATE_HZ = 10.0
NAMES = ("zeromq", "zeromq-counts", "redis", "blackrock", "open-ephys", "lsl")
WARM_UP = 400


class Counts:
    """Counts on our own wire."""

    def __init__(self, config, rng):
        from bmi_runtime.sources.zeromq import ZeroMQFeed

        self.feed, self.seq = ZeroMQFeed(config), 0

    def good(self, from_ns, until_ns, counts):
        """Yield the message of one bin."""
        from bmi_runtime import wire

        self.seq += 1
        yield wire.encode("counts", 7, self.seq, from_ns=from_ns, until_ns=until_ns, counts=counts.astype("u2"))


class Device:
    """Hands over messages that were made before, each at its time, as the receiving side of a feed."""

    def __init__(self, feed, messages):
        self.feed, self.OPTIONS = feed, feed.OPTIONS
        self.messages = iter(messages)
        self.now_ns = HOST_NS
        self.next = next(self.messages)

    def open(self):
        """Do nothing."""

    close = open

    def receive(self, binner, timeout_s):
        """Hand over one message that has come by then."""
        until_ns = self.now_ns + round(timeout_s * 1e9)
        if self.next is None or self.next[0] > until_ns:
            self.now_ns = until_ns
            return False
        host_ns, message = self.next
        self.now_ns = max(self.now_ns, host_ns)
        if type(message) is tuple:
            self.feed.accept(*message, host_ns, binner)
        else:
            self.feed.accept(message, host_ns, binner)
        self.next = next(self.messages, None)
        return True


def measure(name, units, bins):
    """Return the processor time of a bin in us, with this process's own working copy."""
    import faults_wire
    import numpy as np

    from bmi_runtime import config as configuration
    from bmi_runtime.messages import Bin
    from bmi_runtime.sources.live import LiveSource

    options = ["source.options.kind=events"] if name == "lsl" else []
    config = configuration.load(None, [f"session.units={units}", "source.options.wait_s=0", *options])
    rng = np.random.default_rng(1)
    protocol = (Counts if name == "zeromq-counts" else faults_wire.PROTOCOLS[name])(config, rng)
    messages = []
    for k in range(bins + WARM_UP):
        counts = rng.poisson(RATE_HZ * BIN_NS * 1e-9, units)
        start = DEVICE_START_NS + k * BIN_NS
        host_ns = HOST_NS + (k + 1) * BIN_NS + 100_000
        messages += [(host_ns, message) for message in protocol.good(start, start + BIN_NS, counts)]
    device = Device(protocol.feed, messages)
    source = LiveSource(config, device, lambda: device.now_ns)
    into, done, begin = Bin(units, False), 0, 0.0
    while device.next is not None:
        if done == WARM_UP:
            begin = time.process_time()
        source.next_bin(into, None, None)
        done += 1
    took_s = time.process_time() - begin
    us = 1e6 * took_s / (done - WARM_UP)
    return {"name": name, "units": units, "us": us, "bins": done, "stale": int(source.binner.totals["stale_bins"])}


def child(tree, name, given):
    """Measure in a process of its own, with the working copy `tree`."""
    paths = [str(tree), str(pathlib.Path(tree) / "benchmarks")]
    command = [sys.executable, __file__, "--here", name, "--units", str(given.units), "--bins", str(given.bins)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"measuring {name} in {tree} failed")
    return json.loads(done.stdout)


def main():
    """Measure every adapter in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=96)
    parser.add_argument("--bins", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=NAMES, action="append")
    parser.add_argument("--beside", metavar="TREE", help="another working copy, measured in turn with this one")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.here, given.units, given.bins)))
        return
    trees = [HERE, *([pathlib.Path(given.beside).resolve()] if given.beside else [])]
    print(f"{'adapter':>14} {'us a bin':>9}" + (f" {'beside':>9} {'ratio':>6}" if given.beside else ""))
    rows = []
    for name in given.only or NAMES:
        found = [[child(tree, name, given) for tree in trees] for _ in range(given.rounds)]
        row = dict(min((results[0] for results in found), key=lambda result: result["us"]))
        shown = f"{name:>14} {row['us']:9.1f}"
        if given.beside:
            row["beside_us"] = min(results[1]["us"] for results in found)
            row["ratio"] = row["us"] / row["beside_us"]
            shown += f" {row['beside_us']:9.1f} {row['ratio']:6.2f}"
        rows.append(row)
        print(shown, flush=True)
    print(json.dumps({"adapters": rows}))


if __name__ == "__main__":
    main()
