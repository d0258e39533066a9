"""Studies over connectivity and refractory time, in parallel through joblib's interface."""

import csv
import dataclasses
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import hopf, report, spectral, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.outputs import whole_text

COLUMNS = (
    "b",
    "refractory",
    "kind",
    "rate",
    "stable",
    "leading_eigenvalue",
    "period",
    "peak",
    "trough",
    "blow_up_time",
    "blow_up_time_error",
)


def point(model: Model, initial=None, duration: float = 0.0) -> list[dict]:
    """Return the rows of one point of a study: every steady state, and with a duration the outcome of a run as well."""
    base = {"b": model.b, "refractory": model.refractory}
    rows = []
    for state in spectral.with_stability(model, steady.steady_states(model)):
        leading = state.leading_eigenvalue
        found = {
            "kind": "steady",
            "rate": state.rate,
            "stable": state.stable,
            "leading_eigenvalue": leading.real if leading else None,
        }
        rows.append(base | found)
    if duration > 0:
        rows.append(base | _outcome(model, initial, duration))
    return rows


def _outcome(model, initial, duration):
    """Return the row of a run from an initial density, or from near the busiest steady state where that is None."""
    try:
        if initial is None:
            found = hopf.cycle(model, duration)
            row = found.oscillation or {"mean": found.rate_final}
            kind = "oscillation" if found.oscillation else "settled" if found.settled else "moving"
            return {"kind": kind, "rate": row["mean"]} | {key: row.get(key) for key in ("period", "peak", "trough")}
        result, _ = report.run(model, initial, duration, snapshots=2)
    except BmiError as error:
        return {"kind": f"failed: {error}"}
    swing = result["oscillation"]
    return {
        "kind": "oscillation" if swing else result["status"],
        "rate": swing["mean"] if swing else result["rate_final"] if result["status"] == "finished" else None,
        "period": swing["period"] if swing else None,
        "peak": swing["peak"] if swing else None,
        "trough": swing["trough"] if swing else None,
        "blow_up_time": result["blow_up_time"],
        "blow_up_time_error": result["blow_up_time_error"],
    }


def study(
    model: Model,
    connectivities,
    refractory_times,
    *,
    initial=None,
    duration: float = 0.0,
    jobs: int = 1,
    advance: Callable[[], None] | None = None,
) -> list[dict]:
    """Return the rows of all points of the grid, in its order whatever the number of processes.

    Raises
    ------
    BadInput
        If more than one process is wanted and joblib is not installed.
    """
    models = [
        dataclasses.replace(model, b=float(b), refractory=float(tau))
        for tau in refractory_times
        for b in connectivities
    ]
    if not models:
        raise BadInput("the study has no points: give at least one b and one refractory time")
    rows = []
    for found in shared_out(point, [(one, initial, duration) for one in models], jobs):
        rows += found
        if advance is not None:
            advance()
    return rows


def shared_out(function: Callable, arguments: list[tuple], jobs: int):
    """Yield ``function(*one)`` for all arguments, in their order, computed by `jobs` processes.

    Raises
    ------
    BadInput
        If more than one process is wanted and joblib is not installed.
    """
    if jobs < 1:
        raise BadInput(f"--jobs {jobs}: at least one process is needed")
    if jobs == 1:
        yield from (function(*one) for one in arguments)
        return
    try:
        import joblib
    except ImportError:
        raise BadInput("several processes need joblib: install bmi-runtime[sweep], or use --jobs 1") from None
    work = (joblib.delayed(function)(*one) for one in arguments)
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator")(work)


def hopf_study(
    model: Model, refractory_times, rates: np.ndarray, jobs: int = 1, advance: Callable[[], None] | None = None
) -> list[dict]:
    """Return the Hopf points (``refractory``, ``b``, ``rate``, ``period``) on the branches of all refractory times.

    The leading eigenvalues at all `rates` (k,) are computed first, shared out over `jobs` processes; then the sign
    changes are polished. Rates that the refractory time forbids are left out.
    """
    models = [dataclasses.replace(model, refractory=float(tau)) for tau in refractory_times]
    points = [
        (one, float(rate)) for one in models for rate in rates if rate * (one.refractory + one.threshold_eps) < 0.95
    ]
    pairs = []
    for pair in shared_out(hopf.leading_pair, points, jobs):
        pairs.append(pair)
        if advance is not None:
            advance()
    rows = []
    for one in models:
        own = [k for k, (other, _) in enumerate(points) if other is one]
        found = hopf.between(one, np.array([points[k][1] for k in own]), [pairs[k] for k in own])
        rows += [{"refractory": one.refractory, "b": at.b, "rate": at.rate, "period": at.period} for at in found]
    return rows


def write(path: str, rows: list[dict]) -> None:
    """Write the rows as CSV."""
    with whole_text(path) as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
