"""Steady states followed in connection strength, around folds: the branch diagram behind "stops converging".

A branch solves ``F(E, g) = E - E_0 - g W r(E) = 0`` in (E, g) together, by pseudo-arclength continuation (Keller
1977): predict along the tangent, correct by Newton on F and on the distance travelled. A fold, where the branch
turns back in g, is then an ordinary point.
"""

import dataclasses
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg import solve as dense_solve

from bmi_runtime.analysis.networks.certificates import spectrum_at
from bmi_runtime.analysis.networks.fixed_points import SAME_MV, solve
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import DENSE_LIMIT, gmres, newton
from bmi_runtime.errors import BadInput

RESIDUAL_MV = 1e-9
CLOSED = "closed on itself"


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


class _Path:
    """The equations of one branch: residual, bordered linear solve, weighted inner product."""

    def __init__(self, network: RateNetwork, strength_max: float):
        self.network = network
        self.input_weight = 1 / (network.size * network.neuron.sigma_mv**2)
        self.strength_weight = (10 / strength_max) ** 2

    def linearised(self, point: np.ndarray):
        """Return (residual, slopes, W r) at ``point = (E, g)``."""
        inputs, strength = point[:-1], point[-1]
        rates, slopes = self.network.neuron.rate_and_slope(inputs)
        drive = self.network.weights @ rates
        return inputs - self.network.external_mv - strength * drive, slopes, drive

    def straightness(self, point: np.ndarray) -> float:
        """Return how much longer than near threshold steps may be at `point`: far from it the f-I curve bends
        little.
        """
        away = (point[:-1] - self.network.neuron.v_threshold_mv) / (10 * self.network.neuron.sigma_mv)
        return 1 + float(np.sqrt(np.mean(away**2)))

    def row(self, tangent: np.ndarray) -> np.ndarray:
        """Return the row that measures distance along `tangent`."""
        return np.append(self.input_weight * tangent[:-1], self.strength_weight * tangent[-1])

    def solve(self, strength: float, slopes: np.ndarray, drive: np.ndarray, row: np.ndarray, right: np.ndarray):
        """Solve ``[I - g W diag(r'), -W r; row] x = right``."""
        weights, n = self.network.weights, self.network.size
        if n > DENSE_LIMIT:
            scale = np.sqrt(self.input_weight)

            def apply(x):
                return np.append(x[:n] - strength * (weights @ (slopes * x[:n])) - drive * x[n], row @ x / scale)

            return gmres(apply, np.append(right[:n], right[n] / scale), 1e-10, 200)[0]
        matrix = np.empty((n + 1, n + 1))
        matrix[:n, :n] = -strength * self.network.dense() * slopes
        matrix[np.arange(n), np.arange(n)] += 1
        matrix[:n, n] = -drive
        matrix[n] = row
        return dense_solve(matrix, right, check_finite=False)

    def tangent(self, point: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Return the unit tangent at `point` that continues the direction `along`."""
        _, slopes, drive = self.linearised(point)
        right = np.zeros(point.size)
        right[-1] = 1
        direction = self.solve(point[-1], slopes, drive, self.row(along), right)
        return direction / np.sqrt(self.row(direction) @ direction)

    def correct(self, guess: np.ndarray, tangent: np.ndarray, limit: int = 8) -> tuple[np.ndarray | None, int]:
        """Return the point of the branch on the plane through `guess` across `tangent`, and the steps taken (None:
        failed).
        """
        point, row = guess.copy(), self.row(tangent)
        for count in range(limit + 1):
            gap, slopes, drive = self.linearised(point)
            size = np.abs(gap).max()
            if not np.isfinite(size):
                return None, count
            if size < RESIDUAL_MV + 64 * np.finfo(float).eps * np.abs(point[:-1]).max():
                return point, count
            point = point + self.solve(point[-1], slopes, drive, row, -np.append(gap, row @ (point - guess)))
        return None, limit


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
    if not (np.isfinite(strength_max) and strength_max > 0):
        raise BadInput(f"strength_max is {strength_max}: give a positive number")
    inputs, strength = (network.external_mv, 0.0) if start is None else start
    path = _Path(network, strength_max)
    along = np.zeros(network.size + 1)
    along[-1] = direction
    point = np.append(inputs, strength)
    tangent = path.tangent(point, along)
    tangent *= np.sign(tangent[-1]) * direction if tangent[-1] else 1
    visited, ended = _walk(path, point, tangent, strength_max, points, (first_step, longest_step))
    return _branch(network, np.array(visited), ended)


def _walk(path: _Path, point, tangent, strength_max: float, points: int, steps_allowed: tuple):
    step, longest = steps_allowed
    visited, origin = [point], point
    while len(visited) < points:
        try:
            moved, steps = path.correct(point + step * tangent, tangent)
        except (LinAlgError, ValueError):
            moved, steps = None, 8
        if moved is not None:
            turned = path.tangent(moved, tangent)
            if path.row(tangent) @ turned < 0.8:  # too sharp a bend for the step: it may have jumped to another branch
                moved = None
        if moved is None:
            step /= 2
            if step < 1e-7:
                return visited, "the step became too small"
            continue
        point, tangent = moved, turned
        visited.append(point)
        if not 0 <= point[-1] <= strength_max:
            visited[-1] = _at_edge(path, visited[-2], point, 0.0 if point[-1] < 0 else strength_max)
            return visited, "left the range of strengths"
        gap = point - origin
        if len(visited) > 10 and path.row(gap) @ gap < (0.5 * step) ** 2:
            return visited, CLOSED
        step = min(step * (1.5 if steps <= 3 else 0.7 if steps > 5 else 1.0), longest * path.straightness(point))
    return visited, f"reached the limit of {points} points"


def _at_edge(path: _Path, inside: np.ndarray, outside: np.ndarray, strength: float) -> np.ndarray:
    """Return the point of the branch exactly at `strength`, between its last point inside and the first outside."""
    share = (strength - inside[-1]) / (outside[-1] - inside[-1])
    guess = (1 - share) * inside[:-1] + share * outside[:-1]
    found = newton(path.network.scaled(strength), guess, RESIDUAL_MV)
    return np.append(found.input_mv, strength) if found.converged else outside


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
