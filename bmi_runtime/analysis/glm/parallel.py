"""Units shared among processes, on one machine or on a cluster, through joblib's interface."""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.likelihood import Objective
from bmi_runtime.analysis.glm.solver import Solution, one_blas_thread, solve
from bmi_runtime.errors import BadInput


def unit_groups(units: int, jobs: int) -> list[np.ndarray]:
    """Return the units dealt out to `jobs` groups of nearly equal size."""
    return [group for group in np.array_split(np.arange(units), max(1, jobs)) if len(group)]


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
