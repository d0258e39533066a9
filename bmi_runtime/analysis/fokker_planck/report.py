"""A run as the command line answers it: what happened, with every bound on its errors, and a file to keep it in."""

import json
import math
import time

import numpy as np

from bmi_runtime.analysis.fokker_planck import blow_up, evolve, oscillation
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.numbers import digits, with_error
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.outputs import npz_path, write_npz


def run(model: Model, initial, duration: float, **settings) -> tuple[dict, evolve.Solution | None]:
    """Integrate, and locate the blow-up if there is one; return the answer and the solution up to its last
    trustworthy time.

    Parameters
    ----------
    model : Model
    initial : callable
        Initial density.
    duration : float
    **settings
        ``cells``, ``tolerance``, ``fixed_step``, ``snapshots``, ``advance``, ``v_max`` of :func:`.evolve.evolve`.

    Raises
    ------
    BmiError
        When the rate outgrows the grid without a blow-up.

    Notes
    -----
    Every number of a finished run has an error: its difference from a run with half the cells and ten times the
    tolerance (twice a fixed step). Both are of second order, so the difference is about three times the error of the
    finer run, and some more where steps adapt.
    """
    started = time.process_time()
    theorem = blow_up.conditions(model, initial)
    event = blow_up.instantaneous(model, initial)
    if event is not None:
        return _answer(model, None, event, theorem, time.process_time() - started), None
    solution = _wide_enough(model, initial, duration, settings)
    if solution.ended != "finished":
        if model.threshold_eps > 0 or model.delay > 0:
            raise _unresolved(solution)
        cells = settings.get("cells", 400)
        event = blow_up.locate(model, initial, duration, cells)
        if event is None:  # a peak that the finer grid follows down again
            grid = evolve.default_grid(model, initial, cells, 1e-5 * (model.v_threshold - model.v_reset))
            solution = evolve.evolve(model, initial, duration, grid=grid, **settings)
    coarse = None if event is not None else _coarser(model, initial, duration, settings)
    return _answer(model, solution, event, theorem, time.process_time() - started, coarse), solution


def _wide_enough(model, initial, duration, settings):
    """Return a run; with a random threshold the upper end moves outwards until the density stays away from it."""
    if model.threshold_eps == 0 or settings.get("v_max") is not None:
        return evolve.evolve(model, initial, duration, **settings)
    for _ in range(4):
        try:
            return evolve.evolve(model, initial, duration, **settings)
        except evolve.DomainTooSmall as error:
            if error.end != "upper":
                raise
            settings["v_max"] = model.v_threshold + 2.5 * (error.where - model.v_threshold)
    return evolve.evolve(model, initial, duration, **settings)


def _coarser(model, initial, duration, settings):
    """Return the run that the errors come from, or None where its grid resolves nothing."""
    looser = {
        "cells": max(settings.get("cells", 400) // 2, 20),
        "tolerance": min(10.0 * settings.get("tolerance", 1e-8), 1e-2),
        "fixed_step": 2.0 * settings.get("fixed_step", 0.0),
        "v_max": settings.get("v_max"),
        "snapshots": 2,
    }
    try:
        run = evolve.evolve(model, initial, duration, **looser)
    except BmiError:
        return None
    return run if run.ended == "finished" else None


def _unresolved(solution):
    rate, when = float(solution.rate[-1]), float(solution.rate_times[-1])
    return BmiError(
        f"N(t) reached {rate:.3g} at t = {when:.6g}, the last trustworthy time: the boundary layer below V_F is now "
        "thinner than the grid; this is not a blow-up (with a delay there is none): use more --cells or a shorter run"
    )


def _answer(model, solution, event, theorem, seconds, coarse=None):
    result = {
        "status": "finished" if event is None else "blow_up",
        "blow_up_time": None if event is None else event.time,
        "blow_up_time_error": None if event is None else event.error,
        "instantaneous": bool(event is not None and event.instantaneous),
        "trusted_until": None,
        "feedback": None if event is None else event.feedback,
        "theorem": theorem,
        "rate_final": None,
        "rate_final_error": None,
        "mass_error": 0.0,
        "min_density": 0.0,
        "moved_mass": 0.0,
        "oscillation": None,
        "steps": 0,
        "rejected": 0,
    }
    if solution is not None:
        result |= {
            "trusted_until": float(solution.rate_times[-1]) if event is None else event.trusted_until,
            "rate_final": float(solution.rate[-1]),
            "rate_final_error": None if coarse is None else abs(float(solution.rate[-1] - coarse.rate[-1])),
            "refractory_final": float(solution.resting[-1]),
            "mass_error": solution.mass_error,
            "min_density": solution.min_density,
            "moved_mass": solution.moved_mass,
            "oscillation": _swing(solution, coarse) if event is None else None,
            "steps": solution.steps,
            "rejected": solution.rejected,
        }
    return result | {"seconds": seconds}


def _swing(solution, coarse):
    before = oscillation.oscillation(coarse.rate_times, coarse.rate) if coarse is not None else None
    return oscillation.with_errors(oscillation.oscillation(solution.rate_times, solution.rate), before)


def text(result: dict) -> str:
    """Return the answer for a person."""
    lines = []
    if result["status"] == "blow_up" and result["instantaneous"]:
        lines.append(
            f"instantaneous blow-up: the feedback at V_F is {result['feedback']:.4g} >= 1 at t = 0: "
            "there is no solution"
        )
    elif result["status"] == "blow_up":
        lines.append(f"blow-up at t = {with_error(result['blow_up_time'], result['blow_up_time_error'])}")
        lines.append(
            f"the rate is resolved up to t = {digits(result['trusted_until'], result['blow_up_time_error'])}; beyond "
            "the blow-up there is no solution"
        )
    else:
        lines.append(f"finished: N = {with_error(result['rate_final'], result['rate_final_error'])}")
    if result["oscillation"]:
        lines.append(oscillation.describe(result["oscillation"]))
    if result["theorem"].get("applies"):
        lines.append(_theorem_text(result["theorem"]))
    if result["steps"]:
        lines.append(
            f"mass error {result['mass_error']:.1e}, smallest density {result['min_density']:.1e}, "
            f"{result['steps']} steps ({result['rejected']} rejected), {result['seconds']:.3g} s"
        )
    return "\n".join(lines)


def _theorem_text(theorem):
    if not math.isfinite(theorem["b_sufficient"]):
        return "the moment theorem does not decide a blow-up (no connectivity is large enough for it with these data)"
    verdict = "guarantees" if theorem["sufficient"] else "does not decide"
    bound = f" before t = {theorem['time_bound']:.4g}" if theorem.get("time_bound") is not None else ""
    needs = f"it needs b >= {theorem['b_sufficient']:.4g} for these data"
    return f"the moment theorem {verdict} a blow-up{bound} ({needs})"


def save(path: str, solution: evolve.Solution | None, result: dict) -> None:
    """Write p(v, t), N(t), the grid, the settings and the answer to an ``.npz`` file.

    Raises
    ------
    BadInput
        When there is nothing to keep.
    """
    if solution is None:
        raise BadInput("there is nothing to keep: the blow-up is instantaneous")
    settings = {name: getattr(solution.model, name) for name in solution.model.__dataclass_fields__}
    finite = {
        key: value for key, value in result.items() if not (isinstance(value, float) and not math.isfinite(value))
    }
    write_npz(
        npz_path(path),
        compressed=True,
        v=solution.grid.v,
        width=solution.grid.width,
        times=solution.times,
        density=solution.density,
        resting=solution.resting,
        rate_times=solution.rate_times,
        rate=solution.rate,
        model=np.array(json.dumps(settings)),
        answer=np.array(json.dumps(finite, default=float)),
    )


def load(path: str) -> dict[str, np.ndarray]:
    """Return the arrays of a kept run: ``v``, ``times``, ``density``, ``rate_times``, ``rate``, ``resting``,
    ``model``, ``answer``.

    Raises
    ------
    BadInput
        When it is not a kept run.
    """
    wanted = ("v", "times", "density", "rate_times", "rate", "resting", "model", "answer")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in wanted if name not in file]
            if not missing:
                return {name: file[name] for name in wanted}
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not a kept run: {error}") from None
    raise BadInput(f"{path} lacks {', '.join(missing)}: it was not written by `bmi fokker-planck run --out`")
