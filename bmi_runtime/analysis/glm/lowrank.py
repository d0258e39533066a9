"""Low-rank coupling for large arrays: few shared latent signals carry the influence of all units on each other.

The history coefficients of all units, ``W`` (history columns x units), are ``own history + A B'`` with ``A`` (columns x
rank) and ``B`` (units x rank): each latent signal is one filtered sum of everybody's past. Own history stays free. The
start is the best approximation of the full fit in the metric of the shared Gram matrix and the units' rates
(reduced-rank regression); all parts are then optimised together by L-BFGS in coordinates whitened by that matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.analysis.glm.model import PoissonGLM
from bmi_runtime.errors import BadInput


@dataclass
class LowRank:
    """A fit with low-rank coupling.

    Attributes
    ----------
    model : PoissonGLM
        Holds the coefficients (``predict``, ``score``, ``simulate`` work); no standard errors.
    filters : ndarray, shape (rank, sources, functions)
        Latent signals as filters of everybody's past.
    loadings : ndarray, shape (units, rank)
    gradient_max : float
        Largest gradient of the mean log-likelihood, summed over units, in whitened coordinates.
    parameters : int
        Free coefficients in all, against those of the full model.
    """

    model: PoissonGLM
    filters: np.ndarray
    loadings: np.ndarray
    gradient_max: float
    parameters: int


def fit_low_rank(
    template: PoissonGLM, counts, covariates=None, rank: int = 2, max_iterations: int = 300, **about
) -> LowRank:
    """Fit with coupling of the given rank.

    Parameters
    ----------
    template : PoissonGLM
        Basis, leads and the like; a small `ridge` keeps separated coefficients finite in the full fit it starts from.
    rank : int
        Latent signals, at least 1 and below the number of units.
    **about
        What :meth:`PoissonGLM.fit` is told of the data: ``bin_s``, ``unit_names``, ``report``.

    Raises
    ------
    BadInput
        When the rank is not at least 1 and below the number of units.
    """
    full = PoissonGLM(**(template.get_params() | {"standard_errors": "none", "ridge": template.ridge or 1e-7}))
    full.fit(counts, covariates, **about)
    design, objective = full.design_, full.objective_
    if not 1 <= rank < objective.units:
        raise BadInput(f"rank is {rank}; it must be at least 1 and below the {objective.units} units")
    problem = _Factored(objective, rank)
    start = problem.start(full.weights_)
    found = _descend(problem, start, max_iterations)
    weights, left, right = problem.weights(found.x)
    full.weights_ = weights
    full.solution_.weights = weights
    full.solution_.values, full.solution_.gradient = objective.evaluate(weights, np.arange(objective.units))
    full.gradient_max_ = np.full(objective.units, np.abs(found.jac).max())
    full.gap_nats_ = np.full(objective.units, np.nan)
    full._unpack()
    full._summarise()
    filters = left.T.reshape(rank, design.events.units, design.basis.shape[1])
    count = rank * (len(left) + objective.units - rank) + problem.plain.sum()
    return LowRank(full, filters, right, float(np.abs(found.jac).max()), int(count))


def _descend(problem, start: np.ndarray, iterations: int):
    """Return scipy's result; its line search gives up early on flat ground, so it is started again a few times."""
    from scipy.optimize import minimize

    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": 1e-8, "maxcor": 30}
    for _ in range(5):
        found = minimize(problem.value, start, jac=True, method="L-BFGS-B", options=options)
        if np.abs(found.jac).max() < 1e-7:
            break
        start = found.x
    return found


class _Factored:
    """Coefficients as ``plain + A B'`` and the gradient of the total objective with respect to the parts."""

    def __init__(self, objective, rank: int):
        self.objective, self.rank = objective, rank
        design = objective.design
        self.inside = slice(1, 1 + design.history_columns)
        self.plain = objective.free.copy()
        self.plain[self.inside] = False
        for unit in range(objective.units):
            self.plain[design.history(design.own[unit]), unit] = objective.free[design.history(design.own[unit]), unit]
        gram = design.gram()[self.inside, self.inside] / design.rows
        gram[np.diag_indices_from(gram)] += 1e-9 * np.diag(gram).mean()
        self.root = np.linalg.cholesky(gram)
        self.rate = np.sqrt(np.maximum(objective.cross[0], 1.0) / design.rows)
        self.sizes = (int(self.plain.sum()), design.history_columns * rank, objective.units * rank)

    def start(self, weights: np.ndarray) -> np.ndarray:
        """Return the parts of the best approximation of a full fit."""
        coupling = np.where(self.plain[self.inside], 0.0, weights[self.inside])
        left, size, right = np.linalg.svd(self.root.T @ coupling * self.rate, full_matrices=False)
        root = np.sqrt(size[: self.rank])
        parts = weights[self.plain], left[:, : self.rank] * root, right[: self.rank].T * root
        return np.concatenate([part.ravel() for part in parts])

    def weights(self, parts: np.ndarray):
        """Return coefficients (parameters, units) and the factors in the coordinates of the coefficients."""
        edges = np.cumsum(self.sizes)[:-1]
        plain, left, right = np.split(parts, edges)
        left = np.linalg.solve(self.root.T, left.reshape(-1, self.rank))
        right = right.reshape(-1, self.rank) / self.rate[:, None]
        out = np.zeros(self.plain.shape)
        out[self.inside] = left @ right.T
        out[self.plain] += plain
        return out, left, right

    def value(self, parts: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the objective summed over units, and its gradient with respect to the parts."""
        weights, left, right = self.weights(parts)
        values, gradient = self.objective.evaluate(weights, np.arange(self.objective.units))
        inner = gradient[self.inside]
        toward_left = np.linalg.solve(self.root, inner @ right)
        toward_right = (inner.T @ left) / self.rate[:, None]
        return values.sum(), np.concatenate([gradient[self.plain], toward_left.ravel(), toward_right.ravel()])
