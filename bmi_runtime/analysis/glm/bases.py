"""Temporal bases: how the filter over the past ``history_bins`` bins is written with few coefficients."""

import math

import numpy as np

from bmi_runtime.errors import BadInput

KINDS = ("raw", "raised-cosine", "raised-cosine-linear", "b-spline")


def parse_basis(text: str, history_bins: int) -> np.ndarray:
    """Return the basis that `text` names.

    Parameters
    ----------
    text : str
        ``raw`` (one coefficient per lag), ``raised-cosine:N`` (N bumps, evenly spaced in log lag),
        ``raised-cosine-linear:N`` or ``b-spline:N``.
    history_bins : int
        Length of the filter in bins.

    Returns
    -------
    ndarray, shape (history_bins, N)
        Column ``b`` is function ``b`` at lags 1, 2, ..., history_bins.

    Raises
    ------
    BadInput
        If the name or the number of functions is not usable.
    """
    kind, _, number = text.partition(":")
    if kind not in KINDS:
        raise BadInput(f"there is no basis '{text}'; choose raw, raised-cosine:N, raised-cosine-linear:N or b-spline:N")
    if history_bins < 1:
        return np.zeros((0, 0))
    if kind == "raw":
        return np.eye(history_bins)
    if not number.isdigit() or int(number) < 1:
        raise BadInput(f"basis '{text}' needs a number of functions, for example {kind}:8")
    functions = int(number)
    if functions > history_bins:
        raise BadInput(f"basis '{text}' has more functions than the {history_bins} history bins; use raw or fewer")
    if kind == "b-spline":
        basis = b_spline(history_bins, functions)
    else:
        basis = raised_cosine(history_bins, functions, logarithmic=kind == "raised-cosine")
    return _checked(basis, text)


def raised_cosine(history_bins: int, functions: int, logarithmic: bool = True) -> np.ndarray:
    """Return raised-cosine bumps over the lags, narrow at short lags when `logarithmic`.

    Bump ``b`` is ``(1 + cos(clip((u(m) - c_b) pi / (2 delta), -pi, pi))) / 2`` with ``u(m) = log(m + offset)`` or
    ``m``, centres ``c_b`` a distance ``delta`` apart, the first at lag 1 and the last ending just after the last lag
    (Pillow et al. 2008; the offset, a twentieth of the filter so that neighbours stay distinct, is our choice).
    """
    offset = max(1.0, history_bins / 20)
    lags = np.arange(1, history_bins + 1)
    warped = np.log(lags + offset) if logarithmic else lags.astype(float)
    last = math.log(history_bins + 1 + offset) if logarithmic else history_bins + 1.0
    spacing = (last - warped[0]) / (functions + 1)
    centres = warped[0] + spacing * np.arange(functions)
    phase = np.clip((warped[:, None] - centres) * np.pi / (2 * spacing), -np.pi, np.pi)
    return _exact_zeros(0.5 * (1 + np.cos(phase)))


def b_spline(history_bins: int, functions: int, degree: int = 3) -> np.ndarray:
    """Return clamped B-splines of `degree` (lowered when there are few functions) over the lags 1 ... history_bins."""
    from scipy.interpolate import BSpline

    degree = min(degree, functions - 1)
    inner = np.linspace(1.0, history_bins, functions - degree + 1)
    knots = np.r_[[1.0] * degree, inner, [float(history_bins)] * degree]
    lags = np.arange(1, history_bins + 1, dtype=float)
    if functions == 1:
        return np.ones((history_bins, 1))
    return _exact_zeros(BSpline.design_matrix(lags, knots, degree).toarray())


def _exact_zeros(basis: np.ndarray) -> np.ndarray:
    """Make rounding dust zero: separation is tested on exact zeros."""
    return np.where(basis < 1e-12, 0.0, basis)


def _checked(basis: np.ndarray, text: str) -> np.ndarray:
    if np.linalg.matrix_rank(basis, tol=1e-8) < basis.shape[1]:
        raise BadInput(f"the functions of basis '{text}' are not distinct over {len(basis)} bins; use fewer functions")
    return basis
