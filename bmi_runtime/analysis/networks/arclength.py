"""One curve of steady states in connection strength, step by step: the mathematics behind the branch diagrams.

A branch solves ``F(E, g) = E - E_0 - g W r(E) = 0`` in (E, g) together, by pseudo-arclength continuation (Keller
1977): predict along the tangent, correct by Newton on F and on the distance travelled. A fold, where the branch
turns back in g, is then an ordinary point.
"""

import numpy as np
from numpy.linalg import LinAlgError

from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.solvers import DENSE_LIMIT, Attempt, gmres, newton
from bmi_runtime.errors import BadInput

RESIDUAL_MV = 1e-9
CLOSED = "closed on itself"
EDGE = "left the range of strengths"


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
        with np.errstate(invalid="ignore", over="ignore"):  # a branch may leave for infinity; then it has ended
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
        return np.linalg.solve(matrix, right)

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


def traced(
    network: RateNetwork,
    strength_max: float,
    start: tuple[np.ndarray, float] | None = None,
    direction: int = 1,
    points: int = 400,
    first_step: float = 0.1,
    longest_step: float = 1.0,
) -> tuple[np.ndarray, str]:
    """Return the points (E, g) of one branch (k, n + 1), in order, and why it ended.

    The parameters are those of :func:`continuation.follow`.

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
    return np.array(visited), ended


def grown(network: RateNetwork, tolerance_mv: float = 1e-10, points: int = 400) -> Attempt:
    """Seek a steady state by strengthening all connections from nothing, around folds, up to what they are.

    Rates that saturate keep the branch in bounds, and at strength 0 it starts from the only state there is; so it must
    come out at full strength, unless it takes more than `points` points or two branches pass so close that it changes
    over (then it is tried again with shorter steps).
    """
    count = 0
    for longest in (1.0, 0.3):
        visited, ended = traced(network, 1.0, points=points, first_step=0.1 * longest, longest_step=longest)
        count += len(visited)
        if ended == EDGE and visited[-1, -1] > 0.5:
            found = newton(network, visited[-1, :-1], tolerance_mv)
            return Attempt(found.input_mv, found.residual, found.iterations + count, found.converged, "growth")
    return Attempt(visited[-1, :-1], np.inf, count, False, "growth")


def _walk(path: _Path, point, tangent, strength_max: float, points: int, steps_allowed: tuple):
    step, longest = steps_allowed
    visited, origin = [point], point
    while len(visited) < points:
        try:
            moved, steps = path.correct(point + step * tangent, tangent)
        except LinAlgError:
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
            return visited, EDGE
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
