"""From a pilot to a world: subject, then units, then a check that the world does not run away."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from bmi_runtime.rehearsal.pilot import Pilot, read_pilot
from bmi_runtime.rehearsal.subject_fit import ASSUMED, fit_subject
from bmi_runtime.rehearsal.units_fit import DISPERSIONS, UnitsFit, fit_gaussian, fit_poisson
from bmi_runtime.rehearsal.world import FittedSubject, FittedWorld, UnitStatistics, is_world


def world_of(path: str | os.PathLike) -> tuple[FittedWorld, Pilot | None]:
    """Return the world fitted to a pilot, and the pilot; or a world that was written before, and None.

    Raises
    ------
    BadInput
        When the pilot cannot be read, or lacks what a world needs.
    """
    if is_world(path):
        return FittedWorld.load(path), None
    pilot = read_pilot(path)
    return fit_world(pilot), pilot


def fit_world(pilot: Pilot) -> FittedWorld:
    """Return the world fitted to a pilot."""
    notes = list(pilot.notes)
    if pilot.velocity is None:
        subject, said = fit_subject(pilot)
        notes += said
    else:
        subject = ASSUMED
        notes.append("an arm's movement says nothing of delays on a screen: the subject's parameters are assumed")
    if pilot.likelihood != "poisson":
        return _assembled(pilot, subject, fit_gaussian(pilot, subject), notes)
    units = fit_poisson(pilot, subject)
    settled, unstable = settle(_assembled(pilot, subject, units, notes), pilot)
    for fewer in ("own", "none"):
        if unstable <= MOST_UNSTABLE * settled.units:
            break
        if fewer == "own" and not _coupled(units.population.coupling):
            continue
        found = fit_poisson(pilot, subject, fewer, units.chosen)
        units = dataclasses.replace(found, notes=())  # the reason is the note's
        past = "with their own past alone" if units.population.coupling.any() else "without it"
        notes.append(
            f"with the past that the data support, {unstable} of {settled.units} units ran away in simulation: fitted "
            f"{past}"
        )
        settled, unstable = settle(_assembled(pilot, subject, units, notes), pilot)
    return _likelier(settled, pilot, units.chosen, notes) if units.population.coupling.any() else settled


def _likelier(settled: FittedWorld, pilot: Pilot, chosen: tuple[str, ...], notes: list[str]) -> FittedWorld:
    """Return the world, or one of the same pilot whose units have no past, whichever is more like the pilot.

    Held-out bins are predicted from the pilot's own past. It stands for what units share as well, which no model has
    in full: a fit takes from it what the movement and common fluctuations did, and run by itself, on a past that it has
    made up, it is noisier and less tuned than the units.
    """
    from bmi_runtime.rehearsal.quality import misfit

    units = fit_poisson(pilot, settled.subject, "none", chosen)
    plain, _ = settle(_assembled(pilot, settled.subject, units, notes), pilot)
    with_past, without = (sum(misfit(world, pilot).values()) for world in (settled, plain))
    if without >= with_past:
        return settled
    note = (
        "the past that held-out bins support makes simulated counts less like the pilot's (misses in tuning, "
        f"correlations and memory add up to {with_past:.2f}, without it to {without:.2f}): fitted without it"
    )
    return dataclasses.replace(plain, notes=(*notes, note))


def _coupled(coupling: np.ndarray) -> bool:
    """Return whether any unit acts on another."""
    return bool(np.any(coupling * (1.0 - np.eye(len(coupling)))[:, :, None]))


def _assembled(pilot: Pilot, subject: FittedSubject, units: UnitsFit, notes: list[str]) -> FittedWorld:
    return FittedWorld(
        likelihood=pilot.likelihood, bin_s=pilot.bin_s, axes=pilot.axes, subject=subject, name=pilot.name,
        population=units.population, notes=(*notes, *units.notes),
    )  # fmt: skip


def settle(world: FittedWorld, pilot: Pilot) -> tuple[FittedWorld, int]:
    """Return the world in which units fire as often, and as variably, as the pilot's, and how many ran away.

    Counts are simulated along the pilot's movement, without drift: the weights are the mean over it. What feeds itself
    only in bursts has a branching ratio below one and still runs away: such a unit is found by its variance.
    """
    from bmi_runtime.rehearsal.quality import simulated_counts

    rows = pilot.usable
    real, calmed = pilot.counts[rows], np.zeros(world.units, int)
    first, last = SETTLING, SETTLING + CALMING  # what is off at baselines that are off is not wild yet
    for seed in range(SETTLING + CALMING + SETTLING):
        made = simulated_counts(world.without_drift(), pilot, 100 + seed)[rows]
        means = [np.maximum(counts.mean(axis=0), 1.0 / len(real)) for counts in (real, made)]
        if first <= seed <= last and world.population.coupling.shape[2]:
            wild = (made.var(axis=0) > RUNAWAY * real.var(axis=0)) | (means[1] > RUNAWAY * means[0])
            calmed += wild
            world = _with(world, _calmer(world.population, wild, 0.0 if seed == last else 0.5))
        world = _with(world, _as_often(world.population, means[0], means[1], len(real)))
        if seed > last:
            dispersion = _as_variable(world.population.dispersion, real, made)
            world = _with(world, dataclasses.replace(world.population, dispersion=dispersion))
    if calmed.any():
        note = (
            f"{(calmed > 0).sum()} units ran away on their past in simulation: what excites them in it was "
            "halved until they did not"
        )
        world = dataclasses.replace(world, notes=(*world.notes, note))
    return world, int((calmed > 0).sum())


def _calmer(units: UnitStatistics, wild: np.ndarray, share: float) -> UnitStatistics:
    """Return the units with only a share of what excites the wild ones in their past."""
    scale = np.where(wild, share, 1.0)[:, None, None]
    return dataclasses.replace(units, coupling=units.coupling * np.where(units.coupling > 0, scale, 1.0))


def _as_often(units: UnitStatistics, real: np.ndarray, made: np.ndarray, bins: int) -> UnitStatistics:
    """Return the units with baselines at which they should fire as the real ones, given mean counts of both, (units,).

    One Newton step: log rates answer to baselines by (I - C R)^-1, with the coupling C summed over lags and the rates
    R, because the others' change comes back (derived to first order). Less than the counts' own error is left alone.
    """
    shift = np.log(real / made)
    shift = np.sign(shift) * np.maximum(np.abs(shift) - np.sqrt(1.0 / (bins * real) + 1.0 / (bins * made)), 0.0)
    weights = units.weights.copy()
    weights[0] += np.clip(shift - units.coupling.sum(axis=2) @ (real * shift), -0.5, 0.5)
    return dataclasses.replace(units, weights=weights)


def _as_variable(dispersion: np.ndarray, real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return dispersions with which simulated counts (bins, units) vary over their mean as the real ones did."""
    over = [counts.var(axis=0) / np.maximum(counts.mean(axis=0), 1e-9) for counts in (real, made)]
    known = np.minimum(real.sum(axis=0), made.sum(axis=0)) > KNOWN_SPIKES
    return np.where(known, np.clip(dispersion + over[0] - over[1], *DISPERSIONS), dispersion)


def _with(world: FittedWorld, population: UnitStatistics) -> FittedWorld:
    return dataclasses.replace(world, population=population)


CALMING, SETTLING = 4, 2
"""Simulations in which what runs away is calmed, and others, before and behind them, that set the baselines."""
RUNAWAY = 1.5  # of the pilot's variance or mean, beyond which a simulated unit has run away
KNOWN_SPIKES = 300
"""Of a unit whose variance over mean is known to a tenth."""
MOST_UNSTABLE = 0.2
"""Of the units: with more, their past is not what makes them fluctuate."""
