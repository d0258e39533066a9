"""The simulated closed loop: from an untrained model, and in the hard world with and without adaptation.

    python benchmarks/closed_loop.py [--seeds 5] [--jobs 2]

Rows: the default configuration with adaptation (targets reached per minute, beside a decoder that knows the truth), and
``configs/hard_world.toml`` with adaptation and with the true initial model but no adaptation.
"""

import argparse
import concurrent.futures
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bmi_runtime import config as configuration
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from simulators.source import SimulatedSource

CASES = {  # name: (configuration, overrides, minutes)
    "default, untrained": (None, (), 5),
    "default, truth known": (None, ("encoding.initial=truth", "adapter.enabled=false"), 5),
    "default, gaussian": (
        None,
        ("session.likelihood=gaussian", "decoder.kind=kalman", "adapter.learning_rate=1e-4"),
        5,
    ),
    "real world": ("real_world", (), 10),
    "hard world": ("hard_world", (), 10),
    "hard world, truth, no adaptation": ("hard_world", ("encoding.initial=truth", "adapter.enabled=false"), 10),
}


def minutes_of(case, seed):
    """Return (reached, missed) for each minute of one session."""
    name, overrides, minutes = CASES[case]
    config = configuration.load(name, [*overrides, f"session.seed={seed}"])
    source = SimulatedSource(config)
    session, given = Session(config, source.world.initial_model()), Bin(config.session.units, config.continuous)
    rows, before = [], (0, 0)
    for _ in range(minutes):
        for _ in range(round(60.0 / config.bin_s)):
            source.next_bin(given, session.cursor, session.task.target)
            session.step(given.bytes)
            session.events.clear()
        after = (session.task.successes, session.task.timeouts)
        rows.append((after[0] - before[0], after[1] - before[1]))
        before = after
    return rows


def main():
    """Run every case on every seed, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    work = [(case, seed) for case in CASES for seed in range(1, options.seeds + 1)]
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        done = dict(zip(work, pool.map(minutes_of, *zip(*work)), strict=True))
    print("reached/shown in each minute (worst seed by reached fraction); mean reached per minute over seeds")
    table = []
    for case, (_, _, minutes) in CASES.items():
        runs = [done[case, seed] for seed in range(1, options.seeds + 1)]
        worst = [min((run[m] for run in runs), key=lambda pair: pair[0] / max(sum(pair), 1)) for m in range(minutes)]
        pace = sum(pair[0] for run in runs for pair in run) / (len(runs) * minutes)
        table.append({"case": case, "worst": worst, "per_minute": pace, "runs": runs})
        print(f"{case:34s} {pace:5.1f}/min  " + " ".join(f"{hit}/{hit + miss}" for hit, miss in worst))
    print(json.dumps({"closed_loop": table}))


if __name__ == "__main__":
    main()
