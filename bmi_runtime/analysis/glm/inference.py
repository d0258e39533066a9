"""Standard errors, Wald tests and likelihood-ratio tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.analysis.glm.design import Design
from bmi_runtime.analysis.glm.likelihood import Objective
from bmi_runtime.errors import BadInput

EXACT_WORK = 4e10
SAMPLED_WORK = 4e10


def information_stride(objective: Objective, method: str) -> int:
    """Return how many bins apart the information matrix is sampled; 1 is exact.

    The exact matrices cost ``bins * parameters^2 * units`` multiplications, far more than the fit. Neighbouring bins
    share most of their history, so every n-th bin estimates the same sum well; at least 16 bins per coefficient are
    kept.
    """
    design = objective.design
    work = design.rows * design.parameters**2 * objective.units
    if method == "exact" or (method == "auto" and work <= EXACT_WORK):
        return 1
    cheap = int(np.ceil(work / SAMPLED_WORK))
    enough = max(1, design.rows // (16 * design.parameters))
    return int(np.clip(min(cheap, enough), 1, 64))


def covariances(objective: Objective, weights: np.ndarray, units: np.ndarray, stride: int = 1):
    """Yield (unit, free rows, covariance of the free coefficients), a few units at a time as memory allows.

    The covariance is the inverse of the observed information ``X' diag(rate) X`` (plus the penalty's curvature).
    Covariates are in standardised units; see :func:`to_user_units`.
    """
    together = max(1, int(2e8 / (8 * objective.design.parameters**2)))
    for begin in range(0, len(units), together):
        part = units[begin : begin + together]
        hessians = objective.hessians(weights[:, part], part, stride)
        for unit, hessian in zip(part, hessians):
            free = np.flatnonzero(objective.free[:, unit])
            yield unit, free, _inverse(hessian[np.ix_(free, free)] * objective.design.rows)


def _inverse(information: np.ndarray) -> np.ndarray:
    """Return the inverse of a positive-definite matrix, NaN when it is not."""
    from scipy.linalg.lapack import dpotrf, dpotri

    scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    factor, failed = dpotrf(information * scale[:, None] * scale, lower=1)
    if failed:
        return np.full_like(information, np.nan)
    inverse, _ = dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    return inverse * scale[:, None] * scale


def to_user_units(design: Design, rows: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the covariance of the coefficients of covariates as given (the fit standardises them inside)."""
    if design.covariates is None:
        return covariance
    first = 1 + design.history_columns
    table = design.covariates
    change = np.eye(len(rows))
    positions = np.flatnonzero(rows >= first)
    scale, mean = table.wide_scale()[rows[positions] - first], table.wide_mean()[rows[positions] - first]
    change[positions, positions] = 1 / scale
    if len(rows) and rows[0] == 0:
        change[0, positions] = -mean / scale
    return change @ covariance @ change.T


@dataclass
class Uncertainty:
    """What the inverse information says of every unit's coefficients.

    Attributes
    ----------
    errors : ndarray, shape (units, parameters)
        Standard errors: intercept, basis weights source by source, covariates as given. NaN where there is none.
    filters : ndarray, shape (targets, sources, lags)
        Standard errors of the filters at every lag.
    outside : ndarray, shape (units, 1 + covariate columns, 1 + covariate columns)
        Covariance of intercept and covariate weights.
    method : str
        ``exact``, or how the information was sampled.
    """

    errors: np.ndarray
    filters: np.ndarray
    outside: np.ndarray
    method: str


def uncertainty(objective: Objective, weights: np.ndarray, method: str = "auto") -> Uncertainty:
    """Return the uncertainty of every unit's coefficients (see :func:`information_stride` for `method`)."""
    stride = information_stride(objective, method)
    design = objective.design
    outside = np.r_[0, 1 + design.history_columns : design.parameters].astype(int)
    size = (objective.units, design.events.units, len(design.basis))
    errors = np.full((objective.units, design.parameters), np.nan)
    filters = np.full(size, np.nan)
    block = np.full((objective.units, len(outside), len(outside)), np.nan)
    units = np.flatnonzero(objective.free.any(axis=0))
    for unit, free, covariance in covariances(objective, weights, units, stride):
        whole = np.full((design.parameters,) * 2, np.nan)
        whole[np.ix_(free, free)] = to_user_units(design, free, covariance)
        with np.errstate(invalid="ignore"):
            errors[unit] = np.sqrt(np.diag(whole))
            filters[unit] = _filter_errors(design, whole, weights[:, unit])
        block[unit] = whole[np.ix_(outside, outside)]
    return Uncertainty(errors, filters, block, "exact" if stride == 1 else f"every {stride}th bin")


def _filter_errors(design: Design, whole: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return standard errors of one unit's filters, (sources, lags); NaN where a coefficient has none.

    A function that is left out beside others that are fitted (a shorter reach) is zero for certain.
    """
    out = np.full((design.events.units, len(design.basis)), np.nan)
    for source in range(design.events.units if design.history_columns else 0):
        part = design.history(source)
        block = whole[part, part].copy()
        held = np.isnan(np.diag(block)) & (weights[part] == 0.0)
        if not held.all():
            block[held], block[:, held] = 0.0, 0.0
        out[source] = np.sqrt(np.einsum("lb,bc,lc->l", design.basis, block, design.basis))
    return out


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Return q-values that control the false-discovery rate (Benjamini & Hochberg 1995); NaN stays NaN.

    Parameters
    ----------
    p_values : ndarray, any shape
    """
    flat = np.ravel(p_values)
    known = np.flatnonzero(np.isfinite(flat))
    order = known[np.argsort(flat[known])]
    scaled = flat[order] * len(order) / np.arange(1, len(order) + 1)
    out = np.full(flat.shape, np.nan)
    out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return out.reshape(np.shape(p_values))


@dataclass
class WaldTests:
    """Wald tests that all coefficients of an ordered pair are zero: effective connectivity, possibly indirect.

    Attributes
    ----------
    statistic, p_values, q_values : ndarray, shape (targets, sources)
        NaN on pairs that were not fitted; a pair whose coefficients are all at minus infinity has no Wald test either
        (see `separated` of the fit).
    degrees : ndarray of int, shape (targets, sources)
        Coefficients tested.
    """

    statistic: np.ndarray
    p_values: np.ndarray
    q_values: np.ndarray
    degrees: np.ndarray


def wald_tests(model, method: str = "auto") -> WaldTests:
    """Test every ordered pair of units of an unpenalised fit.

    Parameters
    ----------
    model : PoissonGLM
        Fitted.
    method : {"auto", "exact", "sampled"}
        How the information matrices are made, see :func:`information_stride`.

    Raises
    ------
    BadInput
        If the fit was penalised: shrunken coefficients have no Wald test.
    """
    from scipy.stats import chi2

    objective, design = model.objective_, model.design_
    if objective.ridge or objective.smooth is not None:
        raise BadInput(
            "Wald tests need an unpenalised fit; fit without ridge and smooth, or use likelihood-ratio tests"
        )
    shape = (objective.units, design.events.units)
    statistic, degrees = np.full(shape, np.nan), np.zeros(shape, int)
    units = np.flatnonzero(objective.free.any(axis=0))
    stride = information_stride(objective, method)
    for unit, free, covariance in covariances(objective, model.weights_, units, stride):
        for source in range(design.events.units if design.history_columns else 0):
            part = design.history(source)
            positions = np.flatnonzero((free >= part.start) & (free < part.stop))
            if len(positions):
                weights = model.weights_[free[positions], unit]
                block = covariance[np.ix_(positions, positions)]
                statistic[unit, source] = weights @ np.linalg.solve(block, weights)
                degrees[unit, source] = len(positions)
    p_values = np.where(degrees > 0, chi2.sf(statistic, np.maximum(degrees, 1)), np.nan)
    return WaldTests(statistic, p_values, benjamini_hochberg(p_values), degrees)


STEPS = ("own history", "+ own area", "+ other area", "+ kinematics")


@dataclass
class NestedTests:
    """Likelihood-ratio tests of each step against the one before (the first against a constant rate).

    Attributes
    ----------
    steps : list of str
    log_likelihood : ndarray, shape (steps + 1, units)
        Without ``ln count!``; row 0 is the constant rate.
    statistic, p_values : ndarray, shape (steps, units)
    degrees : ndarray of int, shape (steps, units)
    """

    steps: list
    log_likelihood: np.ndarray
    statistic: np.ndarray
    p_values: np.ndarray
    degrees: np.ndarray


def nested_tests(template, counts, covariates=None, areas=None, unit_names=None) -> NestedTests:
    """Fit constant rate, own history, + own area, + other area, + kinematics, and test every step.

    Parameters
    ----------
    template : PoissonGLM
        Its basis, link and other settings are used; its coupling is replaced. It must not be penalised.
    counts, covariates
        As for :meth:`PoissonGLM.fit`.
    areas : sequence of str, optional
        Area of each unit; without areas all units are in one.

    Raises
    ------
    BadInput
        When the fit is penalised.

    Notes
    -----
    Twice the gain in log-likelihood is compared with a chi-square (Wilks). Coefficients at minus infinity count as
    degrees of freedom: their likelihood is a supremum, and the test errs to the safe side.
    """
    from scipy.stats import chi2

    from bmi_runtime.analysis.glm.events import Events, from_counts
    from bmi_runtime.analysis.glm.prepare import every_lead, likelihood_bins

    if template.ridge or template.smooth:
        raise BadInput("likelihood-ratio tests need unpenalised fits; leave ridge and smooth at 0")
    events = counts if isinstance(counts, Events) else from_counts(counts, unit_names)
    steps = [(name, connections, None) for name, connections in _connection_steps(events.units, areas)]
    if covariates is not None:
        steps.append((STEPS[3], steps[-1][1], covariates))
    settings = template.get_params() | {"standard_errors": "none"}
    # Every step must see the same bins, so the leads of the kinematics trim the earlier steps too.
    leads = every_lead(template.leads)[0] if covariates is not None else ()
    bins = likelihood_bins(events.bins, template.history_bins, leads)
    likelihood: list[np.ndarray] = []
    parameters: list[np.ndarray] = []
    for _, connections, kinematics in steps:
        model = type(template)(**(settings | {"coupling": connections}))
        model.fit(events, kinematics, unit_names=unit_names, within=bins)
        if not likelihood:
            likelihood.append(model.null_log_likelihood_)
            parameters.append(np.where(model.silent_, 0, 1))
        likelihood.append(model.log_likelihood_)
        parameters.append(model.n_parameters_)
    statistic = 2 * np.diff(np.array(likelihood), axis=0)
    degrees = np.diff(np.array(parameters), axis=0)
    p_values = np.where(degrees > 0, chi2.sf(np.maximum(statistic, 0), np.maximum(degrees, 1)), np.nan)
    return NestedTests([name for name, _, _ in steps], np.array(likelihood), statistic, p_values, degrees)


def _connection_steps(units: int, areas) -> list[tuple[str, np.ndarray]]:
    own = np.eye(units, dtype=bool)
    everyone = np.ones((units, units), bool)
    if units == 1:
        return [(STEPS[0], own)]
    if areas is None or len(set(areas)) < 2:
        return [(STEPS[0], own), (STEPS[1], everyone)]
    labels = np.asarray(areas)
    return [(STEPS[0], own), (STEPS[1], labels[:, None] == labels), (STEPS[2], everyone)]


def block_report(model, areas, tests: WaldTests | None = None, level: float = 0.05) -> list[dict]:
    """Return one entry per ordered pair of areas (target-source, such as M1-PMv): how strong, how many significant.

    The strength of a pair is the sum of its filter over lags (log-rate), minus-infinite lags left out and counted.
    Effective connectivity: a significant pair may be indirect.
    """
    labels = np.asarray(areas)
    off = ~np.eye(len(labels), dtype=bool)
    infinite = np.isneginf(model.coupling_)
    total = np.where(infinite, 0.0, model.coupling_).sum(axis=2)
    entries = []
    for target in sorted(set(areas)):
        for source in sorted(set(areas)):
            pairs = (labels[:, None] == target) & (labels == source) & off
            entry = {
                "block": f"{target}-{source}",
                "pairs": int(pairs.sum()),
                "mean_sum": float(total[pairs].mean()) if pairs.any() else None,
                "mean_absolute_sum": float(np.abs(total[pairs]).mean()) if pairs.any() else None,
                "separated_pairs": int((infinite.any(axis=2) & pairs).sum()),
            }
            if tests is not None:
                found = pairs & (np.nan_to_num(tests.q_values, nan=1.0) <= level)
                entry["significant"] = int(found.sum())
                entry["excitatory"] = int((found & (total > 0)).sum())
                entry["inhibitory"] = int((found & (total < 0)).sum())
            entries.append(entry)
    return entries
