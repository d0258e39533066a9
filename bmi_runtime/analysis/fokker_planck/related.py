"""Runs of the related models as the command line answers them: learning, polarisation, time elapsed."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bmi_runtime.analysis.fokker_planck import elapsed, learning, oscillation, polarisation
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.numbers import digits, with_error
from bmi_runtime.errors import BadInput


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise BadInput(f"{name.replace('_', ' ')} is {value:g}: it must be positive and finite")


def learning_run(
    model: Model,
    given: Callable,
    rule: Callable,
    duration: float,
    *,
    new_input: Callable | None = None,
    lowest_weight: float = -2.0,
    weights: int = 120,
    cells: int = 80,
    speed: float = 0.1,
    advance: Callable[[float], None] | None = None,
) -> tuple[dict, dict[str, np.ndarray]]:
    """Learn from a uniform connectivity; return the answer and the arrays of the run.

    ``distance`` is the L1 distance of C(w, duration) from the equilibrium of :func:`.learning.learned`. With a
    `new_input` the outputs to both inputs are compared: ``contrast`` is the left side of the discrimination inequality,
    ``contrast_bound`` its right side. On the learned input ``N(w) / (w / K(w))`` is the same for all weights of the
    support; ``spread_learned`` and ``spread_new`` are its relative spread on either input.

    Raises
    ------
    BadInput
        If a number makes no sense, or the learned support does not fit the weights.
    """
    _positive(duration=duration, speed=speed)
    if not (math.isfinite(lowest_weight) and lowest_weight < 0):
        raise BadInput(f"the lowest weight is {lowest_weight:g}: weights are inhibitory, give a negative number")
    if weights < 10 or cells < 20:
        raise BadInput(f"{weights} weights and {cells} cells of v are too few: use at least 10 and 20")
    started = time.process_time()
    w = lowest_weight * (1 - (np.arange(weights) + 0.5) / weights)
    exact = learning.learned(model, w, given, rule)
    if exact.extent > -lowest_weight:
        raise BadInput(
            f"the learned connectivity reaches down to w = {-exact.extent:.4g}, below the lowest weight "
            f"{lowest_weight:g}: lower it"
        )
    if not (exact.connectivity > 0).any():
        raise BadInput("no weight is connected: the learned weights are narrower than a cell, raise the lowest weight")
    course = learning.learn(
        model, w, np.ones(weights), given, rule, duration, speed=speed, cells=cells, advance=advance
    )
    distance = float(np.abs(course.connectivity - exact.connectivity).sum(axis=1)[-1] * (w[1] - w[0]))
    result = {
        "extent": exact.extent,
        "mean_rate": exact.mean_rate,
        "mean_rate_final": float(course.rate.sum() * (w[1] - w[0])),
        "distance": distance,
        "mass_error": course.mass_error,
        "min_density": course.lowest,
    }
    if new_input is not None:
        result |= _told_apart(model, w, exact.connectivity, given, new_input, rule)
    arrays = {"w": w, "v": course.v, "times": course.times, "connectivity": course.connectivity}
    arrays |= {"rate": course.rate, "mass": course.mass, "equilibrium": exact.connectivity}
    return result | {"seconds": time.process_time() - started}, arrays


def _told_apart(model, w, connectivity, given, new_input, rule):
    contrast, bound = learning.discrimination(model, w, connectivity, given(w), new_input(w))
    inside, spreads = connectivity > 0, []
    for signal in (given, new_input):
        ratio = (learning.output(model, w, connectivity, signal(w)) * rule(w) / w)[inside]
        spreads.append(float(np.ptp(ratio) / abs(ratio.mean())))
    return {
        "contrast": contrast,
        "contrast_bound": bound,
        "spread_learned": spreads[0],
        "spread_new": spreads[1],
    }


def learning_text(result: dict) -> str:
    """Return the answer of :func:`learning_run` for a person."""
    lines = [
        f"learned connectivity on [{-result['extent']:.6g}, 0], mean rate {result['mean_rate']:.6g}",
        f"at the end: L1 distance from it {result['distance']:.3g}, mean rate {result['mean_rate_final']:.6g}",
        f"mass error {result['mass_error']:.1e}, smallest mass {result['min_density']:.1e}, {result['seconds']:.3g} s",
    ]
    if "contrast" in result:
        lines.append(
            f"the new input is told apart: outputs differ by {result['contrast']:.4g} "
            f"(the inequality promises {result['contrast_bound']:.4g}); spread of N K / w {result['spread_new']:.3g} "
            f"against {result['spread_learned']:.1g} on the learned input"
        )
    return "\n".join(lines)


def polarisation_run(
    initial: Callable,
    mass: float,
    duration: float,
    *,
    memory: float = 0.0,
    exchange: float = 0.0,
    length: float = 40.0,
    cells: int = 400,
    tolerance: float = 1e-5,
    advance: Callable[[float], None] | None = None,
) -> tuple[dict, polarisation.Polarised]:
    """Return the answer and the run; every number comes with its difference from that of a coarser run.

    The coarser run has half the cells, twice the finest one and four times the tolerance. Below the critical mass
    ``profile_edge`` is the constant that ``n(0, t) sqrt(1 + 2t)`` tends to, ``scaled_edge`` where it is.

    Raises
    ------
    BadInput
        When there are too few cells, or a rate is negative.
    """
    _positive(mass=mass, duration=duration, length=length, tolerance=tolerance)
    for name, value in (("memory L", memory), ("exchange rate", exchange)):
        if not (math.isfinite(value) and value >= 0):
            raise BadInput(f"the {name} is {value:g}: it must be 0 (mu = n(0)) or more")
    if cells < 40:
        raise BadInput(f"{cells} cells cannot resolve a density: use at least 40")
    started = time.process_time()
    shared: dict[str, Any] = {"length": length, "memory": memory, "exchange": exchange}
    run = polarisation.simulate(initial, mass, duration, cells=cells, tolerance=tolerance, advance=advance, **shared)
    coarse = polarisation.simulate(
        initial, mass, duration, cells=cells // 2, finest=2e-4, tolerance=4 * tolerance, **shared
    )
    error, both = None, run.status == coarse.status == "finished"
    if run.blow_up_time is not None:
        error = abs(coarse.blow_up_time - run.blow_up_time) if coarse.blow_up_time is not None else math.inf
    spreads = mass < 1 and memory == exchange == 0
    result = {
        "status": run.status,
        "blow_up_time": run.blow_up_time,
        "blow_up_time_error": error,
        "critical_mass": None if memory or exchange else 1.0,
        "edge_final": float(run.edge[-1]),
        "edge_final_error": abs(float(run.edge[-1] - coarse.edge[-1])) if both else None,
        "mu_final": float(run.mu[-1]),
        "mu_final_error": abs(float(run.mu[-1] - coarse.mu[-1])) if both else None,
        "scaled_edge": float(run.edge[-1] * math.sqrt(1 + 2 * run.times[-1])) if spreads else None,
        "profile_edge": polarisation.self_similar(mass) if spreads else None,
        "mass_error": run.mass_error,
        "min_density": float(run.density.min()),
        "steps": len(run.times) - 1,
    }
    return result | {"seconds": time.process_time() - started}, run


def polarisation_text(result: dict) -> str:
    """Return the answer of :func:`polarisation_run` for a person."""
    if result["status"] == "blow_up":
        lines = [
            f"blow-up at t = {with_error(result['blow_up_time'], result['blow_up_time_error'])}: no solution beyond"
        ]
    else:
        edge = with_error(result["edge_final"], result["edge_final_error"])
        lines = [f"finished: n(0) = {edge}, mu = {with_error(result['mu_final'], result['mu_final_error'])}"]
    if result["scaled_edge"] is not None:
        relative = (result["edge_final_error"] or 0.0) / result["edge_final"]
        scaled = digits(result["scaled_edge"], relative * result["scaled_edge"], 6)
        lines.append(f"n(0, t) sqrt(1 + 2t) = {scaled}; it tends to {result['profile_edge']:.6g}")
    lines.append(f"mass error {result['mass_error']:.1e}, {result['steps']} steps, {result['seconds']:.3g} s")
    return "\n".join(lines)


def elapsed_run(
    coupling: float,
    initial: Callable,
    step: float,
    duration: float,
    *,
    rule: str = "nearest",
    delay: float = 0.0,
    filter_time: float = 0.0,
) -> tuple[dict, elapsed.Elapsed]:
    """Return the answer and the run of the time-elapsed model from a density of ages on [0, 12].

    The scheme is of first order in the step. Every number comes with the larger of what two coarser runs, of twice and
    three times the step, say of its error: twice and once their difference from it. (The first difference alone *is*
    the error, to first order, so that half of all numbers would lie just outside.) Times are known to a step, so a
    final rate is known to what it changes by within one. A delay is a whole number of steps of all three runs: the step
    is shortened until it is, since a rounded delay is another delay.

    Raises
    ------
    BadInput
        When the step is too long, or a coupling, delay or filter time is negative.
    """
    _positive(step=step, duration=duration)
    if not (math.isfinite(coupling) and coupling >= 0):
        raise BadInput(f"the coupling J is {coupling:g}: it must be 0 or more")
    if step > 0.5 or duration < 2 * step:
        raise BadInput(f"a step of {step:g} is too long: use at most 0.5, and at least two steps in the duration")
    for name, value in (("delay", delay), ("filter time", filter_time)):
        if not (math.isfinite(value) and value >= 0):
            raise BadInput(f"the {name} is {value:g}: it must be 0 or more")
    started = time.process_time()

    if step <= delay:
        step = delay / (6 * math.ceil(delay / (6 * step) - 1e-9))

    def integrate(dt):
        ages = dt * (np.arange(max(2, math.ceil(12.0 / dt))) + 0.5)
        whole = dt * (math.ceil(duration / dt - 1e-9) + 1)
        return elapsed.simulate(coupling, initial(ages), dt, whole, rule=rule, delay=delay, filter_time=filter_time)

    run, *coarser = (integrate(times * step) for times in (1, 2, 3))
    final, *others = (float(np.interp(duration, each.times, each.rate)) for each in (run, *coarser))
    near = run.rate[np.abs(run.times - duration) <= 1.5 * step]
    error = max(2.0 * abs(final - others[0]), abs(final - others[1]), float(np.ptp(near)))
    swings = [oscillation.oscillation(each.times, each.rate) for each in (run, *coarser)]
    instantaneous = delay == 0 and filter_time == 0
    result = {
        "steady_rates": [float(rate) for rate in elapsed.steady_rates(coupling)],
        "rate_final": final,
        "rate_final_error": error,
        "instantaneous_roots": int(run.roots.max()) if instantaneous else None,
        "oscillation": oscillation.with_first_order_errors(*swings),
        "mass_error": run.mass_error,
        "min_density": float(run.density.min()),
        "steps": run.times.size - 1,
    }
    return result | {"seconds": time.process_time() - started}, run


def elapsed_text(result: dict) -> str:
    """Return the answer of :func:`elapsed_run` for a person."""
    rates = ", ".join(f"{rate:.6g}" for rate in result["steady_rates"])
    final = with_error(result["rate_final"], result["rate_final_error"])
    lines = [f"steady rates: {rates}", f"at the end N = {final}"]
    if result["oscillation"]:
        lines.append(oscillation.describe(result["oscillation"]))
    if result["instantaneous_roots"]:
        lines.append(f"the instantaneous rate had up to {result['instantaneous_roots']} roots")
    lines.append(f"mass error {result['mass_error']:.1e}, {result['steps']} steps, {result['seconds']:.3g} s")
    return "\n".join(lines)
