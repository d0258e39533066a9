"""Steady states by plain iteration over a range of connection strengths, as in the poster's figure 3."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import iterate


@dataclasses.dataclass
class StrengthSweep:
    """Where iteration led at each strength.

    ``inputs_mv`` (k, n) from the start that converged (not a number where none did); ``converged`` (k,) says whether
    any did; ``distinct`` (k,) counts different ends; ``linearity`` is the R^2 of a straight line through the mean
    input.
    """

    strengths: np.ndarray
    inputs_mv: np.ndarray
    converged: np.ndarray
    distinct: np.ndarray
    linearity: float


def strength_sweep(network: RateNetwork, strengths: np.ndarray, starts: int = 12, seed: int = 0) -> StrengthSweep:
    """Iterate ``E <- E_0 + g W r(E)`` from the end at the last strength and from random starts, at each strength g."""
    rng = np.random.default_rng(seed)
    inputs = np.full((len(strengths), network.size), np.nan)
    distinct = np.zeros(len(strengths), dtype=int)
    last = network.external_mv
    for k, strength in enumerate(strengths):
        scaled = network.scaled(strength)
        ends = []
        for start in range(starts):
            first = last if start == 0 else scaled.mapped(network.external_mv + 30 * rng.standard_normal(network.size))
            attempt = iterate(scaled, first, limit=400)
            if attempt.converged:
                ends.append(attempt.input_mv)
            elif start == 2 and not ends:
                break  # three different starts cycle: so will the rest, nearly always
        if ends:
            inputs[k] = last = ends[0]
            distinct[k] = len({tuple(np.round(end, 4)) for end in ends})
    return StrengthSweep(np.asarray(strengths), inputs, distinct > 0, distinct, _linearity(strengths, inputs))


def _linearity(strengths: np.ndarray, inputs: np.ndarray) -> float:
    known = np.isfinite(inputs[:, 0])
    means = inputs[known].mean(axis=1)
    if known.sum() < 3 or np.ptp(means) == 0:
        return float("nan")
    return float(np.corrcoef(np.asarray(strengths)[known], means)[0, 1] ** 2)
