"""The kernels of the joined decoder against the formula written out."""

import numpy as np
import pytest

from bmi_runtime.kernels import observers


@pytest.mark.parametrize(("axes", "observers_", "precision"), [(1, 2, 0.0), (2, 4, 0.5), (3, 6, 2.0), (8, 16, 1e-3)])
def test_inverting_is_the_formula(axes, observers_, precision):
    rng = np.random.default_rng(axes)
    weights, half = rng.standard_normal((1 + axes, observers_)), rng.standard_normal((observers_, observers_))
    noise, observed = half @ half.T + np.eye(observers_), rng.standard_normal(observers_)
    velocity, variance = np.zeros(axes), np.zeros(axes)
    work, system = np.zeros((observers_, observers_ + axes + 1)), np.zeros((axes, 2 * axes + 1))
    observers.invert_observers(weights, noise, precision, observed, work, system, velocity, variance)
    encoding, inverse = weights[1:].T, np.linalg.inv(noise)
    covariance = np.linalg.inv(encoding.T @ inverse @ encoding + precision * np.eye(axes))
    np.testing.assert_allclose(velocity, covariance @ encoding.T @ inverse @ (observed - weights[0]), rtol=1e-6)
    np.testing.assert_allclose(variance, covariance.diagonal(), rtol=1e-6)


def test_without_a_prior_the_inverse_is_unbiased_given_the_velocity():
    rng = np.random.default_rng(0)
    weights = np.array([[0.2, -0.1, 0.0, 0.3], [0.7, 0.1, 1.0, 0.0], [0.0, 0.8, -0.1, 0.9]])
    noise = np.diag([0.3, 0.4, 1.0, 1.0])
    true = np.array([1.5, -0.7])
    velocity, variance = np.zeros(2), np.zeros(2)
    work, system, total = np.zeros((4, 7)), np.zeros((2, 5)), np.zeros(2)
    for _ in range(20000):
        observed = weights[0] + true @ weights[1:] + np.sqrt(noise.diagonal()) * rng.standard_normal(4)
        observers.invert_observers(weights, noise, 0.0, observed, work, system, velocity, variance)
        total += velocity
    np.testing.assert_allclose(total / 20000, true, atol=4.0 * np.sqrt(variance.max() / 20000))


def test_the_noise_follows_the_residuals():
    rng = np.random.default_rng(1)
    weights, features = rng.standard_normal((3, 4)), np.ones(3)
    half = rng.standard_normal((4, 4))
    wanted, noise = half @ half.T, np.eye(4)
    for _ in range(40000):
        features[1:] = rng.standard_normal(2)
        observed = features @ weights + half @ rng.standard_normal(4)
        observers.watch_noise(features, observed, weights, 1e-3, noise, np.zeros(4))
    np.testing.assert_allclose(noise, wanted, atol=0.12 * wanted.diagonal().max())


def test_nothing_is_divided_by_nothing():
    velocity, variance = np.zeros(2), np.zeros(2)
    arguments = (np.zeros((3, 4)), np.zeros((4, 4)), 0.0, np.zeros(4), np.zeros((4, 7)), np.zeros((2, 5)))
    observers.invert_observers(*arguments, velocity, variance)
    assert np.isfinite(velocity).all()
