"""How rates fluctuate beside their tuning: with each other, on their own, and as weights that drift."""

from __future__ import annotations

import itertools

import numpy as np

from bmi_runtime.rehearsal.world import FittedSubject

DRIFT_PARTS = 6  # of a pilot, between which weights are compared
LEAST_SPIKES = 30  # of a unit in what is looked at, before it is asked what moves it
LEAST_PART_S = 10.0  # of such a part
COARSE_S = 0.05  # of the bins in which units fluctuate together
MOST_FACTORS = 16  # of common fluctuations
OWN_LAGS, LEAST_KEPT = 4, 0.2
"""Coarse bins over which a unit's own fluctuation is looked for; the least that it keeps from one to the next."""


def intention_noise(u, expected, weights, names, subject: FittedSubject) -> np.ndarray:
    """Return what fresh noise of the intention adds to the covariance of Pearson residuals, (units, units)."""
    columns = [1 + k for k, name in enumerate(names) if name.startswith("v")]
    power = subject.mean[3] ** 2 * (u[:, columns] ** 2).sum(axis=1)
    scaled = expected / np.sqrt(expected.mean(axis=0))
    return (weights[columns].T @ weights[columns]) * (scaled.T @ (scaled * power[:, None])) / len(u)


def shared_factors(
    y: np.ndarray, expected: np.ndarray, bin_s: float, known: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return loadings (factors, units) of fluctuations of log rates that units share, what each keeps per bin, and the
    variance of the log rate that they give each unit.

    Factors are the eigenvectors of the residuals' correlations, in bins of `COARSE_S`, whose eigenvalues are above what
    independent units give (the edge of Marchenko and Pastur 1967); their variance and memory come from the
    autocovariance of the projected residuals, whose Poisson part is white. `known`, a covariance of Pearson residuals,
    has its source elsewhere.
    """
    units, merged = y.shape[1], max(round(COARSE_S / bin_s), 1)
    bins = len(y) // merged
    total, mean = (rows[: bins * merged].reshape(bins, merged, units).sum(axis=1) for rows in (y, expected))
    pearson = (total - mean) / np.sqrt(mean)
    pearson -= pearson.mean(axis=0)
    scale = np.maximum(pearson.std(axis=0), 1e-9)
    known = known / scale[:, None] / scale
    values, vectors = np.linalg.eigh(_correlations(pearson) - known)
    edge = (1.0 + np.sqrt(units / bins)) ** 2
    none = np.zeros((0, units)), np.zeros(0), np.zeros(units)
    found = np.flatnonzero(values > 1.05 * edge)[::-1][:MOST_FACTORS]
    if units < 2 or not found.size:
        return none
    loadings, keeps = [], []
    for k in found:
        vector = vectors[:, k]
        series = (pearson / scale) @ vector
        memory = [float(np.mean(series[lag:] * series[: len(series) - lag])) for lag in range(4)]
        shared = max(memory[0] - 1.0 - float(vector @ (known * np.ones((units, units))) @ vector), 0.0)
        slow = min(max(memory[1], 0.0), shared)
        keep = np.clip(memory[2] / memory[1], 0.0, 0.98) if memory[1] > 0.1 * shared else 0.0
        variance = slow / keep if keep > 0.3 else shared
        loadings.append(vector * scale * np.sqrt(min(variance, shared)) / np.sqrt(mean.mean(axis=0)))
        keeps.append(keep ** (1.0 / merged) if keep > 0 else 0.0)
    made = np.clip(np.array(loadings), -1.0, 1.0)
    return made, np.array(keeps), (made**2).sum(axis=0)


def own_fluctuation(
    y: np.ndarray, expected: np.ndarray, bin_s: float, loadings: np.ndarray, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation of each unit's own fluctuation of its log rate, and what it keeps per bin.

    What residuals in bins of `COARSE_S` have in common with those up to `OWN_LAGS` before, less what shared
    fluctuations explain of it, where that is more than two standard errors. Of a first-order process it is sigma^2
    sum_l kept^l; all units have one memory, from the sums over units at lags 2 to `OWN_LAGS` + 1 and at 1 to
    `OWN_LAGS`.

    Parameters
    ----------
    y, expected : ndarray, (bins, units)
    bin_s : float
    loadings, keep : ndarray, (factors, units), (factors,)
        Of :func:`shared_factors`.

    Returns
    -------
    ndarray, (units,)
        Zero where none is found.
    ndarray, (units,)
    """
    units, merged = y.shape[1], max(round(COARSE_S / bin_s), 1)
    bins = len(y) // merged
    total, mean = (rows[: bins * merged].reshape(bins, merged, units).sum(axis=1) for rows in (y, expected))
    left, lags, ends = total - mean, range(1, OWN_LAGS + 2), len(total) - OWN_LAGS - 1
    products = [left[lag : lag + ends] * left[:ends] for lag in lags]
    scale = [np.maximum((mean[lag : lag + ends] * mean[:ends]).mean(axis=0), 1e-12) for lag in lags]
    shared = [((loadings**2).T * keep ** (lag * merged)).sum(axis=1) for lag in lags]
    own = np.array([p.mean(axis=0) / s - c for p, s, c in zip(products, scale, shared, strict=True)])
    error = sum(products[:-1]).std(axis=0) / np.sqrt(ends) / np.mean(scale, axis=0)
    found = (own[:-1].sum(axis=0) > 2.0 * error) & (total.sum(axis=0) > LEAST_SPIKES)  # a silent unit has no error
    if not found.any():
        return np.zeros(units), np.zeros(units)
    weight = total.mean(axis=0)[found]
    kept = float(np.clip((own[1:, found] @ weight).sum() / (own[:-1, found] @ weight).sum(), LEAST_KEPT, 0.98))
    variance = own[:-1].sum(axis=0) / sum(kept**lag for lag in lags[:-1])
    return np.sqrt(np.where(found, np.clip(variance, 0.0, 1.0), 0.0)), np.full(units, kept ** (1.0 / merged))


def _correlations(rows: np.ndarray) -> np.ndarray:
    """Return the correlations of columns (bins, units), 0 of a column that never changes with any other."""
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
    found = scaled.T @ scaled / len(rows)
    np.fill_diagonal(found, 1.0)
    return found


def drift(u: np.ndarray, y: np.ndarray, expected: np.ndarray, bin_s: float) -> np.ndarray:
    """Return the variance per second of the weights' random walk, (regressors, units); zero where none is found.

    Each part of the pilot moves the weights by one Newton step. What estimates of two parts differ by is twice their
    error, however correlated the counts of a part are, and what the walk has done between them: averages of a walk of
    variance q per second over parts of D seconds, j parts apart, differ by q D (j - 1/3) in variance (standard). So
    the walk is the slope of that variance over j, and no error variance has to be known.

    Whether there is one is told from the mean over units. On recordings a few units change much and most hardly: each
    has its own slope, where it is above zero, scaled so that the mean over units stays; a unit of few spikes has the
    median.
    """
    parts = int(np.clip(len(u) * bin_s / LEAST_PART_S, 0, DRIFT_PARTS))
    d, n = u.shape[1], y.shape[1]
    if parts < 3:
        return np.zeros((d, n))
    edges = np.linspace(0, len(u), parts + 1).astype(int)
    steps = np.empty((parts, n, d))
    lower, upper = np.tril_indices(d)
    for k, (a, b) in enumerate(itertools.pairwise(edges)):
        information = np.empty((n, d, d))
        values = expected[a:b].T @ (u[a:b, lower] * u[a:b, upper])
        information[:, lower, upper] = information[:, upper, lower] = values
        information += 1e-3 * np.eye(d)
        steps[k] = np.einsum("nij,nj->ni", np.linalg.inv(information), (y - expected)[a:b].T @ u[a:b])
    busy = y.mean(axis=0) * (edges[1] - edges[0]) > LEAST_SPIKES
    if busy.sum() < 4:
        return np.zeros((d, n))
    apart = np.arange(1, parts)
    structure = np.array([((steps[j:] - steps[:-j]) ** 2).mean(axis=0) for j in apart])[:, busy]
    weight = (parts - apart) / (parts - apart).sum()
    centred = weight * (apart - weight @ apart)
    span_s = float(np.mean(np.diff(edges))) * bin_s
    slope = np.tensordot(centred, structure, 1) / (centred @ apart) / span_s
    slope = np.clip(slope, *np.quantile(slope, [0.02, 0.98], axis=0))
    mean, error = slope.mean(axis=0), slope.std(axis=0, ddof=1) / np.sqrt(len(slope))
    own = np.maximum(slope, 0.0)
    own *= np.where(mean > 2.0 * error, mean, 0.0) / np.maximum(own.mean(axis=0), 1e-30)
    walk = np.repeat(np.median(own, axis=0)[:, None], n, axis=1)
    walk[:, busy] = own.T
    return walk


def shared_noise(residual: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return loadings (factors, units) of the noise that real-valued features share, in their own unit.

    Parameters
    ----------
    residual : ndarray, shape (bins, units)
        What a fit of the movement leaves.
    variance : ndarray, shape (units,)
        Of each feature's noise.
    """
    bins, units = residual.shape
    if units < 2:
        return np.zeros((0, units))
    values, vectors = np.linalg.eigh(_correlations(residual))
    found = np.flatnonzero(values > 1.05 * (1.0 + np.sqrt(units / bins)) ** 2)[::-1][:MOST_FACTORS]
    return np.sqrt(np.maximum(values[found] - 1.0, 0.0))[:, None] * vectors[:, found].T * np.sqrt(variance)
