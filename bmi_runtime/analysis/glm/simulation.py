"""Simulation of a coupled Poisson GLM, with a check that its rates do not run away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.analysis.glm.design import IMPOSSIBLE
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels import glm as kernels

BLOCK = 8192
CEILING = 20.0
"""Expected counts per bin above which a simulation is called runaway, unless the caller says otherwise."""


def simulate(
    intercept: np.ndarray,
    coupling: np.ndarray,
    bins: int,
    rng: np.random.Generator,
    drive: np.ndarray | None = None,
    link: str = "exponential",
    ceiling: float = CEILING,
    history: np.ndarray | None = None,
    names: list[str] | None = None,
    added: np.ndarray | None = None,
) -> np.ndarray:
    """Draw spike counts bin by bin, each bin given all earlier ones.

    Parameters
    ----------
    intercept : ndarray, shape (units,)
        Natural log of counts per bin.
    coupling : ndarray, shape (targets, sources, lags)
        Index 0 of the last axis is the bin just before; minus infinity forbids spikes.
    drive : ndarray, shape (bins, units), optional
        What covariates add to the predictor.
    ceiling : float
        Largest expected count per bin that is still believed.
    history : ndarray, shape (lags, units), optional
        Counts before the first bin; silence by default.
    added : ndarray of int64, shape (bins, units), optional
        Spikes that stimulation adds to the units' own.

    Returns
    -------
    ndarray of int64, shape (bins, units)

    Raises
    ------
    BmiError
        When a rate passes `ceiling`: exponential self-excitation has no upper bound, and what follows means nothing.
    """
    units, _, lags = coupling.shape
    filters = np.ascontiguousarray(np.where(np.isneginf(coupling), IMPOSSIBLE, coupling).transpose(1, 2, 0))
    base = np.where(np.isneginf(intercept), IMPOSSIBLE, intercept)
    counts = np.zeros((bins, units), np.int64)
    pending = _pending(filters, history)
    for begin in range(0, bins, BLOCK):
        end = min(begin + BLOCK, bins)
        part = np.tile(base, (end - begin, 1)) if drive is None else base + drive[begin:end]
        uniforms = rng.random((end - begin, units))
        options = (link == "softplus", ceiling)
        extra = np.zeros((0, units), np.int64) if added is None else np.ascontiguousarray(added[begin:end], np.int64)
        where = kernels.simulate_block(
            pending, begin % (lags + 1), part, filters, uniforms, extra, *options, counts[begin:end]
        )
        if where >= 0:
            raise _runaway(begin + where, counts, filters, names, ceiling)
    return counts


def _pending(filters: np.ndarray, history: np.ndarray | None) -> np.ndarray:
    """Return the ring of what past spikes add to the coming bins."""
    sources, lags, targets = filters.shape
    pending = np.zeros((lags + 1, targets))
    if history is None:
        return pending
    if history.shape != (lags, sources):
        raise BadInput(f"history must be ({lags} bins, {sources} units), not {history.shape}")
    for ahead in range(lags):
        # The coming bin `ahead` sees the spikes of history[k] at lag (lags - k) + ahead.
        for k in range(ahead, lags):
            pending[ahead] += history[k] @ filters[:, lags - k + ahead - 1]
    return pending


def _runaway(bin_index, counts, filters, names, ceiling) -> BmiError:
    lags = filters.shape[1]
    recent = counts[max(0, bin_index - lags) : bin_index].sum(axis=0)
    unit = int(recent.argmax())
    if not recent.any():
        return BmiError(
            f"in bin {bin_index} more than {ceiling:g} spikes of a unit are expected without any before it: baseline "
            "and covariates alone are too high for bins so wide"
        )
    name = names[unit] if names else f"unit {unit}"
    return BmiError(
        f"the simulation ran away at bin {bin_index}: an expected count passed {ceiling:g} per bin ({name} fired "
        f"{recent[unit]} spikes in the {lags} bins before); the fit is unstable, so a ridge, a refractory period "
        "or the softplus link is needed"
    )


def branching_ratio(rate: np.ndarray, coupling: np.ndarray) -> float:
    """Return the spectral radius of the extra spikes that one spike causes, to first order.

    Element (i, j) is ``rate_i * sum_m (exp(coupling_ij(m)) - 1)``, `rate` in counts per bin: the expected number of
    extra spikes of unit i after one spike of unit j at the mean rates (derived here). Near or above one, activity
    feeds itself.

    Parameters
    ----------
    rate : ndarray, shape (units,)
    coupling : ndarray, shape (targets, sources, lags)
    """
    extra = rate[:, None] * np.expm1(np.minimum(coupling, 50.0)).sum(axis=2)
    return float(np.abs(np.linalg.eigvals(extra)).max(initial=0.0))


@dataclass
class Network:
    """A known network to test fits on.

    Attributes
    ----------
    intercept : ndarray, shape (units,)
    basis_weights : ndarray, shape (targets, sources, functions)
    coupling : ndarray, shape (targets, sources, lags)
    covariate_weights : ndarray, shape (units, k)
    areas : list of str
    """

    intercept: np.ndarray
    basis_weights: np.ndarray
    coupling: np.ndarray
    covariate_weights: np.ndarray
    areas: list


def random_network(units: int, basis: np.ndarray, rng: np.random.Generator, rate: float, links: float = 3.0) -> Network:
    """Return a sparse random network of two areas (M1, PMv): refractory units, `links` inputs each on average.

    Parameters
    ----------
    basis : ndarray, shape (lags, functions)
    rate : float
        Baseline in counts per bin.
    links : float
        Mean number of other units that act on a unit.
    """
    functions = basis.shape[1]
    weights = np.zeros((units, units, functions))
    decay = np.exp(-np.arange(functions) / max(1.0, functions / 3))
    linked = rng.random((units, units)) < links / max(units - 1, 1)
    weights[linked] = rng.normal(0.0, 0.35, (linked.sum(), 1)) * decay
    after = np.linspace(-3.0, 0.0, min(4, functions))
    weights[np.arange(units), np.arange(units)] = np.r_[after, np.zeros(functions - len(after))]
    intercept = np.log(rate) + rng.normal(0.0, 0.3, units)
    tuning = rng.normal(0.0, 0.35, (units, 2))
    # Tuning and chance lift rates well above the baselines: keep the branching at six times those below one half.
    while branching_ratio(6 * np.exp(intercept), np.matmul(np.maximum(weights, 0.0), basis.T)) > 0.5:
        weights[weights > 0] *= 0.8
    areas = ["M1" if unit < (units + 1) // 2 else "PMv" for unit in range(units)]
    return Network(intercept, weights, np.matmul(weights, basis.T), tuning, areas)


def smooth_velocity(bins: int, bin_s: float, rng: np.random.Generator, timescale_s: float = 0.3) -> np.ndarray:
    """Return a two-dimensional velocity of unit standard deviation: twice-filtered noise, (bins, 2)."""
    from scipy.signal import lfilter

    keep = np.exp(-bin_s / timescale_s)
    noise = rng.normal(size=(bins, 2))
    slow = lfilter([1 - keep], [1, -keep], noise, axis=0)
    slow = lfilter([1 - keep], [1, -keep], slow, axis=0)
    return slow / slow.std(axis=0)
