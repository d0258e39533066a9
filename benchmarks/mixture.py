"""Predicted against simulated error of the weights, for each block of a session of spikes and features together.

    python benchmarks/mixture.py [--sessions 8] [--seconds 240] [--rates 1e-4,5e-3 --rates 1e-5,5e-4]

Whole sessions: 24 units and 16 features (every 50 ms), from the true weights on, with the intention that the simulated
subject really has, at learning rates r and s that are held. How far the weights of each block are from the truth after
30 s is held against what `bmi calibrate --from` that recording (and `--features`) predicts: the closed form, the exact
recursion, and that with the pilot's own scores. Each number is the mean over units and weights of simulated over
predicted variance, minus one, with its standard error over sessions.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble

SETTINGS = (
    *("session.units=24", "session.features=16", "session.feature_bin_s=0.05", "task.kind=random-target"),
    *("encoding.initial=truth", "telemetry.enabled=false", "recording.snapshot_s=1000"),
)
BURN_S, EVERY_S = 30.0, 0.2
PREDICTED = {"error_covariance": "closed form", "error_covariance_exact": "exact", "error_covariance_measured": "pilot"}
FLAGS: dict[str, tuple[str, ...]] = {"spikes": (), "features": ("--features",)}


def simulated(path, rates, seed, seconds):
    """Run one session; return the mean squared error of every weight, (units, weights), of both blocks."""
    chosen = (f"session.seed={seed}", f"adapter.learning_rate={rates[0]}", f"adapter.feature_learning_rate={rates[1]}")
    loop = assemble(configuration.load(None, [*SETTINGS, *chosen, f"recording.path='{path}'"]), "max")
    session = loop.session
    models = {"spikes": session.model, "features": session.learning.features.model}
    truth = {name: model.weights.copy() for name, model in models.items()}
    squared, seen = {name: np.zeros_like(weights) for name, weights in truth.items()}, 0
    first, every = round(BURN_S / session.config.bin_s), round(EVERY_S / session.config.bin_s)
    next_bin = loop.source.next_bin

    def watched(*arguments):
        nonlocal seen
        if session.bins >= first and session.bins % every == 0:
            seen += 1
            for name, model in models.items():
                squared[name] += (model.weights - truth[name]) ** 2
        return next_bin(*arguments)

    loop.source.next_bin = watched
    launch.run(loop, round(seconds / session.config.bin_s))
    return {name: total.T / seen for name, total in squared.items()}


def ratios(path, rates, errors):
    """Yield (block, prediction, simulated over predicted variance)."""
    for (block, flags), rate in zip(FLAGS.items(), rates, strict=True):
        command = [sys.executable, "-m", "bmi_runtime.cli.main", "calibrate", "--from", path, "--learning-rate", rate]
        done = subprocess.run([*map(str, command), "--json", *flags], capture_output=True, text=True, check=True)
        units = json.loads(done.stdout.splitlines()[-1])["units"]
        known = [int(unit["unit"]) for unit in units]
        for key, name in PREDICTED.items():
            predicted = np.array([np.diag(unit[key]) for unit in units])
            yield block, name, float((errors[block][known] / predicted).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--rates", action="append", metavar="R,S")
    options = parser.parse_args()
    rows = []
    print("| r, s | block | closed form | exact recursion | with the pilot's scores |\n| --- | --- | --- | --- | --- |")
    for text in options.rates or ["1e-4,5e-3", "1e-5,5e-4"]:
        rates, found = tuple(map(float, text.split(","))), {}
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(options.sessions):
                path = pathlib.Path(folder) / f"{seed}.mcap"
                errors = simulated(path, rates, seed, options.seconds)
                for block, name, ratio in ratios(path, rates, errors):
                    found.setdefault(block, {}).setdefault(name, []).append(100.0 * (ratio - 1.0))
        for block, of in found.items():
            cells = [f"{np.mean(v):+.1f} ± {np.std(v, ddof=1) / np.sqrt(len(v)):.1f} %" for v in of.values()]
            print(f"| {text} | {block} | {' | '.join(cells)} |", flush=True)
            rows.append({"rates": rates, "block": block, **{name: np.mean(v) for name, v in of.items()}})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
