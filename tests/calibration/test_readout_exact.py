"""The exact recursion of the read-out's excess error against filters that were run, and against the closed form."""

import numpy as np
import pytest
import scipy.signal

from bmi_runtime.calibration.readout import ReadoutPilot, steady
from bmi_runtime.calibration.readout_exact import Residual, excess_along
from bmi_runtime.decoding.adaptive_readout import steady_covariance
from bmi_runtime.kernels import readout


def coloured(rng, shape, keep):
    white = np.sqrt(1.0 - keep**2) * rng.standard_normal(shape)
    return scipy.signal.lfilter([1.0], [1.0, -keep], white, axis=0)


def simulated_excess(features, residuals, rate, covariance):
    """Run the filter taught by every residual (bins, runs); return the mean squared error of its read-out per bin."""
    weights = np.zeros((features.shape[1], residuals.shape[1]))
    own, work, found = covariance.copy(), np.zeros(features.shape[1]), np.empty(len(features))
    for t, g in enumerate(features):
        found[t] = ((g @ weights) ** 2).mean()
        readout.teach(g, residuals[t], rate, 1.0, weights, own, work)
    return found


@pytest.mark.parametrize("rate", [1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("keep", [0.0, 0.8])
def test_the_recursion_is_what_filters_cost(rate, keep):
    rng = np.random.default_rng(1)
    features = np.hstack([np.ones((1500, 1)), coloured(rng, (1500, 4), 0.9)])
    covariance = steady_covariance(np.ones(5), 1.0, rate)
    residuals = coloured(rng, (1500, 600), keep)
    expected = excess_along(features, Residual.measured(coloured(rng, (60000, 1), keep)), rate, covariance)
    found = simulated_excess(features, residuals, rate, covariance)
    assert expected[1000:].mean() == pytest.approx(found[1000:].mean(), rel=0.1)
    assert expected[0] == 0.0 and expected[200:300].mean() == pytest.approx(found[200:300].mean(), rel=0.25)


def test_for_slow_rates_it_is_the_closed_form():
    rng = np.random.default_rng(2)
    features = np.hstack([np.ones((6000, 1)), coloured(rng, (6000, 3), 0.5)])
    pilot = ReadoutPilot.measured(features, rng.standard_normal((6000, 2)), 0.05)
    exact = excess_along(features, Residual.measured(rng.standard_normal((60000, 1))), 1e-5, np.eye(4) * 3e-3)
    assert exact[4000:].mean() == pytest.approx(steady(pilot, 1e-5).excess, rel=0.15)


def test_too_little_is_said():
    with pytest.raises(ValueError, match="too few for the autocovariance of 12 lags"):
        Residual.measured(np.zeros((50, 2)))
