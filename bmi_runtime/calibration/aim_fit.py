"""How a subject steers, from what its units said while it saw a cursor and a target.

The intention is not in a recording. A controller with given parameters that is shown the recorded cursor and targets
has one, and the sum of the units' counts times their gains, one number per axis and bin, says how well they follow it.
The parameters are those that leave least of that sum over (Gaussian profile likelihood). What is left over is not
white, and in a closed loop it moves the cursor, to which the subject answers: least squares would take the answer for
its cause. So sum and regressors go through the autoregression of what is left over first, found in turns with the
parameters: the prediction-error method, which is consistent in a loop (Ljung 1999). The covariance of the parameters is
the sandwich of the curvature and of the spread of the gradient over blocks of time. Frequency and delay trade against
each other where tuning walks quickly (fitted 0.5 Hz and 0.07 s for 0.735 Hz and 0.15 s in a hard world of 48 units);
what is calculated from them hardly changes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.optimize import minimize

from bmi_runtime.intention.paths import intended_path

COARSE_S = 0.02  # of the bins that are summed: an aim changes slowly
BLOCK_S = 2.0  # of the sandwich: longer than residuals remember
BOUNDS = np.array([[0.2, 3.0], [0.0, 0.5], [0.0, 0.5]])
STEPS = np.array([0.05, 0.01, 0.01])
ASSUMED = np.array([0.95, 0.15, 0.05])
ASSUMED_SD = np.array([0.15, 0.03, 0.03])
"""Of reaching with vision: the literature's usual ranges."""
LEAST_GAIN = 8.0  # nats by which the reading must be likelier with the intention than without
LEAST_TARGETS = 3  # both ends of a line and its middle
MEMORY_S = 0.2  # of the autoregression
TURNS = 3  # of whitening and fitting, each from the other


@dataclass(frozen=True)
class Screen:
    """What a subject saw while the bins of a pilot arose.

    Attributes
    ----------
    cursor, target : ndarray, (bins, axes)
        Positions, m, of every recorded bin.
    usable : ndarray of bool, (bins,)
        Which of them are bins of the pilot.
    """

    cursor: np.ndarray
    target: np.ndarray
    usable: np.ndarray


@dataclass(frozen=True)
class Aim:
    """The subject as a controller (`bmi_runtime.intention.infer.aim_gains`).

    Attributes
    ----------
    mean : ndarray, (3,)
        Frequency (Hz), and by how much cursor and goal are seen late (s).
    covariance : ndarray, (3, 3)
    note : str
        Why the parameters are assumed; empty where the pilot says them.
    """

    mean: np.ndarray
    covariance: np.ndarray
    note: str = ""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return parameters drawn from what is known."""
        values, vectors = np.linalg.eigh(self.covariance)
        drawn = self.mean + vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(3))
        return np.clip(drawn, *BOUNDS.T)


def assumed_aim(why: str) -> Aim:
    """Return the aim of a subject of which nothing is known."""
    return Aim(ASSUMED, np.diag(ASSUMED_SD**2), why)


def cubic(velocity: np.ndarray, largest: float = np.inf) -> np.ndarray:
    """Return the regressors of a reading, (bins, 2 axes + 1): v, |v|^2 v, 1; |v|^2 up to `largest`."""
    squares = np.minimum((velocity**2).sum(axis=1, keepdims=True), largest)
    return np.column_stack([velocity, squares * velocity, np.ones(len(velocity))])


def spread_of(noise: np.ndarray, squares: np.ndarray) -> float:
    """Return by how much the variance of noise (bins, axes) grows per squared speed, relative to rest."""
    scaled = noise**2 / noise.var(axis=0)
    basis = np.column_stack([np.ones(len(squares)), squares])
    rest, growth = np.linalg.lstsq(basis, scaled.mean(axis=1), rcond=None)[0]
    return max(float(growth / max(rest, 0.1)), 0.0)


def least_squares(u: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the weights of least squares by the normal equations of columns of size one: few columns, many rows."""
    size = np.sqrt(np.einsum("ti,ti->i", u, u))
    size[size == 0] = 1.0
    scaled = u / size
    return np.linalg.lstsq(scaled.T @ scaled, scaled.T @ z, rcond=None)[0] / size[:, None]


def filtered(coefficients: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return ``sum_k c_k x(t - k)`` of every row of x (bins, columns), nothing before the first: a filter of few lags.

    Written out, because importing a library of filters costs a pilot more than all that it would do here.
    """
    out = coefficients[0] * rows
    for lag, coefficient in enumerate(coefficients[1:], 1):
        out[lag:] += coefficient * rows[:-lag]
    return out


class _Profile:
    """What is left of the reading as a function of the parameters."""

    def __init__(self, reading: np.ndarray, screen: Screen, bin_s: float):
        self.screen, self.bin_s = screen, bin_s
        self.merged = max(round(COARSE_S / bin_s), 1)
        self.bins = len(screen.usable) // self.merged * self.merged
        self.kept = np.asarray(screen.usable[: self.bins].reshape(-1, self.merged).all(axis=1))
        self.kept[: round(1.0 / (bin_s * self.merged))] = False  # the aim before the recording is not known
        whole = np.zeros((len(screen.usable), reading.shape[1]))
        whole[screen.usable] = reading
        self.reading = self._merge(whole)
        self.whitening, self.weight, self.white = np.ones(1), np.ones((len(self.reading), 1)), self.reading
        self.null = self.value(np.zeros((len(self.reading), 0)))

    def _merge(self, rows: np.ndarray) -> np.ndarray:
        parts = (rows[start : self.bins : self.merged] for start in range(self.merged))
        return functools.reduce(np.add, parts)[self.kept] / self.merged  # four times as quick as a mean over an axis

    def left(self, velocity: np.ndarray, white: bool = True) -> np.ndarray:
        """Return what least squares leaves of the reading, (bins, axes), after or before the autoregression."""
        u, white_z = cubic(velocity), self.white
        white_u = filtered(self.whitening, self.weight * u)
        weights = least_squares(white_u, white_z)
        return white_z - white_u @ weights if white else self.reading - u @ weights

    def whiten(self, parameters: np.ndarray) -> None:
        """Find the autoregression of what these parameters leave (Yule and Walker; one for all axes), and its size.

        More spikes, and intentions that shake, make the reading noisier the faster the movement (`spread_of`).
        """
        velocity = self.path(np.clip(parameters, *BOUNDS.T))
        squares = (velocity**2).sum(axis=1)
        left = self.left(velocity, white=False)
        self.weight = 1.0 / np.sqrt(1.0 + spread_of(left, squares) * squares)[:, None]
        left = self.weight * left
        left = (left - left.mean(axis=0)) / left.std(axis=0)
        lags = min(max(round(MEMORY_S / (self.merged * self.bin_s)), 1), len(left) // 20)
        products = np.array([(left[lag:] * left[: len(left) - lag]).sum() for lag in range(lags + 1)])
        self.whitening = np.append(1.0, -solve_toeplitz(products[:-1], products[1:]))
        self.white = filtered(self.whitening, self.weight * self.reading)

    def path(self, parameters: np.ndarray) -> np.ndarray:
        """Return the intention, (coarse bins, axes)."""
        screen = self.screen
        return self._merge(intended_path(parameters, screen.cursor, screen.target, self.bin_s))

    def value(self, velocity: np.ndarray) -> float:
        """Return minus the log likelihood of the reading, nats."""
        left = self.left(velocity)
        return 0.5 * len(left) * float(np.linalg.slogdet(left.T @ left / len(left))[1])

    def __call__(self, parameters: np.ndarray) -> float:
        inside = np.clip(parameters, *BOUNDS.T)
        outside = float((((parameters - inside) / STEPS) ** 2).sum())
        return self.value(self.path(inside)) + 1e3 * outside


def fit_aim(reading: np.ndarray, screen: Screen, bin_s: float) -> Aim:
    """Return how the subject of a pilot aims.

    Parameters
    ----------
    reading : ndarray, (usable bins, axes)
    screen : Screen
    bin_s : float
    """
    if len(np.unique(screen.target[screen.usable], axis=0)) < LEAST_TARGETS:
        return assumed_aim(f"fewer than {LEAST_TARGETS} targets were shown: the subject's aim is assumed")
    profile = _Profile(reading, screen, bin_s)
    starts = [np.array([f, d, 0.0]) for f in (0.6, 1.0, 1.6) for d in (0.0, 0.1, 0.2)]
    best = min(starts, key=profile)
    gain = profile.null - profile(best)
    for turn in range(TURNS):
        profile.whiten(best)
        last = turn == TURNS - 1  # the others only find what is left over for it
        simplex = np.vstack([best, best + np.diag([0.15, 0.03, 0.03])])
        found = minimize(profile, best, method="Nelder-Mead",
                         options={"initial_simplex": simplex, "xatol": 1e-3 if last else 1e-2,
                                  "fatol": 0.05 if last else 1.0, "maxfev": 120})  # fmt: skip
        best = np.clip(found.x, *BOUNDS.T)
    if gain < LEAST_GAIN:
        return assumed_aim("the units do not follow the aim of any subject: it is assumed")
    return Aim(best, _covariance(profile, best))


def _covariance(profile: _Profile, mean: np.ndarray) -> np.ndarray:
    """Return the sandwich covariance of the parameters at the least value, (3, 3)."""
    middle = np.clip(mean, *(BOUNDS + np.outer(STEPS, [1.0, -1.0])).T)  # at an edge the parabola is taken beside it
    size = max(round(BLOCK_S / (profile.merged * profile.bin_s)), 1)
    left = profile.left(profile.path(middle))
    inverse = np.linalg.inv(left.T @ left / len(left))
    slopes = []  # of the residual by each parameter
    for step in np.diag(STEPS):
        ends = [profile.left(profile.path(middle + sign * step)) for sign in (1.0, -1.0)]
        slopes.append((ends[0] - ends[1]) / (2.0 * step.sum()))
    weighted = [slope @ inverse for slope in slopes]
    curvature = np.array([[float((a * b).sum()) for b in slopes] for a in weighted])
    blocks = np.arange(0, len(left), size)
    scores = np.array([np.add.reduceat((slope * left).sum(axis=1), blocks) for slope in weighted])
    prior = np.diag(1.0 / (5.0 * ASSUMED_SD) ** 2)  # five times as wide as what is assumed without data
    inner = np.linalg.inv(curvature + prior)
    return inner @ (scores @ scores.T + prior) @ inner
