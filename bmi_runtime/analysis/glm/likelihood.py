"""The mean negative log-likelihood of all units at once, its gradient and its Hessians."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from bmi_runtime.analysis.glm.design import IMPOSSIBLE, Design, finite_part
from bmi_runtime.analysis.glm.events import Events
from bmi_runtime.kernels.exponential import exponentials
from bmi_runtime.kernels.glm import rates_in_place

LINKS = ("exponential", "softplus")


def rates(predictor: np.ndarray, link: str = "exponential") -> np.ndarray:
    """Return the expected counts per bin for a linear predictor (its log, logit, softplus or itself)."""
    if link == "exponential":
        out = np.empty_like(predictor)
        exponentials(predictor.ravel(), out.ravel())
        out[predictor <= IMPOSSIBLE / 1e5] = 0.0  # the shared exponential stops at exp(-700)
        return out
    if link == "identity":
        return predictor.copy()
    if link == "logit":
        return expit(predictor)
    return np.maximum(predictor, 0.0) + np.log1p(np.exp(-np.abs(predictor)))


def null_predictor(mean_count: np.ndarray, link: str) -> np.ndarray:
    """Return the intercept of a constant rate."""
    return np.log(mean_count) if link == "exponential" else np.log(np.expm1(mean_count))


@dataclass(frozen=True)
class Objective:
    """Minimised for each unit: ``mean_t(rate - count log rate) + penalty`` over the likelihood's bins.

    ``ln count!`` is left out (it does not depend on the coefficients). The penalty is
    ``ridge / 2 * |w|^2 + w' S w / 2`` over all coefficients but the intercept.

    Attributes
    ----------
    design : Design
    targets : Events
        Counts of the units to be explained.
    cross : ndarray, shape (parameters, units)
        ``X.T @ counts``, taken once: with the exponential link the counts enter only here.
    free : ndarray of bool, shape (parameters, units)
        Coefficients that may move; the others keep the value they start with.
    ridge : float
    smooth : ndarray or None
        The penalty matrix ``S`` of one source's coefficients, shape (functions, functions).
    """

    design: Design
    targets: Events
    cross: np.ndarray
    free: np.ndarray
    link: str = "exponential"
    ridge: float = 0.0
    smooth: np.ndarray | None = None

    @property
    def units(self) -> int:
        """Return the number of units."""
        return self.targets.units

    def take(self, units: np.ndarray) -> Objective:
        """Return the objective of some of the units (the histories of all stay in the design)."""
        design = replace(self.design, own=self.design.own[units])
        targets, cross, free = self.targets.take(units), self.cross[:, units], self.free[:, units]
        return replace(self, design=design, targets=targets, cross=cross, free=free)

    def evaluate(self, weights: np.ndarray, units: np.ndarray, design: Design | None = None):
        """Return value and gradient for some units.

        Parameters
        ----------
        weights : ndarray, shape (parameters, len(units))
        units : ndarray of int
        design : Design, optional
            A thinned design: the integral of the rate is then a quadrature over its bins, the spikes' term stays whole.

        Returns
        -------
        tuple
            Values (len(units),) and gradients (parameters, len(units)), zero where coefficients are not free.
        """
        design = design or self.design
        sums, gradient = self._integral(weights, units, design)
        values = sums / design.rows
        gradient /= design.rows
        if self.link == "exponential":
            part = self.cross[:, units] / self.design.rows
            values = values - np.einsum("pn,pn->n", weights, part)
            gradient -= part
        penalty, slope = self.penalty(weights)
        return values + penalty, np.where(self.free[:, units], gradient + slope, 0.0)

    def _integral(self, weights, units, design):
        taps = design.filters(weights, units)
        softplus = self.link == "softplus"
        events = self.targets.take(units) if softplus else None

        def work(begin, end, total):
            outside = design.covariate_rows(begin, end) if design.covariates else None
            predictor = design.predictor(weights, taps, begin, end, outside)
            if not softplus:
                sums = np.zeros(len(units))
                rates_in_place(predictor, sums)
                design.add_transpose(total, predictor, begin, end, outside, sums)
                return sums
            assert events is not None
            counts = events.dense(design.first + begin, design.first + end)
            rate = rates(predictor, "softplus")
            safe = np.where(rate > 0, rate, 1.0)
            slope = np.exp(-np.logaddexp(0.0, -predictor)) * (1 - counts / safe)
            design.add_transpose(total, slope, begin, end, outside)
            return (rate - counts * np.log(safe)).sum(axis=0)

        gradient, sums = design.each_block(work, len(units))
        return np.sum(sums, axis=0), gradient

    def penalty(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the penalty of each unit and its gradient."""
        slope = np.zeros_like(weights)
        finite = finite_part(weights)
        if self.ridge:
            slope[1:] += self.ridge * finite[1:]
        if self.smooth is not None:
            inside = slice(1, 1 + self.design.history_columns)
            compact = finite[inside].reshape(self.design.events.units, len(self.smooth), finite.shape[1])
            slope[inside] += np.matmul(self.smooth, compact).reshape(self.design.history_columns, compact.shape[-1])
        return 0.5 * np.einsum("pn,pn->n", finite, slope), slope

    def penalty_matrix(self) -> np.ndarray:
        """Return the Hessian of the penalty, (parameters, parameters)."""
        matrix = np.diag(np.r_[0.0, np.full(self.design.parameters - 1, self.ridge)])
        for source in range(self.design.events.units if self.smooth is not None else 0):
            part = self.design.history(source)
            matrix[part, part] += self.smooth
        return matrix

    def curvature(self, predictor: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
        """Return the second derivative of each bin's loss with respect to the predictor (bins, units).

        For the softplus link ``f`` with ``s = f'``: ``f'' (1 - y / f) + y s^2 / f^2`` (its expectation ``s^2 / f`` when
        the counts are not given).
        """
        rate = rates(predictor, self.link)
        if self.link == "exponential":
            return rate
        slope = np.exp(-np.logaddexp(0.0, -predictor))
        safe = np.where(rate > 0, rate, 1.0)
        if counts is None:
            return slope**2 / safe
        return slope * (1 - slope) * (1 - counts / safe) + counts * (slope / safe) ** 2

    def hessians(self, weights: np.ndarray, units: np.ndarray, stride: int = 1, expected: bool = False) -> np.ndarray:
        """Return the Hessian of each unit's objective, (len(units), parameters, parameters).

        Rows of the design are formed block by block; with ``stride > 1`` only every `stride`-th bin is looked at, which
        estimates the same integral (neighbouring bins share most of their history).
        """
        design = self.design.thinned(stride) if stride > 1 else self.design
        taps = design.filters(weights, units)
        events = None if self.link == "exponential" or expected or stride > 1 else self.targets.take(units)
        total = np.zeros((len(units), design.parameters, design.parameters))
        for begin, end in design.blocks():
            rows = design.features(begin, end)
            predictor = design.predictor(weights, taps, begin, end)
            counts = events.dense(design.first + begin, design.first + end) if events else None
            weight = self.curvature(predictor, counts)
            _add_grams(rows, weight, total)
        total /= design.rows
        return total + self.penalty_matrix() if self.ridge or self.smooth is not None else total

    def log_likelihoods(self, weights: np.ndarray) -> np.ndarray:
        """Return each unit's log-likelihood, without ``ln count!`` and without the penalty, in nats."""
        units = np.arange(self.units)
        values, _ = self.evaluate(weights, units)
        return -(values - self.penalty(weights)[0]) * self.design.rows


def _add_grams(rows: np.ndarray, weight: np.ndarray, total: np.ndarray) -> None:
    """Add ``rows.T @ diag(weight[:, i]) @ rows`` to ``total[i]``."""
    positive = weight.min(initial=0.0) >= 0
    root = np.sqrt(weight) if positive else weight
    for i in range(weight.shape[1]):
        scaled = rows * root[:, i : i + 1]
        total[i] += scaled.T @ scaled if positive else rows.T @ scaled
