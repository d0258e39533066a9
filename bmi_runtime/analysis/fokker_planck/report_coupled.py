"""Answers of ``bmi fokker-planck coupled``: states with what is proved, runs, Hopf points along parameters."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import coupled_hopf, coupled_run, coupled_spectrum, coupled_states
from bmi_runtime.analysis.fokker_planck.populations import Populations
from bmi_runtime.analysis.numbers import digits, with_error
from bmi_runtime.errors import BadInput, BmiError

VARIED = ("b", "a", "delay", "a0", "current", "v_reset", "v_threshold", "refractory")


def steady(net: Populations) -> dict:
    """Return all steady states with their stability."""
    known = coupled_states.search(net)
    states = []
    for rates, errors in zip(known.rates, known.errors, strict=True):
        seen = coupled_spectrum.stability(net, rates)
        states.append(
            {
                "rates": rates,
                "rate_errors": errors,
                "stable": seen.stable,
                "unstable_eigenvalues": seen.unstable if seen.unstable >= 0 else None,
                "leading_eigenvalue": None if seen.leading is None else seen.leading.real,
                "leading_eigenvalue_imaginary": None if seen.leading is None else abs(seen.leading.imag),
                "count_agrees": seen.agrees,
            }
        )
    return {
        "populations": list(net.names),
        "steady_states": states,
        "complete": known.complete,
        "bounded": known.bounded,
        "highest_rates_searched": known.highest,
        "undecided": [[low, high] for low, high in known.undecided],
        "boxes": known.boxes,
    }


def steady_text(result: dict) -> str:
    """Return the answer of :func:`steady` for a person."""
    many = len(result["steady_states"])
    if result["complete"]:
        whole = ", and no others (proved)"
    elif result["undecided"]:
        whole = f"; {len(result['undecided'])} box(es) of rates are not decided"
    else:
        whole = f", and no others with rates below {min(result['highest_rates_searched']):.3g} (proved)"
    lines = [f"{many} steady state(s) of {', '.join(result['populations'])}{whole}"]
    for state in result["steady_states"]:
        rates = ", ".join(
            f"N_{name} = {digits(float(rate), float(error))}"
            for name, rate, error in zip(result["populations"], state["rates"], state["rate_errors"], strict=True)
        )
        lines.append(f"  {rates}  {_stability(state)}")
    for low, high in result["undecided"]:
        near = ", ".join(f"{math.sqrt(a * b):.6g}" for a, b in zip(low, high, strict=True))
        lines.append(f"  near ({near}): a double state, states that merge, or none")
    return "\n".join(lines)


def _stability(state):
    if state["stable"] is None:
        return "stability not decided (the determinant is not resolved along the imaginary axis)"
    words = "stable" if state["stable"] else f"unstable ({state['unstable_eigenvalues']} growing)"
    if state["leading_eigenvalue"] is None or not state["count_agrees"]:
        return f"{words}, counted; the leading eigenvalue was not found"
    turn = state["leading_eigenvalue_imaginary"]
    return f"{words}, leading eigenvalue {state['leading_eigenvalue']:.6g}" + (f" +- {turn:.6g}i" if turn else "")


def run(net: Populations, initial: list, duration: float, cells: int, tolerance: float, snapshots: int, advance=None):
    """Return the answer and the run; a blow-up is located with its error bar (without delays), every final rate has its
    difference from a coarser run as error.

    Raises
    ------
    BmiError
        When a rate outgrows the grid and no blow-up can be located.
    """
    started = time.process_time()
    solution = coupled_run.evolve(
        net, initial, duration, cells=cells, tolerance=tolerance, snapshots=snapshots, advance=advance
    )
    event = None
    if solution.ended != "finished":
        if net.delay.any():
            raise BmiError(
                f"the rate of {net.names[solution.which]} outgrew the grid at t = {solution.times[-1]:.6g}; with "
                "delays the time of a blow-up is not located: use more --cells or a shorter run"
            )
        event = coupled_run.locate(net, initial, duration, cells)
        if event is None:
            finest = 1e-5 * float((net.v_threshold - net.v_reset).min())
            solution = coupled_run.evolve(
                net, initial, duration, cells=cells, tolerance=tolerance, snapshots=snapshots, finest=finest
            )
            if solution.ended != "finished":
                raise BmiError(f"the rates outgrow the grid at t = {solution.times[-1]:.6g}: use more --cells")
    errors = None if event is not None else _final_errors(net, initial, duration, cells, tolerance, solution)
    result = {
        "populations": list(net.names),
        "status": "finished" if event is None else "blow_up",
        "blow_up_population": None if event is None else net.names[event.which],
        "blow_up_time": None if event is None else event.time,
        "blow_up_time_error": None if event is None else event.error,
        "feedback": None if event is None else event.feedback,
        "rates_final": None if event is not None else solution.rates[-1],
        "rates_final_errors": errors,
        "mass_error": solution.mass_error,
        "min_density": solution.min_density,
        "steps": solution.steps,
        "seconds": time.process_time() - started,
    }
    return result, solution


def _final_errors(net, initial, duration, cells, tolerance, solution):
    try:
        coarse = coupled_run.evolve(
            net, initial, duration, cells=max(cells // 2, 20), tolerance=min(10 * tolerance, 1e-2), snapshots=2
        )
    except BmiError:
        return None
    return np.abs(coarse.rates[-1] - solution.rates[-1]) if coarse.ended == "finished" else None


def run_text(result: dict) -> str:
    """Return the answer of :func:`run` for a person."""
    if result["status"] == "blow_up":
        when = with_error(result["blow_up_time"], result["blow_up_time_error"])
        first = f"blow-up of {result['blow_up_population']} at t = {when}: no solution beyond"
    else:
        errors = result["rates_final_errors"]
        shown = (
            f"N_{name} = {with_error(float(rate), None if errors is None else float(errors[k]))}"
            for k, (name, rate) in enumerate(zip(result["populations"], result["rates_final"], strict=True))
        )
        first = "finished: " + ", ".join(shown)
    return (
        f"{first}\nmass error {result['mass_error']:.1e}, smallest density {result['min_density']:.1e}, "
        f"{result['steps']} steps, {result['seconds']:.3g} s"
    )


def parameter(net: Populations, name: str) -> Callable[[Populations, float], Populations]:
    """Return what sets one parameter: ``b:E,I`` (what E receives from I), ``current:E``, ``refractory`` (of all).

    Raises
    ------
    BadInput
        When there is no such parameter or population.
    """
    kind, _, where = name.partition(":")
    if kind not in VARIED:
        raise BadInput(
            f"cannot vary '{name}': choose from {', '.join(VARIED)}, such as b:{net.names[0]},{net.names[-1]}"
        )
    matrix = kind in ("b", "a", "delay")
    places = [place.strip() for place in where.split(",")] if where else []
    for place in places:
        if place not in net.names:
            raise BadInput(f"there is no population '{place}' to vary: choose from {', '.join(net.names)}")
    if len(places) not in ((0, 2) if matrix else (0, 1)):
        raise BadInput(
            f"'{name}' names {len(places)} populations: {kind} takes {'two (to, from)' if matrix else 'one'}"
        )
    index = tuple(net.names.index(place) for place in places)

    def change(base: Populations, value: float) -> Populations:
        array = getattr(base, kind).copy()
        array[index if index else ...] = value
        return dataclasses.replace(base, **{kind: array})

    return change


def hopf(net, name: str, values, other: str | None = None, others=(0.0,), advance=None) -> list[dict]:
    """Return the Hopf points as one parameter runs through `values`, for each value of another where one is named: a
    surface over the second parameter.
    """
    first = parameter(net, name)
    second = parameter(net, other) if other else None
    rows = []
    for along in others:
        base = second(net, float(along)) if second else net
        for point in coupled_hopf.hopf_points(functools.partial(first, base), values, advance):
            row = {name: point.value} | ({other: float(along)} if other else {})
            rows.append(row | {"rates": point.rates, "period": point.period})
    return rows
