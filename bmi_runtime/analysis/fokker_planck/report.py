"""A run as the command line answers it: what happened, with every bound on its errors, and a file to keep it in."""

import json
import math
import time

import numpy as np

from bmi_runtime.analysis.fokker_planck import blow_up, evolve
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.fokker_planck.oscillation import oscillation
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
        ``cells``, ``tolerance``, ``fixed_step``, ``snapshots``, ``advance`` of :func:`.evolve.evolve`.
    """
    started = time.process_time()
    theorem = blow_up.conditions(model, initial)
    event = blow_up.instantaneous(model, initial)
    if event is not None:
        return _answer(model, None, event, theorem, time.process_time() - started), None
    solution = evolve.evolve(model, initial, duration, **settings)
    if solution.ended != "finished":
        if model.threshold_eps > 0 or model.delay > 0:
            raise _unresolved(solution)
        cells = settings.get("cells", 400)
        event = blow_up.locate(model, initial, duration, cells)
        if event is None:  # a peak that the finer grid follows down again
            grid = evolve.default_grid(model, initial, cells, 1e-5 * (model.v_threshold - model.v_reset))
            solution = evolve.evolve(model, initial, duration, grid=grid, **settings)
    return _answer(model, solution, event, theorem, time.process_time() - started), solution


def _unresolved(solution):
    rate, when = float(solution.rate[-1]), float(solution.rate_times[-1])
    return BmiError(
        f"N(t) reached {rate:.3g} at t = {when:.6g}, the last trustworthy time: the boundary layer below V_F is now "
        "thinner than the grid; this is not a blow-up (with a delay there is none): use more --cells or a shorter run"
    )


def _answer(model, solution, event, theorem, seconds):
    result = {
        "status": "finished" if event is None else "blow_up",
        "blow_up_time": None if event is None else event.time,
        "blow_up_time_error": None if event is None else event.error,
        "instantaneous": bool(event is not None and event.instantaneous),
        "trusted_until": None,
        "feedback": None if event is None else event.feedback,
        "theorem": theorem,
        "rate_final": None,
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
            "refractory_final": float(solution.resting[-1]),
            "mass_error": solution.mass_error,
            "min_density": solution.min_density,
            "moved_mass": solution.moved_mass,
            "oscillation": oscillation(solution.rate_times, solution.rate) if event is None else None,
            "steps": solution.steps,
            "rejected": solution.rejected,
        }
    return result | {"seconds": seconds}


def text(result: dict) -> str:
    """Return the answer for a person."""
    lines = []
    if result["status"] == "blow_up" and result["instantaneous"]:
        lines.append(
            f"instantaneous blow-up: the feedback at V_F is {result['feedback']:.4g} >= 1 at t = 0: "
            "there is no solution"
        )
    elif result["status"] == "blow_up":
        lines.append(f"blow-up at t = {result['blow_up_time']:.8g} +- {result['blow_up_time_error']:.1g}")
        lines.append(
            f"the rate is resolved up to t = {result['trusted_until']:.8g}; beyond the blow-up there is no solution"
        )
    else:
        lines.append(f"finished: N = {result['rate_final']:.10g}")
    swing = result["oscillation"]
    if swing:
        lines.append(
            f"oscillation: period {swing['period']:.6g}, N from {swing['trough']:.4g} to {swing['peak']:.4g}, "
            f"mean {swing['mean']:.6g}"
        )
    theorem = result["theorem"]
    if theorem.get("applies"):
        verdict = "guarantees" if theorem["sufficient"] else "does not decide"
        bound = f" before t = {theorem['time_bound']:.4g}" if theorem.get("time_bound") is not None else ""
        lines.append(
            f"the moment theorem {verdict} a blow-up{bound} "
            f"(it needs b >= {theorem['b_sufficient']:.4g} for these data)"
        )
    if result["steps"]:
        lines.append(
            f"mass error {result['mass_error']:.1e}, smallest density {result['min_density']:.1e}, "
            f"{result['steps']} steps ({result['rejected']} rejected), {result['seconds']:.3g} s"
        )
    return "\n".join(lines)


def save(path: str, solution: evolve.Solution | None, result: dict) -> None:
    """Write p(v, t), N(t), the grid, the settings and the answer to an ``.npz`` file."""
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
