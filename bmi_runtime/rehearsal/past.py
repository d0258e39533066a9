"""Whose past acts on whom: own history and links between units, as far as held-out bins of the pilot support them.

Links are tried where the score test of a fit without them finds them (a false discovery rate of `FALSE_LINKS`), with
the ridge of all coefficients chosen by the likelihood of held-out bins.
"""

from __future__ import annotations

import itertools

import numpy as np

from bmi_runtime.analysis.glm.design import finite_part
from bmi_runtime.analysis.glm.model import PoissonGLM
from bmi_runtime.errors import BadInput

HISTORY_S = 0.1  # of own spikes that a unit depends on
HELD_OUT = 0.25  # of the bins, on which a past must predict better
RIDGES = (1e-3, 3e-2, 0.3)
"""Of a fit with the past, times the mean count per bin."""
MOST_CHOOSING_UNITS = 40  # on which the ridge is tried
MOST_CHOOSING_BINS = 8000
"""At 20 ms: on how much of the pilot the form of the model is decided; it is fitted to all of it."""
MOST_LAGS = 20  # of a filter
BLOCK_S = 2.0  # of the score's spread: longer than fluctuations last
FALSE_LINKS = 0.05  # false discovery rate
STABLE = 0.9
"""Extra spikes that a spike may bring, all told: above it a fluctuation lasts so long that the fit is not believed."""
LEAST_SCALE = 0.05  # below it there is no coupling left to speak of
NEWTON_STEPS = 12  # before a fit is taken as it is
VISITED = 0.95
"""Of the pilot's bins, at whose rates the coupling must be stable."""
EXCITED_BINS = 101  # at which the spectral radius of a coupling is looked at
PAST_RANGE = (0.001, 0.999)
"""Quantiles of what past spikes added in the pilot, beyond which they add no more in a simulation."""


def held_out(model: PoissonGLM, counts, covariates, history: int) -> np.ndarray:
    """Return the log likelihood of the last quarter, per block of it, under a fit to the rest."""
    bins = len(counts)
    split = int((1 - HELD_OUT) * bins)
    model.fit(counts, covariates, within=(history, split))
    edges = np.linspace(split, bins, 13).astype(int)
    with np.errstate(invalid="ignore"):  # no spike where none can be: zero times minus infinity
        blocks = [model.log_likelihood(counts, covariates, within=ends) for ends in itertools.pairwise(edges)]
    return np.array([np.where(np.isfinite(block), block, -1e3).sum() for block in blocks])


def supported(simple: np.ndarray, richer: np.ndarray) -> bool:
    """Return whether the richer model is likelier on held-out blocks by two standard errors."""
    gain = richer - simple
    return gain.sum() > 2.0 * gain.std(ddof=1) * np.sqrt(len(gain))


def glm(history: int, coupling, ridge: float = 1e-4) -> PoissonGLM:
    """Return a model with a smooth past of so many bins."""
    functions = min(4, history)
    return PoissonGLM(
        history, f"raised-cosine:{functions}" if functions > 1 else "raw", coupling, ridge=ridge,
        standard_errors="none", tolerance=1e-4, max_iterations=60,
    )  # fmt: skip


def fit_past(counts, covariates, bin_s: float, most: str = "all") -> tuple[PoissonGLM, str]:
    """Return the GLM with as much of the past as held-out bins support, fitted to all bins, and whose past it is.

    Parameters
    ----------
    counts : ndarray of int, (bins, units)
    covariates : ndarray, (bins, regressors)
    bin_s : float
    most : {"none", "own", "all"}
        Whose past may act at most.
    """
    history = int(np.clip(round(HISTORY_S / bin_s), 3, MOST_LAGS))
    mean = float(counts.mean())
    some = slice(max(len(counts) - MOST_CHOOSING_BINS * max(round(0.02 / bin_s), 1), 0), None)
    y, x = counts[some], covariates[some]

    chosen: str | np.ndarray = "none"
    whose, ridge, scores = "none", 1e-4, held_out(glm(history, "none"), y, x, history)
    units = counts.shape[1]
    if most == "none" or not mean:
        return glm(history, chosen, ridge).fit(counts, covariates), whose
    wished = _ridge(y, x, history) * mean
    model = glm(history, "own", wished)
    found = held_out(model, y, x, history)
    if supported(scores, found):
        chosen, whose, ridge, scores = np.eye(units, dtype=bool), "own", wished, found
    if most == "all" and units > 1:
        links = found_links(y, x, model if whose == "own" else None, history, bin_s)
        mask = links | (np.eye(units, dtype=bool) if whose == "own" else np.zeros((units, units), bool))
        if links.any() and supported(scores, held_out(glm(history, mask, wished), y, x, history)):
            chosen, whose, ridge = mask, "all", wished
    final = glm(history, chosen, ridge)
    final.fit(counts, covariates)
    return final, whose


def _ridge(y: np.ndarray, x: np.ndarray, history: int) -> float:
    """Return the ridge of `RIDGES` whose own past predicts held-out bins best, tried on some of the units."""
    units = np.unique(np.linspace(0, y.shape[1] - 1, min(y.shape[1], MOST_CHOOSING_UNITS)).astype(int))
    some = np.ascontiguousarray(y[:, units])
    mean = float(some.mean()) or 1.0
    return max(RIDGES, key=lambda ridge: held_out(glm(history, "own", ridge * mean), some, x, history).sum())


def found_links(counts, covariates, model: PoissonGLM | None, history: int, bin_s: float) -> np.ndarray:
    """Return which units' past others depend on, (targets, sources), on the bins that a held-out fit was made to.

    For every pair the sum over bins of the target's residual times the source's spikes in the `history` bins before,
    with what the covariates and the target's past say of these taken off, against its spread over blocks of `BLOCK_S`
    (score test); of the p values, those that the procedure of Benjamini and Hochberg (1995) passes.
    """
    from scipy.stats import norm

    split = int((1 - HELD_OUT) * len(counts))
    y, x = counts[:split].astype(float), covariates[:split]
    if model is None:
        model = glm(history, "none").fit(counts[:split], x)
    expected = np.nan_to_num(model.predict(counts[:split], x), nan=0.0)
    residual = np.where(expected > 0, y - expected, 0.0)
    spikes = np.vstack([np.zeros((1, y.shape[1])), np.cumsum(y, axis=0)])
    past = spikes[:-1] - spikes[np.maximum(np.arange(split) - history, 0)]
    u = np.column_stack([np.ones(split), x])
    past -= u @ np.linalg.lstsq(u, past, rcond=None)[0]
    size = max(round(BLOCK_S / bin_s), 1)
    total, squares = np.zeros((2, y.shape[1], y.shape[1]))
    for begin in range(0, split, size):
        block = residual[begin : begin + size].T @ past[begin : begin + size]
        total += block
        squares += block**2
    p = 2.0 * norm.sf(np.abs(total) / np.sqrt(np.maximum(squares, 1e-12)))
    np.fill_diagonal(p, 1.0)
    ordered = np.sort(p[~np.eye(len(p), dtype=bool)])
    passes = np.flatnonzero(ordered <= FALSE_LINKS * np.arange(1, len(ordered) + 1) / len(ordered))
    return p <= ordered[passes[-1]] if passes.size else np.zeros(p.shape, bool)


def excitation(expected: np.ndarray, coupling: np.ndarray) -> float:
    """Return the extra spikes per spike that all but one in twenty of the pilot's bins keep below.

    The largest real part of the eigenvalues of rate_i sum_m (exp(coupling_ij(m)) - 1), at a bin's own rates, not at
    the mean ones: what is stable while the cursor rests may run away in a fast reach. A negative one, of units that
    their own spikes silence, feeds nothing.

    Parameters
    ----------
    expected : ndarray, (bins, units)
        Counts per bin.
    coupling : ndarray, (targets, sources, lags)
    """
    rows = expected[np.linspace(0, len(expected) - 1, min(len(expected), EXCITED_BINS)).astype(int)]
    extra = np.expm1(np.minimum(coupling, 50.0)).sum(axis=2)
    found = np.linalg.eigvals(rows[:, :, None] * extra).real.max(axis=1)
    return float(np.quantile(found, VISITED))


def largest_stable(expected: np.ndarray, coupling: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the coupling with its excitation at the largest stable multiple, that multiple, and the ratio before."""
    before = excitation(expected, coupling)
    if before <= STABLE:
        return coupling, 1.0, before
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = 0.5 * (low + high)
        stable = excitation(expected, np.where(coupling > 0, middle * coupling, coupling)) <= STABLE
        low, high = (middle, high) if stable else (low, middle)
    return np.where(coupling > 0, low * coupling, coupling), low, before


def stabilised(expected: np.ndarray, coupling: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a coupling that does not feed itself, and what was done to it.

    Raises
    ------
    BadInput
        When hardly any of it could be kept.
    """
    if not coupling.shape[2]:
        return coupling, ()
    stable, scale, ratio = largest_stable(expected, coupling)
    if scale == 1.0:
        return coupling, ()
    if scale < LEAST_SCALE:
        raise BadInput(
            f"the coupling fitted to {name} runs away: a spike brings {ratio:.2g} others, whatever is taken off "
            "its excitation; leave out the units that fire together (one unit sorted twice?)"
        )
    note = f"the fitted coupling ran away (a spike brings {ratio:.2f} others): its excitation was scaled by {scale:.2f}"
    return stable, (note,)


def drive_of(counts: np.ndarray, coupling: np.ndarray) -> np.ndarray:
    """Return what past spikes add to every unit's log rate along recorded counts, (bins, units)."""
    drive = np.zeros(counts.shape)
    for lag in range(coupling.shape[2]):
        drive[lag + 1 :] += counts[: -lag - 1] @ coupling[:, :, lag].T
    return drive


def refitted(u: np.ndarray, counts: np.ndarray, drive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights (regressors, units) that are likeliest beside a given drive: Newton's method for Poisson
    counts, from `weights` on.
    """
    lower, upper = np.tril_indices(u.shape[1])
    products, target = u[:, lower] * u[:, upper], u.T @ counts
    information = np.empty((counts.shape[1], u.shape[1], u.shape[1]))
    for _ in range(NEWTON_STEPS):
        expected = np.exp(np.minimum(u @ weights + drive, 8.0))
        information[:, lower, upper] = information[:, upper, lower] = expected.T @ products
        floor = 1e-6 * np.trace(information, axis1=1, axis2=2)[:, None, None] * np.eye(u.shape[1])
        step = np.linalg.solve(information + floor, (target - u.T @ expected).T[:, :, None])[:, :, 0].T
        weights = weights + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-4:
            break
    return weights


def finite_coupling(model: PoissonGLM) -> np.ndarray:
    """Return the coupling of a fit, (targets, sources, lags), what is impossible as a log rate of -8."""
    return np.maximum(finite_part(model.coupling_), -8.0)
