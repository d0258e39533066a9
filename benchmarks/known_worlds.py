"""Rehearsals against truth: two minutes of known worlds, and what sessions in those same worlds really give.

    python benchmarks/known_worlds.py                        # ten worlds x ten settings: some ten minutes of CPU
    python benchmarks/known_worlds.py --worlds 4 --settings 6
    python benchmarks/known_worlds.py --seed 7               # other worlds, drawn at random
    python benchmarks/known_worlds.py --keep rows.jsonl      # can be stopped and goes on where it was
    python benchmarks/known_worlds.py --seconds 120          # sessions of two minutes: three times the CPU

A pilot of `PILOT_S` is recorded in each world with the settings as they are, a world is fitted to it, and every setting
is rehearsed in it. Then sessions are run in the known world itself: the same units, other noise. A line says, per
world, how many of the true means (hits per minute, time to target) lie in the 95 % interval that the rehearsal gives
for one session, Spearman's correlation of predicted with true hits over the settings, and the true hits of the
recommended setting over those of the best. Exit 3 when, over all worlds, fewer than 90 % are inside, the mean
correlation is below 0.85, or a recommended setting has less than 97 % of the best one's hits by more than twice the
standard error that the true sessions leave.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from scipy.stats import rankdata

from bmi_runtime import config as configuration
from bmi_runtime.cli.common import plain
from bmi_runtime.cli.rehearse_candidates import base_configuration
from bmi_runtime.rehearsal import sessions, study
from bmi_runtime.rehearsal.fit import world_of
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from simulators.world import World

BASE = {"session.bin_s": "0.02", "session.units": "60", "adapter.learning_rate": "4e-6"}
WORLDS = [
    {"subject.feedback_delay_s": "0.15", "subject.intention_noise": "0.3", "session.units": "96"},
    {"population.burst_extra": "0.5", "subject.feedback_delay_s": "0.1"},
    {"population.depth": "[0.2,0.5]"},
    {"population.untuned_fraction": "0.5", "subject.intention_noise": "0.5"},
    {"population.noise_sd": "0.4", "population.noise_shared": "0.5", "session.units": "96"},
    {"population.baseline_walk_per_root_s": "0.03", "population.direction_walk_rad_per_root_s": "0.03"},
    {"population.speed_depth": "[-0.3,0.3]", "population.position_depth": "[0.0,0.3]"},
    {"population.history_gain": "[-0.6,0.04]", "subject.feedback_delay_s": "0.2"},
    {"population.baseline_hz": "[2.0,8.0]", "session.units": "120"},
    {"subject.natural_frequency_hz": "0.6", "subject.intention_noise": "0.1", "session.units": "40"},
]
SETTINGS = [
    {},
    {"adapter.learning_rate": "4e-3"},
    {"adapter.learning_rate": "4e-2"},
    {"decoder.velocity_sd_m_s": "0.05"},
    {"decoder.velocity_time_constant_s": "0.1"},
    {"decoder.parameter_trust": "0.0"},
    {"task.target_radius_m": "0.01"},
    {"task.hold_s": "0.6"},
    {"adapter.rate_search": "true"},
    {"encoding.regressors": "['velocity','history']"},
]
PILOT_S, SECONDS, SEEDS, TRUE_SEEDS = 120.0, 40.0, 6, 6
MEASURES = ("hits_per_min", "time_to_target_s")
COVERED, RANKED, NEAR_BEST = 0.9, 0.85, 0.97


def drawn(seed: int, number: int) -> dict[str, str]:
    """Return a world at random: rates, depths, noise, delay, own past, correlation, bursts, drift, tuning, bins."""
    rng = np.random.default_rng([seed, number])

    def some(low: float, high: float, share: float = 1.0) -> str:
        value = rng.uniform(low, high)
        return f"{value if rng.random() < share else 0.0:.3g}"

    least_hz, depth = rng.uniform(2.0, 8.0), rng.uniform(0.25, 0.6)
    bin_s = float(rng.choice([0.01, 0.02, 0.05]))
    return {
        "session.bin_s": f"{bin_s:g}",
        "session.units": str(rng.integers(40, 121)),
        "adapter.learning_rate": f"{bin_s / 0.005 * 10 ** rng.uniform(-6.5, -5.0):.3g}",
        "population.baseline_hz": f"[{least_hz:.3g},{least_hz * rng.uniform(1.5, 4.0):.3g}]",
        "population.depth": f"[{depth:.3g},{depth * rng.uniform(1.2, 2.0):.3g}]",
        "population.untuned_fraction": some(0.0, 0.5),
        "population.noise_sd": some(0.1, 0.5, 0.7),
        "population.noise_shared": some(0.1, 0.6),
        "population.noise_time_constant_s": some(0.1, 1.0),
        "population.burst_extra": some(0.1, 0.6, 0.4),
        "population.history_gain": f"[{rng.uniform(-0.6, 0.0):.3g},{rng.uniform(0.0, 0.04):.3g}]",
        "population.baseline_walk_per_root_s": some(0.0, 0.03, 0.5),
        "population.direction_walk_rad_per_root_s": some(0.0, 0.03, 0.5),
        "population.speed_depth": f"[{-rng.uniform(0.0, 0.3):.3g},{rng.uniform(0.0, 0.3):.3g}]",
        "subject.natural_frequency_hz": some(0.6, 1.3),
        "subject.feedback_delay_s": some(0.0, 0.2),
        "subject.intention_noise": some(0.0, 0.5),
    }


def really(known: dict[str, str], setting: dict[str, str], seed: int, drawn_from: int, seconds: float) -> dict:
    """Run one session in a known world: the units of the pilot, other noise."""
    base = configuration.load(None, [f"{key}={value}" for key, value in known.items()]).model_dump()
    config = sessions.session_config(base, setting, seed)
    section = config.session.model_copy(update={"seed": drawn_from})
    world = World(config.model_copy(update={"session": section}))
    fresh = [np.random.default_rng(one) for one in np.random.SeedSequence([seed, 77]).spawn(3)]
    world.subject.rng, world.population.rng, world.pilot_rng = fresh
    return sessions.session_in(config, world, seconds)


def judged(
    known: dict[str, str], settings: list[dict[str, str]], seed: int, seconds: float, path: pathlib.Path
) -> dict:
    """Rehearse a pilot of a known world; return predictions, truth, and how well they agree."""
    start = time.process_time()
    given = [f"recording.path='{path}'", f"session.seed={seed}", *(f"{key}={value}" for key, value in known.items())]
    config = configuration.load(None, given)
    launch.run(assemble(config, "max"), round(PILOT_S / config.bin_s))
    world, pilot = world_of(path)
    plan = study.Rehearsal(world, base_configuration(world, pilot, None, ()), settings, SEEDS, 1, seconds)
    answer = study.answer(plan, study.run_here(plan))
    runs = [[really(known, setting, 1000 + k, seed, seconds) for k in range(TRUE_SEEDS)] for setting in settings]
    true = {name: np.array([[run[name] for run in row] for row in runs]) for name in MEASURES}
    found = compared(answer, true)
    return found | {"notes": world.notes, "subject": world.subject.table(), "cpu_s": time.process_time() - start}


def compared(answer: dict, true: dict[str, np.ndarray]) -> dict:
    """Return how a rehearsal's answer agrees with the measures of true sessions, (settings, seeds) each."""
    inside, rows = [], []
    for k, entry in enumerate(answer["settings"]):
        row: dict = {"setting": entry["settings"]}
        for name in MEASURES:
            values = true[name][k][np.isfinite(true[name][k])]
            interval = entry[name]["interval"]
            row[name] = {"predicted": entry[name]["mean"], "interval": interval, "true": list(values)}
            if values.size and interval is not None:
                inside.append(bool(interval[0] <= values.mean() <= interval[1]))
                row[name]["inside"] = inside[-1]
        rows.append(row)
    hits = true["hits_per_min"]
    predicted = np.array([entry["hits_per_min"]["mean"] for entry in answer["settings"]])
    ranks = [rankdata(np.round(values, 6)) for values in (hits.mean(axis=1), predicted)]
    best, chosen = int(hits.mean(axis=1).argmax()), answer["recommended"]["number"]
    behind = hits[best] - hits[chosen]
    return {
        "inside": int(np.sum(inside)), "of": len(inside), "ranks": float(np.corrcoef(*ranks)[0, 1]),
        "recommended": chosen, "best": best, "recommended_over_best": float(hits[chosen].mean() / hits[best].mean()),
        "behind_se": float(behind.std(ddof=1) / np.sqrt(len(behind)) / hits[best].mean()), "rows": rows,
    }  # fmt: skip


def near_best(found: dict) -> bool:
    """Return whether the recommended setting is within 3 % of the best, as far as the true sessions can tell."""
    return found["recommended_over_best"] + 2.0 * found["behind_se"] >= NEAR_BEST


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=len(WORLDS))
    parser.add_argument("--settings", type=int, default=len(SETTINGS))
    parser.add_argument("--seed", type=int, help="draw the worlds at random")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of every session")
    parser.add_argument("--only", type=int, action="append", metavar="WORLD")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    kept, every = {}, []
    if options.keep and options.keep.exists():
        kept = {row["key"]: row for row in map(json.loads, options.keep.read_text(encoding="utf-8").splitlines())}
    for number in options.only or range(options.worlds):
        known = BASE | (WORLDS[number] if options.seed is None else drawn(options.seed, number))
        settings = SETTINGS[: options.settings]
        key = json.dumps([known, settings, number, options.seconds, SEEDS, TRUE_SEEDS])
        if key not in kept:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "pilot.mcap"
                kept[key] = plain({"key": key} | judged(known, settings, 100 + number, options.seconds, path))
            if options.keep:
                with options.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(kept[key]) + "\n")
        found = kept[key]
        every.append(found)
        print(
            f"world {number}: {found['inside']} of {found['of']} inside, rank correlation {found['ranks']:.2f}, "
            f"recommended {found['recommended']} has {found['recommended_over_best']:.3f} "
            f"(+- {found['behind_se']:.3f}) of the best ({found['best']}), {found['cpu_s']:.0f} CPU s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    covered = sum(found["inside"] for found in every) / sum(found["of"] for found in every)
    ranks = float(np.mean([found["ranks"] for found in every]))
    near = sum(map(near_best, every))
    print(f"inside {covered:.3f}, rank correlation {ranks:.2f}, recommended near the best in {near} of {len(every)}")
    print(json.dumps({"worlds": len(every), "inside": covered, "rank_correlation": ranks, "near_best": near}))
    return 0 if covered >= COVERED and ranks >= RANKED and near == len(every) else 3


if __name__ == "__main__":
    sys.exit(main())
