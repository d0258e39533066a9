"""Answers of the commands that show further statements of the course, each beside what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import entropy as entropies
from bmi_runtime.analysis.fokker_planck import evolve, learning
from bmi_runtime.analysis.fokker_planck import particles as swarms
from bmi_runtime.analysis.fokker_planck import wilson_cowan as networks
from bmi_runtime.analysis.fokker_planck.convex import Convex
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.numbers import with_error
from bmi_runtime.errors import BadInput, BmiError

SHORTEST = 1e-6  # time over which the decay of an entropy stands out of its rounding


def particles(model: Model, initial, duration: float, count: int, seed: int, step: float):
    """Return the answer, the run of the density and that of the neurons.

    ``rate_deviation`` is the root mean square of the difference of the rates over bins, in units of what counting so
    many neurons leaves (1 where the density is their limit and steps are short); ``distance`` the Wasserstein-1
    distance of the potentials at the end, ``distance_expected`` what as many draws from the density itself have.

    Raises
    ------
    BmiError
        When the rate outgrows the grid: a blow-up.
    """
    solution = evolve.evolve(model, initial, duration)
    if solution.ended != "finished":
        raise BmiError(
            f"the rate outgrows the grid at t = {solution.times[-1]:.6g}: to go through a blow-up use "
            "`bmi fokker-planck continue --particles`"
        )
    bins = 40
    swarm = swarms.simulate(model, initial, duration, count, seed, step, bins)
    edges = np.r_[0.0, swarm.times]
    steps = np.diff(solution.rate_times)
    total = np.r_[0.0, np.cumsum(0.5 * (solution.rate[1:] + solution.rate[:-1]) * steps)]
    expected = np.diff(np.interp(edges, solution.rate_times, total)) / np.diff(edges)
    spread = np.sqrt(np.maximum(expected, 1e-9) / (count * np.diff(edges)))
    mass = solution.density[-1] * solution.grid.width
    awake = swarm.v[~swarm.resting]
    draws = np.interp(np.random.default_rng(seed + 1).random(awake.size), np.cumsum(mass) / mass.sum(), solution.grid.v)
    result = {
        "neurons": count,
        "rate_final": float(solution.rate[-1]),
        "rate_final_neurons": float(swarm.rate[-4:].mean()),
        "rate_deviation": float(np.sqrt(np.mean(((swarm.rate - expected) / spread)[1:] ** 2))),
        "distance": swarms.distance(awake, solution.grid.v, mass),
        "distance_expected": swarms.distance(draws, solution.grid.v, mass),
        "resting": float(swarm.resting.mean()),
        "resting_density": float(solution.resting[-1]),
    }
    return result, solution, swarm


def particles_text(result: dict) -> str:
    """Return the answer of :func:`particles` for a person."""
    return (
        f"{result['neurons']} neurons: N = {result['rate_final_neurons']:.3g} at the end, the density "
        f"{result['rate_final']:.4g}\nrates differ by {result['rate_deviation']:.3g} times what counting leaves\n"
        f"potentials at the end: distance {result['distance']:.2g} from the density (draws from it: "
        f"{result['distance_expected']:.2g})"
    )


def entropy(model: Model, initial, duration: float, convex: Convex):
    """Return the answer and the decay; ``balance`` is the largest difference between the decrease of the entropy over a
    step of the output and its mean dissipation, relative to the latter.

    Raises
    ------
    BadInput
        When the duration is too short to see the entropy fall.
    """
    if not duration >= SHORTEST:
        raise BadInput(f"the duration {duration:g} is too short to see the entropy fall: give at least {SHORTEST:g}")
    solution = evolve.evolve(model, initial, duration, cells=800, tolerance=1e-9, snapshots=400)
    found = entropies.decay(solution, convex)
    late = found.times > 0.1 * duration
    slope = -np.diff(found.entropy) / np.diff(found.times)
    middle = 0.5 * (found.dissipation[1:] + found.dissipation[:-1])
    used = late[1:] & (middle > 1e-9 * middle.max())
    result = {
        "convex": convex.name,
        "entropy_initial": float(found.entropy[0]),
        "entropy_final": float(found.entropy[-1]),
        "decreases": bool((np.diff(found.entropy) <= 1e-12 * found.entropy[0]).all()),
        "balance": float(np.abs(slope / middle - 1.0)[used].max()) if used.any() else math.nan,
        "measured_rate": found.measured_rate,
        "measured_rate_error": found.measured_rate_error,
        "spectral_gap": found.spectral_gap,
    }
    return result, found


def entropy_text(result: dict) -> str:
    """Return the answer of :func:`entropy` for a person."""
    way = "decreases throughout" if result["decreases"] else "does NOT decrease throughout"
    return (
        f"relative entropy with H = {result['convex']}: from {result['entropy_initial']:.5g} to "
        f"{result['entropy_final']:.3g}, {way}\nits decrease is its dissipation within "
        f"{result['balance']:.1g} (relative)\n{_rate_text(result)}; in the end at {result['spectral_gap']:.4g}, "
        "the spectral gap, where H is smooth and curved at 1"
    )


def _rate_text(result: dict) -> str:
    """Return the rate that was seen, which is that of the second half and not yet that of all times."""
    rate, error = result["measured_rate"], result["measured_rate_error"]
    if not math.isfinite(rate):
        return "the entropy is gone before a rate can be read off it"
    return f"its root falls at the rate {with_error(rate, error)} over the second half of the run"


def _weights(lowest: float, count: int) -> np.ndarray:
    if not (math.isfinite(lowest) and lowest < 0) or count < 10:
        raise BadInput("weights run from a negative number to 0, in at least 10 cells")
    return lowest * (1 - (np.arange(count) + 0.5) / count)


def represented(model: Model, given: Callable, wanted: Callable, lowest: float, count: int):
    """Return the answer, the weights (k,) and arrays: the connectivity, and the output that the network then gives."""
    w = _weights(lowest, count)
    connectivity = learning.represent(model, w, given(w), wanted(w))
    output = learning.output(model, w, connectivity, given(w))
    result = {
        "connections": float(connectivity.sum() * (w[1] - w[0])),
        "mean_rate": float(output.sum() * (w[1] - w[0])),
        "largest_error": float(np.abs(output - wanted(w)).max()),
        "weights": w,
        "connectivity": connectivity,
    }
    return result, w, {"input": given(w), "output": output}


def represented_text(result: dict) -> str:
    """Return the answer of :func:`represented` for a person."""
    return (
        f"a connectivity of total {result['connections']:.6g} gives the output (mean rate {result['mean_rate']:.6g}); "
        f"the network's own output differs from the wanted one by at most {result['largest_error']:.1e}"
    )


def discriminated(model: Model, one: Callable, other: Callable, known: Callable | None, rule: Callable, lowest, count):
    """Return the answer, the weights (k,) and arrays: both sides of the discrimination inequality for two inputs.

    Raises
    ------
    BadInput
        When the connectivity is negative, or no weight is connected.
    """
    w = _weights(lowest, count)
    connectivity = known(w) if known is not None else learning.learned(model, w, one, rule).connectivity
    if np.any(connectivity < 0):
        raise BadInput("a connectivity C(w) counts connections: it cannot be negative")
    if not connectivity.any():
        raise BadInput("no weight is connected: the learned weights are narrower than a cell, raise the lowest weight")
    left, right = learning.discrimination(model, w, connectivity, one(w), other(w))
    outputs = [learning.output(model, w, connectivity, each(w)) for each in (one, other)]
    result = {"contrast": left, "contrast_bound": right, "holds": bool(left >= right * (1 - 1e-9))}
    arrays = {"input": one(w), "new_input": other(w), "output": outputs[0], "new_output": outputs[1]}
    return result, w, arrays


def discriminated_text(result: dict) -> str:
    """Return the answer of :func:`discriminated` for a person."""
    return (
        f"outputs differ by {result['contrast']:.6g} (L1); the inequality promises {result['contrast_bound']:.6g}: "
        + ("it holds" if result["holds"] else "it does NOT hold")
    )


def wilson_cowan(signal, other, gain, rule: str, speed: float, duration: float, **functions):
    """Return the answer and the trained network; another signal is recalled with the learned weights.

    Raises
    ------
    BadInput
        When the duration or speed is not positive, or the signals differ in their number of units.
    """
    if gain.size == 1:
        gain = np.full((signal.size, signal.size), float(gain.ravel()[0]))
    if not (math.isfinite(duration) and duration > 0 and math.isfinite(speed) and speed > 0):
        raise BadInput("the duration and the speed must be positive")
    trained = networks.train(gain, signal, duration, speed, rule=rule, **functions)
    result = {
        "rule": rule,
        "rates_final": trained.rates[-1],
        "weights_final": trained.weights,
        "weights_still_move": trained.residual,
    }
    if other is not None:
        if other.size != signal.size:
            raise BadInput(f"the second signal has {other.size} units and the first {signal.size}")
        result["recalled"] = networks.recall(trained.weights, other, functions["sigma"])
        result["recalled_unlearned"] = networks.recall(np.zeros_like(trained.weights), other, functions["sigma"])
    return result, trained


def wilson_cowan_text(result: dict) -> str:
    """Return the answer of :func:`wilson_cowan` for a person."""

    def row(values):
        return ", ".join(f"{value:.4g}" for value in values)

    lines = [f"rule {result['rule']}: rates at the end {row(result['rates_final'])}"]
    lines += ["  weights to unit: " + row(weights) for weights in result["weights_final"][:8]]
    if result["rule"] == "decay":
        lines.append(f"distance from the rule's equilibrium {result['weights_still_move']:.1e}")
    else:
        lines.append(f"weights still move at {result['weights_still_move']:.3g} (the product rule does not stop)")
    if "recalled" in result:
        lines.append(
            f"second signal: {row(result['recalled'])}; without what was learned {row(result['recalled_unlearned'])}"
        )
    return "\n".join(lines)
