"""Studies over connectivity and refractory time, in parallel through joblib's interface."""

import csv
import dataclasses
from collections.abc import Callable

from bmi_runtime.analysis.fokker_planck import report, spectral, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput, BmiError

COLUMNS = (
    "b",
    "refractory",
    "kind",
    "rate",
    "stable",
    "leading_eigenvalue",
    "period",
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
    try:
        result, _ = report.run(model, initial, duration, snapshots=2)
    except BmiError as error:
        return {"kind": f"failed: {error}"}
    swing = result["oscillation"]
    return {
        "kind": "oscillation" if swing else result["status"],
        "rate": swing["mean"] if swing else result["rate_final"] if result["status"] == "finished" else None,
        "period": swing["period"] if swing else None,
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
    if jobs == 1:
        results = (point(one, initial, duration) for one in models)
    else:
        try:
            import joblib
        except ImportError:
            raise BadInput(
                "a study on several processes needs joblib: install bmi-runtime[sweep], or use --jobs 1"
            ) from None
        work = (joblib.delayed(point)(one, initial, duration) for one in models)
        results = joblib.Parallel(n_jobs=jobs, return_as="generator")(work)
    rows = []
    for found in results:
        rows += found
        if advance is not None:
            advance()
    return rows


def write(path: str, rows: list[dict]) -> None:
    """Write the rows as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
