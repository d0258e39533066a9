"""The first spikes of a unit of which nothing is known: the posterior's mode, not Newton's first step."""

import numpy as np
import pytest
from scipy.optimize import brentq

from bmi_runtime import config as configuration
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.encoding.regressors import History, Regressors


def updated(sd, count, velocity=(0.1, 0.05)):
    model = EncodingModel.untrained(np.array([10.0]), "poisson", 0.005, sd)
    prior = model.dense_covariance()[0]
    Adapter(model, 0.0).update(np.array([float(count)]), np.ones(1), *velocity)
    u = np.array([1.0, 10 * velocity[0], 10 * velocity[1]])
    return model, prior, u


@pytest.mark.parametrize("sd", [4.0, 5.0, 8.0, 30.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_weights_go_to_the_mode_and_the_covariance_is_that_there(sd, count):
    model, prior, u = updated(sd, count)
    spread, w = u @ prior @ u, 10.0 * 0.005
    alpha = brentq(lambda a: a - count + w * np.exp(a * spread), 0.0, np.log(count / w) / spread, xtol=1e-15)
    expected = np.array([np.log(10.0), 0.0, 0.0]) + prior @ u * alpha
    np.testing.assert_allclose(model.weights[:, 0], expected, rtol=1e-9, atol=1e-9)
    rate = w * np.exp(alpha * spread)
    covariance = np.linalg.inv(np.linalg.inv(prior) + rate * np.outer(u, u))
    np.testing.assert_allclose(model.dense_covariance()[0], covariance, rtol=1e-6, atol=1e-9 * sd * sd)
    assert rate <= count


def test_a_unit_that_is_not_so_uncertain_takes_the_step_of_before():
    model, prior, u = updated(0.5, 3)
    spread, w = u @ prior @ u, 10.0 * 0.005
    step = (3 - w) / (1 + w * spread)
    np.testing.assert_allclose(model.weights[1:, 0], (prior @ u * step)[1:], rtol=1e-12)


@pytest.mark.parametrize("sd", [0.3, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("count", [0, 1, 12])
def test_a_rate_predicted_far_too_high_comes_down_to_the_mode_and_counts_as_what_it_is_there(sd, count):
    model = EncodingModel.untrained(np.array([2e6]), "poisson", 0.05, sd)  # 100,000 spikes expected in a bin
    prior, u = model.dense_covariance()[0], np.array([1.0, 1.0, 0.5])
    Adapter(model, 0.0).update(np.array([float(count)]), np.ones(1), 0.1, 0.05)
    spread, w = u @ prior @ u, 1e5
    alpha = brentq(lambda a: a - count + w * np.exp(a * spread), -200.0 / spread, 0.0, xtol=1e-16, rtol=1e-15)
    expected = np.array([np.log(2e6), 0.0, 0.0]) + prior @ u * alpha
    np.testing.assert_allclose(model.weights[:, 0], expected, rtol=1e-7, atol=1e-7)
    rate = w * np.exp(alpha * spread)
    covariance = np.linalg.inv(np.linalg.inv(prior) + rate * np.outer(u, u))
    np.testing.assert_allclose(model.dense_covariance()[0], covariance, rtol=1e-5, atol=1e-7 * sd * sd)
    assert 0.0 < rate < count + 20.0 / spread


def test_a_prediction_that_is_high_but_not_absurd_takes_newtons_step():
    model = EncodingModel.untrained(np.array([200.0]), "poisson", 0.05, 0.3)  # 10 expected
    prior, u = model.dense_covariance()[0], np.array([1.0, 1.0, 0.5])
    Adapter(model, 0.0).update(np.zeros(1), np.ones(1), 0.1, 0.05)
    step = -10.0 / (1.0 + 10.0 * (u @ prior @ u))
    np.testing.assert_allclose(model.weights[1:, 0], (prior @ u * step)[1:], rtol=1e-12)


@pytest.mark.parametrize("names", [("velocity", "history"), ("velocity", "position", "history")])
def test_units_that_burst_in_wide_bins_learn_their_own_past_from_nothing(names):
    rng, bin_s, units = np.random.default_rng(3), 0.07, 40
    regressors = Regressors(2, names, (0.05, 0.2))
    model = EncodingModel.untrained(np.full(units, 60.0), "poisson", bin_s, 1.0, regressors=regressors)
    adapter, history = Adapter(model, 0.0), History(regressors, units, bin_s)
    adapter.history = history.traces
    velocity, mean, misses = np.zeros(2), rng.uniform(0.3, 8.0, units), []
    for k in range(1500):
        velocity = 0.9 * velocity + 0.04 * rng.standard_normal(2)
        counts = rng.poisson(mean * (0.2 if k % 20 < 10 else 1.8)).astype(float)
        adapter.learn(counts, np.ones(units), velocity.tolist(), [0.1, 0.1], 0.0)
        history.take(counts)
        if k >= 500:
            misses.append(adapter.innovation**2)
    constant_rate = mean + 0.64 * mean**2  # misses by the count's variance
    assert (np.mean(misses, axis=0) < 1.2 * constant_rate).all()


def test_recordings_from_before_learn_as_they_did():
    assert configuration.load(None).adapter.large_steps == "mode"
    assert configuration.as_recorded({"adapter": {"rate_search": True}})["adapter"]["large_steps"] == "newton"
    model = EncodingModel.untrained(np.array([2e6]), "poisson", 0.05, 1.0)
    u, spread, w = np.array([1.0, 1.0, 0.5]), 2.25, 1e5
    Adapter(model, 0.0, "newton").update(np.zeros(1), np.ones(1), 0.1, 0.05)
    np.testing.assert_allclose(model.weights[1:, 0], (-w / (1.0 + w * spread) * u)[1:], rtol=1e-12)
