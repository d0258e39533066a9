"""Spiking networks of which a part is recorded, with known couplings: what fits get wrong, and stimulation puts right.

Hidden units drive several recorded ones at different lags, so one of these seems to drive the other.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.analysis.glm.bases import raised_cosine
from bmi_runtime.analysis.glm.simulation import branching_ratio, simulate
from bmi_runtime.analysis.perturbation.schedule import StimulationSchedule
from bmi_runtime.errors import BadInput

LINK = "softplus"  # as good as exponential at these rates, and nothing runs away


@dataclasses.dataclass(frozen=True)
class World:
    """A network: ``coupling`` (targets, sources, lags) and ``intercept`` (units,) of all units, the first `recorded`
    of which are seen.
    """

    intercept: np.ndarray
    coupling: np.ndarray
    recorded: int
    bin_s: float

    def run(self, seconds: float, rng: np.random.Generator, schedule: StimulationSchedule | None = None) -> np.ndarray:
        """Return the counts (bins, recorded units) of `seconds`, stimulated by `schedule`."""
        bins = round(seconds / self.bin_s)
        if bins < 100:
            raise BadInput(f"{seconds:g} s are {bins} bins; simulate at least 100")
        added = None if schedule is None else self._added(schedule, bins)
        return simulate(self.intercept, self.coupling, bins, rng, link=LINK, added=added)[:, : self.recorded]

    def _added(self, schedule: StimulationSchedule, bins: int) -> np.ndarray:
        if schedule.units.max() >= self.recorded:
            raise BadInput(
                f"the schedule stimulates unit {schedule.units.max()}; {self.recorded} are recorded (from 0)"
            )
        added = np.zeros((bins, len(self.intercept)), np.int64)
        rows = np.floor(schedule.onsets_s / self.bin_s + 1e-9).astype(int)
        inside = rows < bins
        given = schedule.pulses * (schedule.assignments[inside] == 1)
        np.add.at(added, (rows[inside, None], schedule.units[None, :]), given)
        return added


def coupled_world(
    units: int, hidden: int, rng: np.random.Generator, rate_hz: float = 12.0, bin_s: float = 0.005, links: float = 2.0
) -> World:
    """Return a random network of `units` recorded and `hidden` other units.

    Recorded units receive `links` couplings on average, two in three of them excitatory; every hidden unit
    drives four recorded ones, each after a lag of its own.

    Raises
    ------
    BadInput
        When there are fewer than 4 recorded units, or a rate or width is not positive.
    """
    if units < 4 or hidden < 0 or not rate_hz > 0 or not bin_s > 0:
        raise BadInput("a world needs at least 4 recorded units, and a positive rate and width of bins")
    basis = raised_cosine(10, 5)
    whole = units + hidden
    weights = np.zeros((whole, whole, 5))
    linked = (rng.random((units, units)) < links / (units - 1)) & ~np.eye(units, dtype=bool)
    sign = np.where(rng.random((units, units)) < 2 / 3, 1.0, -1.0)
    size = rng.uniform(0.5, 0.9, (units, units)) * sign
    for i, j in zip(*np.nonzero(linked)):
        weights[i, j, rng.integers(0, 3)] = size[i, j]
    weights[np.arange(whole), np.arange(whole)] = [-2.5, -2.0, -1.0, -0.5, 0.0]
    for h in range(units, whole):
        received = (weights[:units, units:] > 0).any(axis=2).sum(axis=1)
        for place, i in enumerate(np.argsort(received + 0.5 * rng.random(units))[:4]):
            weights[i, h, place] = 2.0
    inner = weights[:units, :units]  # hidden units receive nothing, so only these can feed themselves
    while branching_ratio(np.full(units, 3 * rate_hz * bin_s), np.maximum(inner, 0.0) @ basis.T) > 0.7:
        inner[inner > 0] *= 0.9
    intercept = np.log(rate_hz * bin_s) + rng.normal(0.0, 0.2, whole)
    return World(intercept, weights @ basis.T, units, bin_s)
