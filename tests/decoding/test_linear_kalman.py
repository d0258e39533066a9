import numpy as np
import pytest
import scipy.linalg

from bmi_runtime.decoding.linear_kalman import LinearKalmanDecoder, steady_state
from bmi_runtime.errors import BadInput


@pytest.fixture
def model():
    rng = np.random.default_rng(5)
    transition = np.array([[0.9, 0.1], [-0.05, 0.85]])
    observation = rng.normal(size=(6, 2))
    root = rng.normal(size=(6, 6))
    return transition, observation, np.diag([0.3, 0.2]), root @ root.T + np.eye(6)


def test_riccati_agrees_with_scipy(model):
    transition, observation, q, r = model
    steady = steady_state(*model)
    expected = scipy.linalg.solve_discrete_are(transition.T, observation.T, q, r)
    np.testing.assert_allclose(steady.predicted_covariance, expected, rtol=1e-11)
    joseph = np.eye(2) - steady.gain @ observation
    covariance = joseph @ expected @ joseph.T + steady.gain @ r @ steady.gain.T
    np.testing.assert_allclose(steady.covariance, covariance, rtol=1e-10)


def test_decoder_is_the_textbook_filter_once_settled(model):
    transition, observation, q, r = model
    rng = np.random.default_rng(6)
    drift, baseline, unit_mean = rng.normal(size=2), rng.normal(size=6), rng.normal(size=9)
    projection = rng.normal(size=(6, 9))
    decoder = LinearKalmanDecoder.from_model(
        *model, drift=drift, baseline=baseline, projection=projection, unit_mean=unit_mean
    )
    mean, covariance = np.zeros(2), np.eye(2)
    for index in range(200):
        counts = rng.poisson(3.0, 9).astype(float)
        predicted, spread = transition @ mean + drift, transition @ covariance @ transition.T + q
        gain = spread @ observation.T @ np.linalg.inv(observation @ spread @ observation.T + r)
        mean = predicted + gain @ (projection @ (counts - unit_mean) - observation @ predicted - baseline)
        covariance = spread - gain @ observation @ spread
        decoded = decoder.predict(counts)[2:]
        if index >= 100:
            np.testing.assert_allclose(decoded, mean, rtol=1e-9, atol=1e-9)


def test_position_is_the_integral_and_reset_forgets():
    decoder = LinearKalmanDecoder([1.0, -1.0], 0.5 * np.eye(2), np.zeros((2, 3)), position_scale=0.1)
    first = decoder.predict(np.zeros(3))
    second = decoder.predict(np.zeros(3))
    np.testing.assert_allclose(first, [0.1, -0.1, 1.0, -1.0])
    np.testing.assert_allclose(second, [0.25, -0.25, 1.5, -1.5])
    decoder.reset()
    np.testing.assert_array_equal(decoder.predict(np.zeros(3)), first)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({1: np.ones((6, 3))}, "C has the shape"),
        ({3: np.zeros((6, 6))}, "R is not a covariance"),
        ({2: np.array([[1.0, 2.0], [0.0, 1.0]])}, "Q is not a covariance"),
        ({0: np.full((2, 2), np.nan)}, "A holds a value that is not finite"),
    ],
)
def test_impossible_models_are_refused(model, change, words):
    with pytest.raises(BadInput, match=words):
        steady_state(*[change.get(index, value) for index, value in enumerate(model)])


def test_shapes_of_given_steps_are_checked():
    with pytest.raises(BadInput, match="M1 and M2"):
        LinearKalmanDecoder([0.0, 0.0], np.eye(3), np.ones((2, 5)))
