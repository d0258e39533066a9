"""What each adapter costs a bin: from the message as it came to the bin filled, under a virtual clock.

    python benchmarks/adapters.py [--units 96] [--bins 300] [--rounds 20] [--only NAME] [--beside TREE]

Messages of 5 ms (10 Hz a unit) are made first; then they are taken one after the other, and the processor time of
`--bins` bins is divided by their number. No socket is read: what is measured is parsing, checking, the clock and the
bins. With `--beside` another working copy does the same in a process of its own, and the two take turns round by round:
on a shared machine the ratio of the smallest times (and of the medians) is the only number to be believed.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
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

    def __init__(self, feed):
        self.feed, self.OPTIONS = feed, feed.OPTIONS
        self.now_ns, self.next = HOST_NS, None

    def give(self, messages):
        """Take messages to hand over, each with its host time."""
        self.messages = iter(list(messages))
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


def rounds_of(name, units, bins):
    """Yield, each time it is asked, the processor time of a bin in us, with this process's own working copy."""
    import faults_wire
    import numpy as np

    from bmi_runtime import config as configuration
    from bmi_runtime.messages import Bin
    from bmi_runtime.sources.live import LiveSource

    options = ["source.options.kind=events"] if name == "lsl" else []
    config = configuration.load(None, [f"session.units={units}", "source.options.wait_s=0", *options])
    rng = np.random.default_rng(1)
    protocol = (Counts if name == "zeromq-counts" else faults_wire.PROTOCOLS[name])(config, rng)

    def made():
        for k in itertools.count():
            counts = rng.poisson(RATE_HZ * BIN_NS * 1e-9, units)
            start = DEVICE_START_NS + k * BIN_NS
            messages = protocol.good(start, start + BIN_NS, counts)
            yield [(HOST_NS + (k + 1) * BIN_NS + 100_000, message) for message in messages]

    sent, begun = made(), False
    device = Device(protocol.feed)
    source = LiveSource(config, device, lambda: device.now_ns)
    into = Bin(units, False)
    while True:
        device.give(itertools.chain.from_iterable(itertools.islice(sent, bins if begun else WARM_UP)))
        done, begin = 0, time.process_time()
        while device.next is not None:
            source.next_bin(into, None, None)
            done += 1
        took_s, begun = time.process_time() - begin, True
        yield {"us": 1e6 * took_s / done, "stale": int(source.binner.totals["stale_bins"])}


class Child:
    """A process that measures with one working copy, round by round."""

    def __init__(self, tree, name, given):
        paths = [str(tree), str(pathlib.Path(tree) / "benchmarks")]
        command = [sys.executable, __file__, "--here", name, "--units", str(given.units), "--bins", str(given.bins)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.times, self.stale = [], 0
        self.round(keep=False)

    def round(self, keep=True):
        """Have it measure once."""
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or "null")
        if answer is None:
            raise SystemExit("the process that measures ended")
        self.times += [answer["us"]] * keep
        self.stale = answer["stale"]

    def end(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def compare(name, trees, given):
    """Return the row of one adapter."""
    children = [Child(tree, name, given) for tree in trees]
    for _ in range(given.rounds):
        for child in children:
            child.round()
    for child in children:
        child.end()
    row = {"adapter": name, "units": given.units, "stale": children[0].stale}
    for key, child in zip(("us", "beside_us"), children):
        row |= {key: min(child.times), f"{key}_median": statistics.median(child.times)}
    if given.beside:
        row |= {"ratio": row["us"] / row["beside_us"], "ratio_median": row["us_median"] / row["beside_us_median"]}
    return row


def main():
    """Measure every adapter in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=96)
    parser.add_argument("--bins", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=NAMES, action="append")
    parser.add_argument("--beside", metavar="TREE", help="another working copy, measured in turn with this one")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        measured = rounds_of(given.here, given.units, given.bins)
        for _ in sys.stdin:
            print(json.dumps(next(measured)), flush=True)
        return
    trees = [HERE, *([pathlib.Path(given.beside).resolve()] if given.beside else [])]
    columns = ["us", "us_median", *(["beside_us", "ratio", "ratio_median"] if given.beside else [])]
    print(f"{'adapter':>14}" + "".join(f"{column:>14}" for column in columns))
    rows = []
    for name in given.only or NAMES:
        rows.append(compare(name, trees, given))
        print(f"{name:>14}" + "".join(f"{rows[-1][column]:14.2f}" for column in columns), flush=True)
    print(json.dumps({"adapters": rows}))


if __name__ == "__main__":
    main()
