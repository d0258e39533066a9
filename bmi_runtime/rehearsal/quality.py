"""How well a fitted world's spikes agree with the pilot's: rates, intervals, correlations, tuning, decoders' scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.intention.paths import intended_path
from bmi_runtime.rehearsal.pilot import Pilot, velocity_dm_s
from bmi_runtime.rehearsal.unit_regressors import arm_leads, filled
from bmi_runtime.rehearsal.world import FittedWorld

DECODERS = {"ridge": 5, "kalman": 5, "history": 1}
"""How many fifths each is scored on, from the last; a single one says what it is like, give or take 0.05."""
FOLDS = 5  # of a decoder's score
COARSE_S, MEMORY_S = 0.05, 0.1  # of bins that are compared; over which autocorrelations are
MOST_BINS = 20_000  # that decoders are scored on
BUSY_SPIKES = 100  # of a unit whose correlations mean something
LEAST_SIGNAL = 0.2
"""Of the squares, that is taken not to be chance in what a misfit is a share of."""


def simulated_counts(world: FittedWorld, pilot: Pilot, seed: int = 1) -> np.ndarray:
    """Return counts of the world along the pilot's own movement, (bins, units).

    Where its weights walk, their mean over the pilot is that of the world, which was fitted to all of it.
    """
    from simulators.rehearsed import EmittingUnits

    units = EmittingUnits(world, np.random.default_rng(seed))
    if world.population.walk.any():
        units.centre(len(pilot.counts))
    velocity, position = movement(world, pilot)
    lead = arm_leads(pilot)[-1]
    velocity = np.vstack([velocity[lead:], np.repeat(velocity[-1:], lead, axis=0)])  # intended before it was made
    noise = np.random.default_rng([seed, 1]).standard_normal(velocity.shape)
    noisy = velocity + world.subject.mean[3] * np.linalg.norm(velocity, axis=1, keepdims=True) * noise
    if pilot.velocity is not None:
        noisy = velocity  # an arm's own movement: what the subject intended is not noisier than it
    return np.array([units.emit(v, p).copy() for v, p in zip(noisy, position, strict=True)])


def movement(world: FittedWorld, pilot: Pilot) -> tuple[np.ndarray, np.ndarray]:
    """Return velocity (m/s) and position (m) that went with the pilot's counts, each (bins, axes)."""
    if pilot.velocity is not None:
        place = np.zeros_like(pilot.velocity) if pilot.position is None else pilot.position
        return filled(pilot.velocity), filled(place)
    assert pilot.seen is not None and pilot.target is not None
    return intended_path(world.subject.mean, pilot.seen, pilot.target, pilot.bin_s), pilot.seen


def agreement(world: FittedWorld, pilot: Pilot, seed: int = 1) -> dict[str, Any]:
    """Return how the counts of the fitted world agree with the pilot's.

    Returns
    -------
    dict
        ``rate``: correlation over units and median ratio; ``variability``: Fano factors in coarse bins and the share of
        empty bins' correlation; ``intervals``: the same of counts' autocorrelation from bin to bin; ``correlations``:
        correlation over pairs and both standard deviations; ``tuning``: correlation over units of 100 spikes
        and more; ``decoders``: R2 of velocity on real and on simulated counts, each fifth decoded with a fit to the
        others.
    """
    simulated = simulated_counts(world, pilot, seed)
    rows = pilot.usable
    real, made = pilot.counts[rows], simulated[rows]
    velocity = velocity_dm_s(movement(world, pilot)[0])[rows]
    merged = max(round(COARSE_S / pilot.bin_s), 1)
    coarse = [_merged(counts, merged) for counts in (real, made)]
    varied = np.logical_and(*(counts.std(axis=0) > 0 for counts in coarse))
    pairs = [_pairs(counts[:, varied]) for counts in coarse]
    busy = np.abs(real).sum(axis=0) >= BUSY_SPIKES
    tuning = [_gains(counts[:, busy], _merged(velocity, merged) / merged) for counts in coarse]
    means = [counts.mean(axis=0) for counts in (real, made)]
    fano = [counts.var(axis=0) / np.maximum(counts.mean(axis=0), 1e-9) for counts in coarse]
    memory = [_memory(counts, 1) for counts in coarse]
    return {
        "rate": {"correlation": _correlation(*means), "ratio": _ratio(*means)},
        "variability": {"correlation": _correlation(*fano), "real": _middle(fano[0]), "simulated": _middle(fano[1])},
        "intervals": {
            "correlation": _correlation(*memory), "real": _middle(memory[0]), "simulated": _middle(memory[1])
        },
        "correlations": {
            "correlation": _correlation(*pairs), "real_sd": float(np.std(pairs[0])),
            "simulated_sd": float(np.std(pairs[1])), "real_mean": float(np.mean(pairs[0])),
            "simulated_mean": float(np.mean(pairs[1])),
        },
        "tuning": {"correlation": _correlation(tuning[0].ravel(), tuning[1].ravel())},
        "decoders": decoder_scores(pilot, simulated, velocity_dm_s(movement(world, pilot)[0])),
    }  # fmt: skip


def misfit(world: FittedWorld, pilot: Pilot, seeds: tuple[int, int] = (1, 2)) -> dict[str, float]:
    """Return how far counts that are simulated along the pilot's movement are from its own.

    The shares of the units' tuning, of the pairs' correlations (both in coarse bins) and of each unit's autocorrelation
    over `MEMORY_S` that are missed, as squared differences over squares. What chance adds to both is that by which two
    simulations differ, and is taken off: a world of noise misses one.

    Returns
    -------
    dict
        ``tuning``, ``correlations``, ``memory``.
    """
    rows, merged = pilot.usable, max(round(COARSE_S / pilot.bin_s), 1)
    velocity = _merged(velocity_dm_s(movement(world, pilot)[0])[rows], merged) / merged
    every = [pilot.counts[rows], *(simulated_counts(world.without_drift(), pilot, seed)[rows] for seed in seeds)]
    kept = np.logical_and.reduce([np.abs(counts).sum(axis=0) >= BUSY_SPIKES for counts in every])
    every = [counts[:, kept] for counts in every]
    coarse, lags = [_merged(counts, merged) for counts in every], max(round(MEMORY_S / pilot.bin_s), 1)
    return {
        "tuning": _missed([_gains(counts, velocity) for counts in coarse]),
        "correlations": _missed([_pairs(counts) for counts in coarse]),
        "memory": _missed([_memory(counts, lags) for counts in every]),
    }


def _missed(told: list[np.ndarray]) -> float:
    """Return the share of the first of three alike arrays that the other two, of two simulations, miss."""
    real, one, other = told
    chance, whole = 0.5 * float(((one - other) ** 2).sum()), float((real**2).sum())
    missed = float(((real - 0.5 * (one + other)) ** 2).sum()) - 1.5 * chance
    return max(missed, 0.0) / max(whole - chance, LEAST_SIGNAL * whole, 1e-12)


def decoder_scores(pilot: Pilot, simulated: np.ndarray, velocity: np.ndarray) -> dict[str, dict[str, float]]:
    """Return R2 of velocity (mean over axes) of fitted decoders on the pilot's and on simulated counts."""
    if velocity.shape[1] != 2:
        return {}
    merged = max(round(COARSE_S / pilot.bin_s), 1)
    v = (_merged(velocity, merged) / merged)[:MOST_BINS]
    found: dict[str, dict[str, float]] = {}
    for which, counts in (("real", pilot.counts), ("simulated", simulated)):
        y = _merged(counts, merged)[:MOST_BINS]
        for name, folds in DECODERS.items():
            scores = [_fold_score(name, y, v, pilot.bin_s * merged, fold) for fold in range(FOLDS)[-folds:]]
            found.setdefault(name, {})[which] = float(np.mean(scores))
    return found


def _fold_score(name: str, y: np.ndarray, v: np.ndarray, bin_s: float, fold: int) -> float:
    """Return R2 of velocity on one fifth of the data of a decoder that was fitted to the others."""
    from bmi_runtime.analysis.metrics import r2
    from bmi_runtime.decoding.batch_decoder import Training, decode_all
    from bmi_runtime.decoding.fitting import fit_decoder

    bins = len(y)
    wrap = bins - int(bins * (fold + 1) / FOLDS)  # the fold goes to the end; behind it, time starts again
    y, v, split = np.roll(y, wrap, axis=0), np.roll(v, wrap, axis=0), int(bins * (1 - 1 / FOLDS))
    starts = np.zeros(bins, bool)
    starts[[0, wrap % bins]] = True
    data = Training(y, np.hstack([np.cumsum(v, axis=0) * bin_s, v]), starts, starts.copy(), bin_s)
    decoder = fit_decoder(name, data.part(slice(0, split)))
    decoded = decode_all(decoder, data.part(slice(split, bins)))
    return float(r2(v[split:], decoded[:, 2:]).mean())


def _merged(rows: np.ndarray, merged: int) -> np.ndarray:
    bins = len(rows) // merged
    return rows[: bins * merged].reshape(bins, merged, -1).sum(axis=1)


def _pairs(counts: np.ndarray) -> np.ndarray:
    table = np.corrcoef(counts.T) if counts.shape[1] > 1 else np.ones((1, 1))
    return table[np.triu_indices(len(table), 1)]


def _gains(counts: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    u = np.column_stack([np.ones(len(counts)), velocity])
    scale = np.maximum(counts.mean(axis=0), 1e-9)
    return (np.linalg.lstsq(u, counts, rcond=None)[0][1:] / scale).T


def _memory(counts: np.ndarray, lags: int) -> np.ndarray:
    """Return every unit's autocorrelation, mean over so many lags, (units,)."""
    centred = counts - counts.mean(axis=0)
    below = np.maximum((centred**2).mean(axis=0), 1e-12)
    return sum((centred[lag:] * centred[:-lag]).mean(axis=0) for lag in range(1, lags + 1)) / (lags * below)


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) != len(b) or len(a) < 3 or not (np.std(a) > 0 and np.std(b) > 0):
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ratio(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.median(b / np.where(np.abs(a) > 1e-9, a, np.nan)[...]))


def _middle(values: np.ndarray) -> float:
    return float(np.median(values))
