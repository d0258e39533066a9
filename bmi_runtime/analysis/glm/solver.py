"""Maximum likelihood for all units at once: a quasi-Newton method preconditioned by one shared Gram matrix.

Every unit has the same design matrix ``X``, so its Hessian ``X' diag(rate_i) X`` is close to ``mean rate_i * X' X``,
whose history block follows from the spikes' cross-correlograms at no cost. Each unit keeps its own limited-memory
BFGS pairs on top; the gradients of all units come from one pass over the spikes. Early passes look at every
``stride``-th bin only (a quadrature of the rate's integral; the spikes' term is exact), and their curvature pairs
carry over. Newton steps with exact Hessians finish what has not converged, and do the whole work on small problems.
Derived here; the pieces are Nocedal & Wright, Numerical Optimization (2006), chapters 3, 6 and 7.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bmi_runtime.analysis.glm.design import IMPOSSIBLE, Design, finite_part
from bmi_runtime.analysis.glm.likelihood import Objective

MEMORY = 40
SMALL_WORK = 1e8
HESSIAN_BYTES = 2e8


def one_blas_thread():
    """Return a context in which BLAS uses one thread, where `threadpoolctl` is installed (else one that does nothing).

    The matrices here are small or shared out by our own threads; a second BLAS thread mostly burns processor time.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1, "blas")


@dataclass
class Solution:
    """Where the optimiser stopped.

    Attributes
    ----------
    weights : ndarray, shape (parameters, units)
    values : ndarray, shape (units,)
        Mean negative log-likelihood per bin plus penalty, without ``ln count!``.
    gradient : ndarray, shape (parameters, units)
    iterations : ndarray of int, shape (units,)
        Steps taken for each unit on the whole data.
    converged : ndarray of bool, shape (units,)
    interrupted : bool
        True when Ctrl-C stopped the fit; the weights are then the best so far.
    """

    weights: np.ndarray
    values: np.ndarray
    gradient: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    interrupted: bool = False


class SharedCurvature:
    """``(mean rate * X'X / bins + penalty)^-1`` for every unit, factored once per group of like units."""

    def __init__(self, objective: Objective, gram: np.ndarray):
        self.objective = objective
        rows = objective.design.rows
        self.gram = gram / rows
        self.scale = np.maximum(objective.cross[0], 0.5) / rows
        self._factors: dict = {}
        penalised = bool(objective.ridge) or objective.smooth is not None
        self.penalty = objective.penalty_matrix() if penalised else None
        patterns = [np.packbits(column).tobytes() for column in objective.free.T]
        octave = np.round(np.log2(self.scale)) if penalised else np.zeros(len(patterns))
        self.keys = [(pattern, float(level)) for pattern, level in zip(patterns, octave)]

    def _factor(self, unit: int):
        from scipy.linalg import cho_factor

        key = self.keys[unit]
        if key not in self._factors:
            free = np.flatnonzero(self.objective.free[:, unit])
            matrix = self.gram[np.ix_(free, free)].copy()
            if self.penalty is not None:
                matrix += self.penalty[np.ix_(free, free)] / 2.0 ** key[1]
            matrix[np.diag_indices_from(matrix)] *= 1 + 1e-11
            self._factors[key] = free, cho_factor(matrix, lower=True, check_finite=False)
        return self._factors[key]

    def apply(self, gradient: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Return the preconditioned gradient of some units, (parameters, len(units))."""
        from scipy.linalg import cho_solve

        out = np.zeros_like(gradient)
        groups: dict = {}
        for column, unit in enumerate(units):
            groups.setdefault(self.keys[unit], []).append(column)
        for columns in groups.values():
            free, factor = self._factor(units[columns[0]])
            if len(free):
                step = cho_solve(factor, gradient[np.ix_(free, columns)], check_finite=False)
                out[np.ix_(free, columns)] = step / self.scale[units[columns]]
        return out


class CurvaturePairs:
    """Steps and gradient changes of every unit (limited-memory BFGS), applied to all units at once."""

    def __init__(self):
        self.steps: list[np.ndarray] = []
        self.changes: list[np.ndarray] = []
        self.inverse: list[np.ndarray] = []

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        """Remember one step; units that did not move, or saw no positive curvature, get a weight of zero."""
        product = np.einsum("pn,pn->n", step, change)
        enough = product > 1e-14 * np.sqrt(np.einsum("pn,pn->n", step, step) * np.einsum("pn,pn->n", change, change))
        self.steps.append(step)
        self.changes.append(change)
        self.inverse.append(np.where(enough & (product > 0), 1 / np.where(product > 0, product, 1.0), 0.0))
        if len(self.steps) > MEMORY:
            del self.steps[0], self.changes[0], self.inverse[0]

    def direction(self, gradient: np.ndarray, units: np.ndarray, curvature: SharedCurvature) -> np.ndarray:
        """Return the quasi-Newton step (to be subtracted) by the two-loop recursion."""
        out = gradient.copy()
        kept = []
        for step, change, inverse in zip(self.steps[::-1], self.changes[::-1], self.inverse[::-1]):
            share = inverse[units] * np.einsum("pn,pn->n", step[:, units], out)
            kept.append(share)
            out -= share * change[:, units]
        out = curvature.apply(out, units)
        for step, change, inverse, share in zip(self.steps, self.changes, self.inverse, kept[::-1]):
            out += (share - inverse[units] * np.einsum("pn,pn->n", change[:, units], out)) * step[:, units]
        return out


def quadrature_strides(design: Design) -> list[int]:
    """Return the stride of the warm-up, if thousands of bins remain.

    One stage, not several: curvature pairs of different quadratures mixed together cost more passes than they save.
    """
    return [stride for stride in (8, 4) if design.rows / stride >= max(5_000, 4 * design.parameters)][:1]


def solve(
    objective: Objective,
    start: np.ndarray,
    *,
    tolerance: float = 1e-8,
    max_iterations: int = 200,
    method: str = "auto",
    gram: np.ndarray | None = None,
    report: Callable[[float], None] | None = None,
) -> Solution:
    """Minimise the objective of every unit.

    Parameters
    ----------
    objective : Objective
    start : ndarray, shape (parameters, units)
        Also holds the coefficients that are not free.
    tolerance : float
        Largest absolute gradient of the mean log-likelihood; additionally, the gradient must be below a ten-thousandth
        of the unit's mean count and the predicted step below 1e-7 of the largest coefficient.
    method : {"auto", "shared", "newton"}
        ``auto`` takes exact Newton steps on small problems and the shared-curvature method elsewhere.
    report : callable, optional
        Called with the estimated fraction done.
    """
    run = Run(objective, start.copy(), tolerance, max_iterations, report)
    work = objective.design.rows * objective.design.parameters**2 * objective.units
    try:
        if method == "newton" or (method == "auto" and work < SMALL_WORK):
            run.newton(max_iterations)
        else:
            run.quasi_newton(objective.design.gram() if gram is None else gram)
            run.newton(12)
    except KeyboardInterrupt:
        run.interrupted = True
    return run.solution()


class Run:
    """The state of one minimisation."""

    def __init__(self, objective, start, tolerance, max_iterations, report):
        self.objective, self.weights, self.report = objective, start, report
        self.max_iterations = max_iterations
        mean = np.maximum(objective.cross[0], 0.5) / objective.design.rows
        self.limit = np.minimum(tolerance, 1e-4 * mean)
        self.units = np.arange(objective.units)
        self.values = np.full(objective.units, np.inf)
        self.gradient = np.zeros_like(start)
        self.iterations = np.zeros(objective.units, int)
        self.converged = ~objective.free.any(axis=0)
        self.interrupted = False
        self._first = None

    def solution(self) -> Solution:
        """Return where we are."""
        parts = (self.weights, self.values, self.gradient, self.iterations, self.converged)
        return Solution(*parts, interrupted=self.interrupted)

    def tell(self) -> None:
        """Report progress: gradients fall geometrically, so the fraction is counted in their logarithm."""
        if self.report is None:
            return
        worst = np.log(np.maximum(np.abs(self.gradient).max(axis=0) / self.limit, 1.0)).max()
        self._first = max(self._first or 1.0, worst)
        self.report(1.0 - worst / self._first)

    def quasi_newton(self, gram: np.ndarray) -> None:
        """Warm up on a thinned design, then iterate on the whole data."""
        curvature = SharedCurvature(self.objective, gram)
        pairs = CurvaturePairs()
        strides = quadrature_strides(self.objective.design) if self.objective.link == "exponential" else []
        begin = self.weights.copy()
        for stride in strides:
            self._stage(self.objective.design.thinned(stride), curvature, pairs, 1e-7, 40)
        if strides:
            self._keep_better(begin)
        self.iterations[:] = 0
        self._stage(self.objective.design, curvature, pairs, None, self.max_iterations)

    def _keep_better(self, begin: np.ndarray) -> None:
        """Go back to the start for any unit whose quadrature led somewhere worse."""
        warm, _ = self.objective.evaluate(self.weights, self.units)
        cold, _ = self.objective.evaluate(begin, self.units, self.objective.design.thinned(4))
        worse = ~(warm < cold)
        self.weights[:, worse] = begin[:, worse]

    def _stage(self, design, curvature, pairs, level, max_iterations) -> None:
        """Iterate until every unit has converged on `design` (to `level`, or to the run's own tolerance)."""
        whole = level is None
        limit = self.limit if whole else np.full(self.objective.units, level)
        active = np.flatnonzero(~self.converged)
        self.values[active], self.gradient[:, active] = self._evaluate(self.weights[:, active], active, design)
        for _ in range(max_iterations):
            step = pairs.direction(self.gradient[:, active], active, curvature)
            done = self._largest(active) <= limit[active]
            if whole:
                size = np.maximum(1.0, np.abs(finite_part(self.weights[:, active])).max(0))
                done &= np.abs(step).max(axis=0) <= 1e-7 * size
                self.converged[active[done]] = True
                self.tell()
            active, step = active[~done], step[:, ~done]
            if not len(active):
                return
            moved = self._advance(active, step, design, pairs)
            active = active[moved]

    def _largest(self, units) -> np.ndarray:
        """Return the largest gradient of some units, with covariates in the user's own units as in standard ones."""
        gradient = self.gradient[:, units]
        return np.maximum(np.abs(gradient), np.abs(self.objective.design.user_gradient(gradient))).max(axis=0)

    def _evaluate(self, weights, units, design):
        return self.objective.evaluate(weights, units, design)

    def _advance(self, active, step, design, pairs=None) -> np.ndarray:
        """Move along ``-step`` with backtracking; returns which units moved."""
        slope = -np.einsum("pn,pn->n", step, self.gradient[:, active])
        length = np.ones(len(active))
        todo = np.arange(len(active))
        shift = np.zeros_like(self.weights)
        change = np.zeros_like(self.weights)
        for _ in range(30):
            units = active[todo]
            trial = self.weights[:, units] - length[todo] * step[:, todo]
            values, gradient = self._evaluate(trial, units, design)
            slack = 1e-14 * (1 + np.abs(self.values[units]))
            good = values <= self.values[units] + 1e-4 * length[todo] * slope[todo] + slack
            moved = units[good]
            shift[:, moved] = trial[:, good] - self.weights[:, moved]
            change[:, moved] = gradient[:, good] - self.gradient[:, moved]
            self.weights[:, moved], self.gradient[:, moved] = trial[:, good], gradient[:, good]
            self.values[moved] = values[good]
            self.iterations[moved] += 1
            todo = todo[~good]
            if not len(todo):
                break
            length[todo] *= 0.3
        if pairs is not None:
            pairs.add(shift, change)
        moved = np.ones(len(active), bool)
        moved[todo] = False
        return moved

    def newton(self, max_iterations: int) -> None:
        """Take Newton steps with exact Hessians, a few units at a time as memory allows."""
        parameters = self.objective.design.parameters
        together = max(1, int(HESSIAN_BYTES / (8 * parameters**2)))
        waiting = np.flatnonzero(~self.converged)
        for begin in range(0, len(waiting), together):
            self._newton_group(waiting[begin : begin + together], max_iterations)

    def _newton_group(self, active, max_iterations) -> None:
        design = self.objective.design
        self.values[active], self.gradient[:, active] = self._evaluate(self.weights[:, active], active, design)
        for _ in range(max_iterations):
            hessians = self.objective.hessians(self.weights[:, active], active)
            step = newton_steps(hessians, self.gradient[:, active], self.objective.free[:, active])
            size = np.maximum(1.0, np.abs(finite_part(self.weights[:, active])).max(0))
            small = np.abs(step).max(axis=0) <= 1e-9 * size
            flat = self._largest(active) <= self.limit[active]
            self.converged[active[flat & (np.abs(step).max(axis=0) <= 1e-7 * size)]] = True
            self.tell()
            active, step = active[~(flat & small)], step[:, ~(flat & small)]
            if not len(active):
                return
            active = active[self._advance(active, step, design)]


def newton_steps(hessians: np.ndarray, gradient: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return ``H^-1 g`` over the free coefficients of each unit, (parameters, units)."""
    from scipy.linalg import cho_factor, cho_solve

    out = np.zeros_like(gradient)
    for unit, hessian in enumerate(hessians):
        rows = np.flatnonzero(free[:, unit])
        matrix = hessian[np.ix_(rows, rows)]
        scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
        matrix = matrix * scale[:, None] * scale
        for jitter in (0.0, 1e-12, 1e-9, 1e-6, 1e-3):
            try:
                factor = cho_factor(matrix + jitter * np.eye(len(rows)), lower=True)
                break
            except np.linalg.LinAlgError:
                continue
        out[rows, unit] = scale * cho_solve(factor, scale * gradient[rows, unit])
    return out


def start_weights(objective: Objective) -> np.ndarray:
    """Return the constant-rate solution, with minus-infinity for the intercept of silent units."""
    from bmi_runtime.analysis.glm.likelihood import null_predictor

    weights = np.zeros((objective.design.parameters, objective.units))
    mean = objective.cross[0] / objective.design.rows
    silent = mean <= 0
    weights[0] = np.where(silent, IMPOSSIBLE, null_predictor(np.where(silent, 1.0, mean), objective.link))
    return weights
