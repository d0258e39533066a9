"""Learning-rate calibration: how fast it answers, how exact it is, and what the compiled Monte-Carlo gains over numpy.

``python benchmarks/calibration.py [--quick]`` prints tables and one JSON line. Times are CPU seconds of this process.
The peer of the Monte-Carlo is the same filter in plain numpy, in the same run: once vectorised over units, once unit
by unit.
"""

import argparse
import dataclasses
import json
import time

import numpy as np

from bmi_runtime.calibration.closed_form import convergence_bins, information, steady_state
from bmi_runtime.calibration.exact_recursion import Recursion, exact_steady_state
from bmi_runtime.calibration.inverse import rate_for_convergence, rate_for_error
from bmi_runtime.calibration.montecarlo import Protocol, Run, gaussian_protocol, poisson_protocol
from bmi_runtime.calibration.noise import NoiseVariance
from bmi_runtime.calibration.schedules import floor_schedule, predict_schedule
from bmi_runtime.calibration.validity import TRUSTED, sweep_bins
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel


def cpu(function, repeats=5):
    """Return the smallest CPU time of some calls, s."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def many_units(protocol: Protocol, units: int = 1000) -> Protocol:
    """Return a protocol with that many units."""
    weights = np.resize(protocol.weights, (units, 3))
    return dataclasses.replace(protocol, weights=weights + 0.01 * np.random.default_rng(1).normal(size=weights.shape))


def answers() -> dict:
    """Time forward and backward, and the exact recursion, for 1,000 units."""
    found = {}
    for protocol in (many_units(gaussian_protocol()), many_units(poisson_protocol())):
        design = protocol.design()

        def forward_and_backward(design=design):
            info = information(design)
            state = steady_state(info, 1e-5)
            convergence_bins(state)
            rate_for_error(design, info, 0.01)
            rate_for_convergence(design, info, 60.0)

        name = protocol.likelihood
        found[f"{name}_forward_backward_ms"] = 1e3 * cpu(forward_and_backward)
        closed = steady_state(information(design), 1e-5)
        states = np.resize(design.states, (10_000, 2))
        recursion = Recursion(design.replaced(states=states), closed.rate)
        nothing = np.zeros_like(closed.filter_covariance)
        recursion.run(closed.filter_covariance[:], nothing)
        found[f"{name}_exact_10000_bins_s"] = cpu(
            lambda r=recursion, c=closed, n=nothing: r.run(c.filter_covariance, n), 2
        )
        found[f"{name}_exact_steady_state_s"] = cpu(lambda d=design, c=closed: exact_steady_state(d, c), 2)
    return found


def numpy_vectorised(protocol: Protocol, rate: float, bins: int) -> None:
    """Run the point-process filter of all units in plain numpy, one array operation at a time."""
    rng = np.random.default_rng(1)
    states = np.resize(protocol.open_loop_states(), (bins, 2))
    truth, weights = protocol.weights, protocol.weights.copy()
    covariance = steady_state(information(protocol.design()), rate).filter_covariance.copy()
    eye = rate * np.eye(3)
    for state in states:
        u = np.array([1.0, *state])
        counts = rng.random(len(truth)) < np.exp(truth @ u) * protocol.bin_s
        expected = np.exp(weights @ u) * protocol.bin_s
        covariance += eye
        direction = covariance @ u
        shrink = 1 / (1 + expected * (direction @ u))
        covariance -= (expected * shrink)[:, None, None] * direction[:, :, None] * direction[:, None, :]
        weights += ((counts - expected) * shrink)[:, None] * direction


def numpy_by_unit(protocol: Protocol, rate: float, bins: int) -> None:
    """Run the same filter unit by unit."""
    rng = np.random.default_rng(1)
    states = np.resize(protocol.open_loop_states(), (bins, 2))
    covariances = list(steady_state(information(protocol.design()), rate).filter_covariance)
    weights = list(protocol.weights.copy())
    for state in states:
        u = np.array([1.0, *state])
        for unit, truth in enumerate(protocol.weights):
            count = rng.random() < np.exp(truth @ u) * protocol.bin_s
            expected = np.exp(weights[unit] @ u) * protocol.bin_s
            prior = covariances[unit] + rate * np.eye(3)
            direction = prior @ u
            shrink = 1 / (1 + expected * (direction @ u))
            covariances[unit] = prior - expected * shrink * np.outer(direction, direction)
            weights[unit] = weights[unit] + (count - expected) * shrink * direction


def monte_carlo() -> dict:
    """Compare CPU time per unit and bin: the compiled closed loop, decoding included, and the filter alone in numpy."""
    protocol, rate = poisson_protocol(), 1e-5
    units = len(protocol.weights)
    run = Run(protocol, rate, 20_000, 0, 1)
    run.ensemble(1)
    numpy_vectorised(protocol, rate, 10)
    seconds = {
        "compiled": cpu(lambda: run.ensemble(1), 3) / (20_000 * units),
        "numpy_vectorised": cpu(lambda: numpy_vectorised(protocol, rate, 2000), 2) / (2000 * units),
        "numpy_by_unit": cpu(lambda: numpy_by_unit(protocol, rate, 100), 2) / (100 * units),
    }
    found = {f"{name}_ns_per_unit_bin": 1e9 * value for name, value in seconds.items()}
    found["speedup_over_numpy_by_unit"] = seconds["numpy_by_unit"] / seconds["compiled"]
    found["speedup_over_numpy_vectorised"] = seconds["numpy_vectorised"] / seconds["compiled"]
    return found


def accuracy(samples: int) -> list[dict]:
    """Compare the exact recursion and the closed form with open-loop simulations at every rate."""
    rows = []
    for make, rates in ((gaussian_protocol, (5e-7, 5e-5, 5e-3, 5e-1)), (poisson_protocol, (1e-6, 1e-5, 1e-4, 1e-3))):
        for order in ("periodic", "random"):
            protocol = dataclasses.replace(make(order), open_loop=True)
            for rate in rates:
                rows.append(accuracy_at(protocol, rate, samples))
                table(rows[-1:])
    return rows


def accuracy_at(protocol: Protocol, rate: float, samples: int) -> dict:
    """Return one row of :func:`accuracy`."""
    design = protocol.design()
    closed = steady_state(information(design), rate)
    memory, period = 1 / closed.gain.min(), len(design.states)
    burn_in, periods = int(3 * memory), max(1, round(10 * memory / period))
    realisations = max(4, round(samples * 2 * memory / (periods * period * len(protocol.weights))))
    truth = Run(protocol, rate, burn_in + periods * period, burn_in, realisations, seed=5).ensemble(1)
    exact = exact_steady_state(design, closed).error_covariance

    def relative(covariance):
        ratio = np.diagonal(covariance, axis1=1, axis2=2).mean(0) / np.diagonal(
            truth.error_covariance, axis1=1, axis2=2
        ).mean(0)
        return [float(ratio[0] - 1), float(ratio[1:].mean() - 1)]

    return {
        "likelihood": protocol.likelihood, "order": protocol.order, "rate": rate,
        "realisations": realisations * len(protocol.weights),
        "validity_ratio": float(sweep_bins(design.states) * closed.gain.max()),
        "trusted": bool(sweep_bins(design.states) * closed.gain.max() <= TRUSTED),
        "closed_form_error": relative(closed.error_covariance), "exact_error": relative(exact),
        "coverage": float(truth.coverage.mean()),
    }  # fmt: skip


def variances(covariance: np.ndarray) -> np.ndarray:
    """Return the mean variance of each weight over the units, (3,)."""
    return np.diagonal(covariance, axis1=1, axis2=2).mean(axis=0)


def noise(bins: int) -> list[dict]:
    """Estimate an unknown noise variance of 1 at every rate, beside the textbook estimator, on 400 channels."""
    protocol = gaussian_protocol(units=400)
    design, rows = protocol.design(), []
    for rate in (5e-7, 5e-5, 5e-3, 5e-1):
        rng = np.random.default_rng(2)
        closed = steady_state(information(design), rate)
        pairs = np.tril_indices(3)
        start = np.ascontiguousarray(closed.filter_covariance[:, pairs[0], pairs[1]].T)
        model = EncodingModel(protocol.weights.T, start.copy(), "gaussian", 0.05)
        adapter, estimate, valid = Adapter(model, rate), NoiseVariance(np.full(400, 3.0), start), np.ones(400)
        textbook = []
        for t in range(bins):
            u = np.array([1.0, *design.states[t % len(design.states)]])
            counts = protocol.weights @ u + rng.normal(size=400)
            adapter.update(counts, valid, u[1] / 10, u[2] / 10)
            textbook.append(adapter.innovation**2 - (adapter.innovation_variance - model.noise_variance))
            estimate.update(u, valid, adapter.innovation, model.covariance, model.noise_variance)
            model.noise_variance[:] = estimate.estimate
        rows.append({
            "rate": rate, "estimate": float(estimate.estimate.mean()),
            "textbook": float(np.mean(textbook[bins // 4 :])),
        })  # fmt: skip
    return rows


def schedules() -> list[dict]:
    """Return the time to twice the floor's mean squared error, by schedule and by a fixed rate with the same end."""
    design, rows = gaussian_protocol().design(), []
    info = information(design)
    one = dataclasses.replace(info, **{f.name: getattr(info, f.name)[:1] for f in dataclasses.fields(info)})
    for floor in (5e-7, 5e-6, 5e-5):
        bins = int(8 / steady_state(one, floor).gain.min())
        goal = 2.0 * np.trace(steady_state(one, floor).error_in_modes[0])
        best = predict_schedule(one, floor_schedule(one, floor, 1.0, bins), 1.0)[:, 0].sum(axis=1)
        steady = predict_schedule(one, np.full(bins, floor), 1.0, believed=float(np.sqrt(floor)))[:, 0].sum(axis=1)
        rows.append({
            "floor": floor, "schedule_s": float(np.argmax(best <= goal) * 0.05),
            "fixed_s": float(np.argmax(steady <= goal) * 0.05),
        })  # fmt: skip
    return rows


def table(rows: list[dict]) -> None:
    """Print rows."""
    for row in rows:
        print("  ".join(f"{key} {_shown(value)}" for key, value in row.items()), flush=True)


def _shown(value):
    if isinstance(value, list):
        return "(" + ", ".join(f"{item:+.3f}" for item in value) + ")"
    return f"{value:.4g}" if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the simulations")
    samples = 3000 if parser.parse_args().quick else 30_000
    result = {"answers": answers(), "monte_carlo": monte_carlo()}
    table([result["answers"], result["monte_carlo"]])
    print("\naccuracy", flush=True)
    result |= {
        "accuracy": accuracy(samples),
        "noise_variance": noise(4000 if samples > 3000 else 2000),
        "schedules": schedules(),
    }
    for name in ("noise_variance", "schedules"):
        print(f"\n{name}")
        table(result[name])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
