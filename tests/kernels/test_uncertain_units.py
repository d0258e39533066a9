"""The first spikes of a unit of which nothing is known: the posterior's mode, not Newton's first step."""

import numpy as np
import pytest
from scipy.optimize import brentq

from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel


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
