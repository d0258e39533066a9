"""The learning rate found while running, from a hundred times off, and what looking for it costs.

    python benchmarks/rate_search.py               # three worlds, counts and features: about two minutes of CPU
    python benchmarks/rate_search.py --seed 2 --world still
    python benchmarks/rate_search.py --cost        # the step with and without, 96 and 256 units

A walk (0.045 per weight and root second), a jump of all weights by 0.5 after half of five minutes, and weights that
stand still. The error is that of the weights (mean square) after the first minute, over that of the best fixed rate.
"""

import argparse
import os
import sys
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.calibration.rate_search import RateSearch
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel

BIN_S, UNITS, SECONDS = 0.02, 48, 300.0
LIKELIHOODS, KINDS = ("poisson", "gaussian"), ("walk", "step", "still")
FIXED = 10.0 ** np.arange(-7.0, -2.0, 0.5)


def world(kind, likelihood, seed):
    """Return the movement, the true weights of every second and the counts or features."""
    rng, bins = np.random.default_rng(seed), round(SECONDS / BIN_S)
    keep, velocity = np.exp(-BIN_S / 0.3), np.zeros((bins, 2))
    drive = np.sqrt(1.0 - keep**2) * rng.standard_normal((bins, 2))
    for t in range(1, bins):
        velocity[t] = keep * velocity[t - 1] + drive[t]
    poisson = likelihood == "poisson"
    baseline = np.log(rng.uniform(5.0, 15.0, UNITS)) if poisson else rng.normal(0.0, 1.0, UNITS)
    weights, truth, seen = np.vstack([baseline, rng.normal(0.0, 0.5, (2, UNITS))]), [], np.empty((bins, UNITS))
    for t in range(bins):
        if t % 50 == 0:
            truth.append(weights)
            if kind == "walk":
                weights = weights + 0.045 * rng.standard_normal(weights.shape)
        if kind == "step" and t == bins // 2:
            weights = weights + 0.5 * rng.standard_normal(weights.shape)
        drive = weights[0] + velocity[t] @ weights[1:]
        seen[t] = rng.poisson(BIN_S * np.exp(np.minimum(drive, 6.0))) if poisson else drive + rng.standard_normal(UNITS)
    return velocity, np.array(truth), seen


def adapted(data, likelihood, rate, searched):
    """Return the mean squared error of the weights in every second, and the rate at the end."""
    velocity, truth, seen = data
    start = np.full(UNITS, 10.0) if likelihood == "poisson" else np.zeros(UNITS)
    model = EncodingModel.untrained(start, likelihood, BIN_S, 0.5, np.ones(UNITS))
    adapter, valid, errors = Adapter(model, rate), np.ones(UNITS), []
    search = RateSearch(model, rate, 1e-11, 0.1) if searched else None
    for t, row in enumerate(seen):
        adapter.update(row, valid, *(0.1 * velocity[t]))
        if search:
            rate = search.update(adapter, row, valid, rate) or rate
            search.hand_over()
            adapter.set_learning_rate(rate)
        if t % 50 == 0:
            errors.append(((model.weights - truth[t // 50]) ** 2).mean())
    return np.array(errors), rate


def compare(likelihood, kind, seed):
    """Print the best fixed rate of a world, and what the search makes of rates a hundred times off."""
    data = world(kind, likelihood, seed)
    fixed = {rate: adapted(data, likelihood, rate, False)[0][60:].mean() for rate in FIXED}
    best = min(fixed, key=fixed.get)
    for off in (100.0, 1.0, 0.01):
        errors, found = adapted(data, likelihood, best * off, True)
        ratio = errors[60:].mean() / fixed[best]
        print(f"{likelihood:9}{kind:7}{best:9.1e}{off:9g}{found:11.1e}{ratio:9.2f}", flush=True)


def cost(units):
    """Print the CPU time of a step without and with the search."""
    from bmi_runtime.messages import Bin
    from bmi_runtime.session.core import Session
    from simulators.source import SimulatedSource

    sessions, best = [], [np.inf, np.inf]
    for searched in ("false", "true"):
        config = configuration.load(None, [f"session.units={units}", f"adapter.rate_search={searched}"])
        source, given, inputs = SimulatedSource(config), Bin(units, False), []
        session = Session(config, source.world.initial_model())
        for _ in range(1500):
            source.next_bin(given, session.cursor, session.task.target)
            inputs.append(bytes(given.bytes))
            session.step(given.bytes)
        sessions.append((session, inputs))
    for _ in range(7):
        for number, (session, inputs) in enumerate(sessions):
            begin = time.process_time()
            for one in inputs:
                session.step(one)
            best[number] = min(best[number], (time.process_time() - begin) / len(inputs))
    print(f"{units} units: {1e6 * best[0]:.0f} us without, {1e6 * best[1]:.0f} us with, ratio {best[1] / best[0]:.2f}")


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--likelihood", choices=LIKELIHOODS, action="append")
    parser.add_argument("--world", choices=KINDS, action="append")
    given = parser.parse_args()
    if given.cost:
        for units in (96, 256):
            cost(units)
        return 0
    print(f"{'units':9}{'world':7}{'best':>9}{'off by':>9}{'found':>11}{'error':>9}")
    for likelihood in given.likelihood or LIKELIHOODS:
        for kind in given.world or KINDS:
            compare(likelihood, kind, given.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
