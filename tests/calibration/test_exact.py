"""The exact recursion against a plain numpy loop run to its steady state."""

import numpy as np
import pytest

from bmi_runtime.calibration import exact_recursion as exact_module
from bmi_runtime.calibration.closed_form import convergence_bins, information, steady_state
from bmi_runtime.calibration.exact_recursion import (
    alike_bins,
    exact_convergence_bins,
    exact_steady_state,
    pack,
    solve_lyapunov,
    unpack,
)


def weights_per_bin(design, unit):
    """Return the information scalar and score variance of every bin."""
    if design.likelihood == "gaussian":
        w = np.full(len(design.states), 1 / design.noise_variance[unit])
        return w, w
    w = np.exp(design.regressors @ design.weights[unit]) * design.bin_s
    return w, w * (1 - w) if design.counts == "bernoulli" else w


def one_bin(s, u, w, rate):
    """Return the filter's covariance after a bin (information form) and the mean error's transition."""
    s = np.linalg.inv(np.linalg.inv(s + rate * np.eye(len(u))) + w * np.outer(u, u))
    return s, np.eye(len(u)) - w * np.outer(s @ u, u)


def plain_steady_state(design, unit, rate, start, periods):
    """Run filter and error covariance bin by bin; return the mean of E over the last period and the last S."""
    w, v = weights_per_bin(design, unit)
    s = e = start
    for _ in range(periods):
        total = np.zeros_like(s)
        for t, u in enumerate(design.regressors):
            s, left = one_bin(s, u, w[t], rate)
            e = left @ e @ left.T + v[t] * np.outer(s @ u, s @ u)
            total += e
    return total / len(w), s


@pytest.mark.parametrize("rate", [5e-5, 5e-3, 5e-1])
def test_gaussian_against_a_plain_loop(gaussian_design, rate):
    closed = steady_state(information(gaussian_design), rate)
    exact = exact_steady_state(gaussian_design, closed)
    for unit in (1, 3):
        error, s = plain_steady_state(gaussian_design, unit, rate, closed.filter_covariance[unit], 14)
        np.testing.assert_allclose(exact.error_covariance[unit], error, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(exact.filter_covariance[unit], s, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("counts", ["bernoulli", "poisson"])
def test_poisson_against_a_plain_loop(poisson_design, counts):
    design = poisson_design.replaced(counts=counts, states=poisson_design.states[::5])
    closed = steady_state(information(design), 1e-3)
    exact = exact_steady_state(design, closed)
    error, s = plain_steady_state(design, 1, 1e-3, closed.filter_covariance[1], 8)
    np.testing.assert_allclose(exact.error_covariance[1], error, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(exact.filter_covariance[1], s, rtol=1e-6, atol=1e-8)


def test_closed_form_is_the_limit_of_small_rates(gaussian_design, poisson_design):
    for design, rate in ((gaussian_design, 1e-9), (poisson_design, 1e-9)):
        closed = steady_state(information(design), rate)
        exact = exact_steady_state(design, closed)
        scale = np.abs(exact.error_covariance).max()
        np.testing.assert_allclose(closed.error_covariance, exact.error_covariance, rtol=1e-3, atol=1e-3 * scale)


def test_closed_form_departs_where_it_should(gaussian_design):
    """The averaged form is not made to fit: at s = 5e-1 the baseline's variance is off by tens of percent."""
    closed = steady_state(information(gaussian_design), 0.5)
    exact = exact_steady_state(gaussian_design, closed)
    assert abs(closed.error_covariance[0, 1, 1] / exact.error_covariance[0, 1, 1] - 1) > 0.05


@pytest.mark.parametrize("initial", [None, 0.01])
def test_mean_error_crossing_against_a_plain_loop(gaussian_design, initial):
    closed = steady_state(information(gaussian_design), 5e-4)
    exact = exact_steady_state(gaussian_design, closed)
    bins = exact_convergence_bins(gaussian_design, exact, closed, convergence_bins(closed), 0.05, initial)
    unit = 2
    w, _ = weights_per_bin(gaussian_design, unit)
    for mode in range(3):
        s = exact.filter_covariance[unit] if initial is None else initial * np.eye(3)
        error, t = closed.information.directions[unit, :, mode], 0
        while np.linalg.norm(error) > 0.05:
            s, left = one_bin(s, gaussian_design.regressors[t % len(w)], w[t % len(w)], 5e-4)
            error, t = left @ error, t + 1
        assert t - 1 < bins[unit, mode] <= t


@pytest.mark.parametrize("counts", ["bernoulli", "poisson"])
def test_one_bin_for_several_short_ones_says_the_same(poisson_design, counts, monkeypatch):
    monkeypatch.setattr(exact_module, "LEAST_COARSE_BINS", 100)
    design = poisson_design.replaced(counts=counts)
    closed = steady_state(information(design), 1e-7)
    every, bins = alike_bins(design, closed), convergence_bins(closed)
    assert every == 4  # of 5 ms in 20 ms
    assert alike_bins(design, steady_state(information(design), 1e-2)) == 1  # these forget within
    plain, coarse = (exact_steady_state(design, closed, n) for n in (1, every))
    for name in ("error_covariance", "filter_covariance"):
        np.testing.assert_allclose(getattr(coarse, name), getattr(plain, name), rtol=2e-3, atol=1e-7)
    times = (exact_convergence_bins(design, plain, closed, bins, 0.05, None, n) for n in (1, every))
    np.testing.assert_allclose(*times, rtol=5e-3)


def test_pack_and_unpack_are_inverse():
    rng = np.random.default_rng(5)
    half = rng.normal(size=(3, 4, 4))
    full = half + np.swapaxes(half, 1, 2)
    np.testing.assert_array_equal(unpack(pack(full)), full)
    np.testing.assert_array_equal(pack(full)[:3, 1], [full[1, 0, 0], full[1, 1, 0], full[1, 1, 1]])


def test_lyapunov_by_doubling():
    rng = np.random.default_rng(6)
    left = 0.6 * np.linalg.qr(rng.normal(size=(2, 3, 3)))[0]
    half = rng.normal(size=(2, 3, 3))
    constant = half @ np.swapaxes(half, 1, 2)
    x = solve_lyapunov(left, constant)
    np.testing.assert_allclose(left @ x @ np.swapaxes(left, 1, 2) + constant, x, rtol=1e-12)


def test_a_crossing_beyond_the_search_is_not_a_number(gaussian_design, monkeypatch):
    """Rates so slow that the exact crossing is out of reach answer at once, without a made-up time."""
    monkeypatch.setattr(exact_module, "MOST_BINS", 1000)
    closed = steady_state(information(gaussian_design), 1e-14)
    exact = exact_steady_state(gaussian_design, closed)
    bins = exact_convergence_bins(gaussian_design, exact, closed, convergence_bins(closed), 0.05, None)
    assert np.isnan(bins).all()
