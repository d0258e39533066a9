"""Blow-up: what the theorems promise, whether it happens, and when, with an error bar.

Everything here is for the sharp threshold without delay; with a delay or a random threshold solutions are global.
"""

import dataclasses
import math

import numpy as np
from scipy import optimize

from bmi_runtime.analysis.fokker_planck import evolve as evolution
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput, BmiError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
CLOSE = 0.9  # the feedback at which a rising rate is taken to be running away; it tends to 1 at the blow-up


@dataclasses.dataclass(frozen=True)
class BlowUp:
    """A blow-up: its time with error bar, and the evidence.

    Attributes
    ----------
    time, error : float
        Blow-up time and an error bar (grid, time steps, and the stretch that is extrapolated, added up).
    trusted_until : float
        Last time at which the rate is resolved.
    feedback : float
        ``b p`` just below the boundary layer (or ``a1 |dp/dv|``), which tends to 1 however fine the grid.
    instantaneous : bool
        The initial data leave no solution at all.
    """

    time: float
    error: float
    trusted_until: float
    feedback: float
    instantaneous: bool = False


def moment(initial, mu: float, model: Model) -> float:
    """Return ``exp(-mu V_F) int exp(mu v) p0(v) dv`` (scaled so that it cannot overflow; at most 1)."""
    low = initial.spread()[0] if hasattr(initial, "spread") else model.v_threshold - 12.0
    edges = np.linspace(low, model.v_threshold, 33)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    v = middle[:, None] + half[:, None] * _NODES
    return float(half @ (np.exp(mu * (v - model.v_threshold)) * initial(v)) @ _WEIGHTS)


def conditions(model: Model, initial) -> dict:
    """Return what the blow-up theorems say of these data.

    With ``phi = exp(mu v)`` and ``mu > (V_F - min I) / a0``, smooth solutions obey
    ``M_mu' >= N (b mu M_mu - phi(V_F)) + mu (mu a0 + I - V_F) M_mu`` (Caceres, Carrillo and Perthame 2011; the
    lecture takes ``mu = 2 max(1/b, V_F/a0)``). If ``b mu M_mu(0) >= phi(V_F)`` the moment grows exponentially, yet it
    cannot exceed ``phi(V_F)``: the solution ends before ``time_bound`` (derived from the same inequality). The search
    over mu makes the test as sharp as it gets.

    Returns
    -------
    dict
        ``mu`` and ``moment_ratio`` (``b mu M_mu(0) / phi(V_F)``) of the lecture, ``best_mu``, ``best_ratio``,
        ``sufficient`` (is a ratio >= 1), ``time_bound`` (or None), ``b_sufficient`` (the smallest b that the theorem
        needs with these data) and ``edge_feedback`` (``b p0(V_F)``; at 1 or more the blow-up is instantaneous).
    """
    lowest = (model.v_threshold - float(model.current_table()[1].min())) / model.a0
    edge = float(np.asarray(initial(np.array([model.v_threshold])))[0])
    feedback = model.b * edge
    if model.threshold_eps > 0 or model.delay > 0:
        return {"applies": False, "edge_feedback": feedback, "sufficient": False}
    first = max(lowest, 1e-3)
    best = optimize.minimize_scalar(
        lambda x: -math.exp(x) * moment(initial, math.exp(x), model),
        bounds=(math.log(first * 1.0001), math.log(first * 1e4)),
        method="bounded",
    )
    b_needed = -1.0 / best.fun if best.fun < 0 else math.inf  # no mass near V_F: the moment underflows
    result = {
        "applies": model.b > 0,
        "edge_feedback": feedback,
        "b_sufficient": b_needed,
        "sufficient": model.b >= b_needed,
    }
    if model.b > 0:
        mu = 2.0 * max(1.0 / model.b, lowest, 1e-3)
        result |= {"mu": mu, "moment_ratio": model.b * mu * moment(initial, mu, model)}
        result |= {
            "best_mu": math.exp(best.x),
            "best_ratio": model.b / b_needed,
            "time_bound": _time_bound(model, initial, lowest),
        }
        result["sufficient"] = bool(max(result["moment_ratio"], result["best_ratio"]) >= 1.0)
    return result


def _time_bound(model, initial, lowest):
    """Return the smallest upper bound of the blow-up time over all admissible mu, or None."""
    found = None
    for mu in np.geomspace(max(lowest, 1e-3) * 1.001, max(lowest, 1e-3) * 1e3, 200):
        ratio = moment(initial, mu, model)
        if model.b * mu * ratio >= 1.0:
            bound = -math.log(ratio) / (mu * model.a0 * (mu - lowest))
            found = bound if found is None else min(found, bound)
    return found


def instantaneous(model: Model, initial) -> BlowUp | None:
    """Return the blow-up at t = 0 where ``b p0(V_F) >= 1`` (or ``a1 |p0'(V_F)| >= 1``), else None: nothing to
    integrate.
    """
    if model.threshold_eps > 0 or model.delay > 0:
        return None
    edge, below = np.asarray(initial(np.array([model.v_threshold, model.v_threshold - 1e-7])), float)
    feedback = max(model.b * edge, 0.0)
    if edge < 1e-12:
        feedback += model.a1 * max(below - edge, 0.0) / 1e-7
    elif model.a1 > 0:
        feedback = math.inf  # a jump at V_F: the slope, and with it a1 |dp/dv|, is infinite at once
    return BlowUp(0.0, 0.0, 0.0, feedback, True) if feedback >= 1.0 else None


def feedback_at_end(solution: evolution.Solution) -> float:
    """Return ``b p`` eight layers below V_F plus ``a1 |dp/dv|`` at V_F, at the last time of the run."""
    model, grid, rate = solution.model, solution.grid, float(solution.rate[-1])
    density = solution.density[-1]
    layer = (model.a0 + model.a1 * rate) / max(abs(model.b) * rate, 1e-300)
    slope = rate / (model.a0 + model.a1 * rate)
    at = np.interp(model.v_threshold - 8.0 * layer, grid.v, density) if model.b > 0 and model.a1 == 0 else 0.0
    if model.a1 > 0 and model.b > 0:
        at = np.interp(model.v_threshold - min(8.0 * layer, 0.1), grid.v, density)
    return float(max(model.b, 0.0) * at + model.a1 * slope)


def extrapolate(times: np.ndarray, rate: np.ndarray) -> tuple[float, float]:
    """Return the time at which ``N^-2`` reaches zero and the length of the extrapolation.

    Near the singularity ``N ~ (T* - t)^(-1/2)`` up to a logarithm, so ``N^-2`` is nearly a straight line; it is
    fitted to the last factor of three of N.

    Raises
    ------
    BmiError
        When the rate runs away within the first steps.
    """
    tail = rate >= rate[-1] / 3.0
    first = np.flatnonzero(~tail)[-1] + 1 if not tail.all() else 0
    t, y = times[first:], rate[first:] ** -2.0
    if t.size < 3 or t[-1] - t[0] <= 1e-15 * max(t[-1], 1.0) or not np.all(np.isfinite(y)):
        raise BmiError(
            f"the rate runs away within the first steps, at t = {t[-1]:.3g}: the initial density leaves no solution "
            "that a grid could follow (it lies against V_F, or V_R and V_F are too close for this b)"
        )
    slope = np.polyfit((t - t[-1]) / (t[-1] - t[0]), y, 1)[0] / (t[-1] - t[0])
    ahead = -y[-1] / slope
    return float(t[-1] + ahead), float(ahead)


def locate(model: Model, initial, duration: float, cells: int = 400, tolerance: float = 1e-7) -> BlowUp | None:
    """Return the blow-up before `duration`, or None if the rate turns back before the finest grid is exhausted.

    Four runs: three grids, each twice as fine as the one before, and a looser tolerance. The time is extrapolated
    (second order) from the two finer grids; the error bar is its difference from the extrapolation of the two coarser
    ones, plus ten times the difference between the tolerances and the stretch that is extrapolated in time.

    Raises
    ------
    BadInput
        If the grid has fewer than 80 cells.
    BmiError
        If the rate outgrows the finest grid without the signature of a blow-up.
    """
    if cells < 80:
        raise BadInput(
            f"a grid of {cells} cells is too coarse for the boundary layer below V_F (the rate is running away): "
            "use at least 80"
        )
    finest = 1e-5 * (model.v_threshold - model.v_reset)
    stop = evolution.resolvable_rate(model, evolution.default_grid(model, initial, cells // 2, finest))
    plan = [(2 * cells, tolerance), (cells, tolerance), (cells // 2, tolerance), (cells // 2, 30.0 * tolerance)]
    times, runs = [], []
    for count, accuracy in plan:
        grid = evolution.default_grid(model, initial, count, finest)
        run = evolution.evolve(model, initial, duration, grid=grid, tolerance=accuracy, stop_rate=stop, snapshots=2)
        if run.ended == "finished":
            return None
        runs.append(run)
        times.append(extrapolate(run.rate_times, run.rate))
    feedback = feedback_at_end(runs[0])
    if feedback < CLOSE:
        raise BmiError(
            f"the rate passed {stop:.3g} at t = {runs[0].times[-1]:.6g} without the signature of a blow-up "
            f"(feedback {feedback:.2f}): the grid is too coarse for the boundary layer, use more --cells"
        )
    ends = [end for end, _ in times]
    best, before = ends[0] + (ends[0] - ends[1]) / 3.0, ends[1] + (ends[1] - ends[2]) / 3.0
    error = abs(best - before) + 0.02 * abs(ends[0] - ends[1]) + 10.0 * abs(ends[2] - ends[3]) + abs(times[0][1])
    resolved = min(float(runs[0].times[-1]), best - error)  # the finest run may pass the extrapolated time by its error
    return BlowUp(best, error, max(resolved, 0.0), feedback)
