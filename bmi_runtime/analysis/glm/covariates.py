"""Covariates of a GLM: checked, standardised in one pass over blocks, and named."""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.design import Covariates, Design
from bmi_runtime.errors import BadInput


def make_covariates(table, leads: tuple[int, ...], bins: int, first: int, last: int):
    """Return standardised covariates; checks their shape and that every value is a finite number.

    Raises
    ------
    BadInput
        When they do not have as many bins as the counts.
    """
    if table is None:
        return None
    if table.ndim == 1:
        table = np.asarray(table)[:, None]
    if table.ndim != 2 or len(table) != bins:
        raise BadInput(f"covariates must be ({bins} bins, k) like the counts, not {table.shape}")
    _check_finite(table)
    return Covariates(table, leads, *_moments(table, first, last))


def _check_finite(table) -> None:
    for begin in range(0, len(table), 1 << 16):
        block = np.asarray(table[begin : begin + (1 << 16)], dtype=float)
        if not np.isfinite(block).all():
            row, column = np.argwhere(~np.isfinite(block))[0]
            raise BadInput(
                f"covariate {column} is not a finite number at bin {begin + row}; interpolate it or cut those bins out"
            )


def _moments(table, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, scale and sign of every covariate over the fitted bins, in one pass over blocks."""
    shift = np.asarray(table[first], dtype=float)
    total, square = np.zeros_like(shift), np.zeros_like(shift)
    low, high = shift.copy(), shift.copy()
    for begin in range(first, last, 1 << 16):
        block = np.asarray(table[begin : min(begin + (1 << 16), last)], dtype=float)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        total += (block - shift).sum(axis=0)
        square += ((block - shift) ** 2).sum(axis=0)
    mean = total / (last - first)
    spread = np.sqrt(np.maximum(square / (last - first) - mean**2, 0.0))
    flat = spread <= 1e-12 * np.maximum(np.abs(mean + shift), 1e-300)
    sign = np.where(flat, 0, (low == 0).astype(int) - (high == 0).astype(int))
    return np.where(sign != 0, 0.0, mean + shift), np.where(flat, 1.0, spread), sign


def column_name(design: Design, row: int, names: list[str], covariate_names: list[str] | None = None) -> str:
    """Return what a coefficient is, as text."""
    if row == 0:
        return "the intercept"
    if row <= design.history_columns:
        source, function = divmod(row - 1, design.basis.shape[1])
        return f"the history of {names[source]} (function {function})"
    assert design.covariates is not None
    covariate, lead = divmod(row - 1 - design.history_columns, len(design.covariates.leads))
    name = covariate_names[covariate] if covariate_names else f"covariate {covariate}"
    return f"{name} at lead {design.covariates.leads[lead]}"
