"""The coupled Poisson GLM with scikit-learn's verbs: ``fit``, ``predict``, ``score``, ``simulate``, ``get_params``."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bmi_runtime.analysis.glm.bases import parse_basis
from bmi_runtime.analysis.glm.design import IMPOSSIBLE, Design, finite_part
from bmi_runtime.analysis.glm.events import Events, from_counts
from bmi_runtime.analysis.glm.gap import certified_gap
from bmi_runtime.analysis.glm.likelihood import LINKS, Objective, rates
from bmi_runtime.analysis.glm.prepare import make_covariates, prepare, unit_labels
from bmi_runtime.analysis.glm.solver import one_blas_thread, start_weights
from bmi_runtime.errors import BadInput

COUPLINGS = ("all", "own", "none")


class PoissonGLM:
    r"""Spike counts of many units given their own past, each other's past and external covariates.

    For unit ``i`` in bin ``k`` (Truccolo, Hochberg & Donoghue 2010),

    .. math:: \log\lambda_i = \alpha_{i0} + \sum_{jm} \alpha_{ij}(m)\, y_j(k - m) + \sum_{cd} \beta_{icd}\, x_c(k + d)

    with ``lambda`` in counts per bin. The couplings are *effective connectivity*: a coupling may be indirect, or due to
    an unrecorded common input.

    Parameters
    ----------
    history_bins : int
        How many past bins act. The first `history_bins` bins of a recording only condition the likelihood.
    basis : str or ndarray, shape (history_bins, functions)
        ``raw``, ``raised-cosine:N``, ``raised-cosine-linear:N``, ``b-spline:N``, or the functions themselves.
    coupling : {"all", "own", "none"} or ndarray of bool, shape (units, units)
        Whose past acts on whom (target by source).
    link : {"exponential", "softplus"}
    ridge : float
        ``ridge / 2 * |w|^2`` is added to the mean negative log-likelihood per bin (intercepts are free of it), the
        convention of scikit-learn's `alpha`.
    smooth : float
        Penalty on squared second differences of every filter over its basis coefficients, same units.
    leads : tuple of int, or of such tuples
        Bins by which the covariates run ahead (positive) or behind (negative): for all of them, or one tuple each.
    refractory_bins : int
        Lags at which a unit's rate after its own spike is zero by construction.
    standard_errors : {"auto", "exact", "sampled", "none"}
        ``sampled`` estimates each information matrix from every n-th bin; ``auto`` is exact while that is cheap.
    tolerance : float
        Largest absolute gradient of the mean log-likelihood.
    threads : int
        Threads that share the passes over the spikes.
    lasso : float
        Penalty on absolute coefficients, intercepts free; with `ridge` an elastic net.
    group_lasso : float
        Penalty ``group_lasso * sqrt(functions) * |w_ij|`` per ordered pair of different units: whole couplings vanish.
    reach : ndarray of int, shape (units, units), optional
        How many past bins of a source (column) act on a target (row): basis functions that last longer are left out.
    jobs : int
        Processes that share the units (joblib; inside ``joblib.parallel_config("dask")``, a cluster).

    Attributes
    ----------
    intercept_ : ndarray, shape (units,)
        Natural log of counts per bin.
    coupling_ : ndarray, shape (targets, sources, history_bins)
        Index 0 of the last axis is the bin just before. Minus infinity where the data separate perfectly.
    basis_weights_ : ndarray, shape (targets, sources, functions)
    covariate_weights_ : ndarray, shape (units, k, leads)
    standard_errors_ : ndarray, shape (units, parameters) or None
        In the order intercept, basis weights (source by source), covariate weights.
    log_likelihood_ : ndarray, shape (units,)
        Over the fitted bins, without ``ln count!``; `log_factorial_` is the sum of that term.
    gap_nats_ : ndarray, shape (units,)
        How far below its maximum the penalised log-likelihood can be at most; NaN where that is not certified.
    separated_, notes_ : list
        What was found wrong or odd with the data, and what was done about it.
    """

    links: tuple[str, ...] = LINKS

    def __init__(
        self,
        history_bins: int = 20,
        basis="raw",
        coupling="all",
        link: str = "exponential",
        ridge: float = 0.0,
        smooth: float = 0.0,
        leads: tuple = (0,),
        refractory_bins: int = 0,
        standard_errors: str = "auto",
        tolerance: float = 1e-8,
        max_iterations: int = 200,
        method: str = "auto",
        threads: int = 1,
        lasso: float = 0.0,
        group_lasso: float = 0.0,
        jobs: int = 1,
        reach=None,
    ):
        self.history_bins = history_bins
        self.basis = basis
        self.coupling = coupling
        self.link = link
        self.ridge = ridge
        self.smooth = smooth
        self.leads = leads
        self.refractory_bins = refractory_bins
        self.standard_errors = standard_errors
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.method = method
        self.threads = threads
        self.lasso = lasso
        self.group_lasso = group_lasso
        self.jobs = jobs
        self.reach = reach

    def get_params(self, deep: bool = True) -> dict:
        """Return the constructor's arguments (the verb of scikit-learn)."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params) -> PoissonGLM:
        """Change constructor arguments."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise BadInput(f"there is no parameter '{name}'; choose from {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        shown = {k: v for k, v in self.get_params().items() if v is not defaults[k].default}
        return f"PoissonGLM({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    def fit(
        self,
        counts,
        covariates=None,
        *,
        bin_s: float | None = None,
        unit_names=None,
        report: Callable[[float], None] | None = None,
        within: tuple[int, int] | None = None,
        excluded: tuple[int, int] = (0, 0),
    ) -> PoissonGLM:
        """Fit every unit.

        Parameters
        ----------
        counts : ndarray or memory map of whole numbers, shape (bins, units), or Events
        covariates : ndarray or memory map, shape (bins, k), optional
        bin_s : float, optional
            Width of a bin in seconds; only kept, for rates in hertz.
        unit_names : sequence of str, optional
            For messages.
        report : callable, optional
            Called with the fraction done.
        within : tuple of int, optional
            First bin, and the bin after the last, of the likelihood; by default all bins that have their history.
        excluded : tuple of int, optional
            A stretch of bins left out of the likelihood, for cross-validation.

        Raises
        ------
        BadInput
            For counts or covariates that cannot be fitted; the unit or covariate is named.
        """
        began = time.perf_counter()
        self.bin_s_ = bin_s
        with one_blas_thread():
            prepared = self._prepare(counts, covariates, unit_names, within, excluded)
            start = prepared.fixed + np.where(prepared.fixed == 0, start_weights(prepared.objective), 0.0)
            options = {"tolerance": self.tolerance, "max_iterations": self.max_iterations, "method": self.method}
            solution = self._solve(prepared, start, report, options)
            self._take(prepared, solution)
            self._add_standard_errors(prepared)
        self.seconds_ = time.perf_counter() - began
        return self

    def _solve(self, prepared, start, report, options):
        """Minimise: smoothly or by proximal steps, here or across processes."""
        from bmi_runtime.analysis.glm.parallel import solve_in_processes, solve_in_turns
        from bmi_runtime.analysis.glm.proximal import solve_sparse

        if self.lasso or self.group_lasso:
            parts = (prepared.objective, start, prepared.gram)
            return solve_sparse(*parts, lasso=self.lasso, group_lasso=self.group_lasso, report=report)
        if self.jobs != 1:
            return solve_in_processes(prepared.objective, start, prepared.gram, self.jobs, options)
        return solve_in_turns(prepared.objective, start, prepared.gram, report, options)

    def _prepare(self, counts, covariates, unit_names, within=None, excluded=(0, 0)):
        self._check()
        events = counts if isinstance(counts, Events) else from_counts(counts, unit_names, **self._counts_kind())
        self.unit_names_ = unit_labels(unit_names, events.units)
        self.basis_ = self._basis()
        connections = self._connections(events.units)
        self.connections_ = np.ones((events.units,) * 2, bool) if connections is None else connections
        functions = self.basis_.shape[1]
        difference = np.diff(np.eye(functions), n=min(2, max(functions - 1, 0)), axis=0)
        return prepare(
            events,
            self.basis_,
            covariates=covariates,
            leads=tuple(self.leads),
            connections=connections,
            reach=self.reach,
            spikes=not self._counts_kind().get("real", False),
            link=self.link,
            ridge=self.ridge,
            smooth=self.smooth * difference.T @ difference if self.smooth else None,
            refractory_bins=self.refractory_bins,
            names=self.unit_names_,
            threads=self.threads,
            within=within,
            excluded=excluded,
            sparse=bool(self.lasso or self.group_lasso),
        )

    def _counts_kind(self) -> dict[str, bool]:
        """Return how counts are read: whole numbers, zero or more."""
        return {}

    def _check(self) -> None:
        if self.link not in self.links:
            raise BadInput(f"there is no link '{self.link}'; choose exponential or softplus")
        for name in ("history_bins", "ridge", "smooth", "lasso", "group_lasso", "refractory_bins"):
            if not getattr(self, name) >= 0:
                raise BadInput(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.lasso and self.group_lasso:
            raise BadInput("lasso and group_lasso cannot be combined; choose one (either goes with ridge)")
        if self.standard_errors not in ("auto", "exact", "sampled", "none"):
            raise BadInput(f"standard_errors is '{self.standard_errors}'; choose auto, exact, sampled or none")

    def _basis(self) -> np.ndarray:
        if isinstance(self.basis, str):
            return parse_basis(self.basis, self.history_bins)
        basis = np.ascontiguousarray(self.basis, dtype=float)
        if basis.ndim != 2 or len(basis) != self.history_bins:
            raise BadInput(f"basis must be ({self.history_bins} lags, functions), not {basis.shape}")
        return basis

    def _connections(self, units: int) -> np.ndarray | None:
        if isinstance(self.coupling, str):
            if self.coupling not in COUPLINGS:
                raise BadInput(f"there is no coupling '{self.coupling}'; choose all, own or none")
            return {"all": None, "own": np.eye(units, dtype=bool), "none": np.zeros((units, units), bool)}[
                self.coupling
            ]
        return np.asarray(self.coupling, bool)

    def _take(self, prepared, solution) -> None:
        """Write the solution in the user's own units."""
        objective, design = prepared.objective, prepared.objective.design
        self.design_, self.objective_, self.solution_ = design, objective, solution
        self.weights_ = solution.weights
        self.separated_, self.notes_, self.silent_ = prepared.separated, list(prepared.notes), prepared.silent
        self.n_parameters_ = prepared.estimated.sum(axis=0)
        self._unpack()
        self._summarise()
        self.iterations_ = solution.iterations
        self.converged_, self.interrupted_ = solution.converged, solution.interrupted
        self.gradient_max_ = np.abs(design.user_gradient(solution.gradient)).max(axis=0)
        self.gap_nats_ = np.full(objective.units, np.nan)
        if type(self) is PoissonGLM and not (self.lasso or self.group_lasso):  # other objectives have other bounds
            self.gap_nats_ = design.rows * certified_gap(objective, solution.weights, solution.gradient)
        unfinished = np.flatnonzero(~self.converged_ & ~self.silent_)
        if unfinished.size:
            worst = unfinished[np.argmax(self.gradient_max_[unfinished])]
            who = (
                self.unit_names_[worst]
                if unfinished.size == 1
                else f"{unfinished.size} of {len(self.converged_)} units"
            )
            self.notes_.append(
                f"{who} had not converged when the fit stopped (largest gradient {self.gradient_max_[worst]:.1e}, "
                f"{self.unit_names_[worst]}); converged_ says which"
            )

    def _unpack(self) -> None:
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

    def _add_standard_errors(self, prepared) -> None:
        from bmi_runtime.analysis.glm.inference import uncertainty

        self.uncertainty_, self.standard_errors_, self.standard_errors_method_ = None, None, "none"
        sparse = self.lasso or self.group_lasso
        if self.standard_errors != "none" and not self.solution_.interrupted and not sparse:
            try:
                self.uncertainty_ = uncertainty(self.objective_, self.weights_, self.standard_errors)
            except KeyboardInterrupt:
                self.notes_.append("stopped before the standard errors were done; the coefficients are complete")
                return
            self.standard_errors_ = self.uncertainty_.errors
            self.standard_errors_method_ = self.uncertainty_.method

    def predict(self, counts, covariates=None) -> np.ndarray:
        """Return the expected counts per bin, (bins, units), given all earlier bins.

        Bins without a full history or lead (the first `history_bins`) are NaN.
        """
        design = self._new_design(counts, covariates)
        out = np.full((design.events.bins, len(self.intercept_)), np.nan)
        for begin, end, predictor in self._predictors(design):
            out[design.first + begin : design.first + end] = rates(predictor, self.link)
        return out

    def _predictors(self, design: Design):
        """Yield (begin, end, predictor) over the rows of a design."""
        taps = design.filters(self.weights_, np.arange(self.weights_.shape[1]))
        for begin, end in design.blocks():
            yield begin, end, design.predictor(self.weights_, taps, begin, end)

    def _new_design(self, counts, covariates=None, threads: int = 1) -> Design:
        """Return a design of other data, standardised like the data of the fit."""
        from bmi_runtime.analysis.glm.prepare import likelihood_bins

        events = counts if isinstance(counts, Events) else from_counts(counts, self.unit_names_, **self._counts_kind())
        if events.units != len(self.intercept_):
            raise BadInput(f"the model was fitted to {len(self.intercept_)} units, these counts have {events.units}")
        fitted = self.standardisation_
        if (covariates is None) != (fitted is None):
            raise BadInput("give covariates exactly when the model was fitted with them")
        leads = fitted.leads if fitted else ()
        first, last = likelihood_bins(events.bins, len(self.basis_), leads)
        table = make_covariates(covariates, leads, events.bins, first, last)
        if table is not None:
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
        from bmi_runtime.analysis.glm.simulation import simulate

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
        from bmi_runtime.analysis.glm.simulation import branching_ratio

        return branching_ratio(self.mean_count_, self.coupling_)


def compact_or_zero(weights: np.ndarray, design: Design) -> np.ndarray:
    """Return history coefficients as (sources, functions, units)."""
    return weights[1 : 1 + design.history_columns].reshape(design.events.units, design.basis.shape[1], weights.shape[1])


__all__ = ["PoissonGLM"]
