"""Whether counts vary as a Poisson process would: Fano factors over windows, and a test of the model's dispersion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm

from bmi_runtime.errors import BadInput

FEWEST_WINDOWS = 10


@dataclass(frozen=True)
class Fano:
    """Fano factors of all units in windows of one length.

    Attributes
    ----------
    window_s : float
    factor : ndarray, shape (units,)
        Variance over mean of the counts of the windows; NaN for silent units.
    low, high : ndarray, shape (units,)
        95 % interval of the factor of a Poisson process with as many windows (independent windows).
    """

    window_s: float
    factor: np.ndarray
    low: float
    high: float


def fano_factors(counts: np.ndarray, bin_s: float, window_s: float) -> Fano:
    """Return variance over mean of the counts in windows that do not overlap.

    For a stationary Poisson process ``(n - 1) F`` is nearly chi-square with n - 1 degrees of freedom (n windows); a
    rate that changes between windows raises F as well, which is what the model's own dispersion is for.

    Parameters
    ----------
    counts : ndarray, shape (bins, units)
    bin_s, window_s : float
        Width of a bin, and of a window (rounded to whole bins).
    """
    size = max(1, round(window_s / bin_s))
    windows = len(counts) // size
    if windows < FEWEST_WINDOWS:
        raise BadInput(f"{len(counts) * bin_s:g} s hold {windows} windows of {window_s:g} s; a Fano factor needs 10")
    summed = np.asarray(counts[: windows * size], float).reshape(windows, size, -1).sum(axis=1)
    mean = summed.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where(mean > 0, summed.var(axis=0, ddof=1) / mean, np.nan)
    low, high = chi2.ppf([0.025, 0.975], windows - 1) / (windows - 1)
    return Fano(size * bin_s, factor, float(low), float(high))


@dataclass(frozen=True)
class Dispersion:
    """The test of every unit's variance against a fitted Poisson model, (units,) each.

    Attributes
    ----------
    ratio : ndarray
        Pearson's chi-square per bin, ``mean((y - mu)^2 / mu)``; 1 under the model.
    excess : ndarray
        Moment estimate of a in the variance ``mu + a mu^2``.
    z, p_value : ndarray
        Score statistic ``sum((y - mu)^2 - y) / sqrt(2 sum mu^2)`` (Dean 1992) and its two-sided chance.
    """

    ratio: np.ndarray
    excess: np.ndarray
    z: np.ndarray
    p_value: np.ndarray


def dispersion(counts: np.ndarray, mean: np.ndarray) -> Dispersion:
    """Test counts (bins, units) against their predicted means (bins, units); bins without a prediction are left out.

    The statistic is normal where ``sum mu^2`` is large: fine bins of slow units need long recordings. Counts that can
    hold one spike at most have a variance below their mean, and fail where rates are high.
    """
    used = np.isfinite(mean).all(axis=1)
    y, mu = np.asarray(counts, float)[used], np.maximum(mean[used], 1e-300)
    extra = ((y - mu) ** 2 - y).sum(axis=0)
    square = (mu**2).sum(axis=0)
    silent = y.sum(axis=0) == 0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratio = np.where(silent, np.nan, ((y - mu) ** 2 / mu).mean(axis=0))
        z = np.where(silent, np.nan, extra / np.sqrt(2.0 * square))
        excess = np.where(silent, np.nan, extra / square)
    return Dispersion(ratio, excess, z, 2.0 * norm.sf(np.abs(z)))
