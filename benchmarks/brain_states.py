"""The simulated closed loop over brain states, mixtures of units, tunings and clicks; every session starts untrained.

    python benchmarks/brain_states.py [--seeds 8] [--jobs 2] [--only CASE ...]

Each row: targets reached of those shown in the second minute, over all seeds; the pace; the root mean square
difference of decoded from intended velocity in that minute, with the 95 % interval of its mean over seeds (Student's
t). Pairs of rows that answer the same question are compared seed by seed.
"""

import argparse
import concurrent.futures
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.stats import t

from bmi_runtime import config as configuration
from bmi_runtime.messages import Bin
from bmi_runtime.session.core import Session
from simulators.source import SimulatedSource

NAMES = ("x", "y", "z", "pitch", "yaw", "roll", "grasp")
RICH = ("population.position_depth=[0.3,0.9]", "population.speed_depth=[0.2,0.6]")
CASES = {  # name: overrides
    **{f"{n} axes": (f"state.axes={list(NAMES[:n])}",) for n in (1, 2, 3, 4, 7)},
    "24 units": ("session.units=24",),
    "24 features": ("session.units=0", "session.features=24"),
    "1 unit + 24 features": ("session.units=1", "session.features=24"),
    "24 units + 24 features": ("session.units=24", "session.features=24"),
    "rich tuning, velocity model": RICH,
    "rich tuning, rich model": (*RICH, "encoding.regressors=['velocity','position','speed']"),
    "click": ("state.click=true", "task.kind=centre-out-click"),
}
PAIRS = (
    ("24 units + 24 features", "24 units"),
    ("24 units + 24 features", "1 unit + 24 features"),
    ("rich tuning, rich model", "rich tuning, velocity model"),
)
MINUTE_S = 60.0


def second_minute(case, seed):
    """Return reached, missed, clicks, false clicks and the velocity error (m/s) in the second minute of one session."""
    config = configuration.load(None, [*CASES[case], f"session.seed={seed}"])
    source, n = SimulatedSource(config), config.space.n_axes
    session, given = Session(config, source.world.initial_model()), Bin(*config.layout)
    bins, squares = round(MINUTE_S / config.bin_s), 0.0
    for minute in range(2):
        task = session.task
        before = np.array([getattr(task, name, 0) for name in ("successes", "timeouts", "clicks", "false_clicks")])
        for _ in range(bins):
            source.next_bin(given, session.cursor, task.target)
            record = session.step(given.bytes)
            session.events.clear()
            if minute:
                squares += float(np.sum((record.output.decoded[n:] - source.world.intended) ** 2))
    after = np.array([getattr(task, name, 0) for name in ("successes", "timeouts", "clicks", "false_clicks")])
    return *(after - before).tolist(), float(np.sqrt(squares / bins))


def interval(values):
    """Return mean and half width of the 95 % interval of the mean."""
    values = np.asarray(values)
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(half)


def main():
    """Run every case on every seed, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=list(CASES))
    options = parser.parse_args()
    cases = options.only or list(CASES)
    work = [(case, seed) for case in cases for seed in range(1, options.seeds + 1)]
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        done = dict(zip(work, pool.map(second_minute, *zip(*work)), strict=True))
    rows = {}
    for case in cases:
        runs = np.array([done[case, seed] for seed in range(1, options.seeds + 1)])
        hits, misses, clicks, wrong = (int(total) for total in runs[:, :4].sum(axis=0))
        mean, half = interval(100 * runs[:, 4])
        rows[case] = {
            "reached": hits,
            "shown": hits + misses,
            "per_minute": hits / options.seeds,
            "error_cm_s": mean,
            "half_width_cm_s": half,
            "clicks": clicks,
            "false_clicks": wrong,
        }
        said = f", {wrong} of {clicks} clicks false" if clicks else ""
        print(
            f"{case:30s} {hits:5d} of {hits + misses:5d} reached, {hits / options.seeds:5.1f}/min, error "
            f"{mean:5.2f} +- {half:.2f} cm/s{said}"
        )
    for better, other in PAIRS:
        if better in rows and other in rows:
            pairs = [[100 * done[name, seed][4] for name in (other, better)] for seed in range(1, options.seeds + 1)]
            mean, half = interval(np.diff(pairs, axis=1)[:, 0])
            rows[f"{better} - {other}"] = {"difference_cm_s": mean, "half_width_cm_s": half}
            print(f"{better} less {other}: {mean:+.2f} +- {half:.2f} cm/s")
    print(json.dumps({"brain_states": rows}))


if __name__ == "__main__":
    main()
