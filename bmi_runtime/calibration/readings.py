"""A pilot's units as a decoder sees them: a reading of the intended velocity, what it holds, and its noise.

The live filter moves its velocity d by P times the score of a bin, sum_i g_i (n_i - lambda_i(d)), of which only
z = sum_i g_i n_i depends on the counts: one number per axis, the *reading*. The filter is run along the pilot at a
learning rate, each bin read with the weights of the bins before it, so that wrong weights, and tuning that drifts under
them, are in the reading as they are in a session. Then, by least squares,

    predicted    f(v) = f0 + (F + F' |v|^2) v           what the weights expect at a velocity
    reading      z_t = c + (C + C' |u|^2) u + noise     u what the subject intends
    information  I(v) = A + B |v|^2

where z is the innovation at the taught velocity plus f of that velocity with the averaged weights: what moving weights
do to the sum they do to its prediction as well, and the filter sees the difference. The noise is kept as it came, with
its own spectrum, for simulations (`bmi_runtime.kernels.steering`). Its variance grows with the intended speed (more
spikes, intentions that shake), as (1 + spread |u|^2), fitted to its squares.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.aim_fit import Aim, Screen, assumed_aim, cubic, fit_aim, spread_of
from bmi_runtime.calibration.exact_recursion import pack
from bmi_runtime.calibration.measured import MeasuredScores
from bmi_runtime.config import Config
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.errors import BadInput
from bmi_runtime.intention.paths import intended_path

BURN_S, MOST_BURN = 20.0, 0.2  # the first bins are read with weights that were fitted to them
SLOPES = 0.25, 2.0  # of the information, that the slope of what weights predict is kept within
LEAST_INFORMATION = 1e-6  # of the strongest direction's
FASTEST = 0.999  # quantile of speeds beyond which nothing is extrapolated


@dataclass(frozen=True)
class Readings:
    """The model above, in SI units.

    Attributes
    ----------
    maps : ndarray, (6, axes, axes + 1)
        C, C', F, F', A, B as the kernel takes them.
    noise : ndarray, (bins, axes)
        As at rest.
    spread, largest : float
        Growth of its variance per (m/s)^2; the squared speed up to which anything grows.
    taught : ndarray, (2,)
        Mean products of intended with taught velocity, and of taught with itself, m^2/s^2.
    aim : Aim
    bin_s : float
    """

    maps: np.ndarray
    noise: np.ndarray
    spread: float
    largest: float
    taught: np.ndarray
    aim: Aim
    bin_s: float

    @property
    def axes(self) -> int:
        """Number of axes of the velocity."""
        return self.noise.shape[1]


class PilotReader:
    """Runs the adaptive filter along a pilot at any learning rate.

    Parameters
    ----------
    scores : MeasuredScores
    config : Config
        Section decoder gives how far uncertain weights are trusted.
    screen : Screen, optional
        What the subject saw; without it the pilot's velocity is what was intended, and the aim is assumed.
    """

    def __init__(self, scores: MeasuredScores, config: Config, screen: Screen | None = None):
        self.scores, self.screen, self.trust = scores, screen, config.decoder.parameter_trust
        design = scores.design
        self.pilot = scores.pilot
        self.counts = np.ascontiguousarray(self.pilot.counts)
        self.intended = np.ascontiguousarray(self.pilot.states[:, self.pilot.velocity]) / DM_PER_M
        if not self.intended.shape[1]:
            raise BadInput("rates that do not depend on the velocity say nothing of what is decoded")
        self._own = np.zeros((len(self.counts), 0, 1)) if design.own is None else design.own
        self._rate, self._read = -1.0, (np.empty(0), np.empty(0), 0.0)

    @property
    def _gaussian(self) -> bool:
        return self.scores.design.likelihood == "gaussian"

    def at(self, rate: float, aim: Aim | None = None) -> Readings:
        """Return the readings with weights that adapt at a rate, for the pilot's own subject or another aim."""
        if self._rate != rate:
            self._rate, self._read = rate, self._decoder_side(*self._along(rate))
        reading, maps, largest = self._read
        return self._subject_side(reading, maps.copy(), largest, aim or self.aim)

    def _along(self, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from bmi_runtime.kernels.pilot_reading import evidence_along

        design, (bins, axes) = self.scores.design, self.intended.shape
        covariance = pack(self.scores.at(rate).filter_covariance)
        noise = design.noise if self._gaussian else np.ones(design.units)
        reading, predicted, information = np.zeros((bins, axes)), np.zeros((bins, axes)), np.zeros((bins, axes, axes))
        evidence_along(
            np.ascontiguousarray(design.weights.T), covariance, self.counts, self.pilot.regressors, self._own,
            np.full(design.units, rate), noise, design.bin_s, not self._gaussian, self.trust, reading, predicted,
            information,
        )  # fmt: skip
        return DM_PER_M * reading, DM_PER_M * predicted, DM_PER_M**2 * information

    def _decoder_side(self, reading, predicted, information) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the reading, the maps with F and I filled in, and the largest squared speed."""
        axes = reading.shape[1]
        squares = (self.intended**2).sum(axis=1)
        largest = float(np.quantile(squares, FASTEST))
        maps = np.zeros((6, axes, axes + 1))
        basis = np.column_stack([np.ones(len(squares)), np.minimum(squares, largest)])
        both = np.linalg.lstsq(basis, information.reshape(-1, axes * axes), rcond=None)[0]
        maps[4:, :, :axes] = both.reshape(2, axes, axes)
        regressors = cubic(self.intended, largest)
        _split(regressors, predicted, maps[2:4])
        consistent(maps[2:], largest)
        # what moving weights do to the reading they do to its prediction, too: only the difference counts
        steady = reading - predicted + _mapped(regressors, maps[2:4])
        return steady, maps, largest

    def _subject_side(self, reading, maps, largest, aim: Aim) -> Readings:
        """Return the readings with C and the noise for an aim; the first bins' weights were fitted to them."""
        rows = slice(round(min(BURN_S / self.scores.design.bin_s, MOST_BURN * len(reading))), None)
        meant, taught = self._meant(aim)[rows], self.intended[rows]
        noise = reading[rows] - _split(cubic(meant, largest), reading[rows], maps[:2])
        squares = np.minimum((meant**2).sum(axis=1), largest)
        spread = spread_of(noise, squares)
        noise = np.ascontiguousarray(noise / np.sqrt(1.0 + spread * squares)[:, None])
        products = np.array([(meant * taught).sum(axis=1).mean(), (taught**2).sum(axis=1).mean()])
        return Readings(maps, noise, spread, largest, products, aim, self.scores.design.bin_s)

    @functools.cached_property
    def aim(self) -> Aim:
        """How the subject aims, from the units' sum with the weights of the whole pilot.

        Not from the reading: weights that adapt hold the noise of the last seconds, which has moved the cursor.
        """
        if self.screen is None:
            return assumed_aim("the pilot shows no subject that steers to targets: its aim is assumed")
        design, axes = self.scores.design, self.intended.shape[1]
        gains = design.weights[:, 1 : 1 + axes] / (design.noise[:, None] if self._gaussian else 1.0)
        return fit_aim(self._as_if_of_velocity() @ gains, self.screen, design.bin_s)

    def _as_if_of_velocity(self) -> np.ndarray:
        """Return the counts (bins, units), with what else they depend on at its mean in what is expected of them."""
        design, states, axes = self.scores.design, self.pilot.states, self.intended.shape[1]
        weights, common = design.weights, 1 + states.shape[1]
        if weights.shape[1] == 1 + axes:
            return self.counts
        value = weights[:, 0] + states[:, axes:].mean(axis=0) @ weights[:, 1 + axes : common].T
        if design.own is not None:
            value = value + (design.own.mean(axis=0) * weights[:, common:].T).sum(axis=0)
        value = value + states[:, :axes] @ weights[:, 1 : 1 + axes].T
        left = self.scores.innovation.T
        return left * design.noise + value if self._gaussian else left + design.bin_s * np.exp(value)

    def _meant(self, aim: Aim) -> np.ndarray:
        if self.screen is None or aim.note:
            return self.intended
        path = intended_path(aim.mean, self.screen.cursor, self.screen.target, self.scores.design.bin_s)
        return path[self.screen.usable]


def consistent(maps: np.ndarray, largest: float) -> None:
    """Hold fitted maps F, F', A, B (4, axes, axes + 1) to what the prediction of any units obeys, in place.

    The information is a sum of g g' lambda, which is positive, and it is the slope of the prediction sum_i g_i
    lambda_i(v), which is therefore symmetric and rises (derived). Where few units, or one that outweighs all others,
    leave a direction in which F is what chance left, a prediction that falls with the velocity would drive the
    simulated decoder away without a bound. So F, and F + F' L at the largest squared speed L, are kept within `SLOPES`
    of the information there: the mean slope from rest on lies between a third of the information (all of it grown with
    the squared speed) and the whole, and twice as far a step of the decoder no longer comes nearer.
    """
    matrices = maps[:, :, :-1]
    slopes, informations = matrices[:2], matrices[2:]
    rest, fast = (_held(slopes[0] + x * slopes[1], informations[0] + x * informations[1]) for x in (0.0, largest))
    slopes[0], informations[0] = rest
    if largest > 0.0:
        slopes[1], informations[1] = ((at - from_) / largest for at, from_ in zip(fast, rest, strict=True))


def _held(slope: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a slope and an information (axes, axes) that agree with each other."""
    values, vectors = np.linalg.eigh(0.5 * (information + information.T))
    values = np.maximum(values, LEAST_INFORMATION * max(values[-1], 1e-300))
    root = np.sqrt(values)
    relative = vectors.T @ (0.5 * (slope + slope.T)) @ vectors / np.outer(root, root)
    shares, across = np.linalg.eigh(relative)
    kept = across @ np.diag(np.clip(shares, *SLOPES)) @ across.T
    return vectors @ (kept * np.outer(root, root)) @ vectors.T, (vectors * values) @ vectors.T


def _split(regressors: np.ndarray, values: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Write the least-squares map of values into (2, axes, axes + 1), return what it predicts."""
    axes = values.shape[1]
    weights = np.linalg.lstsq(regressors, values, rcond=None)[0]
    maps[0, :, :axes], maps[1, :, :axes] = weights[:axes].T, weights[axes : 2 * axes].T
    maps[0, :, axes] = weights[-1]
    return _mapped(regressors, maps)


def _mapped(regressors: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return what a map (2, axes, axes + 1) makes of the regressors of a reading, (bins, axes)."""
    return regressors @ np.vstack([maps[0, :, :-1].T, maps[1, :, :-1].T, maps[0, :, -1:].T])
