"""The learning rate of an adaptive read-out: rate to excess decoding error, and back.

A read-out ``v = g' w + z`` of features g (here the state of a recurrent network, its leading directions brought to unit
variance) is adapted by the Gaussian filter of :mod:`bmi_runtime.calibration`, with the features in place of the
movement: a random-walk prior of covariance s I per bin, Z the variance of what the best fixed read-out leaves. In the
modes of ``M = E[g g'] / Z`` the filter settles at

    p = (-s + sqrt(s^2 + 4 s / m)) / 2,    k = p m     (loss of the mean error per bin)

and the adapted weights cost, over the best fixed ones, in units of squared velocity,

    D = Z sum_a k_a / (2 - k_a) F_a,    F_a = (G_a(0) + 2 sum_l (1 - k_a)^l G_a(l)) / (Z^2 m_a).

G_a is the autocovariance of the score ``g_a z``: what a decoder leaves is smooth in time, and so are the features, and
it leaves more where the features are large, so that F is 2 to 6 on motor cortex and a calibration that takes the
residuals as white is as many times too optimistic. (Derivation: ``e <- (1 - k) e + p g z / Z`` per mode, squared,
summed over the pairs of bins; white scores that do not depend on the features give F = 1.)

Where the best weights differ from the trained ones by c (variance per unit of power) and walk by q per bin, the error
over T bins taught d bins late is the sum of the mean of

    noise  Z k / (2 - k) F (1 - b^t),   start  c m Z b^(t-d),   walk  q m Z ((1 - b^(t-d)) / (k (2 - k)) + d)

with ``b = (1 - k)^2``: noise grows with the rate, the other two fall. c and q are estimated from the delayed prediction
errors along a part that the network was not trained on, at several rates; the calculated rate minimises the sum. For a
walk alone at small gains that is ``s = q / F``.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.optimize

LONGEST_LAG_S = 10.0  # of the autocorrelation of residuals
RATES = 10.0 ** np.arange(-10.0, -1.9, 0.25)
TRUSTED_GAIN = 0.05  # beyond it the average over the features is not a good description
FIT_RATES = slice(0, None, 2)


@dataclasses.dataclass(frozen=True)
class ReadoutPilot:
    """What a stretch of features and residuals says about adapting a read-out.

    Attributes
    ----------
    power : ndarray, shape (modes,)
        Mean square of the features in the modes of their second moment.
    noise : float
        Variance Z of what the best fixed read-out leaves, mean of the outputs.
    correlation : ndarray, shape (lags, modes) or (lags,)
        Autocorrelation of the scores at lags of 1, 2, ... bins, mean of the outputs (and of the modes).
    bin_s : float
    bins : int
        Length of the stretch.
    strength : ndarray, shape (modes,), or float
        Variance of the scores over ``Z^2 m``, which it has where the residual does not depend on the features.
    """

    power: np.ndarray
    noise: float
    correlation: np.ndarray
    bin_s: float
    bins: int
    strength: np.ndarray | float = 1.0

    @property
    def information(self) -> np.ndarray:
        """Eigenvalues m of ``E[g g'] / Z``, per bin."""
        return self.power / self.noise

    @classmethod
    def measured(cls, features: np.ndarray, residual: np.ndarray, bin_s: float) -> ReadoutPilot:
        """Measure a pilot.

        Parameters
        ----------
        features : ndarray, shape (bins, modes)
        residual : ndarray, shape (bins, outputs)
            Truth minus the read-out as it stands; rows that are not finite are left out.
        bin_s : float
        """
        known = np.isfinite(residual).all(axis=1)
        rows = np.flatnonzero(known)
        used, left = features[rows], residual[rows]
        second = used.T @ used / len(used)
        power, directions = np.linalg.eigh(second)
        weights = np.linalg.lstsq(used, left, rcond=None)[0]
        free = max(len(used) - used.shape[1], 1)
        left = left - used @ weights
        noise = float((left**2).sum() / (free * left.shape[1]))
        scores = np.zeros((len(features), used.shape[1], left.shape[1]))
        scores[rows] = (used @ directions)[:, :, None] * left[:, None, :]
        lags = int(min(round(LONGEST_LAG_S / bin_s), len(used) // 8))
        power = np.maximum(power, 1e-12)
        variance = (scores[rows] ** 2).mean(axis=(0, 2))
        correlation = _autocorrelation(scores, known, lags)
        return cls(power, noise, correlation, float(bin_s), len(used), variance / (power * noise + 1e-300))


def _autocorrelation(scores: np.ndarray, known: np.ndarray, lags: int) -> np.ndarray:
    """Return the autocorrelation (lags, modes) of scores (bins, modes, outputs), tapered against its noise.

    Scores of bins that are not known are 0, so that products with them add nothing; only the divisor counts pairs.
    """
    bins, modes, outputs = scores.shape
    flat = np.ascontiguousarray(scores).reshape(bins, modes * outputs)
    variance = (scores[known] ** 2).mean(axis=(0, 2)) + 1e-300
    found = np.zeros((lags, modes))
    for lag in range(1, lags + 1):
        pairs = np.count_nonzero(known[lag:] & known[:-lag])
        products = np.einsum("ij,ij->j", flat[lag:], flat[:-lag]).reshape(modes, outputs).sum(axis=1)
        found[lag - 1] = products / (max(pairs, 1) * outputs) / variance
    return found * (1.0 - np.arange(1, lags + 1) / (lags + 1.0))[:, None]


@dataclasses.dataclass(frozen=True)
class ReadoutSteady:
    """The steady state of the read-out's filter at one rate.

    Attributes
    ----------
    rate : float
        Variance per bin of the prior's walk.
    variance, gain, overdispersion : ndarray, shape (modes,)
        p, k and F.
    excess : float
        D: excess squared error of one output.
    excess_white : float
        What it would be with white residuals.
    """

    rate: float
    variance: np.ndarray
    gain: np.ndarray
    overdispersion: np.ndarray
    excess: float
    excess_white: float

    def convergence_bins(self, threshold: float = 0.05) -> float:
        """Return the bins in which the mean error of the slowest mode falls to `threshold` of its start."""
        return math.log(threshold) / math.log1p(-float(self.gain.min()))


def steady_variance(information: np.ndarray, rate: float) -> np.ndarray:
    """Return the filter's steady variance in modes with so much information per bin (p of the module's equations)."""
    return 0.5 * (-rate + np.sqrt(rate**2 + 4.0 * rate / information))


def steady(pilot: ReadoutPilot, rate: float) -> ReadoutSteady:
    """Return the steady state at a rate."""
    m = pilot.information
    variance = steady_variance(m, rate)
    gain = np.minimum(variance * m, 1.0)
    correlation = pilot.correlation if pilot.correlation.ndim == 2 else pilot.correlation[:, None]
    lags = np.arange(1, len(correlation) + 1)[:, None]
    spread = pilot.strength * (1.0 + 2.0 * ((1.0 - gain) ** lags * correlation).sum(axis=0))
    spread = np.maximum(spread, 0.1)
    each = pilot.noise * gain / (2.0 - gain)
    return ReadoutSteady(rate, variance, gain, spread, float((each * spread).sum()), float(each.sum()))


def halved(pilot: ReadoutPilot, rate: float, block: int, stretch: tuple[int, int]) -> tuple[float, float]:
    """Return the excess squared error of one output that is taught every other block of bins, and with white scores.

    It starts at the best weights, so that in bin t the share ``1 - (1 - k)^2t`` of the steady error is there.

    Parameters
    ----------
    pilot : ReadoutPilot
    rate : float
    block : int
        Bins of a block.
    stretch : (int, int)
        Bins after the start, the first and one past the last, over which the mean is taken.
    """
    m, lags = 0.5 * pilot.information, np.arange(1, len(pilot.correlation) + 1)
    variance = steady_variance(m, rate)
    gain = np.minimum(variance * m, 1.0)
    phase = lags % (2 * block)
    together = np.where(phase < block, 1.0 - phase / block, phase / block - 1.0)  # of the taught bins
    correlation = pilot.correlation if pilot.correlation.ndim == 2 else pilot.correlation[:, None]
    sums = ((1.0 - gain) ** lags[:, None] * correlation * together[:, None]).sum(axis=0)
    begun = 1.0 - ((1.0 - gain) ** (2 * np.arange(*stretch)[:, None])).mean(axis=0)
    each = 2.0 * pilot.noise * gain / (2.0 - gain) * begun  # it is taught half, and costs in every bin
    return float((each * np.maximum(pilot.strength * (1.0 + 2.0 * sums), 0.1)).sum()), float(each.sum())


def rate_for_excess(pilot: ReadoutPilot, wanted: float) -> float:
    """Return the rate whose excess squared error of one output is `wanted`.

    Raises
    ------
    ValueError
        When no rate costs that much, or `wanted` is not above zero.
    """
    if not 0.0 < wanted < steady(pilot, 1e3 * pilot.noise / pilot.power.min()).excess:
        raise ValueError(f"no rate has an excess error of {wanted:g}")

    def off(log_rate: float) -> float:
        return steady(pilot, math.exp(log_rate)).excess - wanted

    return math.exp(scipy.optimize.brentq(off, -60.0, math.log(1e3 * pilot.noise / pilot.power.min())))


def rate_for_convergence(pilot: ReadoutPilot, bins: float, threshold: float = 0.05) -> float:
    """Return the rate at which the slowest mode converges to `threshold` in `bins`: ``s = k^2 / (m (1 - k))``.

    Raises
    ------
    ValueError
        When `bins` is not above zero.
    """
    if not bins > 0.0:
        raise ValueError(f"a convergence in {bins:g} bins makes no sense")
    gain = -math.expm1(math.log(threshold) / bins)
    return gain**2 / (float(pilot.information.min()) * (1.0 - gain))


@dataclasses.dataclass(frozen=True)
class Drift:
    """How the best read-out differs from the trained one.

    Attributes
    ----------
    start, walk : float
        c and q: variance of each weight at the start, and per bin.
    """

    start: float
    walk: float


def _shares(pilot: ReadoutPilot, rate: float, bins: int, delay: int) -> tuple[float, float, float]:
    """Return the mean error over `bins` as (noise, per unit of start, per unit of walk), of one output."""
    if rate <= 0.0:
        return 0.0, float(pilot.power.sum()), float(pilot.power.sum()) * bins / 2.0
    state = steady(pilot, rate)
    k = state.gain
    keep = np.minimum((1.0 - k) ** 2, 1.0 - 1e-15)
    taught = max(bins - delay, 0)
    # mean over t of b^max(t - d, 0)
    decayed = ((bins - taught) + (1.0 - keep**taught) / (1.0 - keep)) / bins
    noise = pilot.noise * k / (2.0 - k) * state.overdispersion * (1.0 - decayed)
    late = min(delay, bins) * (1.0 - 0.5 * min(delay, bins) / bins)
    walk = pilot.power * ((1.0 - decayed) / (k * (2.0 - k)) + late)
    return float(noise.sum()), float((pilot.power * decayed).sum()), float(walk.sum())


def expected_error(pilot: ReadoutPilot, drift: Drift, rate: float, bins: int, delay: int) -> float:
    """Return the expected excess squared error of one output over `bins` from the trained read-out on.

    A rate of 0 is the frozen read-out.
    """
    noise, start, walk = _shares(pilot, rate, bins, delay)
    return noise + drift.start * start + drift.walk * walk


def fit_drift(pilot: ReadoutPilot, rates: np.ndarray, change: np.ndarray, bins: int, delay: int) -> Drift:
    """Estimate start and walk from what adaptation changed; none is seen where no rate could be tried.

    Parameters
    ----------
    pilot : ReadoutPilot
    rates : ndarray, shape (n,)
        Empty where a stretch is so short that every rate forgets all of it.
    change : ndarray, shape (n,)
        Mean squared error at each rate minus that of the frozen read-out, of one output, over `bins`.
    bins, delay : int
        Length of the stretch, and how late the truth came.
    """
    if not len(rates):
        return Drift(0.0, 0.0)
    frozen = _shares(pilot, 0.0, bins, delay)
    table = np.array([_shares(pilot, rate, bins, delay) for rate in rates])
    found, _ = scipy.optimize.nnls(table[:, 1:] - np.array(frozen[1:]), change - table[:, 0])
    return Drift(*(float(value) for value in found))


def best_rate(pilot: ReadoutPilot, drift: Drift, bins: int, delay: int) -> float:
    """Return the rate of least expected error over `bins`; 0 where none is better than the frozen read-out."""
    trusted = [rate for rate in RATES if steady(pilot, rate).gain.max() <= TRUSTED_GAIN]
    errors = [expected_error(pilot, drift, rate, bins, delay) for rate in trusted]
    if not errors or min(errors) >= expected_error(pilot, drift, 0.0, bins, delay):
        return 0.0
    return float(trusted[int(np.argmin(errors))])
