"""Predicted against simulated error of the weights, for every combination of what rates may depend on.

    python benchmarks/regressors.py [--only velocity+speed ...] [--quick]

The true units are drawn, a subject reaches for random targets, and the live filter learns along the states from the
true weights on; what its weights scatter by, after three memories, is held against the closed form, the exact
recursion, and the recursion with what it leaves out (a unit's own past, and the bending of a quick filter). History is
of each unit's own simulated spikes. Spikes in bins of 5 ms at the learning rates r, features in bins of 50 ms at s.
Each number is the mean over units and weights of simulated over predicted variance, minus one, with its standard error
over the units; and how far the weights' mean is from the truth, and from the predicted bias, in predicted standard
deviations (root mean square over weights, each the mean of its copies). Prints a table and one JSON line.
"""

import argparse
import itertools
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bmi_runtime.calibration.beyond_linear import departure
from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import exact_steady_state, pack
from bmi_runtime.calibration.montecarlo import gaussian_protocol, poisson_protocol
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History, Regressors

KINDS, COPIES = 8, 8  # different units, and how often each is simulated
HISTORY_S = (0.01, 0.06)
PERIOD_BINS, MOST_BINS = 24_000, 300_000
MEMORIES, BURN = 80.0, 3.0  # simulated, and left out at the start
RATES = {"poisson": (1e-6, 1e-5, 1e-4, 1e-3), "gaussian": (5e-7, 5e-5, 5e-3, 5e-1)}
DEPTHS = {"velocity": (0.5, 1.0), "position": (0.3, 0.9), "speed": (0.2, 0.6), "history": (-0.5, 0.05)}


def combinations(likelihood):
    """Yield every combination that has velocity or position in it; features have no history."""
    names = (
        ("velocity", "position", "speed", "history") if likelihood == "poisson" else ("velocity", "position", "speed")
    )
    for size in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, size):
            if {"velocity", "position"} & set(chosen):
                yield chosen


class Bench:
    """Units of one kind along one subject's movement."""

    def __init__(self, likelihood, names, bins=PERIOD_BINS):
        self.likelihood, self.rng = likelihood, np.random.default_rng(5)
        protocol = poisson_protocol("random") if likelihood == "poisson" else gaussian_protocol("random")
        self.bin_s = protocol.bin_s
        velocity, cursor = protocol.perfect(protocol.goals(bins, np.random.default_rng(78)))
        self.kinds = Regressors(2, names, HISTORY_S if "history" in names else ())
        common = np.empty((bins, self.kinds.n_common))
        for row, v, x in zip(common, velocity, DM_PER_M * cursor, strict=True):
            self.kinds.fill(row, v, x)
        self.common, self.velocity, self.position = common, velocity / DM_PER_M, cursor
        self.weights = np.repeat(self._drawn(), COPIES, axis=0)
        self.noise = np.ones(len(self.weights)) if likelihood == "gaussian" else None

    def _drawn(self):
        """Return true weights of the different units, (units, regressors)."""
        weights = np.zeros((KINDS, self.kinds.size))
        weights[:, 0] = (
            np.log(self.rng.uniform(5.0, 15.0, KINDS)) if self.noise_free else self.rng.uniform(-2, 2, KINDS)
        )
        for name, place in self.kinds.places.items():
            width = place.stop - place.start
            size = self.rng.uniform(*DEPTHS[name], KINDS)[:, None]
            if name in ("velocity", "position"):
                angle = self.rng.uniform(0.0, 2.0 * np.pi, KINDS)
                weights[:, place] = size * np.column_stack([np.cos(angle), np.sin(angle)])
            else:
                weights[:, place] = self.rng.uniform(*DEPTHS[name], (KINDS, width))
        return weights

    @property
    def noise_free(self):
        """Whether these are spikes."""
        return self.likelihood == "poisson"

    def drawn_bins(self, bins, seed):
        """Yield the row of the period, the counts or features, and the histories before them, bin by bin."""
        rng, history = np.random.default_rng(seed), History(self.kinds, len(self.weights), self.bin_s)
        c = self.kinds.n_common
        along = self.common @ self.weights[:, :c].T
        own = np.ascontiguousarray(self.weights[:, c:].T)
        for t in range(bins):
            row = t % len(along)
            if not self.noise_free:
                yield row, along[row] + rng.standard_normal(len(self.weights)), history.traces
                continue
            value = along[row] + (own * history.traces).sum(axis=0) if len(own) else along[row]
            counts = rng.poisson(self.bin_s * np.exp(value)).astype(float)
            yield row, counts, history.traces
            if len(own):
                history.take(counts)

    def design(self):
        """Return the design: true weights along the states, and along histories as they were once."""
        past = {}
        if self.kinds.n_history:
            own = np.stack([traces.copy() for _, _, traces in self.drawn_bins(len(self.common), 1)])
            past = {"own": own, "history_s": HISTORY_S}
        return Design(self.common[:, 1:], self.weights, self.bin_s, self.likelihood, self.noise, "poisson", **past)

    def simulated(self, state, covariance, rate):
        """Return every weight's mean error, its scatter around that of its copies, and the bins."""
        memory = 1.0 / float(state.gain.min())
        burn = int(BURN * memory)
        bins = burn + int(np.clip(MEMORIES * memory, 20_000, MOST_BINS))
        model = EncodingModel(
            self.weights.T.copy(), pack(covariance), self.likelihood, self.bin_s, self.noise, regressors=self.kinds
        )
        adapter, valid = Adapter(model, rate), np.ones(len(self.weights))
        sums, squares, truth = np.zeros_like(model.weights), np.zeros_like(model.weights), self.weights.T
        velocity, position = self.velocity.tolist(), self.position.tolist()
        for t, (row, counts, traces) in enumerate(self.drawn_bins(bins, 2)):
            if len(traces):
                adapter.history[:] = traces
            adapter.update(counts, valid, *velocity[row], position_m=position[row])
            if t >= burn:
                error = model.weights - truth
                sums += error
                squares += error * error
        mean, square = sums.T / (bins - burn), squares.T / (bins - burn)
        of_copies = np.repeat(mean.reshape(KINDS, COPIES, -1).mean(axis=1), COPIES, axis=0)
        return mean, square - 2.0 * of_copies * mean + of_copies**2, bins - burn


def ratio(simulated, predicted):
    """Return the mean of simulated over predicted minus one, and its standard error over units."""
    per_unit = (simulated / np.diagonal(predicted, axis1=1, axis2=2)).mean(axis=1)
    return float(per_unit.mean() - 1.0), float(per_unit.std(ddof=1) / np.sqrt(len(per_unit)))


def bias(mean, predicted):
    """Return the root mean square of the weights' mean error, or of what is left of it, in predicted sds."""
    of_kinds = mean.reshape(KINDS, COPIES, -1).mean(axis=1)
    variance = np.diagonal(predicted, axis1=1, axis2=2)[::COPIES]
    return float(np.sqrt((of_kinds**2 / variance).mean()))


def main():
    """Run every combination at every rate, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="combinations, as velocity+speed")
    parser.add_argument("--quick", action="store_true", help="the two middle rates of each table alone")
    options, found = parser.parse_args(), []
    titles = ("exact", "simulated", "+-", "bias", "left", "CPU s")
    print(f"{'':58}{'closed form':>12}" + "".join(f"{title:>10}" for title in titles))
    for likelihood, letter in (("poisson", "r"), ("gaussian", "s")):
        for names in combinations(likelihood):
            if options.only and "+".join(names) not in options.only:
                continue
            bench = Bench(likelihood, names)
            design = bench.design()
            info = information(design)
            for rate in RATES[likelihood][1:3] if options.quick else RATES[likelihood]:
                begin, state = time.process_time(), steady_state(info, rate)
                exact = exact_steady_state(design, state)
                mean, simulated, bins = bench.simulated(state, exact.filter_covariance, rate)
                beyond, predicted = departure(design, info, rate), exact.error_covariance
                whole, left = predicted, mean
                if beyond is not None:
                    whole, left = beyond.scatter(predicted, rate), mean - beyond.bias_at(rate)
                label = f"{'spikes' if letter == 'r' else 'features'}, {letter} = {rate:g}, {' + '.join(names)}"
                row = {
                    "closed": ratio(simulated, state.error_covariance)[0],
                    "exact": ratio(simulated, predicted)[0],
                    "simulated": ratio(simulated, whole)[0],
                    "error": ratio(simulated, whole)[1],
                    "bias": bias(mean, predicted),
                    "bias_left": bias(left, predicted),
                    "cpu_s": time.process_time() - begin,
                }
                cells = "".join(f"{value:+10.3f}" for value in list(row.values())[1:])
                print(f"{label:58}{row['closed']:+12.3f}{cells}", flush=True)
                found.append({"what": label, "bins": bins, **row})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
