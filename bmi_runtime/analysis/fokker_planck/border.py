"""The border between blow-up and relaxation for one's own initial density: the connectivity B(n0), with its error."""

import dataclasses
import math
from collections.abc import Callable

from bmi_runtime.analysis.fokker_planck import blow_up, evolve, steady
from bmi_runtime.analysis.fokker_planck.grid import check_halved
from bmi_runtime.analysis.fokker_planck.initial import masses
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.numbers import digits, with_error
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels import fokker_planck as kernels

CLOSE = 1e-3  # relative distance from the quiet steady rate at which a run has relaxed
LONGEST = 150.0  # membrane time constants; a run that has not decided by then counts as undecided
LEAST, MOST = 1e-3, 1e3  # connectivities that are looked at


@dataclasses.dataclass(frozen=True)
class Border:
    """The border and what is known besides.

    Attributes
    ----------
    b, error : float
        Solutions relax below ``b`` and blow up above; it is extrapolated from two grids, and the error is what
        that adds, plus the width of the last bracket.
    theorem : float
        The connectivity from which the moment theorem guarantees a blow-up for these data (infinite for none).
    instantaneous : float
        ``1 / p0(V_F)``: from there on the data leave no solution at all (infinite for none).
    none_steady : float or None
        The connectivity beyond which no steady state exists.
    decided_by : {"data", "steady states"}
        Whether the border is a property of the initial density, or the end of the steady states.
    """

    b: float
    error: float
    theorem: float
    instantaneous: float
    none_steady: float | None
    decided_by: str


def fate(model: Model, initial: Callable, cells: int = 400, tolerance: float = 1e-7) -> str:
    """Return ``"blow-up"``, ``"relaxes"``, or ``"undecided"`` after `LONGEST` membrane time constants.

    A run relaxes when its rate has come within a thousandth of a steady rate and has approached it over five membrane
    time constants; it blows up when it outgrows the grid.
    """
    if blow_up.instantaneous(model, initial) is not None:
        return "blow-up"
    rates = [state.rate for state in steady.steady_states(model)]
    finest = 1e-5 * (model.v_threshold - model.v_reset) * 400 / cells
    grid = evolve.default_grid(model, initial, cells, finest)
    stop = evolve.resolvable_rate(model, grid)
    try:
        run = evolve.Integrator(model, grid, masses(initial, model, grid), tolerance, 0.0, stop)
    except BadInput:
        return "blow-up"  # the last cell alone leaves no rate: the feedback is at its limit at once
    until, before = 5.0, math.inf
    while until <= LONGEST:
        if run.to(until) != kernels.REACHED:
            return "blow-up"
        near = min((abs(run.rate / rate - 1.0) for rate in rates), default=math.inf)
        if near < CLOSE and near <= before < 30 * CLOSE:
            return "relaxes"
        before, until = near, until + 5.0
    return "undecided"


def border(
    model: Model,
    initial: Callable,
    cells: int = 800,
    tolerance: float = 1e-6,
    advance: Callable[[float], None] | None = None,
) -> Border:
    """Return the connectivity at which the solution from `initial` changes from relaxing to blowing up.

    Parameters
    ----------
    model : Model
        Its own b is ignored.
    initial : callable
        Initial density with ``spread()``.
    cells : int
    tolerance : float
        Relative width of the last bracket.

    Raises
    ------
    BadInput
        With a delay or a random threshold (nothing blows up), too few cells, or where nothing between `LEAST` and
        `MOST` changes.
    """
    if model.delay > 0 or model.threshold_eps > 0:
        raise BadInput("with a delay or a random threshold nothing blows up: there is no border")
    check_halved(cells)
    facts = blow_up.conditions(dataclasses.replace(model, b=1.0), initial)
    edge = facts["edge_feedback"]
    end = steady.critical(model)
    none = end.b if end.kind in ("fold", "limit") and end.proved else None
    low, high = _bracket(model, initial, [none, facts["b_sufficient"], 1.0 / edge if edge > 1e-9 else None], cells // 2)
    rough = _bisect(model, initial, low, high, cells // 2, tolerance, advance)
    middle, span = 0.5 * sum(rough), 50.0 * tolerance
    fine = None
    while fine is None:
        low, high = middle * (1 - span), middle * (1 + span)
        if fate(_at(model, low), initial, cells) == "relaxes" and fate(_at(model, high), initial, cells) == "blow-up":
            fine = _bisect(model, initial, low, high, cells, tolerance, advance)
        span *= 8.0
        if span > 0.5:
            raise BmiError("two grids disagree on the border by more than half of it: use more cells")
    b = 0.5 * sum(fine)
    by = "steady states" if none is not None and abs(b / none - 1.0) < 1e-3 else "data"
    added = (b - middle) / 3.0  # of second order in the cells
    error = abs(added) + 0.5 * (fine[1] - fine[0])
    return Border(
        float(b + added), float(error), float(facts["b_sufficient"]), 1.0 / edge if edge > 1e-9 else math.inf, none, by
    )


def _at(model, b):
    return dataclasses.replace(model, b=b)


def _bracket(model, initial, upper, cells):
    """Return two connectivities, the first relaxing and the second blowing up."""
    known = [value for value in upper if value is not None and math.isfinite(value)]
    high = min([*known, MOST]) * 1.0001
    while fate(_at(model, high), initial, cells) == "relaxes":
        high *= 1.5
        if high > MOST:
            raise BadInput(f"no blow-up from these data up to b = {MOST:g}")
    low = 0.5 * high
    while fate(_at(model, low), initial, cells) != "relaxes":
        high, low = low, 0.5 * low
        if low < LEAST:
            raise BadInput(f"these data blow up already at b = {LEAST:g}")
    return low, high


def _bisect(model, initial, low, high, cells, tolerance, advance):
    """Return the bracket narrowed to the tolerance; a run that does not decide counts to the side of the blow-up."""
    while high - low > tolerance * high:
        middle = 0.5 * (low + high)
        if fate(_at(model, middle), initial, cells) == "relaxes":
            low = middle
        else:
            high = middle
        if advance is not None:
            advance(1)
    return low, high


def answer(found: Border) -> dict:
    """Return the border for programs."""
    return {
        "border_b": found.b,
        "border_b_error": found.error,
        "theorem_b": found.theorem,
        "instantaneous_b": found.instantaneous,
        "none_steady_b": found.none_steady,
        "decided_by": found.decided_by,
    }


def text(found: Border) -> str:
    """Return the border for a person."""
    lines = [f"B(n0) = {with_error(found.b, found.error)}: below it the solution relaxes, above it blows up"]
    if math.isfinite(found.theorem):
        lines.append(f"the moment theorem guarantees a blow-up from b = {found.theorem:.6g} on")
    else:
        lines.append("the moment theorem guarantees a blow-up at no connectivity for these data")
    if math.isfinite(found.instantaneous):
        lines.append(f"from b = {found.instantaneous:.6g} on there is no solution at all (b p0(V_F) >= 1)")
    if found.none_steady is not None:
        why = "; that decides here" if found.decided_by == "steady states" else ""
        lines.append(f"beyond b = {digits(found.none_steady, None, 8)} there is no steady state (proved){why}")
    return "\n".join(lines)
