"""Closed-loop adaptation methods, each against weighted least squares and a dense filter of its own."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from bmi_runtime.cli.compare_closed_loop import toward
from bmi_runtime.decoding import fitting, tables
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.recursive_likelihood import RecursiveLikelihood
from bmi_runtime.decoding.refit_kalman import RefitKalmanDecoder, intended
from bmi_runtime.decoding.smooth_batch import SmoothBatch

BIN_S = 0.5
UNITS = 7


def made(bins=400, seed=3):
    rng = np.random.default_rng(seed)
    velocity = np.zeros((bins, 2))
    for index in range(1, bins):
        velocity[index] = 0.8 * velocity[index - 1] + rng.normal(size=2)
    counts = rng.poisson(np.exp(1.0 + 0.3 * velocity @ rng.normal(size=(2, UNITS)))).astype(float)
    starts = np.zeros(bins, bool)
    starts[0] = True
    return Training(counts, np.hstack([np.cumsum(velocity, axis=0), velocity]), starts, starts, BIN_S)


@pytest.fixture
def parts():
    data = made()
    return data.part(slice(0, 150)), data.part(slice(150, None))


def weighted(counts, velocity, weight):
    """Weighted least squares by scikit-learn, and the weighted covariance of what it leaves."""
    fit = LinearRegression().fit(velocity, counts, weight)
    left = counts - fit.predict(velocity)
    return np.column_stack([fit.intercept_, fit.coef_]), (left * weight[:, None]).T @ left / weight.sum()


@pytest.mark.parametrize("half_life_s", [None, 25.0])
def test_recursive_maximum_likelihood_is_weighted_least_squares(parts, half_life_s):
    seed, control = parts
    decoder = fitting.fit_decoder("rml", seed, half_life_s=half_life_s)
    for counts, kinematics in zip(control.counts, control.kinematics, strict=True):
        decoder.adapt(counts, kinematics[2:])
    counts = np.vstack([seed.counts, control.counts])
    velocity = np.vstack([seed.kinematics, control.kinematics])[:, 2:]
    age_s = BIN_S * np.arange(len(counts))[::-1]
    tuning, noise = weighted(counts, velocity, 2.0 ** (-age_s / (half_life_s or 120.0)))
    np.testing.assert_allclose(decoder.tuning, tuning, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(decoder.noise, noise, rtol=1e-6, atol=1e-6)


def test_smooth_batch_averages_batches(parts):
    seed, control = parts
    decoder = SmoothBatch.fit(seed)
    length = round(SmoothBatch.BATCH_S / BIN_S)
    tuning, noise = weighted(seed.counts, seed.kinematics[:, 2:], np.ones(len(seed.counts)))
    kept = 2.0 ** (-SmoothBatch.BATCH_S / SmoothBatch.HALF_LIFE_S)
    for index, (counts, kinematics) in enumerate(zip(control.counts, control.kinematics, strict=True)):
        np.testing.assert_allclose(decoder.tuning, tuning, rtol=1e-6, atol=1e-7)
        decoder.adapt(counts, kinematics[2:])
        if (index + 1) % length == 0:
            batch = slice(index + 1 - length, index + 1)
            one, other = weighted(control.counts[batch], control.kinematics[batch, 2:], np.ones(length))
            tuning, noise = kept * tuning + (1 - kept) * one, kept * noise + (1 - kept) * other
    assert index > 2 * length
    np.testing.assert_allclose(decoder.noise, noise, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", tables.ADAPTED)
def test_they_decode_as_a_textbook_filter_of_what_they_know_now(parts, name):
    seed, control = parts
    decoder = fitting.fit_decoder(name, seed)
    velocity = seed.kinematics[:, 2:]
    centred = velocity - velocity.mean(axis=0)
    a = np.linalg.lstsq(centred[:-1], centred[1:], rcond=None)[0].T
    left = centred[1:] - centred[:-1] @ a.T
    w = left.T @ left / len(left)
    mean, covariance = np.zeros(2), np.zeros((2, 2))
    for counts, kinematics in zip(control.counts[:160], control.kinematics[:160], strict=True):
        c, q = decoder.tuning[:, 1:], decoder.noise
        mean, covariance = a @ mean, a @ covariance @ a.T + w
        gain = covariance @ c.T @ np.linalg.inv(c @ covariance @ c.T + q)
        mean = mean + gain @ (counts - decoder.tuning[:, 0] - c @ mean)
        covariance = covariance - gain @ c @ covariance
        np.testing.assert_allclose(decoder.predict(counts)[2:], mean, atol=2e-5)
        decoder.adapt(counts, kinematics[2:])


@pytest.mark.parametrize("name", tables.ADAPTED)
def test_they_follow_a_tuning_that_changes(parts, name):
    seed, _ = parts
    rng = np.random.default_rng(5)
    decoder = fitting.fit_decoder(name, seed)
    tuning = rng.normal(size=(UNITS, 2))
    before = np.abs(decoder.tuning[:, 1:] - tuning).max()
    for _ in range(1500):
        velocity = rng.normal(size=2)
        decoder.adapt(5.0 + tuning @ velocity + 0.1 * rng.normal(size=UNITS), velocity)
    assert np.abs(decoder.tuning[:, 1:] - tuning).max() < 0.15 * before


def test_silent_units_are_left_out_and_the_seed_is_turned_to_the_targets(parts):
    seed, _ = parts
    silent = np.hstack([seed.counts, np.zeros((len(seed.counts), 1))])
    rng = np.random.default_rng(7)
    targets = np.column_stack([rng.normal(scale=30, size=(len(silent), 2)), np.full(len(silent), 0.5)])
    data = dataclasses.replace(seed, counts=silent, targets=targets)
    decoder = RecursiveLikelihood.fit(data)
    assert decoder.units.tolist() == list(range(UNITS))
    turned = dataclasses.replace(intended(data), targets=None)
    np.testing.assert_array_equal(decoder.tuning, RecursiveLikelihood.fit(turned).tuning)
    np.testing.assert_array_equal(RefitKalmanDecoder.fit(data).observation, RefitKalmanDecoder.fit(turned).observation)
    assert np.isfinite(decoder.predict(silent[0])[2:]).all()


def test_intentions_point_at_the_target_and_rest_in_it():
    seen = np.array([0.0, 0.0, 0.0, -2.0])
    np.testing.assert_allclose(toward(seen, np.array([3.0, 4.0, 1.0])), [1.2, 1.6])
    np.testing.assert_array_equal(toward(seen, np.array([0.3, 0.4, 1.0])), [0.0, 0.0])
