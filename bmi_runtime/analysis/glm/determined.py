"""Coefficients that the data cannot tell: columns of zeros, columns that others determine, units that repeat others."""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.covariates import column_name
from bmi_runtime.analysis.glm.events import Events
from bmi_runtime.analysis.glm.prepared import Prepared

DEPENDENT = 1e-10


def drop_columns(prepared: Prepared, names, penalised: bool) -> None:
    """Hold at zero the columns that are zero throughout or that other columns determine; say which."""
    objective = prepared.objective
    design = objective.design
    gram = prepared.gram
    diagonal = np.diag(gram).copy()
    empty = diagonal <= 1e-14 * design.rows
    if design.covariates:
        flat = np.flatnonzero(empty[1 + design.history_columns :]) // len(design.covariates.leads)
        for column in np.unique(flat):
            prepared.notes.append(
                f"covariate {column} is constant, which the intercept already says: its weight is held at 0"
            )
    for source in range(design.events.units):
        if design.basis.shape[1] and empty[design.history(source)].all():
            prepared.notes.append(
                f"{names[source]} never fires, so nothing can be said of what it does to others: held at 0"
            )
    dropped = empty
    if not penalised:
        dropped = empty | _determined(gram, empty)
        _explain_determined(prepared, dropped & ~empty, names)
    prepared.dropped = dropped
    objective.free[dropped] = False


def _determined(gram: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Return the columns that earlier ones determine, by a pivoted Cholesky factorisation of the scaled Gram matrix."""
    from scipy.linalg.lapack import dpstrf

    kept = np.flatnonzero(~empty)
    scale = 1 / np.sqrt(np.diag(gram)[kept])
    matrix = gram[np.ix_(kept, kept)] * scale[:, None] * scale
    _, pivots, rank, _ = dpstrf(matrix, tol=DEPENDENT, lower=1)
    found = np.zeros(len(gram), bool)
    found[kept[pivots[rank:] - 1]] = True
    return found


def _explain_determined(prepared: Prepared, dropped: np.ndarray, names) -> None:
    design = prepared.objective.design
    twins = identical_units(design.events)
    functions = design.basis.shape[1]
    for source in range(design.events.units if functions else 0):
        lost = int(dropped[design.history(source)].sum())
        if not lost:
            continue
        twin = twins.get(source)
        if twin is None:
            twin = next((one for one, other in twins.items() if other == source), None)
        why = (
            f"its counts are identical to those of {names[twin]}" if twin is not None else "other columns determine it"
        )
        prepared.notes.append(
            f"{lost} of {functions} history coefficients of {names[source]} are held at 0 because {why}"
        )
    for row in np.flatnonzero(dropped[1 + design.history_columns :]) + 1 + design.history_columns:
        prepared.notes.append(f"{column_name(design, int(row), names)} is held at 0 because other columns determine it")


def identical_units(events: Events) -> dict[int, int]:
    """Return, for each unit that repeats an earlier one bin by bin, that earlier unit."""
    seen: dict = {}
    twins = {}
    for unit in range(events.units):
        times, values = events.of(unit)
        key = (times.tobytes(), values.tobytes())
        if len(times) and key in seen:
            twins[unit] = seen[key]
        seen.setdefault(key, unit)
    return twins
