"""The averaged closed forms against brute force: iterated recursions, high-precision roots, sums over bins."""

import mpmath
import numpy as np
import pytest
import scipy.linalg

from bmi_runtime.calibration import closed_form
from bmi_runtime.errors import BadInput

RATES = [5e-7, 5e-5, 5e-3, 5e-1, 50.0]


def brute_force_information(design):
    """Return M and N by a plain loop over bins."""
    d = design.weights.shape[1]
    mean, score = np.zeros((design.units, d, d)), np.zeros((design.units, d, d))
    for u in design.regressors:
        for unit, weights in enumerate(design.weights):
            if design.likelihood == "gaussian":
                w = 1 / design.noise_variance[unit]
                v = w
            else:
                w = np.exp(u @ weights) * design.bin_s
                v = w * (1 - w)
            mean[unit] += w * np.outer(u, u) / len(design.states)
            score[unit] += v * np.outer(u, u) / len(design.states)
    return mean, score


@pytest.mark.parametrize("name", ["gaussian_design", "poisson_design"])
def test_information_is_the_mean_over_bins(name, request):
    design = request.getfixturevalue(name)
    mean, score = brute_force_information(design)
    info = closed_form.information(design)
    np.testing.assert_allclose(info.mean, mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(info.score, score, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rate", RATES)
def test_filter_covariance_solves_the_averaged_riccati_equation(poisson_design, rate):
    info = closed_form.information(poisson_design)
    steady = closed_form.steady_state(info, rate).filter_covariance
    eye = np.eye(3)
    for s, m in zip(steady, info.mean):
        residual = np.linalg.inv(s) - np.linalg.inv(s + rate * eye) - m
        assert np.abs(residual).max() < 1e-8 * np.abs(np.linalg.inv(s)).max()


@pytest.mark.parametrize("rate", RATES)
def test_error_covariance_solves_its_lyapunov_equation(poisson_design, rate):
    """E = (I - SM) E (I - SM)' + S N S, by scipy's solver: six digits, also with the Bernoulli correction."""
    info = closed_form.information(poisson_design)
    steady = closed_form.steady_state(info, rate)
    for s, m, n, e in zip(steady.filter_covariance, info.mean, info.score, steady.error_covariance):
        expected = scipy.linalg.solve_discrete_lyapunov(np.eye(3) - s @ m, s @ n @ s)
        np.testing.assert_allclose(e, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("rate", [1e-12, *RATES, 1e9])
def test_closed_form_to_six_digits_against_high_precision(gaussian_design, rate):
    info = closed_form.information(gaussian_design)
    steady = closed_form.steady_state(info, rate)
    bins = closed_form.convergence_bins(steady)
    mpmath.mp.dps = 40
    for unit in range(gaussian_design.units):
        for mode in range(3):
            m, s = mpmath.mpf(float(info.eigenvalues[unit, mode])), mpmath.mpf(rate)
            p = (-s + mpmath.sqrt(s**2 + 4 * s / m)) / 2
            k = s / (s + p)
            c = mpmath.log(mpmath.mpf("0.05")) / mpmath.log(1 - k)
            assert steady.error_in_modes[unit, mode, mode] == pytest.approx(float(p / (2 - k)), rel=1e-9)
            assert bins[unit, mode] == pytest.approx(float(c), rel=1e-9)


@pytest.mark.parametrize("initial", [0.0, 1e-4, 0.03, 5.0, 1e6])
@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.3])
def test_convergence_time_from_any_initial_covariance(gaussian_design, initial, rate):
    """The scalar recursion p <- 1/(1/(p + s) + m), share <- share (1 - p m), bin by bin, crosses where we say."""
    info = closed_form.information(gaussian_design)
    steady = closed_form.steady_state(info, rate)
    start = closed_form.initial_in_modes(info, initial)
    bins = closed_form.convergence_bins(steady, 0.05, start)
    m = info.eigenvalues[1, 0]
    p, share, shares = initial, 1.0, [1.0]
    while share > 0.05:
        p = 1 / (1 / (p + rate) + m)
        share *= 1 - p * m
        shares.append(share)
    assert np.ceil(bins[1, 0]) == len(shares) - 1
    at = np.arange(len(shares))
    np.testing.assert_allclose(closed_form.remaining_share(steady, at, start)[1, 0], shares, rtol=1e-9)


def test_small_gain_limits(gaussian_design):
    """E is half the filter's covariance, E times C is ln(20)/(2m), and the named effect of the initial covariance."""
    info = closed_form.information(gaussian_design)
    steady = closed_form.steady_state(info, 1e-12)
    np.testing.assert_allclose(steady.error_covariance, steady.filter_covariance / 2, rtol=1e-5, atol=1e-12)
    bins = closed_form.convergence_bins(steady)
    error = np.diagonal(steady.error_in_modes, axis1=1, axis2=2)
    np.testing.assert_allclose(error * bins * info.eigenvalues, np.log(20) / 2, rtol=1e-5)
    kappa = np.sqrt(1e-12 * info.eigenvalues)
    cold = closed_form.convergence_bins(steady, 0.05, np.zeros_like(kappa))
    np.testing.assert_allclose(cold * kappa, np.arccosh(20), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.0, -1e-3, np.nan, np.inf])
def test_rates_that_cannot_be(gaussian_design, rate):
    with pytest.raises(BadInput, match="learning rate"):
        closed_form.steady_state(closed_form.information(gaussian_design), rate)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1, np.nan])
def test_thresholds_that_cannot_be(gaussian_design, threshold):
    steady = closed_form.steady_state(closed_form.information(gaussian_design), 1e-3)
    with pytest.raises(BadInput, match="threshold"):
        closed_form.convergence_bins(steady, threshold)
