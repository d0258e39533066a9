"""What a fitted coupled GLM answers: predictions and scores on other data, spikes drawn from it, its rates in hertz."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bmi_runtime.analysis.glm.covariates import make_covariates
from bmi_runtime.analysis.glm.design import IMPOSSIBLE, Covariates, Design, finite_part
from bmi_runtime.analysis.glm.events import Events, from_counts
from bmi_runtime.analysis.glm.likelihood import Objective, rates
from bmi_runtime.analysis.glm.prepare import likelihood_bins
from bmi_runtime.analysis.glm.simulation import branching_ratio, simulate
from bmi_runtime.analysis.glm.solver import Solution
from bmi_runtime.errors import BadInput


class FittedGLM:
    """The verbs after ``fit``; :class:`.PoissonGLM` and :class:`.FamilyGLM` fit, and leave behind what is read here.

    Attributes
    ----------
    link : str
    refractory_bins : int
    intercept_, coupling_, covariate_weights_ : ndarray
        As documented in :class:`.PoissonGLM`.
    weights_ : ndarray, shape (parameters, units)
        All coefficients, for standardised covariates.
    basis_ : ndarray, shape (history_bins, functions)
    design_ : Design
        Of the fitted data.
    standardisation_ : Covariates or None
        Mean and scale of the fitted covariates.
    leads_, unit_names_ : sequence
    spikes_, mean_count_ : ndarray, shape (units,)
        Over the fitted bins.
    bin_s_ : float or None
    objective_, solution_ : Objective, Solution
        What was minimised, and where; `_unpack` and `_summarise` write it in the user's own units.
    silent_ : ndarray of bool, shape (units,)
        Units without a spike.
    """

    link: str
    refractory_bins: int
    intercept_: np.ndarray
    coupling_: np.ndarray
    covariate_weights_: np.ndarray
    weights_: np.ndarray
    basis_: np.ndarray
    design_: Design
    standardisation_: Covariates | None
    leads_: tuple[int, ...]
    unit_names_: list[str]
    spikes_: np.ndarray
    mean_count_: np.ndarray
    bin_s_: float | None
    objective_: Objective
    solution_: Solution
    silent_: np.ndarray

    def _counts_kind(self) -> dict[str, bool]:
        """Return how counts are read: whole numbers, zero or more."""
        return {}

    def _unpack(self) -> None:
        """Write filters, intercepts and covariate weights in the user's own units."""
        design, weights = self.design_, self.weights_
        sources, functions = design.events.units, design.basis.shape[1]
        units = weights.shape[1]
        infinite = np.where(weights > -0.1 * IMPOSSIBLE, np.inf, np.where(weights < 0.1 * IMPOSSIBLE, -np.inf, weights))
        compact = infinite[1 : 1 + design.history_columns].reshape(sources, functions, units)
        self.basis_weights_ = np.ascontiguousarray(compact.transpose(2, 0, 1))
        taps = np.matmul(design.basis, finite_part(compact_or_zero(weights, design)))
        lost = np.matmul((design.basis > 0).astype(float), np.isneginf(compact).astype(float)) > 0
        for unit in range(units if design.refractory_bins else 0):
            lost[design.own[unit], : design.refractory_bins, unit] = True
        self.coupling_ = np.ascontiguousarray(np.where(lost, -np.inf, taps).transpose(2, 0, 1))
        self.intercept_, self.covariate_weights_ = infinite[0].copy(), np.zeros((units, 0, 0))
        self.standardisation_ = design.covariates
        self.leads_ = design.covariates.leads if design.covariates else ()
        if design.covariates:
            table = design.covariates
            raw = infinite[1 + design.history_columns :] / table.wide_scale()[:, None]
            shift = np.where(np.isfinite(raw), raw, 0.0) * table.wide_mean()[:, None]
            self.intercept_ = self.intercept_ - shift.sum(axis=0)
            self.covariate_weights_ = np.ascontiguousarray(raw.T.reshape(units, -1, len(table.leads)))

    def _summarise(self) -> None:
        """Likelihoods, deviance and bits per spike over the fitted bins."""
        from scipy.special import gammaln

        objective, design = self.objective_, self.design_
        kept = design.fitted(objective.targets)
        self.spikes_ = objective.cross[0].copy()
        terms = gammaln(kept.values + 1)
        self.log_factorial_ = np.bincount(kept.owner(), weights=terms, minlength=kept.units)
        self.log_likelihood_ = self._log_likelihoods(objective)
        mean = self.mean_count_ = self.spikes_ / design.rows
        safe = np.where(mean > 0, mean, 1.0)
        self.null_log_likelihood_ = np.where(mean > 0, self.spikes_ * np.log(safe) - self.spikes_, 0.0)
        terms = kept.values * np.log(kept.values) - kept.values
        saturated = np.bincount(kept.owner(), weights=terms, minlength=kept.units)
        with np.errstate(invalid="ignore", divide="ignore"):
            gain = self.log_likelihood_ - self.null_log_likelihood_
            self.deviance_explained_ = gain / (saturated - self.null_log_likelihood_)
            self.bits_per_spike_ = np.where(self.silent_, np.nan, gain / (self.spikes_ * np.log(2)))
            self.deviance_explained_ = np.where(self.silent_, np.nan, self.deviance_explained_)

    def _log_likelihoods(self, objective: Objective) -> np.ndarray:
        values = self.solution_.values
        if np.isfinite(values).all():
            return -(values - objective.penalty(self.weights_)[0]) * objective.design.rows
        return objective.log_likelihoods(self.weights_)

    def predict(self, counts, covariates=None) -> np.ndarray:
        """Return the expected counts per bin, (bins, units), given all earlier bins.

        Bins without a full history or lead (the first `history_bins`) are NaN.
        """
        design = self._new_design(counts, covariates)
        out = np.full((design.events.bins, len(self.intercept_)), np.nan)
        for begin, end, predictor in self._predictors(design):
            out[design.first + begin : design.first + end] = rates(predictor, self.link)
        return out

    def _predictors(self, design: Design) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield (begin, end, predictor) over the rows of a design."""
        taps = design.filters(self.weights_, np.arange(self.weights_.shape[1]))
        for begin, end in design.blocks():
            yield begin, end, design.predictor(self.weights_, taps, begin, end)

    def _new_design(self, counts, covariates=None, threads: int = 1) -> Design:
        """Return a design of other data, standardised like the data of the fit."""
        events = counts if isinstance(counts, Events) else from_counts(counts, self.unit_names_, **self._counts_kind())
        if events.units != len(self.intercept_):
            raise BadInput(f"the model was fitted to {len(self.intercept_)} units, these counts have {events.units}")
        fitted = self.standardisation_
        if (covariates is None) != (fitted is None):
            raise BadInput("give covariates exactly when the model was fitted with them")
        leads = fitted.leads if fitted else ()
        first, last = likelihood_bins(events.bins, len(self.basis_), leads)
        table = make_covariates(covariates, leads, events.bins, first, last)
        if table is not None and fitted is not None:
            if table.table.shape[1] != fitted.table.shape[1]:
                raise BadInput(
                    f"the model was fitted to {fitted.table.shape[1]} covariates, not {table.table.shape[1]}"
                )
            table = replace(table, mean=fitted.mean, scale=fitted.scale, sign=fitted.sign)
        own = np.arange(events.units)
        return Design(events, self.basis_, first, last, table, self.refractory_bins, own, threads=threads)

    def log_likelihood(self, counts, covariates=None, within: tuple[int, int] | None = None) -> np.ndarray:
        """Return each unit's log-likelihood of `counts`, without ``ln count!`` (minus infinity where impossible).

        ``within`` limits it to some bins; earlier bins then only condition it.
        """
        design = self._new_design(counts, covariates)
        if within is not None:
            design = replace(design, first=max(design.first, within[0]), last=min(design.last, within[1]))
        total = np.zeros(len(self.intercept_))
        for begin, end, predictor in self._predictors(design):
            rate = rates(predictor, self.link)
            seen = design.events.dense(design.first + begin, design.first + end)
            with np.errstate(divide="ignore"):
                log_rate = np.where(predictor < -690, -np.inf, np.log(rate))
            total += np.where(seen > 0, seen * log_rate, 0.0).sum(axis=0) - rate.sum(axis=0)
        return total

    def score(self, counts, covariates=None) -> float:
        """Return the mean over units of :meth:`bits_per_spike`."""
        bits = self.bits_per_spike(counts, covariates)
        return float(np.nanmean(bits))

    def bits_per_spike(self, counts, covariates=None, null_mean: np.ndarray | None = None) -> np.ndarray:
        """Return the log-likelihood gain over a constant rate, in bits per spike of these data (NaN if silent).

        Parameters
        ----------
        null_mean : ndarray, shape (units,), optional
            Mean counts per bin of the constant-rate model; by default those of these data (the harder comparison).
        """
        design = self._new_design(counts, covariates)
        spikes = design.events.totals(design.first, design.last)
        mean = spikes / design.rows if null_mean is None else np.asarray(null_mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            null = np.where(spikes > 0, spikes * np.log(mean), 0.0) - mean * design.rows
            return (self.log_likelihood(counts, covariates) - null) / (spikes * np.log(2))

    def simulate(self, bins: int, covariates=None, seed: int = 0, history: np.ndarray | None = None) -> np.ndarray:
        """Draw spike counts from the fitted model, (bins, units).

        Parameters
        ----------
        bins : int
        covariates : ndarray, shape (bins, k), optional
            Needed when the model has covariates; leads beyond the ends see the nearest row.
        seed : int
        history : ndarray, shape (history_bins, units), optional
            Counts before the first bin.

        Raises
        ------
        BmiError
            When rates run away, see :func:`bmi_runtime.analysis.glm.simulation.simulate`.
        """
        rng = np.random.default_rng(seed)
        drive = self._drive(bins, covariates)
        parts = (self.intercept_, self.coupling_, bins, rng, drive)
        return simulate(*parts, link=self.link, history=history, names=self.unit_names_)

    def _drive(self, bins: int, covariates) -> np.ndarray | None:
        """Return what the covariates add to the predictor, (bins, units)."""
        if not self.covariate_weights_.size:
            return None
        if covariates is None or len(covariates) != bins:
            raise BadInput(f"the model has covariates: give ({bins}, {self.covariate_weights_.shape[1]}) of them")
        steps = np.arange(bins)
        drive = np.zeros((bins, len(self.intercept_)))
        for k, lead in enumerate(self.leads_):
            drive += (
                np.asarray(covariates, float)[np.clip(steps + lead, 0, bins - 1)] @ self.covariate_weights_[:, :, k].T
            )
        return drive

    def baseline_log_hz(self) -> np.ndarray:
        """Return each unit's log rate in hertz at zero covariates, with the history's average effect folded in.

        Chosen so that the mean of ``exp(baseline + covariates)`` over the fitted bins is the unit's mean rate; without
        history that is the intercept itself. Units that never fired get half a spike in the whole recording.
        """
        if not self.bin_s_:
            raise BadInput("the width of a bin is not known; fit with bin_s")
        design = self.design_
        factor = np.ones(len(self.intercept_))
        if design.covariates:
            table = design.covariates
            weights = self.covariate_weights_.reshape(len(self.intercept_), -1).T
            total = np.zeros(len(self.intercept_))
            for begin, end in design.blocks():
                rows = design.covariate_rows(begin, end) * table.wide_scale() + table.wide_mean()
                total += np.exp(rows @ np.where(np.isfinite(weights), weights, 0.0)).sum(axis=0)
            factor = total / design.rows
        mean = np.maximum(self.spikes_, 0.5) / design.rows
        return np.log(mean / self.bin_s_ / factor)

    def branching_ratio(self) -> float:
        """Return how many spikes one spike causes in the end, to first order; near 1 or above, rates can run away."""
        return branching_ratio(self.mean_count_, self.coupling_)


def compact_or_zero(weights: np.ndarray, design: Design) -> np.ndarray:
    """Return history coefficients as (sources, functions, units)."""
    return weights[1 : 1 + design.history_columns].reshape(design.events.units, design.basis.shape[1], weights.shape[1])
