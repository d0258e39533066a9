"""Backward against bisection of the forward map, and the wishes that cannot be met."""

import numpy as np
import pytest
import scipy.optimize

from bmi_runtime.calibration import closed_form, inverse, solve
from bmi_runtime.errors import BadInput


def bisect(forward, wanted):
    """Return the rate at which a monotone forward map takes a value, by Brent's method in the logarithm."""
    log_rate = scipy.optimize.brentq(lambda x: np.log(forward(np.exp(x)) / wanted), -40, 20, xtol=1e-13)
    return np.exp(log_rate)


@pytest.mark.parametrize("name", ["gaussian_design", "poisson_design"])
@pytest.mark.parametrize("bound", [1e-4, 1e-2, 0.2])
def test_error_bound_inverts_the_forward_map(name, bound, request):
    design = request.getfixturevalue(name)
    info = closed_form.information(design)
    answer = inverse.rate_for_error(design, info, bound)

    def forward(rate):
        return np.linalg.eigvalsh(closed_form.steady_state(info, rate).error_covariance).max()

    assert answer.learning_rate == pytest.approx(bisect(forward, bound), rel=1e-8)
    at_bound = closed_form.steady_state(info, answer.learning_rate).largest_error
    assert at_bound.argmax() == answer.binding_unit
    assert at_bound.max() == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("initial", [None, 1e-5, 1e-3])
@pytest.mark.parametrize("name", ["gaussian_design", "poisson_design"])
def test_convergence_bound_inverts_the_forward_map(name, initial, request):
    design = request.getfixturevalue(name)
    info = closed_form.information(design)
    start = closed_form.initial_in_modes(info, initial)
    answer = inverse.rate_for_convergence(design, info, 20.0, initial_covariance=initial)

    def forward(rate):
        return closed_form.convergence_bins(closed_form.steady_state(info, rate), 0.05, start).max() * design.bin_s

    assert answer.learning_rate == pytest.approx(bisect(forward, 20.0), rel=1e-8)
    assert answer.per_unit.argmax() == answer.binding_unit


def test_the_noisiest_unit_binds(gaussian_design):
    """Unit 3 has the largest noise variance, hence the least information."""
    info = closed_form.information(gaussian_design)
    assert inverse.rate_for_error(gaussian_design, info, 0.01).binding_unit == 3
    assert inverse.rate_for_convergence(gaussian_design, info, 30.0).binding_unit == 3


def test_both_bounds(gaussian_design):
    info = closed_form.information(gaussian_design)
    error = inverse.rate_for_error(gaussian_design, info, 0.1)
    answer = inverse.answer_wish(gaussian_design, info, 0.1, 60.0)
    assert answer.learning_rate == error.learning_rate
    with pytest.raises(BadInput, match=r"no rate does both: error variance 0.001 takes \d+ s \(unit 3 binds\)"):
        inverse.answer_wish(gaussian_design, info, 0.001, 5.0)


@pytest.mark.parametrize("bound", [0.0, -1.0, np.nan, np.inf])
def test_bounds_that_are_no_numbers(gaussian_design, bound):
    info = closed_form.information(gaussian_design)
    with pytest.raises(BadInput, match="error bound"):
        inverse.rate_for_error(gaussian_design, info, bound)
    with pytest.raises(BadInput, match="convergence time"):
        inverse.rate_for_convergence(gaussian_design, info, bound)


def test_wishes_without_an_answer(gaussian_design, poisson_design):
    for design in (gaussian_design, poisson_design):
        info = closed_form.information(design)
        with pytest.raises(BadInput, match="every rate keeps"):
            inverse.rate_for_error(design, info, 1e4)
        with pytest.raises(BadInput, match="once a bin"):
            inverse.rate_for_convergence(design, info, design.bin_s / 2)
        with pytest.raises(BadInput, match="rate of zero"):
            inverse.rate_for_convergence(design, info, 1e4, initial_covariance=100.0)


def test_solver_reports_unreachable_ends(gaussian_design):
    """From no uncertainty at all, no rate converges in fewer than about two bins: infinity, not a made-up rate."""
    info = closed_form.information(gaussian_design)
    rates = inverse._solve(lambda rate: np.full(4, 2.0), 1.0, info, rising=False)
    assert np.all(np.isinf(rates))
    rates = inverse._solve(lambda rate: np.full(4, 0.5), 1.0, info, rising=False)
    assert np.all(rates == 0)


@pytest.mark.parametrize("rising", [True, False])
def test_where_the_error_steps_the_last_rate_that_keeps_the_bound_is_the_answer(rising):
    """Measured errors step by up to a hundredth, where scores are added up in blocks of one bin more."""

    def of_units(rate):
        value = rate**0.5 * (1.0 if rate < 1e-6 else 1.01)
        return np.array([0.5, 1.0]) * (value if rising else 1.0 / value)

    wanted = 1.005e-3 if rising else 1.0 / 1.005e-3
    found = solve._shared(inverse.Answer(3e-8, np.zeros(2), 0, ""), of_units, wanted, rising)
    assert found.learning_rate == pytest.approx(1e-6, rel=1e-5) and found.binding_unit == 1
    assert of_units(found.learning_rate).max() <= wanted
