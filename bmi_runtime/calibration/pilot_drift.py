"""How fast real units drift, from several pilots of one day or of many.

The weights that two pilots fit differ by what the pilots' shortness leaves open and by what changed in between. For
weights that walk with variance q per second, averages over pilots of T and T' seconds whose middles are a time apart
differ by q (apart - (T + T') / 6) (derived: the covariance of a walk's averages over blocks that do not overlap). So
the squared differences, less the sampling variances, are divided by that time and averaged over units and pairs. What
happens overnight is another thing than what happens within a session: pairs of one day and of several are kept apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.errors import BadInput

ONE_DAY_S = 12 * 3600.0  # middles of two pilots closer than this are of one day
LEAST_UNITS = 3  # that pilots have in common


@dataclass(frozen=True)
class DatedPilot:
    """The weights that a pilot fits, and when.

    Attributes
    ----------
    name : str
    names : tuple of str
        Of the units.
    weights, variance : ndarray, (units, d)
        The variance is what the pilot's length leaves open, with its own correlated scores.
    middle_s, seconds : float
        When its middle was (any origin), and how long it is.
    """

    name: str
    names: tuple[str, ...]
    weights: np.ndarray
    variance: np.ndarray
    middle_s: float
    seconds: float


@dataclass(frozen=True)
class Walk:
    """How much weights change between pilots.

    Attributes
    ----------
    per_s, standard_error : float
        Variance per second of a weight's walk, never below zero, and its standard error over units.
    pairs : int
    """

    per_s: float
    standard_error: float
    pairs: int


def dated(name: str, scores: MeasuredScores, middle_s: float) -> DatedPilot:
    """Return a pilot's weights with their sampling variances."""
    design, info = scores.design, scores.info
    in_modes = scores.block_inflation(scores.bins) / (info.eigenvalues * scores.bins)
    variance = np.einsum("nia,na->ni", info.directions**2, in_modes)
    return DatedPilot(name, design.names, design.weights, variance, middle_s, scores.bins * design.bin_s)


def changes(first: DatedPilot, second: DatedPilot) -> tuple[np.ndarray, float]:
    """Return each common unit's squared change beyond sampling, mean over weights, and the time that it walked (s).

    Raises
    ------
    BadInput
        If the pilots overlap, or have fewer than `LEAST_UNITS` units in common.
    """
    common = [name for name in first.names if name in second.names]
    if len(common) < LEAST_UNITS:
        raise BadInput(
            f"{first.name} and {second.name} have {len(common)} units in common by name, at least {LEAST_UNITS} are "
            "needed"
        )
    a, b = ([pilot.names.index(name) for name in common] for pilot in (first, second))
    apart = abs(second.middle_s - first.middle_s)
    if apart < 0.5 * (first.seconds + second.seconds):
        raise BadInput(f"{first.name} and {second.name} overlap in time; give pilots one after the other")
    excess = (second.weights[b] - first.weights[a]) ** 2 - first.variance[a] - second.variance[b]
    return excess.mean(axis=1), apart - (first.seconds + second.seconds) / 6.0


def walks(pilots: Sequence[DatedPilot]) -> dict[str, Walk]:
    """Return the walk by ``within_day`` and ``over_days``, those that there are pairs for."""
    of: dict[str, list[tuple[np.ndarray, float]]] = {}
    for first, second in itertools.combinations(pilots, 2):
        apart = abs(second.middle_s - first.middle_s)
        of.setdefault("within_day" if apart < ONE_DAY_S else "over_days", []).append(changes(first, second))
    return {name: _walk(pairs) for name, pairs in of.items()}


def _walk(pairs: list[tuple[np.ndarray, float]]) -> Walk:
    """Return the mean of change over time; pairs of one set share units and pilots, so the error is over units."""
    means = np.array([(excess / time_s).mean() for excess, time_s in pairs])
    errors = [(excess / time_s).std(ddof=1) / np.sqrt(len(excess)) for excess, time_s in pairs]
    return Walk(max(float(means.mean()), 0.0), float(np.mean(errors)), len(pairs))
