"""The units of a pilot: tuning, own past, coupling, overdispersion, shared fluctuations and drift, as the data support.

Poisson units are fitted by the offline module's coupled GLM (`bmi_runtime.analysis.glm`); which regressors and whose
past are kept is decided by the likelihood of the pilot's last quarter under fits to the rest.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.analysis.glm.model import PoissonGLM
from bmi_runtime.rehearsal.fluctuations import (
    drift,
    intention_noise,
    own_fluctuation,
    shared_factors,
    shared_noise,
)
from bmi_runtime.rehearsal.past import (
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
from bmi_runtime.rehearsal.tuning_spread import sandwich, shrunk
from bmi_runtime.rehearsal.unit_regressors import candidates, kinematics
from bmi_runtime.rehearsal.world import FittedSubject, UnitStatistics

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
    shared = shared_noise(residual, variance)
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
