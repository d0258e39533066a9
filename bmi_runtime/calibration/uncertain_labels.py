"""What a learning rate does when the taught state is not always the right one: bias, error, settling, and the way back.

With taught regressors u~ in place of the encoded u the weights settle where the mean score vanishes (derived here),

    Gaussian:  w_inf = M~^-1 C w*,  M~ = E u~ u~' / Z,  C = E u~ u' / Z;   Poisson:  E u~ (lambda(u) - lambda~(u~)) = 0,

so a label that is wrong with probability e, independently of what is meant, attenuates the tuning by 1 - e. Around it
the filter is the one of the closed form with M~ for M, and its score has two parts: the units' own noise, white, and
the *misfit* u~ (lambda(u) - lambda~(u~)) dt of wrong labels, which lasts as long as a label stays wrong. With
e_a(t) = sum_q (1 - k_a)^q p_a s_a(t - q) in the modes of M~,

    E_ab = p_a p_b / (1 - (1 - k_a)(1 - k_b)) [ G_ab(0) + sum_l ( (1 - k_b)^l G_ab(l) + (1 - k_a)^l G_ba(l) ) ],

G the score's autocovariance: noise at lag 0 alone, misfit at all lags. Whoever has a sequence of taught states (a
recorded posterior) hands it over; `wrong_labels` makes one of a given error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bmi_runtime.calibration.closed_form import Information, SteadyState, convergence_bins, rotate, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import Recursion
from bmi_runtime.errors import BadInput

LAGS_PER_RUN = 6.0  # of the misfit's autocovariance, in mean lengths of a wrong label; then it is tapered to nothing
FEWEST_BINS, MOST_BINS = 20_000, 400_000  # of the taught sequence: a shorter one is repeated with other labels
WRONG_STRETCHES = 1200  # wanted in it: the misfit is known to about one over their square root
SMALL_GAIN = 0.15  # gain times the length of a wrong label, beyond which the averaged form underestimates
NEWTON_STEPS, THINNED = 60, 16  # of a fit; every so many bins bring it near first
STARTS, SLOW_BINS = 32, 5_000
"""Moments of the taught sequence from which settling is run; a slower one is as the averaged form has it."""


@dataclass(frozen=True)
class LabelPrediction:
    """What a rate does with uncertain labels.

    Attributes
    ----------
    weights : ndarray, (units, regressors)
        Where the weights settle, w_inf.
    bias : ndarray, (units, regressors)
        w_inf minus the design's weights.
    error_covariance : ndarray, (units, regressors, regressors)
        Of the weights about w_inf.
    settling_bins : ndarray, (units, regressors)
        Of every mode's mean error, from the filter's own steady covariance on.
    largest_gain : float
        Times the length of a wrong label: above `SMALL_GAIN` the averaged form is too small or too large by a third.
    """

    weights: np.ndarray
    bias: np.ndarray
    error_covariance: np.ndarray
    settling_bins: np.ndarray
    largest_gain: float = 0.0

    @property
    def total_error(self) -> np.ndarray:
        """Mean square error about the truth, bias included, (units, regressors, regressors)."""
        return self.error_covariance + self.bias[:, :, None] * self.bias[:, None, :]


@dataclass(frozen=True)
class Taught:
    """Encoded and taught states of a sequence of bins, both (bins, dims), and how long a wrong label lasts, bins."""

    states: np.ndarray
    labels: np.ndarray
    run_bins: float = 1.0


def wrong_labels(states: np.ndarray, error: float, run_bins: float, seed: int = 0) -> Taught:
    """Return labels that are wrong with a probability, independently of what is meant, for so many bins on average.

    A wrong label is the state of another moment, and goes on from there while it lasts, as another target would.

    Parameters
    ----------
    states : ndarray, (bins, dims)
    error : float
        0 to below 1.
    run_bins : float
        Mean length of a stretch of wrong labels.

    Raises
    ------
    BadInput
        When the error is not a probability, or the run is shorter than a bin.
    """
    if not 0.0 <= error < 1.0:
        raise BadInput(f"a label error of {error:g} cannot be: give a probability below one")
    if not run_bins >= 1.0:
        raise BadInput(f"wrong labels of {run_bins:g} bins cannot be: a label lasts at least one bin")
    rng = np.random.default_rng(seed)
    wanted = WRONG_STRETCHES * run_bins / error if error > 0 else 0.0
    bins = math.ceil(min(max(FEWEST_BINS, wanted), MOST_BINS) / len(states)) * len(states)
    meant = np.tile(states, (bins // len(states), 1))
    labels = meant.copy()
    right_run = run_bins * (1.0 - error) / error if error > 0 else math.inf
    at = 0.0
    while at < bins and math.isfinite(right_run):
        start = at + rng.exponential(right_run)
        stop = start + rng.exponential(run_bins)
        here = np.arange(math.ceil(start), min(math.ceil(stop), bins))
        labels[here] = states[(here + rng.integers(len(states))) % len(states)]
        at = stop
    return Taught(meant, labels, run_bins)


class LabelCalibration:
    """The design's units taught by such labels: forward (:meth:`predict`) and backward (:meth:`rate_for_error`).

    Parameters
    ----------
    design : Design
    taught : Taught
    """

    def __init__(self, design: Design, taught: Taught):
        self.design, self.taught = design, taught
        meant, given = (np.column_stack([np.ones(len(x)), x]) for x in (taught.states, taught.labels))
        self.given, self.poisson = given, design.likelihood == "poisson"
        self.gram = given.T @ given / len(given)
        truth = design.weights
        mean = meant @ truth.T
        self.true_mean = np.exp(mean) * design.bin_s if self.poisson else mean
        self.settled = np.array([self._settle(unit) for unit in range(len(truth))])
        self.info, self.misfit_lags = self._information()

    def _settle(self, unit: int) -> np.ndarray:
        """Return where one unit's weights settle: the zero of the mean score, by Newton's steps."""
        given, wanted = self.given, self.true_mean[:, unit]
        if not self.poisson:
            return np.linalg.solve(len(given) * self.gram, given.T @ wanted)
        weights = self.design.weights[unit].copy()
        for every in (THINNED, 1):  # near first by a part of the bins
            _newton(weights, given[::every], wanted[::every], self.design.bin_s)
        return weights

    def _information(self) -> tuple[Information, np.ndarray]:
        """Return M~ with the white part of the score's covariance, and the misfit's autocovariance in its modes."""
        given, design = self.given, self.design
        units, bins = len(self.settled), len(given)
        lags = min(round(LAGS_PER_RUN * self.taught.run_bins), bins // 4)
        d = given.shape[1]
        mean, white = np.empty((units, d, d)), np.empty((units, d, d))
        misfits = np.empty((units, lags + 1, d, d))
        values, directions = np.empty((units, d)), np.empty((units, d, d))
        for unit in range(units):
            noise = 1.0 if self.poisson else design.noise[unit]
            expected = given @ self.settled[unit]
            if self.poisson:
                expected = np.exp(expected) * design.bin_s
                mean[unit] = (given * expected[:, None]).T @ given / bins
                white[unit] = (given * self._count_variance(unit)[:, None]).T @ given / bins
            else:
                mean[unit] = white[unit] = self.gram / noise
            values[unit], directions[unit] = np.linalg.eigh(mean[unit])
            misfit = given * ((self.true_mean[:, unit] - expected) / noise)[:, None]
            misfits[unit] = _autocovariance(misfit @ directions[unit], lags)
        return Information(mean, white, values, directions), misfits

    def _count_variance(self, unit: int) -> np.ndarray:
        expected = self.true_mean[:, unit]
        return expected * (1.0 - np.minimum(expected, 1.0)) if self.design.counts == "bernoulli" else expected

    def predict(self, rate: float, threshold: float = 0.05) -> LabelPrediction:
        """Return bias, error and settling at a learning rate per bin.

        The initial covariance of the settling time is the filter's own steady one.
        """
        state = steady_state(self.info, rate)
        covariance, bias = self._scatter(state), self.settled - self.design.weights
        gain = float(state.gain.max()) * self.taught.run_bins
        return LabelPrediction(self.settled, bias, covariance, self._settling(state, threshold), gain)

    def _scatter(self, state: SteadyState) -> np.ndarray:
        """Return the covariance of the weights about where they settle, (units, regressors, regressors)."""
        return rotate(state.error_in_modes + self._misfit_error(state), self.info.directions)

    def _settling(self, state: SteadyState, threshold: float) -> np.ndarray:
        """Return the bins in which every mode's mean error settles along the taught sequence, (units, regressors).

        States follow each other smoothly: where the filter forgets hardly more slowly than they do, a stretch of them
        tells of one direction alone, and the mean error lasts longer than in the average bin, by a fifth where a
        memory is five times theirs. So fast filters are run, from several moments; the mean of them is returned.
        """
        averaged = convergence_bins(state, threshold)
        if averaged.max() > SLOW_BINS:
            return averaged
        units, modes = averaged.shape
        errors = np.swapaxes(state.information.directions, 1, 2)
        labels, limit = self.taught.labels, math.ceil(10.0 * averaged.max())
        found = np.empty((STARTS, units, modes))
        for number, start in enumerate(np.linspace(0, len(labels), STARTS, endpoint=False).astype(int)):
            along = np.roll(labels, -start, axis=0)[:limit]
            recursion = Recursion(replace(self.design, states=along, weights=self.settled, own=None), state.rate)
            found[number] = recursion.crossings(state.filter_covariance, errors, threshold, limit)
        mean = found.mean(axis=0)
        return np.where(np.isfinite(mean), mean, averaged)

    def _misfit_error(self, state: SteadyState) -> np.ndarray:
        """Return what the misfit adds to the error, in the modes, (units, regressors, regressors)."""
        lags = self.misfit_lags.shape[1] - 1
        kept = 1.0 - state.gain
        taper = 0.5 * (1.0 + np.cos(np.pi * np.arange(lags + 1) / (lags + 1)))
        powers = kept[:, None, :] ** np.arange(lags + 1)[None, :, None] * taper[None, :, None]
        later = np.einsum("ulab,ulb->uab", self.misfit_lags[:, 1:], powers[:, 1:])
        total = self.misfit_lags[:, 0] + later + np.swapaxes(later, 1, 2)
        p, k = state.filter_variance, state.gain
        removed = k[:, :, None] + k[:, None, :] - k[:, :, None] * k[:, None, :]
        return p[:, :, None] * p[:, None, :] * total / removed

    def rate_for_error(self, variance: float) -> float:
        """Return the fastest rate at which no unit's mean square error, bias included, exceeds a bound.

        Raises
        ------
        BadInput
            When the bias alone exceeds it: no rate removes a bias.
        """
        if not variance > 0:
            raise BadInput(f"an error bound of {variance:g} cannot be: give a variance above zero")
        bias = self.settled - self.design.weights
        floor = float((np.linalg.norm(bias, axis=1) ** 2).max())
        if floor >= variance:
            raise BadInput(
                f"wrong labels alone leave a squared error of {floor:.3g}, and no learning rate removes it: ask for "
                f"more than that, or for better labels"
            )

        def largest(rate: float) -> float:
            total = self._scatter(steady_state(self.info, rate)) + bias[:, :, None] * bias[:, None, :]
            return float(np.linalg.eigvalsh(total)[:, -1].max())

        return _bisected(largest, variance)


def _newton(weights: np.ndarray, given: np.ndarray, wanted: np.ndarray, bin_s: float) -> None:
    """Move the weights, in place, to where the mean score of counts vanishes."""
    for _ in range(NEWTON_STEPS):
        expected = np.exp(given @ weights) * bin_s
        step = np.linalg.solve((given * expected[:, None]).T @ given, given.T @ (wanted - expected))
        weights += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break


def _autocovariance(series: np.ndarray, lags: int) -> np.ndarray:
    """Return G(l) = E s(t + l) s(t)' for l = 0 ... lags, (lags + 1, dims, dims).

    In blocks, each against itself and the `lags` bins after it: their cross spectra are summed, and turned back once.
    """
    bins, dims = series.shape
    width = 2 ** math.ceil(math.log2(8.0 * (lags + 1)))
    step = width - lags
    blocks = math.ceil(bins / step)
    padded = np.zeros((blocks * step + lags, dims))
    padded[:bins] = series
    later = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)[::step]  # (blocks, dims, width)
    now = later.copy()
    now[..., step:] = 0.0
    there, here = (np.fft.rfft(one, axis=-1).transpose(2, 1, 0) for one in (later, now))  # (frequencies, dims, blocks)
    cross = there @ here.conj().transpose(0, 2, 1)
    return np.fft.irfft(cross, width, axis=0)[: lags + 1] / bins


def _bisected(function: Callable[[float], float], wanted: float) -> float:
    """Return the rate at which a function that grows with it reaches `wanted`."""
    low, high = 1e-16, 1.0
    if function(high) <= wanted:
        raise BadInput(f"every learning rate up to {high:g} keeps an error of {wanted:g}: ask for a smaller one")
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if function(middle) <= wanted else (low, middle)
    return low
