"""The coupled GLM of other families: Bernoulli, negative binomial, Gaussian (and Poisson, for comparison).

Exact Newton steps for every unit on dense blocks of the design, for up to some hundred coefficients a unit. The large
Poisson arrays have a solver of their own in :mod:`.model`.
"""

from __future__ import annotations

import time

import numpy as np

from bmi_runtime.analysis.glm.families import Family, family_of
from bmi_runtime.analysis.glm.inference import to_user_units
from bmi_runtime.analysis.glm.model import PoissonGLM
from bmi_runtime.analysis.glm.solver import Solution, one_blas_thread
from bmi_runtime.errors import BadInput

LARGEST_WORK = 2e12  # bins x coefficients^2 x units of one Newton step, about half an hour


class FamilyGLM(PoissonGLM):
    """A coupled GLM of a family; the verbs and attributes are those of :class:`.PoissonGLM`.

    Parameters
    ----------
    family : {"poisson", "bernoulli", "negative-binomial", "gaussian"}
        With its usual link: log, logit, log, identity.
    history_bins, basis, coupling, ridge, leads, reach, tolerance
        As for :class:`.PoissonGLM`.

    Attributes
    ----------
    shape_ : ndarray, shape (units,)
        Negative binomial: the excess ``a`` of the variance ``mu + a mu^2``. Gaussian: the residual variance.
    """

    links = ("exponential", "logit", "identity")

    def __init__(
        self,
        family: str = "poisson",
        history_bins: int = 20,
        basis="raw",
        coupling="all",
        ridge: float = 0.0,
        leads: tuple = (0,),
        reach=None,
        standard_errors: str = "auto",
        tolerance: float = 1e-9,
    ):
        settings = {"history_bins": history_bins, "basis": basis, "coupling": coupling, "ridge": ridge, "leads": leads}
        super().__init__(**settings, reach=reach, standard_errors=standard_errors, tolerance=tolerance)
        self.family = family
        self.link = family_of(family).link

    def fit(self, counts, covariates=None, *, bin_s=None, unit_names=None, report=None, within=None, excluded=(0, 0)):
        """Fit every unit; arguments as for :meth:`.PoissonGLM.fit`."""
        began = time.perf_counter()
        self.bin_s_, family = bin_s, family_of(self.family)
        with one_blas_thread():
            prepared = self._prepare(counts, covariates, unit_names, within, excluded)
            design = prepared.objective.design
            rows = [design.features(*block) for block in self._affordable(design)]
            responses = np.concatenate([prepared.objective.targets.dense(*design._bins(*b)) for b in design.blocks()])
            family.check(responses, self.unit_names_)
            fits = []
            for unit in range(responses.shape[1]):
                fits.append(self._fit_unit(family, prepared, rows, responses[:, unit], unit))
                if report is not None:
                    report((unit + 1) / responses.shape[1])
            self._collect(prepared, family, responses, fits)
        self.seconds_ = time.perf_counter() - began
        return self

    def _affordable(self, design):
        work = design.rows * float(design.parameters) ** 2 * design.events.units
        if work > LARGEST_WORK or design.rows * design.parameters * 8 > 4e9:
            raise BadInput(
                f"{design.rows:,} bins with {design.parameters:,} coefficients are too many for the {self.family} "
                "family here: use fewer basis functions or coupling own, or the poisson family"
            )
        return design.blocks()

    def _check(self) -> None:
        family_of(self.family)
        super()._check()

    def _counts_kind(self) -> dict:
        return {"real": not family_of(self.family).counts}

    def _fit_unit(self, family: Family, prepared, rows, y, unit):
        """Return ``(coefficients, shape, covariance of the free ones, gradient, steps, converged)`` of one unit."""
        free = np.flatnonzero(prepared.objective.free[:, unit])
        weights = prepared.fixed[:, unit].copy()
        if prepared.silent[unit]:
            return weights, 0.0, free[:0], np.zeros((0, 0)), np.zeros(0), 0, True
        offset = np.concatenate([np.clip(block @ weights, -1e6, 1e6) for block in rows])
        x = np.concatenate([block[:, free] for block in rows])
        if 0 in free:
            weights[0] = family.intercept(np.array([y.mean()]))[0]
        penalty = np.where(free == 0, 0.0, self.ridge)
        shape, steps = (1e-3 if family.name == "negative-binomial" else 0.0), 0
        for _ in range(60 if family.shaped and family.counts else 1):
            weights[free], taken, gradient, hessian, converged = self._newton(
                family, x, y, offset, weights[free], penalty, shape
            )
            steps += taken
            before, shape = shape, family.shape_of(offset + x @ weights[free], y, free.size)
            if abs(shape - before) <= 1e-7 * (before + 1e-9):
                break
        scale = shape if not family.counts else 1.0
        covariance = np.linalg.pinv(hessian * y.size) * scale
        return weights, shape, free, covariance, gradient, steps, converged

    def _newton(self, family, x, y, offset, w, penalty, shape):
        """Minimise the mean loss plus the ridge over the free coefficients by damped Newton steps."""
        bins, damping = y.size, 1.0

        def value(at):
            return float(family.loss(offset + x @ at, y, shape)[0].mean() + 0.5 * penalty @ at**2)

        now = value(w)
        for step in range(1, 101):
            _, slope, curvature = family.loss(offset + x @ w, y, shape)
            gradient = x.T @ slope / bins + penalty * w
            hessian = (x * curvature[:, None]).T @ x / bins + np.diag(penalty)
            if np.abs(gradient).max(initial=0.0) < self.tolerance:
                return w, step, gradient, hessian, True
            change = np.linalg.lstsq(hessian, gradient, rcond=1e-13)[0]
            damping = 1.0
            while damping > 1e-10:
                tried = value(w - damping * change)
                if tried <= now + 1e-15 * abs(now):
                    break
                damping *= 0.5
            w, now = w - damping * change, min(tried, now)
        return w, 100, gradient, hessian, bool(np.abs(gradient).max(initial=0.0) < 1e-6)

    def _collect(self, prepared, family, responses, fits):
        """Write all units' coefficients, likelihoods and standard errors."""
        design, units = prepared.objective.design, responses.shape[1]
        weights = np.column_stack([fit[0] for fit in fits])
        gradient = np.zeros_like(weights)
        self.shape_ = np.array([fit[1] for fit in fits])
        self.standard_errors_ = np.full((units, design.parameters), np.nan)
        for unit, (_, _, free, covariance, slope, _, _) in enumerate(fits):
            gradient[free, unit] = slope
            if free.size:
                user = to_user_units(design, free, covariance)
                self.standard_errors_[unit, free] = np.sqrt(np.maximum(np.diag(user), 0.0))
        self._family, self._responses = family, responses
        taken, converged = np.array([fit[5] for fit in fits]), np.array([fit[6] for fit in fits])
        self._take(prepared, Solution(weights, np.full(units, np.nan), gradient, taken, converged))
        self.uncertainty_, self.standard_errors_method_ = None, "exact"
        del self._family, self._responses

    def _summarise(self) -> None:
        """Likelihoods with all constants, deviance explained, bits per spike."""
        family, y, design = self._family, self._responses, self.design_
        eta = np.concatenate([part for _, _, part in self._predictors(design)])
        null = np.where(self.silent_, 0.0, y.mean(axis=0))
        self.spikes_, self.mean_count_ = y.sum(axis=0), y.mean(axis=0)
        self.log_factorial_ = np.zeros(y.shape[1])
        found = np.zeros((3, y.shape[1]))
        for unit in np.flatnonzero(~self.silent_):
            shape = float(self.shape_[unit])
            flat = np.full(len(y), family.intercept(null[unit : unit + 1])[0])
            found[0, unit] = family.log_likelihood(np.clip(eta[:, unit], -1e6, 1e6), y[:, unit], shape)
            found[1, unit] = family.log_likelihood(flat, y[:, unit], shape)
            found[2, unit] = family.saturated(y[:, unit], shape)
        self.log_likelihood_, self.null_log_likelihood_ = found[0], found[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = (found[0] - found[1]) / (found[2] - found[1])
            bits = (found[0] - found[1]) / (self.spikes_ * np.log(2))
        if not family.counts:
            with np.errstate(invalid="ignore", divide="ignore"):  # a silent unit
                explained = 1.0 - ((y - eta) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
            bits = np.full(y.shape[1], np.nan)
        self.deviance_explained_ = np.where(self.silent_, np.nan, explained)
        self.bits_per_spike_ = np.where(self.silent_, np.nan, bits)

    def log_likelihood(self, counts, covariates=None, within=None) -> np.ndarray:
        """Return each unit's log-likelihood of new data, all constants included."""
        if within is not None:
            raise BadInput("`within` is for the poisson model")
        family = family_of(self.family)
        design = self._new_design(counts, covariates)
        eta = np.concatenate([part for _, _, part in self._predictors(design)])
        y = np.concatenate([design.events.dense(*design._bins(*block)) for block in design.blocks()])
        return np.array(
            [
                family.log_likelihood(np.clip(eta[:, unit], -1e6, 1e6), y[:, unit], float(self.shape_[unit]))
                for unit in range(y.shape[1])
            ]
        )

    def simulate(self, bins, covariates=None, seed=0, history=None):
        """Refuse: spikes are drawn from the Poisson model only."""
        raise BadInput(f"spikes are drawn from the poisson family; this fit is {self.family}")
