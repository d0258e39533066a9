"""The coupled Poisson GLM with scikit-learn's verbs: ``fit``, ``predict``, ``score``, ``simulate``, ``get_params``."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.glm.bases import parse_basis
from bmi_runtime.analysis.glm.events import Events, from_counts
from bmi_runtime.analysis.glm.fitted import FittedGLM
from bmi_runtime.analysis.glm.gap import certified_gap
from bmi_runtime.analysis.glm.likelihood import LINKS
from bmi_runtime.analysis.glm.prepare import prepare, unit_labels
from bmi_runtime.analysis.glm.solver import one_blas_thread, start_weights
from bmi_runtime.errors import BadInput

COUPLINGS = ("all", "own", "none")


class PoissonGLM(FittedGLM):
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
            self._add_standard_errors()
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

    def _check(self) -> None:
        if self.link not in self.links:
            raise BadInput(f"there is no link '{self.link}'; choose exponential or softplus")
        for name in ("history_bins", "ridge", "smooth", "lasso", "group_lasso", "refractory_bins"):
            if not 0 <= getattr(self, name) < np.inf:
                raise BadInput(f"{name} is {getattr(self, name)}; it must be a number, and not negative")
        for name, fits in (("jobs", self.jobs != 0), ("threads", self.threads >= 1), ("tolerance", self.tolerance > 0)):
            if not fits:
                raise BadInput(f"{name} is {getattr(self, name)}; it must be above zero")
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

    def _add_standard_errors(self) -> None:
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


__all__ = ["PoissonGLM"]
