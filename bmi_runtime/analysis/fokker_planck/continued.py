"""Through the blow-ups: run, avalanche, restart, again and again; each time and fraction with its error."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import blow_up, evolve
from bmi_runtime.analysis.fokker_planck.cascade import cascade
from bmi_runtime.analysis.fokker_planck.grid import check_halved
from bmi_runtime.analysis.fokker_planck.initial import masses
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.numbers import with_error
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels import fokker_planck as kernels

MOST = 200  # avalanches of a run


@dataclasses.dataclass(frozen=True)
class Continued:
    """A run through its blow-ups.

    Attributes
    ----------
    times, fractions : float64 arrays (j,)
        Of the avalanches.
    feedback : float64 array (j,)
        ``b p`` below the layer just before each; it tends to 1 as grids get finer.
    rate_times, rate : float64 arrays (k,)
        N(t) between the avalanches.
    v : float64 array (n,)
    before, after : float64 arrays (j, n)
        Densities just before and after each avalanche.
    final : float64 array (n,)
        Density at the end.
    mass_error : float
    """

    times: np.ndarray
    fractions: np.ndarray
    feedback: np.ndarray
    rate_times: np.ndarray
    rate: np.ndarray
    v: np.ndarray
    before: np.ndarray
    after: np.ndarray
    final: np.ndarray
    mass_error: float


def through(
    model: Model,
    initial: Callable,
    duration: float,
    *,
    cells: int = 400,
    tolerance: float = 1e-7,
    advance: Callable[[float], None] | None = None,
) -> Continued:
    """Integrate for `duration`, through every blow-up.

    Raises
    ------
    BadInput
        With a delay or a random threshold: there is no blow-up to continue.
    BmiError
        Where a rate outgrows the grid and yet no avalanche follows, or after `MOST` avalanches.
    """
    if model.delay > 0 or model.threshold_eps > 0:
        raise BadInput("with a delay or a random threshold there is no blow-up to continue: use run")
    finest = 1e-5 * (model.v_threshold - model.v_reset) * 400 / cells
    grid = evolve.default_grid(model, initial, cells, finest)
    stop = evolve.resolvable_rate(model, grid)
    mass, resting, now = masses(initial, model, grid), 0.0, 0.0
    jumps: list[tuple[float, float, float]] = []
    kept, pictures, worst = [], [], 0.0
    if blow_up.instantaneous(model, initial) is not None:
        jump = cascade(model, grid, mass, resting, stop)
        jumps.append((0.0, jump.fraction, model.b * mass[-1] / grid.width[-1]))
        pictures.append((mass / grid.width, jump.mass / grid.width))
        mass, resting = jump.mass, jump.resting
    while now < duration:
        run = _started(model, grid, mass, tolerance, stop, resting, now)
        why = run.to(duration, advance)
        kept.append(run.past[:2, : run.count].copy())
        mass, resting = run.mass, float(run.state[kernels.REST])
        worst = max(worst, abs(float(mass.sum()) + resting - 1.0))
        if why == kernels.REACHED:
            break
        now, jump, feedback = _avalanche(model, run)
        pictures.append((mass / grid.width, jump.mass / grid.width))
        jumps.append((now, jump.fraction, feedback))
        mass, resting = jump.mass, jump.resting
        if len(jumps) >= MOST:
            raise BmiError(f"{MOST} avalanches before t = {now:.4g}: give a shorter duration")
    table, past = np.array(jumps).reshape(-1, 3), np.concatenate(kept, axis=1)
    shown = np.array(pictures).reshape(-1, 2, grid.v.size)
    return Continued(
        table[:, 0], table[:, 1], table[:, 2], past[0], past[1], grid.v, shown[:, 0], shown[:, 1],
        mass / grid.width, worst,
    )  # fmt: skip


def _started(model, grid, mass, tolerance, stop, resting, now):
    try:
        run = evolve.Integrator(model, grid, mass, tolerance, 0.0, stop, resting)
    except BadInput:
        raise BmiError(f"the avalanche at t = {now:.6g} leaves too much against V_F to go on: use more cells") from None
    run.state[kernels.T] = run.past[0, 0] = now
    return run


def _avalanche(model, run):
    """Return the time of the blow-up that a run has stopped before, the avalanche, and the feedback."""
    times, rates = run.past[0, : run.count], run.past[1, : run.count]
    when, _ = blow_up.extrapolate(times, rates)
    jump = cascade(model, run.grid, run.mass, float(run.state[kernels.REST]), run.rate)
    feedback = _feedback(model, run)
    if jump.fraction <= 0.0:
        raise BmiError(
            f"the rate passed {run.rate:.3g} at t = {run.time:.6g} and no avalanche follows (feedback {feedback:.2f}): "
            "use more --cells"
        )
    return when, jump, feedback


def _feedback(model, run):
    layer = (model.a0 + model.a1 * run.rate) / max(abs(model.b) * run.rate, 1e-300)
    at = np.interp(model.v_threshold - min(8.0 * layer, 0.1), run.grid.v, run.mass / run.grid.width)
    return float(max(model.b, 0.0) * at + model.a1 * run.rate / (model.a0 + model.a1 * run.rate))


def with_errors(model: Model, initial: Callable, duration: float, cells: int = 400, advance=None) -> dict:
    """Return the avalanches with errors, from a second run of half the cells.

    Times are of second order in the cells and extrapolated; their error is what the extrapolation adds. That of a
    fraction and of the last rate is the difference of both runs. Where they disagree on how many avalanches there are,
    the errors end there and ``agrees`` is False.
    """
    check_halved(cells)
    fine = through(model, initial, duration, cells=cells, advance=advance)
    coarse = through(model, initial, duration, cells=cells // 2)
    agreed = min(len(fine.times), len(coarse.times))
    added = (fine.times[:agreed] - coarse.times[:agreed]) / 3.0
    rows = [
        {
            "time": float(fine.times[k] + (added[k] if k < agreed else 0.0)),
            "time_error": abs(float(added[k])) if k < agreed else None,
            "fraction": float(fine.fractions[k]),
            "fraction_error": abs(float(fine.fractions[k] - coarse.fractions[k])) if k < agreed else None,
        }
        for k in range(len(fine.times))
    ]
    same = len(fine.times) == len(coarse.times)
    return {
        "avalanches": rows,
        "agrees": same,
        "rate_final": float(fine.rate[-1]),
        "rate_final_error": abs(float(fine.rate[-1] - coarse.rate[-1])) if same else None,
        "mass_error": fine.mass_error,
        "run": fine,
    }


def intervals(result: dict) -> tuple[float, float] | None:
    """Return mean and spread of the intervals between the last avalanches, where there are at least four."""
    times = np.array([row["time"] for row in result["avalanches"]])
    if times.size < 4:
        return None
    late = np.diff(times[times.size // 2 - 1 :])
    return float(late.mean()), float(late.std()) if math.isfinite(late.mean()) else math.nan


def sizes(times: np.ndarray, fractions: np.ndarray, least: float = 0.05) -> dict:
    """Return the avalanches of neurons: times and fractions of the large ones, and how many steps had which size.

    Parameters
    ----------
    times, fractions : float64 arrays (k,)
        Of :func:`.particles.avalanches`.
    least : float
        Fraction from which an avalanche is large.
    """
    large = fractions >= least
    edges = np.r_[0.0, np.geomspace(1e-4, 1.0, 17)]
    counts, _ = np.histogram(fractions[fractions > 0], np.r_[edges[:-1], 1.0 + 1e-9])
    return {
        "times": times[large],
        "fractions": fractions[large],
        "largest_small": float(fractions[~large].max(initial=0.0)),
        "size_edges": edges,
        "size_counts": counts,
    }


def text(result: dict) -> str:
    """Return the answer of :func:`with_errors` for a person."""
    rows = result["avalanches"]
    lines = [f"{len(rows)} avalanche(s)" if rows else "no blow-up: there is nothing to continue"]
    for row in rows[:12]:
        when, share = with_error(row["time"], row["time_error"]), with_error(row["fraction"], row["fraction_error"])
        lines.append(f"  t = {when}: a fraction {share} of the neurons fires at once")
    if len(rows) > 12:
        lines.append(f"  ... and {len(rows) - 12} more (all in --json)")
    if not result["agrees"]:
        lines.append("two grids do not agree on how many there are: errors are known as far as they agree")
    steady = intervals(result)
    if steady is not None:
        lines.append(f"the last ones are {steady[0]:.6g} apart (spread {steady[1]:.1g})")
    if "particles" in result:
        found = result["particles"]
        shown = ", ".join(
            f"{x:.3g} at {t:.4g}" for t, x in zip(found["times"][:8], found["fractions"][:8], strict=True)
        )
        lines.append(f"neurons: {shown or 'no large avalanche'}; the largest small one {found['largest_small']:.2g}")
    lines.append(f"at the end N = {with_error(result['rate_final'], result['rate_final_error'])}")
    return "\n".join(lines)
