"""How a subject steers, from what its units said while it saw a cursor and a target.

The intention is not in a recording. A controller with given parameters that is shown the recorded cursor and targets
has one, and the sum of the units' counts times their gains, one number per axis and bin, says how well they follow it:
z_t = W f(v_t) + n_t with what rates that grow exponentially make of a velocity, f(v) = (v, its products, |v|^2 v, 1).
Without the products, which few units do not cancel, the fit missed by seven standard errors. The parameters are those
that leave least of that sum over (Gaussian profile likelihood). What is left over is not white, and in a closed loop it
moves the cursor, to which the subject answers: least squares would take the answer for its cause. So for every
parameters that are asked for, what is left goes through its own autoregression first: the prediction-error method,
which is consistent in a loop (Ljung 1999). Found in turns with the parameters, autoregression and trade-off of
frequency and delay hold each other where they began.

Units that fire by their own past answer with it to the intention, too: then z_t = W f(v_t) + sum_k A_k z_(t-k) + e_t,
fitted by least squares at once. The likelier of the two is taken. The covariance of the parameters is the sandwich of
the curvature, beside what the autoregression leaves open, and of the spread of the gradient over blocks of time.
"""

from __future__ import annotations

import functools
import itertools
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
LEAST_GAIN = 6.0  # nats by which the reading must be likelier with the intention than by chance
LEAST_TARGETS = 3  # both ends of a line and its middle
LEAST_BINS = 50  # coarse ones, of which all is known: a fit of fewer has more regressors than it has bins
MEMORY_S = 0.2  # of the autoregression
TURNS = 2  # of fits; the growth of the noise and the kind of memory are those of the one before
MOST_SHAPED = 3  # axes whose products are regressors: they grow with the square of the axes


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


def shaped(velocity: np.ndarray) -> np.ndarray:
    """Return what the sum of units is linear in, for velocities (bins, axes): v, v_a v_b, |v|^2 v, 1."""
    axes = velocity.shape[1]
    pairs = itertools.combinations_with_replacement(range(axes if axes <= MOST_SHAPED else 0), 2)
    products = [velocity[:, a] * velocity[:, b] for a, b in pairs]
    return np.column_stack([cubic(velocity), *products])


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
    """What is left of the reading as a function of the parameters.

    Attributes
    ----------
    own_past : bool
        Whether the reading depends on its own past, or what is left of it does.
    """

    def __init__(self, reading: np.ndarray, screen: Screen, bin_s: float):
        self.screen, self.bin_s = screen, bin_s
        self.merged = max(round(COARSE_S / bin_s), 1)
        self.bins = len(screen.usable) // self.merged * self.merged
        self.kept = np.asarray(screen.usable[: self.bins].reshape(-1, self.merged).all(axis=1))
        self.kept[: round(1.0 / (bin_s * self.merged))] = False  # the aim before the recording is not known
        whole = np.zeros((len(screen.usable), reading.shape[1]))
        whole[screen.usable] = reading
        self.reading = self._merge(whole)
        self.lags = min(max(round(MEMORY_S / (self.merged * bin_s)), 1), len(self.reading) // 20)
        self.own_past = False

    def begin(self) -> None:
        """Weigh all bins alike, and find how likely the reading is without any intention."""
        self._weigh(np.ones((len(self.reading), 1)))
        self.null = self.value(np.zeros((len(self.reading), 0)))

    @property
    def by_chance(self) -> float:
        """The nats that the weights of an intention gain where the reading has nothing to do with it: half a weight."""
        axes = self.reading.shape[1]
        return 0.5 * axes * (shaped(np.zeros((1, axes))).shape[1] - 1)

    def _merge(self, rows: np.ndarray) -> np.ndarray:
        parts = (rows[start : self.bins : self.merged] for start in range(self.merged))
        return functools.reduce(np.add, parts)[self.kept] / self.merged  # four times as quick as a mean over an axis

    def _weigh(self, weight: np.ndarray) -> None:
        self.weight, self.z = weight, weight * self.reading
        self._past = np.hstack([_later(self.z, lag) for lag in range(1, self.lags + 1)])
        self._inverse = np.linalg.pinv(self._past.T @ self._past)

    def _beside_past(self, rows: np.ndarray) -> np.ndarray:
        """Return rows without what the reading's own past explains of them."""
        return rows - self._past @ (self._inverse @ (self._past.T @ rows))

    def left(self, velocity: np.ndarray, whitening: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return what the velocity leaves of the reading, made white, (bins, axes), and what made it so.

        Parameters
        ----------
        velocity : ndarray, (bins, axes)
        whitening : ndarray, (1 + lags,), optional
            By default that of what least squares leaves.
        """
        u, z = self.weight * shaped(velocity), self.z
        if self.own_past:
            u, z = self._beside_past(u), self._beside_past(z)
            return z - u @ least_squares(u, z), np.ones(1)
        if whitening is None:
            whitening = _whitening(z - u @ least_squares(u, z), self.lags)
        u, z = filtered(whitening, u), filtered(whitening, z)
        return z - u @ least_squares(u, z), whitening

    def beside_memory(self, rows: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Return rows (bins, axes) without what another autoregression of what is left would explain of them.

        In a loop what is left moves the cursor, so parameters and autoregression are not found independently.
        """
        if self.own_past:
            return rows  # they are found at once
        u = self.weight * shaped(velocity)
        noise = self.z - u @ least_squares(u, self.z)
        own = []
        for axis in range(noise.shape[1]):
            past = np.hstack([_later(noise[:, axis : axis + 1], lag) for lag in range(1, self.lags + 1)])
            own.append(rows[:, axis] - past @ least_squares(past, rows[:, axis : axis + 1])[:, 0])
        return np.column_stack(own)

    def adapt(self, parameters: np.ndarray) -> None:
        """Find how the noise grows with speed (more spikes, intentions that shake), and which memory is likelier."""
        velocity = self.path(np.clip(parameters, *BOUNDS.T))
        u, squares = shaped(velocity), (velocity**2).sum(axis=1)
        left = self.reading - u @ least_squares(u, self.reading)
        self._weigh(1.0 / np.sqrt(1.0 + spread_of(left, squares) * squares)[:, None])
        values = []
        for self.own_past in (False, True):
            values.append(self.value(velocity) + (self._past.shape[1] * left.shape[1] if self.own_past else self.lags))
        self.own_past = values[1] < values[0]

    def path(self, parameters: np.ndarray) -> np.ndarray:
        """Return the intention, (coarse bins, axes)."""
        screen = self.screen
        return self._merge(intended_path(parameters, screen.cursor, screen.target, self.bin_s))

    def value(self, velocity: np.ndarray) -> float:
        """Return minus the log likelihood of the reading, nats."""
        left, _ = self.left(velocity)
        return 0.5 * len(left) * float(np.linalg.slogdet(left.T @ left / len(left))[1])

    def __call__(self, parameters: np.ndarray) -> float:
        inside = np.clip(parameters, *BOUNDS.T)
        outside = float((((parameters - inside) / STEPS) ** 2).sum())
        return self.value(self.path(inside)) + 1e3 * outside


def _later(rows: np.ndarray, lag: int) -> np.ndarray:
    """Return rows so many bins later, zero before."""
    return np.vstack([np.zeros((lag, rows.shape[1])), rows[: len(rows) - lag]])


def _whitening(left: np.ndarray, lags: int) -> np.ndarray:
    """Return the filter that makes rows (bins, axes) white: their autoregression, one for all (Yule and Walker)."""
    left = (left - left.mean(axis=0)) / left.std(axis=0)
    products = np.array([(left[lag:] * left[: len(left) - lag]).sum() for lag in range(lags + 1)])
    return np.append(1.0, -solve_toeplitz(products[:-1], products[1:]))


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
    if len(profile.reading) < LEAST_BINS:
        return assumed_aim("too few bins in a row say what the subject did: its aim is assumed")
    profile.begin()
    starts = [np.array([f, d, 0.0]) for f in (0.6, 1.0, 1.6) for d in (0.0, 0.1, 0.2)]
    best = min(starts, key=profile)
    gain = profile.null - profile(best) - profile.by_chance
    for turn in range(TURNS):
        profile.adapt(best)
        last = turn == TURNS - 1  # the other only finds what is left over for it
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
    left, whitening = profile.left(profile.path(middle))
    inverse = np.linalg.inv(left.T @ left / len(left))
    slopes = []  # of the residual by each parameter
    for step in np.diag(STEPS):
        ends = [profile.left(profile.path(middle + sign * step), whitening)[0] for sign in (1.0, -1.0)]
        slopes.append(profile.beside_memory((ends[0] - ends[1]) / (2.0 * step.sum()), profile.path(middle)))
    weighted = [slope @ inverse for slope in slopes]
    curvature = np.array([[float((a * b).sum()) for b in slopes] for a in weighted])
    blocks = np.arange(0, len(left), size)
    scores = np.array([np.add.reduceat((slope * left).sum(axis=1), blocks) for slope in weighted])
    prior = np.diag(1.0 / (5.0 * ASSUMED_SD) ** 2)  # five times as wide as what is assumed without data
    inner = np.linalg.inv(curvature + prior)
    return inner @ (scores @ scores.T + prior) @ inner
