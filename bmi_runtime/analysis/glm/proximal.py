"""Lasso, elastic net and group lasso: accelerated proximal steps in the metric of the shared Gram matrix.

A step minimises ``g' d + L m_i d' G d / 2 + penalty(w + d)`` exactly by block coordinate descent on the Gram matrix,
which touches no data; a pass over the spikes then gives the next gradient. In the metric of ``G`` the likelihood is
nearly round, so few passes are needed. ``L`` adapts per unit by backtracking; momentum restarts when it points uphill
(Beck & Teboulle 2009; O'Donoghue & Candes 2015).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bmi_runtime.analysis.glm.likelihood import Objective
from bmi_runtime.analysis.glm.solver import Run, Solution
from bmi_runtime.kernels.glm_proximal import descend


def group_strengths(objective: Objective, lasso: float, group_lasso: float) -> tuple[np.ndarray, np.ndarray]:
    """Return group edges (groups + 1,) and each group's penalty for each unit (groups, units).

    With the lasso every coefficient is a group of its own. With the group lasso each ordered pair of different units
    is a group with strength ``group_lasso * sqrt(functions)``; a unit's own history and the covariates are not
    penalised.
    """
    design = objective.design
    functions = design.basis.shape[1]
    if lasso:
        starts = np.arange(design.parameters + 1)
        strengths = np.full((design.parameters, objective.units), lasso)
        strengths[0] = 0.0
    else:
        history = 1 + functions * np.arange(design.events.units + 1)
        starts = np.r_[0, history, np.arange(history[-1] + 1, design.parameters + 1)].astype(np.int64)
        strengths = np.zeros((len(starts) - 1, objective.units))
        strengths[1 : 1 + design.events.units] = group_lasso * np.sqrt(functions)
        strengths[1 + design.own, np.arange(objective.units)] = 0.0
    frozen = np.add.reduceat(objective.free.astype(int), starts[:-1], axis=0) == 0
    return starts, np.where(frozen, -1.0, strengths)


class SharedQuadratic:
    """The Gram matrix with the eigenpairs of its diagonal blocks."""

    def __init__(self, objective: Objective, gram: np.ndarray, starts: np.ndarray):
        self.gram = gram / objective.design.rows
        self.gram[np.diag_indices_from(self.gram)] += 1e-10 * np.diag(self.gram).max()
        self.starts = starts
        size = int(np.diff(starts).max())
        self.values = np.ones((len(starts) - 1, size))
        self.vectors = np.zeros((len(starts) - 1, size, size))
        for group, (begin, end) in enumerate(itertools.pairwise(starts)):
            values, vectors = np.linalg.eigh(self.gram[begin:end, begin:end])
            self.values[group, : end - begin] = np.maximum(values, 1e-12)
            self.vectors[group, : end - begin, : end - begin] = vectors

    def step(self, centre, gradient, scale, strengths, guess) -> np.ndarray:
        """Return the minimiser of ``gradient' (w - c) + scale/2 (w - c)' G (w - c) + sum strengths |w_g|``."""
        weights = guess.copy()
        linear = gradient / scale - self.gram @ centre
        product = self.gram @ weights
        work = np.zeros((3, self.values.shape[1]))
        block = (self.starts, self.values, self.vectors, np.where(strengths < 0, -1.0, strengths / scale))
        descend(self.gram, *block, linear, weights, product, work, 1e-9, 200)
        return weights


def solve_sparse(
    objective: Objective,
    start: np.ndarray,
    gram: np.ndarray,
    *,
    lasso: float = 0.0,
    group_lasso: float = 0.0,
    tolerance: float = 1e-7,
    max_iterations: int = 500,
    report: Callable[[float], None] | None = None,
) -> Solution:
    """Minimise objective plus lasso or group lasso (and the objective's own ridge: an elastic net).

    Parameters
    ----------
    tolerance : float
        Converged when a proximal step changes no coefficient by more than this. ``gradient`` of the solution holds the
        smallest subgradient of the whole penalised objective, zero at the optimum.
    """
    starts, strengths = group_strengths(objective, lasso, group_lasso)
    quadratic = SharedQuadratic(objective, gram, starts)
    state = _Proximal(objective, quadratic, start, starts, strengths)
    try:
        for iteration in range(max_iterations):
            if state.advance(tolerance):
                break
            if report is not None:
                report(min(0.99, iteration / 60))
    except KeyboardInterrupt:
        state.run.interrupted = True
    return state.solution()


class _Proximal:
    """Weights, momentum and step size of every unit."""

    def __init__(self, objective, quadratic, start, starts, strengths):
        self.objective, self.quadratic, self.starts, self.strengths = objective, quadratic, starts, strengths
        self.run = Run(objective, start.copy(), 1e-8, 0, None)
        self.weights = start.copy()
        self.ahead = start.copy()
        self.momentum = np.ones(objective.units)
        mean = np.maximum(objective.cross[0], 0.5) / objective.design.rows
        self.scale = mean + objective.ridge
        self.active = np.flatnonzero(objective.free.any(axis=0))

    def advance(self, tolerance: float) -> bool:
        """Take one accelerated step for every active unit; return whether all have converged."""
        units = self.active
        if not len(units):
            return True
        values, gradient = self.objective.evaluate(self.ahead[:, units], units)
        proposal = self._accepted(units, values, gradient)
        old = self.weights[:, units]
        moved = np.abs(proposal - self.ahead[:, units]).max(axis=0)
        uphill = np.einsum("pn,pn->n", self.ahead[:, units] - proposal, proposal - old) > 0
        momentum = np.where(uphill, 1.0, self.momentum[units])
        later = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        push = np.where(uphill, 0.0, (momentum - 1) / later)
        self.ahead[:, units] = proposal + push * (proposal - old)
        self.weights[:, units] = proposal
        self.momentum[units] = later
        self.run.iterations[units] += 1
        done = (moved <= tolerance * np.maximum(1.0, np.abs(proposal).max(axis=0))) & (momentum <= later)
        self.run.converged[units[done]] = True
        self.active = units[~done]
        return not len(self.active)

    def _accepted(self, units, values, gradient) -> np.ndarray:
        """Return proximal steps whose quadratic model bounds the likelihood, raising the scale where it does not."""
        proposal = np.empty((len(self.weights), len(units)))
        todo = np.arange(len(units))
        self.scale[units] *= 0.9
        for _ in range(40):
            for k in todo:
                unit = units[k]
                parts = (self.ahead[:, unit], gradient[:, k], self.scale[unit], self.strengths[:, unit])
                proposal[:, k] = self.quadratic.step(*parts, self.weights[:, unit])
            shift = proposal[:, todo] - self.ahead[:, units[todo]]
            reached, _ = self.objective.evaluate(proposal[:, todo], units[todo])
            bend = 0.5 * self.scale[units[todo]] * np.einsum("pn,pn->n", shift, self.quadratic.gram @ shift)
            bound = values[todo] + np.einsum("pn,pn->n", gradient[:, todo], shift) + bend
            todo = todo[reached > bound + 1e-13 * (1 + np.abs(values[todo]))]
            if not len(todo):
                break
            self.scale[units[todo]] *= 2.0
        return proposal

    def solution(self) -> Solution:
        """Return the weights with the smallest subgradient of the penalised objective."""
        units = np.arange(self.objective.units)
        values, gradient = self.objective.evaluate(self.weights, units)
        smallest = subgradient(self.weights, gradient, self.starts, self.strengths)
        smooth = replace(self.run.solution(), weights=self.weights, values=values, gradient=smallest)
        return smooth


def subgradient(weights: np.ndarray, gradient: np.ndarray, starts: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Return the element of the subdifferential with the smallest groups, (parameters, units); zero at the optimum."""
    out = gradient.copy()
    for group, (begin, end) in enumerate(itertools.pairwise(starts)):
        part, strength = slice(begin, end), np.maximum(strengths[group], 0.0)
        norm = np.sqrt((weights[part] ** 2).sum(axis=0))
        length = np.sqrt((gradient[part] ** 2).sum(axis=0))
        direction = weights[part] / np.where(norm > 0, norm, 1.0)
        kept = gradient[part] + strength * direction
        rest = gradient[part] * np.maximum(1 - strength / np.where(length > 0, length, 1.0), 0.0)
        out[part] = np.where(strengths[group] < 0, 0.0, np.where(norm > 0, kept, rest))
    return out
