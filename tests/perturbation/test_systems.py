"""Simulated systems against loops in plain Python, what stimulation and observation estimate, and planning."""

import numpy as np
import pytest

from bmi_runtime.analysis.perturbation import effects, observational, planning, simulate
from bmi_runtime.errors import BadInput


def test_sigmoid_system_agrees_with_a_plain_loop():
    rng = np.random.default_rng(1)
    connectivity = simulate.random_connectivity(8, rng, 0.4)
    clamps = simulate.random_assignments(50, 8, rng, every=3, clamped_fraction=0.5)
    activity = simulate.simulate_sigmoid(connectivity, clamps, np.random.default_rng(2))
    noise = np.random.default_rng(2).standard_normal((50, 8))
    x = np.where(clamps[0] >= 0, clamps[0], 0.0)
    for t in range(50):
        if t:
            x = 1 / (1 + np.exp(-(connectivity @ x + noise[t - 1])))
            x = np.where(clamps[t] >= 0, clamps[t], x)
        np.testing.assert_allclose(activity[t], x, rtol=1e-12)


def test_spiking_counts_have_the_poisson_law():
    rng = np.random.default_rng(1)
    free = np.full((40000, 2), -1, dtype=np.int8)
    counts = simulate.simulate_spiking(np.zeros((2, 2)), np.log([0.2, 3.0]), free, rng)
    np.testing.assert_allclose(counts.mean(axis=0), [0.2, 3.0], rtol=0.02)
    np.testing.assert_allclose(counts.var(axis=0), [0.2, 3.0], rtol=0.04)


def test_streamed_system_has_the_law_of_the_stepped_one():
    connectivity = simulate.random_connectivity(20, np.random.default_rng(4), 0.2)
    streamed = simulate.stream_sigmoid(connectivity, 40000, np.random.default_rng(1)).result()
    rng = np.random.default_rng(2)
    clamps = simulate.random_assignments(40000, 20, rng)
    stepped = effects.difference_in_means(
        *simulate.clamped_samples(clamps, simulate.simulate_sigmoid(connectivity, clamps, rng))
    )
    apart = (streamed.estimate - stepped.estimate) / np.hypot(streamed.standard_error, stepped.standard_error)
    assert np.abs(apart).max() < 4.5
    assert apart.std() == pytest.approx(1, abs=0.15)


def test_clamping_a_spiking_unit_has_the_exponential_effect():
    rng = np.random.default_rng(0)
    weights = np.zeros((4, 4))
    weights[1, 0], weights[2, 0] = 0.6, -0.8
    clamps = simulate.random_assignments(120000, 4, rng, clamped_fraction=0.5)
    counts = simulate.simulate_spiking(weights, np.log(0.4), clamps, rng)
    found = effects.difference_in_means(*simulate.clamped_samples(clamps, counts))
    expected = 0.4 * (np.exp([0.6, -0.8, 0.0]) - 1)
    assert (np.abs(found.estimate[0, 1:] - expected) < 4 * found.standard_error[0, 1:]).all()


def test_added_spikes_estimate_something_else_than_a_clamp():
    """A spike added to a unit that fires by itself multiplies a larger background: the Wald ratio is not the clamp's
    contrast."""
    rng = np.random.default_rng(0)
    weights = np.zeros((2, 2))
    weights[1, 0] = 0.6
    steps, source_mean, target_mean = 150000, 0.5, 0.3
    added = np.zeros((steps, 2), dtype=np.int8)
    added[::3, 0] = rng.integers(0, 2, len(added[::3]))
    free = np.full((steps, 2), -1, dtype=np.int8)
    counts = simulate.simulate_spiking(weights, np.log([source_mean, target_mean]), free, rng, added=added)
    rows = np.arange(0, steps - 1, 3)
    found = observational.wald(added[rows, :1], counts[rows, :1], counts[rows + 1, 1:])
    clamp_contrast = target_mean * (np.exp(0.6) - 1)
    background = np.exp(source_mean * (np.exp(0.6) - 1))  # E[exp(W y)] of the source's own Poisson count
    assert abs(found.estimate[0, 0] - clamp_contrast * background) < 4 * found.standard_error[0, 0]
    assert abs(found.estimate[0, 0] - clamp_contrast) > 6 * found.standard_error[0, 0]
    assert not found.weak[0]


def test_wald_ratio_survives_a_confounder_that_biases_regression():
    rng = np.random.default_rng(4)
    trials = 20000
    hidden = rng.normal(size=trials)
    assigned = rng.integers(0, 2, trials)
    source = rng.poisson(np.exp(0.5 * hidden)) + assigned
    target = 0.3 * source + 1.5 * hidden + rng.normal(size=trials)
    found = observational.wald(assigned[:, None], source[:, None], target[:, None])
    assert abs(found.estimate[0, 0] - 0.3) < 4 * found.standard_error[0, 0]
    assert np.polyfit(source, target, 1)[0] > 0.7


def test_wald_intervals_cover_and_weak_instruments_are_named():
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(300):
        z = rng.integers(0, 2, (200, 1))
        x = z + rng.poisson(1, (200, 1))
        found = observational.wald(z, x, 0.5 * x + rng.normal(size=(200, 1)))
        covered.append(found.low[0, 0] < 0.5 < found.high[0, 0])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)
    z, x = rng.integers(0, 2, (200, 1)), rng.normal(size=(200, 1))
    assert observational.wald(z, x, rng.normal(size=(200, 1))).weak[0]


def test_regression_is_right_without_and_biased_with_a_hidden_common_input():
    with_none = simulate.compare_methods(15, np.array([30000]), 0.0, seed=2).agreement
    with_some = simulate.compare_methods(15, np.array([30000]), 1.5, seed=2).agreement
    assert with_none["regression"][0] > 0.95
    assert with_some["regression"][0] < 0.7
    assert with_some["perturbing all"][0] > 0.9
    assert with_some["correlation"][0] < with_some["regression"][0]


def test_regression_agrees_with_least_squares_by_hand():
    rng = np.random.default_rng(0)
    activity = rng.normal(size=(300, 3)).cumsum(axis=0) * 0.1 + rng.normal(size=(300, 3))
    coefficients, errors = observational.lagged_regression(activity)
    import statsmodels.api as sm

    fit = sm.OLS(activity[1:, 1], sm.add_constant(activity[:-1])).fit()
    np.testing.assert_allclose(coefficients[:, 1], fit.params[1:], rtol=1e-9)
    np.testing.assert_allclose(errors[:, 1], fit.bse[1:], rtol=1e-9)


def test_the_plan_comes_true():
    rng = np.random.default_rng(6)
    connectivity = simulate.random_connectivity(60, rng)
    system = planning.system_of_model(connectivity)
    samples = planning.samples_for_correlation(system, 0.8)
    reached = []
    for _ in range(4):
        estimate = simulate.stream_sigmoid(connectivity, 2 * samples, rng).result().estimate
        reached.append(effects.agreement(connectivity.T, estimate))
    assert np.mean(reached) == pytest.approx(0.8, abs=0.01)
    assert 0.99 < system.limit < 1


def test_a_pilot_plans_like_the_model():
    rng = np.random.default_rng(6)
    connectivity = simulate.random_connectivity(60, rng)
    model = planning.system_of_model(connectivity)
    pilot = simulate.stream_sigmoid(connectivity, 20000, rng).result()
    planned = planning.system_of_pilot(pilot.estimate, pilot.standard_error, 10000)
    ratio = planning.samples_for_correlation(planned, 0.9) / planning.samples_for_correlation(model, 0.9)
    assert ratio == pytest.approx(1, abs=0.1)


def test_power_calculation_comes_true():
    rng = np.random.default_rng(7)
    samples = planning.samples_for_power(0.4, 1.0, power=0.8)
    found = 0
    for _ in range(600):
        assignments = rng.permutation(np.arange(samples) % 2)[:, None]
        outcome = 0.4 * assignments + rng.normal(size=(samples, 1))
        found += effects.difference_in_means(assignments, outcome).p_values[0, 0] < 0.05
    assert found / 600 == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: planning.samples_for_correlation(planning.System(1, 1, 0.97), 0.98), "out of reach"),
        (lambda: planning.samples_for_correlation(planning.System(1, 1), 1.2), "between 0 and 1"),
        (lambda: planning.system_of_pilot(np.zeros((3, 3)), np.ones((3, 3)), 10), "longer pilot"),
        (lambda: planning.samples_for_power(0.0, 1.0), "not 0"),
        (lambda: simulate.random_assignments(10, 3, np.random.default_rng(0), clamped_fraction=0), "clamped_fraction"),
        (lambda: simulate.random_connectivity(1, np.random.default_rng(0)), "cannot|can be built"),
        (lambda: observational.lagged_correlation(np.ones((10, 2))), "never changes"),
        (
            lambda: observational.lagged_regression(np.random.default_rng(0).normal(size=(9, 2)), "probit"),
            "choose identity",
        ),
        (lambda: observational.lagged_regression(np.arange(20.0)[:, None] * [1, 2]), "linearly dependent"),
        (lambda: observational.wald(np.ones((9, 1)), np.ones((9, 1)), np.ones((9, 1))), "sham"),
        (lambda: observational.wald(np.arange(9)[:, None] % 2, np.ones((9, 1)), np.ones((9, 1))), "did not change"),
    ],
)
def test_impossible_questions_are_refused(call, words):
    with pytest.raises(BadInput, match=words):
        call()
