"""Predicted against achieved on recordings: the live filter run along them, and the scatter of its weights."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bmi_runtime.calibration.along_pilot import adapted
from bmi_runtime.calibration.measured import MeasuredScores, burn_in_bins
from bmi_runtime.calibration.pilot import Pilot
from bmi_runtime.calibration.pilot_files import load_pilot
from bmi_runtime.calibration.screening import fit_usable
from bmi_runtime.calibration.stretches import Stretch
from bmi_runtime.constants import DM_PER_M, Z_95

RATES = (1e-6, 1e-5, 1e-4, 1e-3)  # that a recording is tried at
BUSIEST = 24  # units of a recording that are looked at, as many as give a stable median


@dataclass(frozen=True)
class Comparison:
    """One recording at one rate; arrays lead with the units.

    Attributes
    ----------
    name : str
    rate : float
    achieved, closed, measured, session : ndarray, (units, regressors)
        Variance of every weight around its mean; as predicted by the closed form; with the measured scores for the
        bins that were looked at; and with them for a session of five minutes, as `bmi calibrate` prints it.
    inside_closed, inside : float
        Share of weights and bins within the 95 % bounds that they give.
    memory_s : float
        The slowest.
    """

    name: str
    rate: float
    achieved: np.ndarray
    closed: np.ndarray
    measured: np.ndarray
    session: np.ndarray
    inside_closed: float
    inside: float
    memory_s: float

    def ratio(self, predicted: str) -> np.ndarray:
        """Return each unit's achieved over predicted variance, summed over its weights, (units,)."""
        return self.achieved.sum(axis=1) / getattr(self, predicted).sum(axis=1)

    def row(self) -> dict:
        """Return the line of a table: medians and tenths over units."""
        found = {"recording": self.name, "rate": self.rate, "units": len(self.achieved), "memory_s": self.memory_s}
        for predicted in ("closed", "measured", "session"):
            ratio = self.ratio(predicted)
            low, middle, high = np.quantile(ratio, [0.1, 0.5, 0.9])
            found |= {f"{predicted}_median": middle, f"{predicted}_tenth": low, f"{predicted}_ninetieth": high}
        return found | {"inside_closed": self.inside_closed, "inside_measured": self.inside}


def standardised(path: str | pathlib.Path, likelihood: str | None = None, units: int = BUSIEST) -> Pilot:
    """Return a recording's busiest units, with every velocity divided by its standard deviation.

    So rates mean the same on recordings whose velocities have other units. Features are standardised as well.
    """
    pilot = load_pilot(path, likelihood, DM_PER_M, any_speed=True)
    order = np.argsort(-pilot.counts.sum(axis=0) if pilot.likelihood == "poisson" else np.zeros(pilot.counts.shape[1]))
    kept = np.sort(order[:units])
    counts, names = pilot.counts[:, kept], tuple(pilot.names[i] for i in kept)
    if pilot.likelihood == "gaussian":
        counts = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    return replace(
        pilot, counts=counts, names=names, states=pilot.states / pilot.states.std(axis=0), left_out=(), set_aside=()
    )


def compare(
    name: str,
    pilot: Pilot,
    test: Pilot | None = None,
    rates: tuple[float, ...] = RATES,
    advance: Callable[[str], object] = lambda _: None,
) -> list[Comparison]:
    """Predict from a pilot, run the live filter along it (or along another part), and compare.

    Parameters
    ----------
    name : str
    pilot, test : Pilot
        The same units; the pilot itself is the test by default.
    rates : sequence of float
    advance : callable
        Called after each rate.
    """
    fit = fit_usable(pilot)
    along = fit.pilot if test is None else test
    if along is test and fit.pilot.set_aside != pilot.set_aside:
        kept = [test.names.index(unit) for unit in fit.pilot.names]
        along = replace(test, counts=test.counts[:, kept], names=fit.pilot.names, left_out=())
    scores, found = MeasuredScores(fit), []
    for rate in rates:
        state = scores.at(rate)
        weights = adapted(along, fit.design.weights, state.filter_covariance, rate, fit.design.noise_variance)
        burn = burn_in_bins(len(weights), state)
        weights = weights[burn:]
        away = weights - weights.mean(axis=0)
        stretch = Stretch(burn, len(weights), along is fit.pilot)
        closed, measured, session = (
            np.diagonal(e, axis1=1, axis2=2)
            for e in (
                state.error_covariance, scores.error_covariance(state, stretch=stretch), scores.error_covariance(state)
            )
        )  # fmt: skip
        inside_closed, inside = (float((np.abs(away) < Z_95 * np.sqrt(e.T)).mean()) for e in (closed, measured))
        memory_s = pilot.bin_s / float(state.gain.min())
        achieved = (away**2).mean(axis=0).T
        found.append(Comparison(name, rate, achieved, closed, measured, session, inside_closed, inside, memory_s))
        advance(f"{name}, {rate:g}")
    return found
