"""Steady states followed in connection strength, around folds: the branch diagram behind "stops converging".

See :mod:`arclength` for how one branch is followed.
"""

import dataclasses
from typing import Any

import numpy as np

from bmi_runtime.analysis.networks.arclength import CLOSED, traced
from bmi_runtime.analysis.networks.certificates import spectrum_at
from bmi_runtime.analysis.networks.fixed_points import SAME_MV, solve
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import newton


@dataclasses.dataclass
class Branch:
    """A curve of steady states: k points in the order in which it was followed.

    ``strengths`` (k,) multiplies the weights; ``inputs_mv`` and ``rates_hz`` are (k, n); ``spectral_radius`` and
    ``leading_real`` (k,) tell stability under iteration and in continuous time; ``folds`` are the indices at which
    it turns in strength.
    """

    strengths: np.ndarray
    inputs_mv: np.ndarray
    rates_hz: np.ndarray
    spectral_radius: np.ndarray
    leading_real: np.ndarray
    folds: list[int]
    ended: str

    @property
    def stable(self) -> np.ndarray:
        """Whether the iteration is stable at each point (k,)."""
        return self.spectral_radius < 1

    @property
    def stable_in_time(self) -> np.ndarray:
        """Whether the rate dynamics are stable at each point (k,)."""
        return self.leading_real < 1

    def crossings(self, strength: float) -> list[np.ndarray]:
        """Return the inputs (n,) at which the branch passes `strength`, interpolated between its points."""
        offset = self.strengths - strength
        found = []
        for k in np.flatnonzero(offset[:-1] * offset[1:] <= 0):
            span = self.strengths[k + 1] - self.strengths[k]
            share = (strength - self.strengths[k]) / span if span else 0.0
            found.append((1 - share) * self.inputs_mv[k] + share * self.inputs_mv[k + 1])
        return found


def follow(
    network: RateNetwork,
    strength_max: float,
    start: tuple[np.ndarray, float] | None = None,
    direction: int = 1,
    points: int = 400,
    first_step: float = 0.1,
    longest_step: float = 1.0,
) -> Branch:
    """Follow one branch of steady states in the strength g of the weights, through folds, until it leaves ``[0,
    strength_max]``.

    Parameters
    ----------
    network : RateNetwork
        The network at g = 1.
    strength_max : float
        Largest strength of interest.
    start : tuple, optional
        A steady state (inputs (n,), g); by default the unconnected network, g = 0, where E = E_0 is the only one.
    direction : {1, -1}
        Whether to set out towards larger or smaller strengths.
    points : int
        Most points to compute.
    first_step, longest_step : float
        First step, and longest step near threshold, in units of sigma (inputs, root mean square) and a tenth of the
        range of strength.

    Raises
    ------
    BadInput
        When `strength_max` is not positive.
    """
    visited, ended = traced(network, strength_max, start, direction, points, first_step, longest_step)
    return _branch(network, visited, ended)


def _branch(network: RateNetwork, visited: np.ndarray, ended: str) -> Branch:
    strengths, inputs = visited[:, -1], visited[:, :-1]
    rates = network.neuron.rate_hz(inputs)
    spectra = [spectrum_at(network.scaled(g), e) for g, e in zip(strengths, inputs)]
    rise = np.diff(strengths)
    folds = [int(k) + 1 for k in np.flatnonzero(rise[:-1] * rise[1:] < 0)]
    radius = np.array([spectrum.radius for spectrum in spectra])
    leading = np.array([spectrum.leading_real for spectrum in spectra])
    return Branch(strengths, inputs, rates, radius, leading, folds, ended)


def branch_diagram(
    network: RateNetwork,
    strength_max: float,
    checks: int = 6,
    starts: int = 18,
    points: int = 400,
    seed: int = 0,
    longest_step: float = 1.0,
) -> list[Branch]:
    """Return every branch found: the one from the unconnected network, then those that many starts find apart from
    it.

    At `checks` strengths the steady states are sought from `starts` starts; one that lies on no branch yet is
    followed both ways.
    """
    branches = [follow(network, strength_max, points=points, longest_step=longest_step)]
    for k, strength in enumerate(np.linspace(0, strength_max, checks + 1)[1:]):
        scaled = network.scaled(strength)
        for found in solve(scaled, starts, seed=seed + k, certify=False).fixed_points:
            if any(_passes(branch, scaled, strength, found.input_mv) for branch in branches):
                continue
            start = (found.input_mv, strength)
            branch = follow(network, strength_max, start, 1, points, longest_step=longest_step)
            if branch.ended != CLOSED:
                back = follow(network, strength_max, start, -1, points, longest_step=longest_step)
                branch = joined(branch, back)
            branches.append(branch)
    return branches


def joined(forward: Branch, backward: Branch) -> Branch:
    """Return one branch from its two halves, which set out from the same point in opposite directions."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(backward, name)[:0:-1], getattr(forward, name)])
        for name in ("strengths", "inputs_mv", "rates_hz", "spectral_radius", "leading_real")
    }
    rise = np.diff(arrays["strengths"])
    folds = [int(k) + 1 for k in np.flatnonzero(rise[:-1] * rise[1:] < 0)]
    return Branch(**arrays, folds=folds, ended=f"{backward.ended}; {forward.ended}")


def _passes(branch: Branch, scaled: RateNetwork, strength: float, input_mv: np.ndarray) -> bool:
    """Whether `branch` goes through the steady state `input_mv` at `strength`."""
    for guess in branch.crossings(strength):
        refined = newton(scaled, guess)
        if refined.converged and np.abs(refined.input_mv - input_mv).max() < 10 * SAME_MV:
            return True
    return False
