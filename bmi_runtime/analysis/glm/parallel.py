"""Units shared among processes, on one machine or on a cluster, through joblib's interface."""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.likelihood import Objective
from bmi_runtime.analysis.glm.solver import MEMORY, Solution, one_blas_thread, solve
from bmi_runtime.errors import BadInput

PAIRS_BYTES = 3e8
"""Of the curvature pairs of the units that are fitted together."""
LEAST_TOGETHER = 16


def unit_groups(units: int, jobs: int) -> list[np.ndarray]:
    """Return the units dealt out to `jobs` groups of nearly equal size."""
    return [group for group in np.array_split(np.arange(units), max(1, jobs)) if len(group)]


def solve_in_turns(objective: Objective, start: np.ndarray, gram: np.ndarray, report, options: dict) -> Solution:
    """Minimise groups of units one after the other, so that memory stays flat however many there are.

    What grows with units that are fitted together are their curvature pairs. Units of like rates go together: they
    share the factor of the preconditioner.
    """
    together = max(LEAST_TOGETHER, int(PAIRS_BYTES / (16 * MEMORY * objective.design.parameters)))
    if objective.units <= together:
        return solve(objective, start, gram=gram, report=report, **options)
    order = np.argsort(objective.cross[0], kind="stable")
    groups = np.array_split(order, -(-objective.units // together))
    parts = []
    for done, units in enumerate(groups):
        ahead = report and (lambda share, done=done: report((done + share) / len(groups)))
        parts.append(solve(objective.take(units), start[:, units], gram=gram, report=ahead, **options))
        if parts[-1].interrupted:
            break
    return _in_place(joined(parts), np.concatenate(groups[: len(parts)]), objective, start)


def _in_place(solution: Solution, units: np.ndarray, objective: Objective, start: np.ndarray) -> Solution:
    """Return a solution of all units in their own order; those that were not reached stay at their start."""
    whole = Solution(
        start.copy(),
        np.full(objective.units, np.inf),
        np.zeros_like(start),
        np.zeros(objective.units, int),
        np.zeros(objective.units, bool),
        solution.interrupted,
    )
    for name in ("weights", "values", "gradient", "iterations", "converged"):
        getattr(whole, name)[..., units] = getattr(solution, name)
    return whole


def solve_in_processes(objective: Objective, start: np.ndarray, gram: np.ndarray, jobs: int, options: dict) -> Solution:
    """Minimise groups of units in processes of their own; the answer is that of :func:`solver.solve`.

    Every process gets the events of all units (they are sources), so what travels is small. Within
    ``joblib.parallel_config(backend="dask")`` the groups go to a Dask cluster.

    Parameters
    ----------
    jobs : int
        Processes; -1 for one per processor.

    Raises
    ------
    BadInput
        If joblib is not installed.
    """
    try:
        import joblib
    except ImportError:
        raise BadInput("several jobs need joblib; install bmi-runtime[sweep] or use jobs=1") from None
    groups = unit_groups(objective.units, joblib.effective_n_jobs(jobs))
    work = [joblib.delayed(_solve_group)(objective.take(units), start[:, units], gram, options) for units in groups]
    return joined(joblib.Parallel(n_jobs=jobs)(work))


def _solve_group(objective, start, gram, options) -> Solution:
    with one_blas_thread():
        return solve(objective, start, gram=gram, **options)


def joined(parts: list[Solution]) -> Solution:
    """Return the solutions of groups of units as one."""

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    return Solution(
        weights=together("weights"),
        values=together("values"),
        gradient=together("gradient"),
        iterations=together("iterations"),
        converged=together("converged"),
        interrupted=any(part.interrupted for part in parts),
    )
