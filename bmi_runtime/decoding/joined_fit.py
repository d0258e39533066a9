"""The joined decoder is fitted: the units' tuning, how both observers encode the velocity, and the learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.calibration.readout import ReadoutPilot, rate_for_excess, steady
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.decoding.adaptive_decoders import poisson_tuning
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.network_mixture import NetworkMixture
from bmi_runtime.decoding.short_history import ShortHistoryDecoder
from bmi_runtime.decoding.velocity_filter import VelocityFilter
from bmi_runtime.encoding.model import EncodingModel, pair_indices

FILTER_CONSTANT_S = 0.12  # of the units' filter; what it leaves of a longer memory is lag
FILTER_SD_M_S = 0.15  # of its velocity prior
LOOP_SD_DM_S = 2.0
"""Of the velocity prior in a loop: less slows the cursor down, more lets noise through (docs/compare.md)."""
EXCESS_SHARE = 0.01
"""What adaptation of the observers may cost: excess squared error over their noise variance, for good."""
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
    before = tuned_model(training.counts[:first], meant[:first], whole, training.bin_s)
    heard = filtered(before, training.counts[first:], training.restart[first:])
    said = (validation.states[:, training.n_axes :] - mean) / unit
    observed, told = np.hstack([heard, said]), meant[first:]
    weights, noise, rate, covariance, of_a_bin = weighed(observed, told, training.bin_s)
    model = tuned_model(training.counts, meant, whole, training.bin_s)
    share = np.full(training.n_axes, 1.0 if precision else 0.0)  # on recordings it costs more than it gains
    return {
        "unit_weights": model.weights, "unit_covariance": model.covariance, "unit_noise": model.noise_variance,
        "poisson": int(whole), "observer_weights": weights, "observer_covariance": covariance,
        "observer_noise": noise, "rate": rate, "noise_share": of_a_bin,
        "precision": precision or 1.0 / told_variance(meant[known]), "mean": mean, "unit": unit,
        "bin_s": training.bin_s, "share": share,
    }  # fmt: skip


def told_variance(meant: np.ndarray) -> float:
    """Return the variance of the velocity, mean of its axes, (dm/s)^2."""
    return max(float((meant**2).mean()), 1e-12)


def tuned_model(counts: np.ndarray, meant: np.ndarray, whole: bool, bin_s: float) -> EncodingModel:
    """Return the units' encoding model by maximum likelihood, with the covariance that the data leave.

    Parameters
    ----------
    counts : ndarray, shape (bins, units)
    meant : ndarray, shape (bins, axes)
        Velocity in dm/s, NaN where unknown.
    whole : bool
        Poisson, or Gaussian where counts are no whole numbers.
    bin_s : float
    """
    known = np.isfinite(meant).all(axis=1)
    counts, regressors = counts[known], np.hstack([np.ones((int(known.sum()), 1)), meant[known]])
    d = regressors.shape[1]
    if whole:
        weights = poisson_tuning(counts, meant[known])
        expected = np.exp(np.clip(regressors @ weights, -30.0, 10.0))
        weights[0] -= np.log(bin_s)
        noise = np.ones(counts.shape[1])
    else:
        weights = np.linalg.lstsq(regressors, counts, rcond=None)[0]
        noise = np.maximum(((counts - regressors @ weights) ** 2).mean(axis=0), 1e-12)
        expected = np.ones_like(counts) / noise
    information = np.einsum("ti,tn,tj->nij", regressors, expected, regressors, optimize=True)
    dense = np.linalg.inv(information + 1e-2 * np.eye(d))
    rows, columns = pair_indices(d)
    return EncodingModel(weights, dense[:, rows, columns].T, "poisson" if whole else "gaussian", bin_s, noise)


def filtered(model: EncodingModel, counts: np.ndarray, restart: np.ndarray) -> np.ndarray:
    """Return what the velocity filter says from a model that stands still, shape (bins, axes), dm/s."""
    units, n = VelocityFilter(model, FILTER_CONSTANT_S, FILTER_SD_M_S), model.n_axes
    said = np.empty((len(counts), n))
    for index, bin_counts in enumerate(np.asarray(counts, float)):
        if restart[index]:
            units.reset()
        units.set_position(*([0.0] * n))
        said[index] = units.predict(bin_counts)[n:] * DM_PER_M
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
    spread = np.sqrt(np.maximum(noise.diagonal(), 1e-12))
    pilot = ReadoutPilot.measured(regressors, left / spread, bin_s)
    rate = min(rate_for_excess(pilot, EXCESS_SHARE * pilot.noise), rate_of_memory(pilot, SHORTEST_MEMORY_S / bin_s))
    power = (regressors[known] ** 2).mean(axis=0)
    covariance = np.diag(0.5 * (-rate + np.sqrt(rate**2 + 4.0 * rate / np.maximum(power, 1e-12))))
    return weights, noise, rate, covariance, float(np.median(steady(pilot, rate).gain))
