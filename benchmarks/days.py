"""Sixty simulated days without targets: our adaptation against supervised, frozen, PRI-T and a stabiliser.

    python benchmarks/days.py                              # 60 days, 8 subjects: about two hours on two cores
    python benchmarks/days.py --days 8 --subjects 4        # what the documentation quotes
    python benchmarks/days.py --json out.json

One process for each subject. Exit 3 when a wanted bound does not hold: without any target at least 95 % of the hits of
supervised adaptation, more than frozen, PRI-T and stabiliser (intervals over subjects that leave out zero), and first
minutes with at least 95 % success.
"""

import argparse
import concurrent.futures
import json
import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from bmi_runtime.cli.common import plain
from bmi_runtime.cli.compare_days import METHODS, compared, life, table


def one(task):
    """Return one subject's days with one method."""
    name, seed, options = task
    return life(METHODS[name], options["days"], options, seed)


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--day-s", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=max((os.cpu_count() or 2) - 1, 1))
    parser.add_argument("--json")
    given = parser.parse_args()
    options = {
        "days": given.days, "seeds": given.subjects, "test_s": given.day_s, "calibration_s": 120.0,
        "config_path": None, "overrides": [],
    }  # fmt: skip
    seeds = range(given.seed, given.seed + given.subjects)
    tasks = [(name, seed, options) for seed in seeds for name in METHODS]
    with concurrent.futures.ProcessPoolExecutor(given.processes) as pool:
        done = dict(zip([task[:2] for task in tasks], pool.map(one, tasks), strict=True))
    runs = {name: [done[name, seed] for seed in seeds] for name in METHODS}
    first = next(iter(METHODS))
    result = {
        "days": given.days, "day_s": given.day_s, "calibration_s": 120.0, "seeds": given.subjects, "reference": first,
        "table": [compared(name, runs[name], runs[first]) for name in METHODS],
    }  # fmt: skip
    print(table(result))
    checks = bounds(result)
    for sentence, holds in checks.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {sentence}")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(plain(result | {"checks": checks}), file)
    return 0 if all(checks.values()) else 3


def bounds(result) -> dict[str, bool]:
    """Return what was wanted, and whether it holds."""
    rows = {row["decoder"]: row for row in result["table"]}
    ratio = rows["supervised"]["ratio_of_hits"][0]
    minute = rows["inferred"]["mean"]["first_minute_success"]
    checks = {
        f"hits without a target are {100 * ratio:.1f} % of supervised (95 wanted)": ratio >= 0.95,
        f"first minutes: {100 * minute:.1f} % success (95 wanted)": minute >= 0.95,
    }
    for name in ("frozen", "pri-t", "stabiliser"):
        mean, _, high = rows[name]["difference"]["hits_per_min"]
        checks[f"more hits than {name} ({-mean:.1f} a minute)"] = bool(high < 0.0)
    return checks


if __name__ == "__main__":
    sys.exit(main())
