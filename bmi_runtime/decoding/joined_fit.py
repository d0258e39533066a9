"""The joined decoder is fitted: the units' tuning, how both observers encode the velocity, and the learning rate."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bmi_runtime.calibration.readout import ReadoutPilot, rate_for_excess, steady, steady_variance
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.adaptive_decoders import poisson_tuning
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.network_mixture import NetworkMixture
from bmi_runtime.decoding.short_history import ShortHistoryDecoder
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import EncodingModel, pair_indices
from bmi_runtime.encoding.regressors import History, Regressors

FILTER_CONSTANT_S = 0.3  # of the units' filter; less lets more noise through, more lags (docs/compare.md)
FILTER_SD_M_S = 0.15  # of its velocity prior
OWN_PAST_S = (0.02, 0.1, 0.3)
"""Time constants of the units' own past in a loop. One of 1 s reaches as many targets and learns the present label
within a reach: its trace is large, and a random walk of the weights moves rates by its square (docs/compare.md)."""
LOOP_SD_DM_S = 1.8
"""Of the velocity prior in a loop: less slows the cursor down, more lets noise through."""
EXCESS_SHARE = 0.01
"""What adaptation of the observers may cost: excess squared error over their noise variance, for good."""
UNKNOWN_NOISE = 1.0
"""Variance of an observer of an axis in which nothing moved, (dm/s)^2: its noise is not known, and must not be 0."""
RESTING_VARIANCE = 0.25
"""Of units' weights in such an axis: as of a unit that is not known yet (`encoding.initial_sd`)."""
SHORTEST_MEMORY_S = 30.0
"""A read-out that forgets within a trial or two would be told by its teacher, who knows the target, where to go."""


def fitted_parameters(
    training: Training, network: NetworkMixture | ShortHistoryDecoder, unit: float | None
) -> dict[str, Any]:
    """Return the parameters of a `JoinedDecoder` beside those of its network.

    Parameters
    ----------
    training : Training
    network : NetworkMixture or ShortHistoryDecoder
        Fitted to it, with its validation.
    unit : float, optional
        Of the velocity inside, in that of the training. Then it is for a loop: its mean is taken as 0, and its prior
        is that of a loop.
    """
    velocity = training.velocity
    known = np.isfinite(velocity).all(axis=1)
    mean = np.zeros(training.n_axes) if unit else velocity[known].mean(axis=0)
    precision = LOOP_SD_DM_S**-2 if unit else None
    unit = unit or float(velocity[known].std()) or 1.0
    meant = (velocity - mean) / unit
    whole = bool((training.counts == np.round(training.counts)).all() and training.counts.min() >= 0.0)
    validation = network.validation
    assert validation is not None  # `fit` always validates
    first = validation.first
    kinds = loop_regressors(training.n_axes, training.bin_s) if whole and precision else Regressors(training.n_axes)
    past = own_past(training.counts, training.restart, kinds, training.bin_s)
    tuned = functools.partial(tuned_model, whole=whole, bin_s=training.bin_s, kinds=kinds)
    before = tuned(training.counts[:first], meant[:first], past[:first])
    heard = filtered(before, training.counts[first:], training.restart[first:])
    said = (validation.states[:, training.n_axes :] - mean) / unit
    observed, told = np.hstack([heard, said]), meant[first:]
    weights, noise, rate, covariance, of_a_bin = weighed(observed, told, training.bin_s)
    model = tuned(training.counts, meant, past)
    share = np.full(training.n_axes, 1.0 if precision else 0.0)  # on recordings it costs more than it gains
    return {
        "unit_weights": model.weights, "unit_covariance": model.covariance, "unit_noise": model.noise_variance,
        "unit_history_s": np.array(kinds.history_s), "filter_constant_s": FILTER_CONSTANT_S,
        "poisson": int(whole), "observer_weights": weights, "observer_covariance": covariance,
        "observer_noise": noise, "rate": rate, "noise_share": of_a_bin,
        "precision": precision or 1.0 / told_variance(meant[known]), "mean": mean, "unit": unit,
        "bin_s": training.bin_s, "share": share, "coasts": 1,
    }  # fmt: skip


def told_variance(meant: np.ndarray) -> float:
    """Return the variance of the velocity, mean of its axes, (dm/s)^2."""
    return max(float((meant**2).mean()), 1e-12)


def loop_regressors(n_axes: int, bin_s: float) -> Regressors:
    """Return what the rates of spiking units depend on in a loop: velocity, and their own past.

    A burst that is known by the unit's own past is not taken for movement (docs/compare.md). What decays within a
    third of a bin tells of no bin before.
    """
    past_s = tuple(constant for constant in OWN_PAST_S if constant > bin_s / 3.0)
    return Regressors(n_axes, ("velocity", "history") if past_s else ("velocity",), past_s)


def own_past(counts: np.ndarray, restart: np.ndarray, kinds: Regressors, bin_s: float) -> np.ndarray:
    """Return the traces of every unit's own counts as they were before each bin, shape (bins, histories, units)."""
    history = History(kinds, counts.shape[1], bin_s)
    past = np.empty((len(counts), *history.traces.shape))
    for index, bin_counts in enumerate(counts):
        if restart[index]:
            history.traces[:] = 0.0
        past[index] = history.traces
        history.take(bin_counts)
    return past


def tuned_model(
    counts: np.ndarray, meant: np.ndarray, past: np.ndarray, whole: bool, bin_s: float, kinds: Regressors
) -> EncodingModel:
    """Return the units' encoding model by maximum likelihood, with the covariance that the data leave.

    Parameters
    ----------
    counts : ndarray, shape (bins, units)
    meant : ndarray, shape (bins, axes)
        Velocity in dm/s, NaN where unknown.
    past : ndarray, shape (bins, histories, units)
        As :func:`own_past` gives it.
    whole : bool
        Poisson, or Gaussian where counts are not whole numbers.
    bin_s : float
    kinds : Regressors
    """
    known = np.isfinite(meant).all(axis=1)
    counts, past = counts[known], past[known]
    common = np.hstack([np.ones((int(known.sum()), 1)), meant[known]])
    units, d = counts.shape[1], kinds.size
    if whole:
        weights, noise = poisson_tuning(counts, meant[known], past if kinds.n_history else None), np.ones(units)
    else:
        weights = np.linalg.lstsq(common, counts, rcond=None)[0]
        noise = np.maximum(((counts - common @ weights) ** 2).mean(axis=0), 1e-12)
    rests = np.ptp(common, axis=0) == 0.0
    rests[0] = False
    prior = np.diag(np.r_[np.where(rests, 1.0 / RESTING_VARIANCE, 1e-2), np.full(d - len(rests), 1e-2)])
    dense = np.empty((units, d, d))
    for unit in range(units):
        own = np.hstack([common, past[:, :, unit]])
        expected = np.exp(np.clip(own @ weights[:, unit], -30.0, 10.0)) if whole else 1.0 / noise[unit]
        information = own.T @ (np.reshape(expected, (-1, 1)) * own)
        dense[unit] = np.linalg.inv(information + prior)
    if whole:
        weights[0] -= np.log(bin_s)
    rows, columns = pair_indices(d)
    likelihood = "poisson" if whole else "gaussian"
    return EncodingModel(weights, dense[:, rows, columns].T, likelihood, bin_s, noise, kinds)


def filtered(model: EncodingModel, counts: np.ndarray, restart: np.ndarray) -> np.ndarray:
    """Return what the velocity filter says from a model that stands still, shape (bins, axes), dm/s."""
    history, n = History(model.regressors, model.n_units, model.bin_s), model.n_axes
    units = VelocityFilter(model, FILTER_CONSTANT_S, FILTER_SD_M_S, history=history.traces)
    said = np.empty((len(counts), n))
    for index, bin_counts in enumerate(np.asarray(counts, float)):
        if restart[index]:
            units.reset()
            history.traces[:] = 0.0
        units.set_position(*([0.0] * n))
        said[index] = units.predict(bin_counts)[n:] * DM_PER_M
        history.take(bin_counts)
    return said


def rate_of_memory(pilot: ReadoutPilot, bins: float) -> float:
    """Return the rate at which the fastest mode forgets k = 1 / bins per bin: ``s = k^2 / (m (1 - k))``."""
    gain = 1.0 / bins
    return gain**2 / (float(pilot.information.max()) * (1.0 - gain))


def weighed(
    observed: np.ndarray, told: np.ndarray, bin_s: float
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray, float]:
    """Return how observers encode a velocity: weights, noise, the learning rate, its covariance, the share of a bin.

    The rate is that of :mod:`bmi_runtime.calibration.readout` whose excess error, with the measured autocorrelation
    of the residuals, is `EXCESS_SHARE` of their variance; at most the one that remembers `SHORTEST_MEMORY_S`.

    Parameters
    ----------
    observed : ndarray, shape (bins, observers)
    told : ndarray, shape (bins, axes)
        The velocity, NaN where unknown.
    bin_s : float
    """
    known = np.isfinite(told).all(axis=1) & np.isfinite(observed).all(axis=1)
    regressors = np.hstack([np.ones((len(told), 1)), np.where(known[:, None], told, 0.0)])
    weights = np.linalg.lstsq(regressors[known], observed[known], rcond=None)[0]
    left = np.where(known[:, None], observed - regressors @ weights, np.nan)
    noise = left[known].T @ left[known] / max(int(known.sum()) - regressors.shape[1], 1)
    rests = np.ptp(observed[known], axis=0) == 0.0  # of an axis in which nothing moved
    noise[rests, rests] = UNKNOWN_NOISE
    spread = np.sqrt(np.maximum(noise.diagonal(), 1e-12))
    pilot = ReadoutPilot.measured(regressors, (left / spread)[:, ~rests], bin_s)
    rate = min(rate_for_excess(pilot, EXCESS_SHARE * pilot.noise), rate_of_memory(pilot, SHORTEST_MEMORY_S / bin_s))
    power = (regressors[known] ** 2).mean(axis=0)
    covariance = np.diag(steady_variance(np.maximum(power, 1e-12), rate))
    return weights, noise, rate, covariance, float(np.median(steady(pilot, rate).gain))
