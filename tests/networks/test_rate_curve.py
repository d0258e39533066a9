"""The f-I curve against high-precision quadrature, over the whole range."""

import mpmath
import numpy as np
import pytest

from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.errors import BadInput


def siegert(input_mv, neuron):
    """Return Siegert's rate and slope by 30-digit quadrature of the textbook integrand."""
    with mpmath.workdps(30):
        tau, refractory, threshold, reset, sigma, mean = (mpmath.mpf(float(x)) for x in (*neuron.arguments, input_mv))
        low, high = (reset - mean) / sigma, (threshold - mean) / sigma

        def density(x):
            return mpmath.exp(x * x) * (1 + mpmath.erf(x)) if x > -3 else mpmath.exp(x * x) * mpmath.erfc(-x)

        pieces = min(40, 1 + int((high - low) * max(abs(low), abs(high), 1) / 8))
        integral = mpmath.quad(density, mpmath.linspace(low, high, pieces + 1))
        scale = tau * mpmath.sqrt(mpmath.pi)
        rate = 1 / (refractory + scale * integral)
        return rate, rate**2 * scale / sigma * (density(high) - density(low))


NEURONS = {
    "standard": LIFNeuron(),
    "little noise": LIFNeuron(v_reset_mv=-47, sigma_mv=0.8),
    "no refractory time": LIFNeuron(refractory_ms=0),
    "reset near threshold": LIFNeuron(tau_ms=10, v_threshold_mv=-50, v_reset_mv=-50.1, sigma_mv=8),
    "much noise": LIFNeuron(v_threshold_mv=20, v_reset_mv=10, sigma_mv=300),
}


@pytest.mark.parametrize("name", NEURONS)
def test_rate_and_slope_agree_with_quadrature(name):
    neuron = NEURONS[name]
    threshold, sigma = neuron.v_threshold_mv, neuron.sigma_mv
    inputs = threshold + sigma * np.concatenate([np.linspace(-8.4, 8, 12), [30.0, 1000.0]])
    rates, slopes = neuron.rate_and_slope(inputs)
    for mean, rate, slope in zip(inputs, rates, slopes):
        true_rate, true_slope = siegert(mean, neuron)
        assert abs(rate / true_rate - 1) < 1e-11
        assert abs(slope / true_slope - 1) < 1e-10


def test_the_range_runs_from_1e_33_to_saturation():
    neuron = LIFNeuron()
    rates = neuron.rate_hz(np.array([-90.0, 1e6]))
    assert 1e-36 < rates[0] < 1e-32
    assert rates[1] == pytest.approx(neuron.saturation_hz, rel=1e-3)


def test_far_below_threshold_the_rate_is_zero():
    neuron = LIFNeuron()
    rate, slope = neuron.rate_and_slope(np.array([-1e4]))
    assert rate[0] == 0 and slope[0] == 0


def test_rate_rises_everywhere():
    rates = LIFNeuron().rate_hz(np.linspace(-110, 400, 20001))
    assert (np.diff(rates) > 0).all()


def test_steepest_point_beats_a_fine_grid():
    for neuron in NEURONS.values():
        where, value = neuron.steepest
        grid = neuron.v_threshold_mv + np.linspace(-40, 200, 40001)
        assert neuron.rate_and_slope(grid)[1].max() <= value * (1 + 1e-12)
        if np.isfinite(where):
            assert neuron.rate_and_slope(np.array([where]))[1][0] == pytest.approx(value)


def test_without_refractory_time_and_little_noise_the_slope_peaks_above_its_asymptote():
    neuron = LIFNeuron(refractory_ms=0, sigma_mv=1)
    assert neuron.steepest[1] > 1e3 / (20 * 15)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sigma_mv": 0.0}, "slope of the f-I curve is unbounded at threshold"),
        ({"sigma_mv": np.nan}, "sigma_mv must be one finite number"),
        ({"v_reset_mv": -45.0}, "must lie below"),
        ({"tau_ms": 0}, "must be positive"),
        ({"refractory_ms": -1}, "cannot be negative"),
    ],
)
def test_impossible_neurons_are_refused(change, words):
    with pytest.raises(BadInput, match=words):
        LIFNeuron(**change)
