"""Standard errors, Wald tests and likelihood-ratio tests."""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.design import Design
from bmi_runtime.analysis.glm.likelihood import Objective

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


def standard_errors(objective: Objective, weights: np.ndarray, method: str = "auto") -> tuple[np.ndarray, str]:
    """Return standard errors, (units, parameters), NaN where there is none, and how they were made."""
    stride = information_stride(objective, method)
    out = np.full((objective.units, objective.design.parameters), np.nan)
    units = np.flatnonzero(objective.free.any(axis=0))
    for unit, free, covariance in covariances(objective, weights, units, stride):
        with np.errstate(invalid="ignore"):
            out[unit, free] = np.sqrt(np.diag(to_user_units(objective.design, free, covariance)))
    return out, "exact" if stride == 1 else f"every {stride}th bin"
