"""The units of a pilot: tuning, own past, coupling, overdispersion, shared fluctuations and drift, as the data support.

Poisson units are fitted by the offline module's coupled GLM (`bmi_runtime.analysis.glm`); which regressors and whose
past are kept is decided by the likelihood of the pilot's last quarter under fits to the rest.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from bmi_runtime.analysis.glm.model import PoissonGLM
from bmi_runtime.intention.paths import intended_path
from bmi_runtime.rehearsal.past import (
    BLOCK_S,
    MOST_CHOOSING_UNITS,
    PAST_RANGE,
    drive_of,
    finite_coupling,
    fit_past,
    glm,
    held_out,
    refitted,
    stabilised,
    supported,
)
from bmi_runtime.rehearsal.pilot import Pilot
from bmi_runtime.rehearsal.world import FittedSubject, UnitStatistics

LEADS_S = (-0.1, 0.0, 0.1, 0.2)
"""By how much the movement of an arm follows its units, where no cursor says when it was intended; some units follow
the movement.
"""
DRIFT_PARTS = 6  # of a pilot, between which weights are compared
LEAST_SPIKES = 30  # of a unit in what is looked at, before it is asked what moves it
LEAST_PART_S = 10.0  # of such a part
COARSE_S = 0.05  # of the bins in which units fluctuate together
MOST_FACTORS = 16  # of common fluctuations
OWN_LAGS, LEAST_KEPT = 4, 0.2
"""Coarse bins over which a unit's own fluctuation is looked for; the least that it keeps from one to the next."""
DISPERSIONS = (0.2, 20.0)
"""Variances over mean that are believed; below one, units that fire more regularly than a Poisson process."""


@dataclasses.dataclass(frozen=True)
class UnitsFit:
    """A fit of the units.

    Attributes
    ----------
    population : UnitStatistics
    expected : ndarray, (bins, units)
        What the fit expects of the pilot's own bins.
    notes : tuple of str
    chosen : tuple of str
        The regressors, as :func:`kinematics` names them.
    """

    population: UnitStatistics
    expected: np.ndarray
    notes: tuple[str, ...]
    chosen: tuple[str, ...]


def arm_leads(pilot: Pilot) -> list[int]:
    """Return by how many bins units may run ahead of an arm's movement, smallest first; a session's intention by none.

    The intention of a world that is fitted to an arm's movement is that of the largest lead.
    """
    return sorted({round(lead / pilot.bin_s) for lead in LEADS_S}) if pilot.velocity is not None else [0]


def kinematics(pilot: Pilot, subject: FittedSubject) -> dict[str, tuple[np.ndarray, int]]:
    """Return every regressor that units may be tuned to, by name, in dm/s and dm, with the lag behind the intention."""
    from bmi_runtime.constants import DM_PER_M

    found: dict[str, tuple[np.ndarray, int]] = {}
    axes = range(pilot.axes)
    if pilot.velocity is None:
        assert pilot.seen is not None and pilot.target is not None
        velocity = DM_PER_M * intended_path(subject.mean, pilot.seen, pilot.target, pilot.bin_s)
        leads = [0]
        position: np.ndarray | None = DM_PER_M * pilot.seen
    else:
        velocity = DM_PER_M * filled(pilot.velocity)
        leads = arm_leads(pilot)
        position = None if pilot.position is None else DM_PER_M * filled(pilot.position)
    most = leads[-1]
    for lead in leads:
        ahead = _ahead(velocity, lead)
        for axis in axes:
            found[f"v{axis}@{lead}"] = ahead[:, axis], most - lead
        found[f"speed@{lead}"] = np.linalg.norm(ahead, axis=1), most - lead
    found |= {f"square@{lead}": ((_ahead(velocity, lead) ** 2).sum(axis=1), most - lead) for lead in leads}
    if position is not None:
        for axis in axes:
            found[f"p{axis}@0"] = position[:, axis], 0
    return found


def filled(rows: np.ndarray) -> np.ndarray:
    """Return rows in which gaps are bridged linearly."""
    index, filled = np.arange(len(rows)), rows.copy()
    for axis in range(rows.shape[1]):
        known = np.isfinite(rows[:, axis])
        filled[:, axis] = np.interp(index, index[known], rows[known, axis])
    return filled


def _ahead(rows: np.ndarray, bins: int) -> np.ndarray:
    return rows[np.clip(np.arange(len(rows)) + bins, 0, len(rows) - 1)]


def candidates(names: list[str], noisy: bool) -> list[list[str]]:
    """Return the sets of regressors to choose from, simplest first."""
    leads = sorted({name.partition("@")[2] for name in names if name.startswith("v0")}, key=int)
    middle = leads[len(leads) // 2]
    velocity = [name for name in names if name.startswith("v") and name.endswith(f"@{middle}")]
    square = [f"square@{middle}"] if noisy else []
    all_leads = [name for name in names if name.startswith("v")]
    speed = [f"speed@{middle}"]
    position = [name for name in names if name.startswith("p")]
    sets = [velocity + square]
    if not noisy:
        sets.append(velocity + speed)
    sets.append(velocity + (square or speed) + position)
    if len(leads) > 1:
        sets += [all_leads + speed, all_leads + speed + position]
    return sets


def fit_poisson(
    pilot: Pilot, subject: FittedSubject, most: str = "all", known: tuple[str, ...] | None = None
) -> UnitsFit:
    """Return the fitted units of a pilot of spike counts.

    Parameters
    ----------
    pilot : Pilot
    subject : FittedSubject
    most : {"none", "own", "all"}
        Whose past may act at most.
    known : tuple of str, optional
        The regressors, where another fit to the same pilot has chosen them.
    """
    table = kinematics(pilot, subject)
    noisy = pilot.velocity is None and subject.mean[3] > 2.0 * np.sqrt(subject.covariance[3, 3])
    rows = np.flatnonzero(pilot.usable)
    first, last = int(rows[0]), int(rows[-1]) + 1
    counts = np.where(pilot.usable[:, None], pilot.counts, 0.0)[first:last].astype(np.int64)
    table = {name: (values[first:last], lag) for name, (values, lag) in table.items()}
    chosen = list(known or _best_set(counts, table, candidates(list(table), noisy)))
    fitted, coupled = fit_past(counts, _covariates(table, chosen), pilot.bin_s, most)
    return _assembled(pilot, subject, counts, table, chosen, fitted, coupled)


def _covariates(table, names) -> np.ndarray:
    return np.column_stack([table[name][0] for name in names])


def _best_set(counts, table, sets: list[list[str]]) -> list[str]:
    units = np.linspace(0, counts.shape[1] - 1, min(counts.shape[1], MOST_CHOOSING_UNITS)).astype(int)
    counts = np.ascontiguousarray(counts[:, np.unique(units)])
    best, scores = sets[0], held_out(glm(1, "none"), counts, _covariates(table, sets[0]), 1)
    for names in sets[1:]:
        found = held_out(glm(1, "none"), counts, _covariates(table, names), 1)
        if supported(scores, found):
            best, scores = names, found
    return best


def _assembled(pilot, subject, counts, table, chosen, model: PoissonGLM, coupled: str) -> UnitsFit:
    covariates = _covariates(table, chosen)
    weights = np.vstack([model.intercept_, model.covariate_weights_[:, :, 0].T])
    weights = np.where(np.isfinite(weights), weights, -20.0)
    expected = model.predict(counts, covariates)
    head = len(counts) - np.isfinite(expected).all(axis=1).sum()
    u = np.column_stack([np.ones(len(counts)), covariates])[head:]
    y, expected = counts[head:].astype(float), np.maximum(expected[head:], 1e-9)
    coupling = finite_coupling(model) if coupled != "none" else np.zeros((y.shape[1],) * 2 + (0,))
    coupling, said = stabilised(expected, coupling, pilot.name)
    drive = drive_of(counts, coupling)
    bounds = np.quantile(drive, PAST_RANGE, axis=0)
    if coupling.shape[2]:  # its ridge is not the movement's, and what is taken off the past was the movement's
        drive = np.clip(drive, *bounds)[head:]
        weights = refitted(u, y, drive, weights)
        expected = np.maximum(np.exp(np.minimum(u @ weights + drive, 8.0)), 1e-9)
    covariance = sandwich(u, y, expected, pilot.bin_s)
    kept = [k for k, name in enumerate(chosen) if not name.startswith("square")]
    rows = np.array([0, *(1 + k for k in kept)])
    known = (
        intention_noise(u, expected, weights, chosen, subject) if any(n.startswith("square") for n in chosen) else 0.0
    )
    loadings, keep, shared_variance = shared_factors(y, expected, pilot.bin_s, known)
    wander, wander_keep = own_fluctuation(y, expected, pilot.bin_s, loadings, keep)
    dispersion = np.clip(
        ((y - expected) ** 2 / expected).mean(axis=0) - (shared_variance + wander**2) * expected.mean(axis=0),
        *DISPERSIONS,
    )
    weights, covariance = shrunk(weights[rows], covariance[:, rows][:, :, rows])
    weights[0] -= 0.5 * ((loadings**2).sum(axis=0) + wander**2)
    names = tuple(chosen[k].partition("@")[0] for k in kept)
    population = UnitStatistics(
        names, tuple(table[chosen[k]][1] for k in kept), weights, covariance,
        _walk(u, y, expected, pilot.bin_s, chosen)[rows], coupling, dispersion, loadings, keep,
        wander_keep, np.maximum(3.0 * expected.max(axis=0), 5.0 * expected.mean(axis=0)), bounds, wander,
    )  # fmt: skip
    return UnitsFit(population, expected, (f"coupling: {WORDS[coupled]}", *said), tuple(chosen))


WORDS = {
    "none": "no dependence on past spikes is supported",
    "own": "units depend on their own past; no coupling between them is supported",
    "all": "units depend on their own and on each other's past",
}


def sandwich(u: np.ndarray, y: np.ndarray, expected: np.ndarray, bin_s: float) -> np.ndarray:
    """Return the covariance of every unit's weights, (units, regressors, regressors), whatever its counts' noise.

    M^-1 B M^-1 with the information M and the scores' covariance B over blocks of `BLOCK_S` (the sandwich; standard).
    """
    d, n = u.shape[1], y.shape[1]
    lower, upper = np.tril_indices(d)
    information = np.empty((n, d, d))
    information[:, lower, upper] = information[:, upper, lower] = expected.T @ (u[:, lower] * u[:, upper])
    information += 1e-6 * np.eye(d) * np.trace(information, axis1=1, axis2=2)[:, None, None]
    size = max(round(BLOCK_S / bin_s), 1)
    blocks = [((y - expected)[k : k + size].T @ u[k : k + size]) for k in range(0, len(u), size)]
    scores = np.stack(blocks)
    spread = np.einsum("bni,bnj->nij", scores, scores)
    inverse = np.linalg.inv(information)
    found = inverse @ spread @ inverse
    return 0.5 * (found + found.transpose(0, 2, 1))


def shrunk(weights: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gains with the spread that tuning really has, and what is left open of them (empirical Bayes).

    The spread of estimates over units is that of the tuning and of the estimates' errors. The first, per regressor, is
    the variance with which squared estimates over their whole variance are one on average (Paule and Mandel 1982, about
    zero), so that units of which hardly anything is known do not count. It is the prior of every unit's gain, and gives
    mean and covariance.
    """
    d = len(weights)
    precision = np.zeros((d, d))
    for k in range(1, d):
        precision[k, k] = 1.0 / max(tuning_variance(weights[k], covariance[:, k, k]), 1e-8)
    inverse = np.linalg.inv(covariance + 1e-12 * np.eye(d))
    found = np.linalg.inv(inverse + precision)
    mean = np.einsum("nij,njk,kn->in", found, inverse, weights)
    return mean, 0.5 * (found + found.transpose(0, 2, 1))


def tuning_variance(estimates: np.ndarray, error_variance: np.ndarray) -> float:
    """Return the variance about zero of what was estimated, given each estimate's error variance (Paule and Mandel)."""
    squares, errors = estimates**2, np.maximum(error_variance, 1e-12)
    low, high = 0.0, float(squares.max())
    if (squares / errors).mean() <= 1.0:
        return 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (squares / (middle + errors)).mean() > 1.0 else (low, middle)
    return 0.5 * (low + high)


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


def _walk(u: np.ndarray, y: np.ndarray, expected: np.ndarray, bin_s: float, names: list[str]) -> np.ndarray:
    """Return the walk of every regressor, (1 + regressors, units): one lead of the velocity walks for all.

    Leads are so alike that walks of each would be told from noise in their differences alone, and add up.
    """
    middle = [name for name in names if name.startswith("v0")]
    lead = middle[len(middle) // 2].partition("@")[2]
    rows = [0, *(1 + k for k, name in enumerate(names) if name[0] != "v" or name.endswith(f"@{lead}"))]
    walk = np.zeros((u.shape[1], y.shape[1]))
    walk[rows] = drift(u[:, rows], y, expected, bin_s)
    return walk


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


def fit_gaussian(pilot: Pilot, subject: FittedSubject) -> UnitsFit:
    """Return the fitted units of a pilot of real-valued features: linear in the movement, noise with a memory."""
    table = kinematics(pilot, subject)
    rows = pilot.usable
    names = [name for name in table if not name.startswith("square")]
    middle = sorted({name.partition("@")[2] for name in names if name[0] == "v"}, key=int)
    chosen = [n for n in names if n[0] == "v" and n.endswith(f"@{middle[len(middle) // 2]}")]
    u = np.column_stack([np.ones(rows.sum()), *(table[name][0][rows] for name in chosen)])
    y = pilot.counts[rows]
    weights = np.linalg.lstsq(u, y, rcond=None)[0]
    residual = y - u @ weights
    variance = np.maximum(residual.var(axis=0), 1e-12)
    memory = np.clip((residual[1:] * residual[:-1]).mean(axis=0) / variance, 0.0, 0.98)
    inverse = np.linalg.inv(u.T @ u)
    widened = variance * (1 + memory) / (1 - memory)
    shared = _gaussian_factors(residual, variance)
    private = np.maximum(variance - (shared**2).sum(axis=0), 0.1 * variance)
    mean, covariance = shrunk(weights, widened[:, None, None] * inverse)
    keep = float(np.median(memory))
    population = UnitStatistics(
        tuple(n.partition("@")[0] for n in chosen), tuple(table[n][1] for n in chosen), mean, covariance,
        np.zeros((u.shape[1], y.shape[1])), np.zeros((y.shape[1],) * 2 + (0,)), private, shared,
        np.full(len(shared), keep),
        memory, np.full(y.shape[1], np.inf), np.array([[-np.inf], [np.inf]]) * np.ones(y.shape[1]),
        np.zeros(y.shape[1]),
    )  # fmt: skip
    return UnitsFit(population, u @ weights, (), tuple(chosen))


def _gaussian_factors(residual: np.ndarray, variance: np.ndarray) -> np.ndarray:
    bins, units = residual.shape
    if units < 2:
        return np.zeros((0, units))
    values, vectors = np.linalg.eigh(np.corrcoef(residual.T))
    found = np.flatnonzero(values > 1.05 * (1.0 + np.sqrt(units / bins)) ** 2)[::-1][:MOST_FACTORS]
    return np.sqrt(np.maximum(values[found] - 1.0, 0.0))[:, None] * vectors[:, found].T * np.sqrt(variance)
