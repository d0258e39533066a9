"""Sixty simulated days without targets: our adaptation against supervised, frozen, PRI-T and a stabiliser.

    python benchmarks/days.py                              # 60 days of a minute, 8 subjects: about ten minutes of CPU
    python benchmarks/days.py --days 8 --subjects 4 --day-s 180 --bin-s 0.02
    python benchmarks/days.py --keep lives --json out.json # can be stopped and goes on where it was

Every life of a subject with a method is kept in the folder `--keep` as soon as it is over. Several processes may share
the folder (`--seed 1 --subjects 4` and `--seed 5 --subjects 4`); the last call, over all subjects, reads and judges.
Exit 3 when a wanted bound does not hold: without any target at least 95 % of the success and of the hits of supervised
adaptation, more than frozen, PRI-T and stabiliser (intervals over subjects that leave out zero), and first minutes with
at least 95 % success.
"""

import argparse
import json
import os
import pathlib
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np

from bmi_runtime.cli.common import plain
from bmi_runtime.cli.compare_days import METHODS, compared, life, table


def lived(name, seed, options, folder):
    """Return one subject's days with one method, from the folder where it has them."""
    kept = folder / f"{name}-{seed}.json" if folder else None
    settings = {key: options[key] for key in ("days", "test_s", "calibration_s", "bin_s", "overrides")}
    if kept and kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["settings"] != settings:
            sys.exit(f"{kept} is of other settings ({found['settings']}): give another folder (--keep)")
        return {key: np.array(values) for key, values in found["days"].items()}
    days = life(METHODS[name], options["days"], options, seed)
    if kept:
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"settings": settings, "days": plain(days)}), encoding="utf-8")
        part.replace(kept)
    minutes = days["seconds"].sum() / 60.0
    print(f"{name} {seed}: {days['hits'].sum() / minutes:.1f} hits a minute", file=sys.stderr, flush=True)
    return days


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--day-s", type=float, default=60.0)
    parser.add_argument("--bin-s", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1, help="of the first subject")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--json")
    given = parser.parse_args()
    options = {
        "days": given.days, "test_s": given.day_s, "calibration_s": 120.0, "bin_s": given.bin_s,
        "config_path": None, "overrides": given.overrides,
    }  # fmt: skip
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    seeds = range(given.seed, given.seed + given.subjects)
    done = {(name, seed): lived(name, seed, options, given.keep) for seed in seeds for name in METHODS}
    runs = {name: [done[name, seed] for seed in seeds] for name in METHODS}
    first = next(iter(METHODS))
    result = {
        "days": given.days, "day_s": given.day_s, "calibration_s": 120.0, "seeds": given.subjects, "reference": first,
        "bin_s": given.bin_s, "first_seed": given.seed,
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
    checks = {}
    for what, key in (("success", "ratio_of_success"), ("hits", "ratio_of_hits")):
        ratio = rows["supervised"][key][0]
        checks[f"{what} without a target: {100 * ratio:.1f} % of supervised (95 wanted)"] = ratio >= 0.95
    minute = rows["inferred"]["mean"]["first_minute_success"]
    checks[f"first minutes: {100 * minute:.1f} % success (95 wanted)"] = minute >= 0.95
    for name in ("frozen", "pri-t", "stabiliser"):
        for key, unit in (("hits_per_min", "hits a minute"), ("success_rate", "success")):
            mean, _, high = rows[name]["difference"][key]
            checks[f"more than {name} ({-mean:.2f} {unit})"] = bool(high < 0.0)
    return checks


if __name__ == "__main__":
    sys.exit(main())
