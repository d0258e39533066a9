"""Is the verdict of `bmi stability` right? Simulated mornings whose right answer is known, as both ways are run.

    python benchmarks/stability.py [--subjects 5] [--first-seed 401] [--json out.json]

Every subject learns for two minutes in the hard world with known targets and goes on for two more, which are the
reference. Then a number of default nights pass (0 to 40), or a share of the units is replaced at once (a quarter to
all). Half a minute is observed and judged as `bmi stability` does. Then the same minute is run from one world in three
ways: with the weights that were carried, their covariance widened as the answer says, targets told or not (inferred),
and from nothing with targets told. Calibrating again is the right answer where nobody tells the targets when going on
reaches less than 80 % of what a start from nothing with targets does; where they are told, when the start from nothing
reaches over 10 % more (closer ones are called right either way). Prints a table and how many verdicts were right. Exit
3 when fewer than nine in ten were.
"""

import argparse
import copy
import json
import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np

from bmi_runtime.analysis import stability, stability_cost
from bmi_runtime.cli.common import plain
from bmi_runtime.cli.compare_closed_loop import Subject
from bmi_runtime.cli.compare_days import CARRY_SD, RATE_PER_S
from bmi_runtime.config import load
from bmi_runtime.encoding.identity import carry
from bmi_runtime.encoding.model import untrained_model
from bmi_runtime.session.core import Session
from simulators.nights import Night

BIN_S, LEARN_S, OBSERVE_S, MINUTE_S = 0.05, 120.0, 30.0, 60.0
CHANGES = {f"{nights} nights": (nights, None) for nights in (0, 1, 3, 6, 12, 40)}
CHANGES |= {f"{share:.0%} others": (1, share) for share in (0.25, 0.5, 0.75, 1.0)}
WAYS = {"carried": "optimal-control", "untold": "inferred-target", "anew": "optimal-control"}
ENOUGH = 0.8  # of the hits after a calibration, from which on going on without targets is not worth one
SAME = 0.1  # of the hits, within which neither way is better where targets are told


def day_of(subject, counts):
    """Return counts of a session as `bmi stability` reads them."""
    names = [str(unit) for unit in range(counts.shape[1])]
    return stability.day("day", counts, np.ones(len(counts), bool), BIN_S, names)


def morning(subject, seed, nights, share):
    """Return what the world is after the nights: the population, to be run from as often as wanted."""
    population = subject.source.world.population
    for night in range(nights):
        how = Night() if share is None else Night(replaced=share)
        how.pass_over(population, np.random.default_rng([seed, night, 5]))
    return copy.deepcopy(population.__dict__)


def session_from(subject, world, model, seed, observed=False, intention="optimal-control"):
    """Put the subject before a new session with a model, in the world as it was that morning."""
    population = subject.source.world.population
    population.__dict__.update(copy.deepcopy(world))
    population.rng = np.random.default_rng([seed, 7])
    update = {
        "session": subject.config.session.model_copy(update={"seed": seed}),
        "adapter": subject.config.adapter.model_copy(update={"intention": intention}),
    }
    subject.session = Session(subject.config.model_copy(update=update), model)
    if observed:
        subject.session.assist, subject.session.adapting = 1.0, False


def carried(subject, known, sd):
    """Return a fresh model with the weights that were known, and their covariance widened."""
    fresh = untrained_model(subject.config)
    carry(known, fresh, sd, "the reference")
    return fresh


def hits(subject, seconds):
    """Return how many targets are reached."""
    return sum(trial.success for trial in subject.run(seconds)[1])


def cases(seed):
    """Yield one row for every change of one subject's array."""
    overrides = [f"session.bin_s={BIN_S}", f"adapter.learning_rate={RATE_PER_S * BIN_S}", f"session.seed={seed}"]
    config = load("hard_world", overrides)
    subject = Subject(config)
    subject.run(LEARN_S)
    reference_day = day_of(subject, subject.run(LEARN_S)[0].counts)
    known = carried(subject, subject.session.model, 0.0)
    begun = copy.deepcopy(subject.source.world.population.__dict__)
    decoder = (config.decoder.velocity_sd_m_s, config.decoder.velocity_time_constant_s)
    for number, (name, change) in enumerate(CHANGES.items()):
        subject.source.world.population.__dict__.update(copy.deepcopy(begun))
        world = morning(subject, 100 * seed + number, *change)
        session_from(subject, world, carried(subject, known, 0.0), 1000 * seed + number, observed=True)
        today = day_of(subject, subject.run(OBSERVE_S)[0].counts)
        tuning = known.weights[1:3].T
        reference = stability.Reference([reference_day], tuning, stability.block_length_s([reference_day], today))
        found = stability.compare(reference, today)
        cost = stability_cost.expected_cost(found, reference, known, *decoder, config.adapter.learning_rate)
        row = {"seed": seed, "change": name, "score": found.score, "p": found.p, "kept": found.kept}
        row |= {"error_ratio": cost.error_ratio, "carry_sd": cost.weight_sd}
        row["verdict"] = stability_cost.verdict(found, cost)
        sd = max(cost.weight_sd, CARRY_SD)
        for way, intention in WAYS.items():
            model = untrained_model(config) if way == "anew" else carried(subject, known, sd)
            session_from(subject, world, model, 2000 * seed + number, intention=intention)
            row[way] = hits(subject, MINUTE_S)
        truth = subject.source.world.population.weights
        row["weights_moved"] = float(np.sqrt(np.mean((world["weights"] - known.weights)[:3] ** 2)))
        row["weights_size"] = float(np.sqrt(np.mean(truth[1:3] ** 2)))
        yield row


def right(row) -> dict[str, bool]:
    """Return whether the verdict was right, where nobody tells the targets and where somebody does."""
    better = row["verdict"] == "recalibrate"
    told = abs(row["anew"] - row["carried"]) <= SAME * max(row["anew"], row["carried"])
    return {
        "untold": better == (row["untold"] < ENOUGH * row["anew"]),
        "told": told or better == (row["anew"] > row["carried"]),
    }


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=401)
    parser.add_argument("--json")
    given = parser.parse_args()
    rows = []
    heads = f"{'score':>7}{'kept':>6}{'error':>7}{'sd':>6}{'moved':>7}{'carried':>9}{'untold':>8}{'anew':>6}"
    print(f"{'seed':>5} {'change':<12}{heads}  verdict")
    for seed in range(given.first_seed, given.first_seed + given.subjects):
        for row in cases(seed):
            rows.append(row)
            print(
                f"{seed:>5} {row['change']:<12}{row['score']:>7.2f}{row['kept']:>6.2f}{row['error_ratio']:>7.2f}"
                f"{row['carry_sd']:>6.2f}"
                f"{row['weights_moved']:>7.2f}{row['carried']:>9}{row['untold']:>8}{row['anew']:>6}  {row['verdict']}"
                f"{'' if right(row)['untold'] else '  WRONG'}{'' if right(row)['told'] else '  (wrong where told)'}",
                flush=True,
            )
    good = {way: sum(right(row)[way] for row in rows) for way in ("untold", "told")}
    print(f"right without targets: {good['untold']} of {len(rows)}; where they are told: {good['told']}")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(plain({"rows": rows, "right": good}), file)
    return 0 if min(good.values()) >= 0.9 * len(rows) else 3


if __name__ == "__main__":
    sys.exit(main())
