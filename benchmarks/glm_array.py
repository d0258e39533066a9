"""A whole array at full length: what fitting some of its units costs, every other unit being a source.

    python benchmarks/glm_array.py [--units 831] [--bins 2500000] [--targets 8] [--lags 50]

Spikes are drawn at about 5 Hz a unit in bins of 1 ms, every unit following two others a few bins later; the history of
all units enters through five raised cosines. What all units share (cross-correlograms) is done whole; some units are
then fitted to the end, and the cost of all follows: units are fitted in groups of this kind, one after the other, so
the memory is that of one group. CPU seconds of one thread. Prints one JSON line last.
"""

import argparse
import json
import os
import resource
import time

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
import numpy as np

from bmi_runtime.analysis.glm import PoissonGLM
from bmi_runtime.analysis.glm.events import Events
from bmi_runtime.analysis.glm.gap import certified_gap
from bmi_runtime.analysis.glm.solver import one_blas_thread, solve, start_weights

FUNCTIONS, RATE = 5, 0.0045


def drawn(units: int, bins: int, rng: np.random.Generator) -> Events:
    """Return spikes that partly follow those of two other units, 2 to 6 bins later."""
    own = [np.unique(rng.integers(0, bins, rng.poisson(RATE * bins * rng.uniform(0.3, 1.7)))) for _ in range(units)]
    trains = []
    for unit in range(units):
        parts = [own[unit]]
        for source in rng.choice(units, 2, replace=False):
            chosen = own[source][rng.random(own[source].size) < 0.05]
            parts.append(chosen + rng.integers(2, 7, chosen.size))
        times = np.unique(np.concatenate(parts))
        trains.append(times[times < bins])
    starts = np.r_[0, np.cumsum([len(train) for train in trains])]
    times = np.concatenate(trains)
    return Events(starts.astype(np.int64), times.astype(np.int64), np.ones(len(times)), bins)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("units", 831), ("bins", 2_500_000), ("targets", 8), ("lags", 50)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    clock = time.process_time
    events = drawn(options.units, options.bins, np.random.default_rng(0))
    warm = drawn(10, 20_000, np.random.default_rng(1))
    model = PoissonGLM(options.lags, f"raised-cosine:{FUNCTIONS}", ridge=1e-6, standard_errors="none")
    model.fit(warm)
    with one_blas_thread():
        began = clock()
        prepared = model._prepare(events, None, None)
        shared_s = clock() - began
        some = np.linspace(0, options.units - 1, options.targets).astype(int)
        objective = prepared.objective.take(some)
        began = clock()
        start = start_weights(objective)
        objective.evaluate(start, np.arange(len(some)))
        pass_s = clock() - began
        began = clock()
        found = solve(objective, start, gram=prepared.gram)
        fit_s = clock() - began
    gap = objective.design.rows * certified_gap(objective, found.weights, found.gradient)
    result = {
        "units": options.units, "bins": options.bins, "coefficients": objective.design.parameters,
        "spikes": len(events.times), "targets": options.targets, "shared_s": shared_s, "pass_s": pass_s,
        "fit_s": fit_s, "passes": int(found.iterations.max()), "converged": bool(found.converged.all()),
        "gradient": float(np.abs(found.gradient).max()), "gap_nats": float(gap.max()),
        "all_units_hours": (shared_s + fit_s * options.units / options.targets) / 3600,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }  # fmt: skip
    for name, value in result.items():
        print(f"{name:18s} {value:.4g}" if isinstance(value, float) else f"{name:18s} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
