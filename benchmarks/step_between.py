"""The whole step of a session in this tree and in another one, turn about in one run: what a change cost.

    git worktree add /tmp/before COMMIT
    python benchmarks/step_between.py /tmp/before [--units 96,256] [--rounds 60]

Each tree has a process of its own on the same processor. They take turns of 200 bins, so that whatever else the machine
does falls on both; the ratio is the median over the rounds of (median of this tree / median of the other), with the
quartiles of it. `respond` is what stands between a bin and its command, `settle` what follows the command. Prints a
table and one JSON line.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

HERE = pathlib.Path(__file__).resolve().parents[1]
TURN = 200  # bins
PARTS = ("respond", "settle", "step")


class Turns:
    """A session that steps so many bins whenever it is told to; it uses only what both trees have."""

    def __init__(self, n_units):
        from bmi_runtime import config as configuration
        from bmi_runtime.messages import Bin
        from bmi_runtime.session.core import Session, warm_up
        from simulators.world import World

        config = configuration.load(None, [f"session.units={n_units}"])
        warm_up(config)
        world = World(config)
        self.session, self.given = Session(config, world.initial_model()), Bin(n_units, False)
        angles = np.linspace(0.0, 2.0 * np.pi, TURN)
        emit = world.population.emit
        self.counts = [emit(0.05 * np.cos(a), 0.05 * np.sin(a)).astype(float) for a in angles]

    def take(self):
        """Return the median durations of the parts over one turn, us."""
        session, given, clock = self.session, self.given, time.perf_counter_ns
        taken = np.empty((TURN, 2))
        for row, counts in zip(taken, self.counts, strict=True):
            given.fields.counts[:] = counts
            begin = clock()
            session.respond(given.bytes)
            middle = clock()
            session.settle()
            row[:] = middle - begin, clock() - middle
            session.events.clear()
        respond, settle = np.median(taken, axis=0) / 1e3
        return float(respond), float(settle), float(np.median(taken.sum(axis=1)) / 1e3)


def work(n_units):
    """Take a turn for every line that is read."""
    turns = Turns(n_units)
    for _ in range(10):  # past the bins in which the monitor has nothing to judge yet
        turns.take()
    for _ in sys.stdin:
        print(json.dumps(turns.take()), flush=True)


def started(tree, n_units):
    """Start the process of one tree, on the processor of this one."""
    command = [sys.executable, str(pathlib.Path(__file__).resolve()), str(tree), "--work", str(n_units)]
    env = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.Popen(command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def compare(other, n_units, rounds):
    """Return the row of one number of units."""
    processes = [started(tree, n_units) for tree in (HERE, other)]
    taken = np.empty((rounds, 2, len(PARTS)))
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            print(file=processes[which].stdin, flush=True)
            taken[number, which] = json.loads(processes[which].stdout.readline())
    for process in processes:
        process.stdin.close()
        process.wait()
    row = {"units": n_units}
    for part, (here, there) in zip(PARTS, taken.transpose(2, 1, 0), strict=True):
        low, middle, high = np.percentile(here / there, [25, 50, 75])
        row[part] = {"here_us": float(np.median(here)), "there_us": float(np.median(there))}
        row[part] |= {"ratio": float(middle), "quartiles": [float(low), float(high)]}
    return row


def main():
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=pathlib.Path, help="the folder of the other tree")
    parser.add_argument("--units", default="96,256")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.work:
        work(options.work)
        return
    rows = [compare(options.other.resolve(), int(n), options.rounds) for n in options.units.split(",")]
    print(f"{'units':>6} {'part':>8} {'here':>9} {'other':>9} {'ratio':>6}  quartiles")
    for row in rows:
        for part in PARTS:
            cell = row[part]
            low, high = cell["quartiles"]
            times = f"{cell['here_us']:6.1f} us {cell['there_us']:6.1f} us"
            print(f"{row['units']:6d} {part:>8} {times} {cell['ratio']:6.2f}  {low:.2f} to {high:.2f}")
    print(json.dumps({"step_between": rows}))


if __name__ == "__main__":
    main()
