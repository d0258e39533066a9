"""The simulated closed loop: from an untrained model, and in the hard world with and without adaptation.

    python benchmarks/closed_loop.py [--seeds 5] [--jobs 2]
    python benchmarks/closed_loop.py --decoders [--seeds 8] [--jobs 2] [--calculated-gain] [--world PILOT]

Rows: the default configuration with adaptation (targets reached per minute, beside a decoder that knows the truth), and
``configs/hard_world.toml`` with adaptation and with the true initial model but no adaptation. With ``--decoders``: the
decoders of ``bmi compare --closed-loop`` in both worlds, 120 s to learn, 120 s (180 s) scored, as tables; with --world
also in the world that is fitted to PILOT. With --calculated-gain each is then steered with for a minute, and has the
gain that is calculated from it.
"""

import argparse
import concurrent.futures
import functools
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bmi_runtime import config as configuration
from bmi_runtime.cli.common import plain
from bmi_runtime.cli.compare_closed_loop import compare_closed_loop, table_row
from bmi_runtime.messages import Bin
from bmi_runtime.rehearsal.fit import world_of
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


WORLDS = {  # name: configuration, overrides, seconds that are scored
    "easy": (None, ["session.units=24"], 120.0),
    "hard": ("hard_world", [], 180.0),
}
DECODERS = (
    "adaptive", "adaptive-history", "joined", "short-history", "recurrent", "ole", "smoothbatch", "rml", "refit-kalman",
    "ridge",
)  # fmt: skip
MEASURES = {  # key: heading, factor, digits
    "successes_per_min": ("hits/min", 1.0, 1),
    "success_rate": ("success", 1.0, 2),
    "time_to_target_s": ("time to target, s", 1.0, 2),
    "path_efficiency": ("path efficiency", 1.0, 3),
    "orthogonal_deviation_m": ("orthogonal deviation, mm", 1e3, 2),
    "throughput_bits_s": ("Fitts, bits/s", 1.0, 2),
    "bit_rate_bits_s": ("bits/s", 1.0, 2),
    "unrelated_per_min": ("unrelated hits/min", 1.0, 1),
    "gain": ("gain", 1.0, 2),
}


def decoders_of(world, seed, names, settings, calculated_gain):
    """Return the runs of every decoder with one subject."""
    path, overrides, test_s = WORLDS.get(world, (None, [], 120.0))
    options = {"seeds": 1, "seed": seed, "calibration_s": 120.0, "test_s": test_s, "config_path": path}
    if world not in WORLDS:
        options["world"] = fitted(world)
    options |= {"overrides": [*overrides, *settings], "calculated_gain": calculated_gain}
    return {row["decoder"]: row["runs"][0] for row in compare_closed_loop(names, options)["table"]}


@functools.lru_cache(maxsize=1)
def fitted(pilot):
    """Return the world fitted to a pilot, once in this process."""
    return world_of(pilot)[0]


def compare(names, seeds, jobs, worlds, settings, calculated_gain):
    """Print one table a world: means over subjects, and differences from the first decoder with 95 % intervals."""
    work = [(world, seed) for world in worlds for seed in range(1, seeds + 1)]
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        futures = {pool.submit(decoders_of, *pair, names, settings, calculated_gain): pair for pair in work}
        done = {}
        for future in concurrent.futures.as_completed(futures):
            done[futures[future]] = future.result()
            print(futures[future], json.dumps(plain(done[futures[future]])), flush=True)
    tables = {}
    for world in worlds:
        runs = {name: [done[world, seed][name] for seed in range(1, seeds + 1)] for name in names}
        tables[world] = [table_row(name, runs[name], runs[names[0]]) for name in names]
        heads = ["decoder", *(head for head, _, _ in MEASURES.values())]
        print(f"\n{world} world, {seeds} subjects\n\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
        for row in tables[world]:
            cells = [f"{k * row['mean'][key]:.{digits}f}" for key, (_, k, digits) in MEASURES.items()]
            print(f"| {row['decoder']} | {' | '.join(cells)} |")
        print(f"\n| minus {names[0]} | {' | '.join(heads[1:])} |\n|{' --- |' * len(heads)}")
        for row in tables[world][1:]:
            cells = []
            for key, (_, k, digits) in MEASURES.items():
                mean, low, high = (k * value for value in row["difference"][key])
                interval = f"({low:+.{digits}f} to {high:+.{digits}f})" if low == low else "(one seed)"
                cells.append(f"{mean:+.{digits}f} {interval}")
            print(f"| {row['decoder']} | {' | '.join(cells)} |")
    print(json.dumps(plain({"decoders": tables})))


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
    parser.add_argument("--decoders", nargs="?", const=",".join(DECODERS), help="compare these in both worlds")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every decoder's session")
    parser.add_argument("--world", metavar="PILOT", help="also the world fitted to this recording")
    parser.add_argument("--calculated-gain", action="store_true", help="each decoder has its own calculated gain")
    options = parser.parse_args()
    if options.decoders:
        names, worlds = options.decoders.split(","), [name for name in options.worlds.split(",") if name]
        worlds += [options.world] if options.world else []
        compare(names, options.seeds, options.jobs, worlds, options.set, options.calculated_gain)
        return
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
