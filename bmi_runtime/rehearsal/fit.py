"""From a pilot to a world: subject, then units, then a check that the world does not run away."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from bmi_runtime.analysis.glm.simulation import branching_ratio
from bmi_runtime.errors import BadInput
from bmi_runtime.rehearsal.pilot import Pilot, read_pilot
from bmi_runtime.rehearsal.subject_fit import ASSUMED, fit_subject
from bmi_runtime.rehearsal.units_fit import UnitsFit, fit_gaussian, fit_poisson
from bmi_runtime.rehearsal.world import FittedSubject, FittedWorld, UnitStatistics, is_world

STABLE = 0.9
"""Extra spikes that a spike may bring, all told: above it a fluctuation lasts so long that the fit is not believed."""
LEAST_SCALE = 0.05


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
    fit = fit_poisson if pilot.likelihood == "poisson" else fit_gaussian
    units = fit(pilot, subject)
    world = _assembled(pilot, subject, units, notes)
    if pilot.likelihood != "poisson":
        return world
    settled, unstable = settle(world, pilot)
    for fewer in ("own", "none"):
        if unstable <= MOST_UNSTABLE * world.units:
            break
        if fewer == "own" and not _coupled(units.population.coupling):
            continue
        units = dataclasses.replace(fit_poisson(pilot, subject, fewer), notes=())  # the reason is the note's
        past = "with their own past alone" if units.population.coupling.any() else "without it"
        notes.append(
            f"with the past that the data support, {unstable} of {world.units} units ran away in simulation: fitted "
            f"{past}"
        )
        settled, unstable = settle(_assembled(pilot, subject, units, notes), pilot)
    return settled


def _coupled(coupling: np.ndarray) -> bool:
    """Return whether any unit acts on another."""
    return bool(np.any(coupling * (1.0 - np.eye(len(coupling)))[:, :, None]))


def _assembled(pilot: Pilot, subject: FittedSubject, units: UnitsFit, notes: list[str]) -> FittedWorld:
    coupling, done = stabilised(units, pilot.name)
    return FittedWorld(
        likelihood=pilot.likelihood, bin_s=pilot.bin_s, axes=pilot.axes, subject=subject, name=pilot.name,
        population=dataclasses.replace(units.population, coupling=coupling), notes=(*notes, *units.notes, *done),
    )  # fmt: skip


def settle(world: FittedWorld, pilot: Pilot) -> tuple[FittedWorld, int]:
    """Return the world with baselines at which its units fire as often as the pilot's, and how many ran away.

    Counts are simulated along the pilot's movement, without drift: the weights are the mean over it. What feeds itself
    only in bursts has a branching ratio below one and still runs away: such a unit is found by its variance.
    """
    from bmi_runtime.rehearsal.quality import simulated_counts

    rows = pilot.usable
    real, calmed = pilot.counts[rows], np.zeros(world.units, int)
    for seed in range(CALMING + SETTLING):
        made = simulated_counts(world.without_drift(), pilot, 100 + seed)[rows]
        means = [np.maximum(counts.mean(axis=0), 1.0 / len(real)) for counts in (real, made)]
        if seed <= CALMING and world.population.coupling.shape[2]:
            wild = (made.var(axis=0) > RUNAWAY * real.var(axis=0)) | (means[1] > RUNAWAY * means[0])
            if wild.any():
                calmed += wild
                scale = np.where(wild, 0.0 if seed == CALMING else 0.5, 1.0)[:, None, None]
                coupling = world.population.coupling
                calmer = coupling * np.where(coupling > 0, scale, 1.0)
                world = _with(world, dataclasses.replace(world.population, coupling=calmer))
        weights, shift = world.population.weights.copy(), np.log(means[0] / means[1])
        error = np.sqrt(sum(1.0 / (len(real) * mean) for mean in means))
        weights[0] += np.clip(np.sign(shift) * np.maximum(np.abs(shift) - error, 0.0), -0.5, 0.5)
        world = _with(world, dataclasses.replace(world.population, weights=weights))
    if calmed.any():
        note = (
            f"{(calmed > 0).sum()} units ran away on their past in simulation: what excites them in it was "
            "halved until they did not"
        )
        world = dataclasses.replace(world, notes=(*world.notes, note))
    return world, int((calmed > 0).sum())


def _with(world: FittedWorld, population: UnitStatistics) -> FittedWorld:
    return dataclasses.replace(world, population=population)


CALMING, SETTLING = 4, 3
"""Simulations in which what runs away is calmed, and further ones that set the baselines."""
RUNAWAY = 1.5
MOST_UNSTABLE = 0.2
"""Of the units: with more, their past is not what makes them fluctuate."""


def stabilised(units: UnitsFit, name: str) -> tuple[np.ndarray, list[str]]:
    """Return a coupling that does not feed itself, and what was done to it.

    Raises
    ------
    BadInput
        When hardly any of it could be kept.
    """
    coupling = units.population.coupling
    if not coupling.shape[2]:
        return coupling, []
    rate = units.expected.mean(axis=0)
    ratio = branching_ratio(rate, coupling)
    if ratio <= STABLE:
        return coupling, []
    scale = 1.0
    while branching_ratio(rate, np.where(coupling > 0, scale * coupling, coupling)) > STABLE:
        scale *= 0.9
        if scale < LEAST_SCALE:
            raise BadInput(
                f"the coupling fitted to {name} runs away: a spike brings {ratio:.2g} others, whatever is taken off "
                "its excitation; leave out the units that fire together (one unit sorted twice?)"
            )
    note = f"the fitted coupling ran away (a spike brings {ratio:.2f} others): its excitation was scaled by {scale:.2f}"
    return np.where(coupling > 0, scale * coupling, coupling), [note]
