"""Standard errors, Wald and likelihood-ratio tests, areas, and recovery of a known network."""

import numpy as np
import pytest

from bmi_runtime.analysis.glm import PoissonGLM, parse_basis
from bmi_runtime.analysis.glm.inference import (
    STEPS,
    benjamini_hochberg,
    block_report,
    covariances,
    nested_tests,
    wald_tests,
)
from bmi_runtime.analysis.glm.simulation import random_network, simulate, smooth_velocity
from bmi_runtime.errors import BadInput

BASIS = parse_basis("raised-cosine:4", 20)


@pytest.fixture(scope="module")
def known():
    """A network that made the data, the data, and the fit."""
    rng = np.random.default_rng(5)
    network = random_network(8, BASIS, rng, 0.04)
    velocity = smooth_velocity(40_000, 0.005, rng)
    counts = simulate(network.intercept, network.coupling, 40_000, rng, velocity @ network.covariate_weights.T)
    return network, counts, velocity, PoissonGLM(20, BASIS).fit(counts, velocity)


def test_couplings_are_recovered_within_their_standard_errors(known):
    network, _, _, model = known
    errors = model.standard_errors_[:, 1:33].reshape(8, 8, 4)
    scores = (model.basis_weights_ - network.basis_weights) / errors
    assert abs(scores.mean()) < 0.2 and 0.8 < scores.std() < 1.2
    tuning = (model.covariate_weights_[:, :, 0] - network.covariate_weights) / model.standard_errors_[:, 33:]
    assert np.abs(tuning).max() < 4


def test_wald_tests_find_the_couplings_and_control_false_discoveries(known):
    network, _, _, model = known
    tests = wald_tests(model)
    true = network.basis_weights.any(axis=2)
    strength = np.zeros((8, 8))  # of the true coefficients, in the metric of the test
    for unit, _, covariance in covariances(model.objective_, model.weights_, np.arange(8)):
        for source in range(8):
            part = slice(1 + 4 * source, 5 + 4 * source)
            weights = network.basis_weights[unit, source]
            strength[unit, source] = weights @ np.linalg.inv(covariance[part, part]) @ weights
    strong = strength > 40
    assert strong.sum() > 8 and (tests.q_values[strong] < 0.05).all()
    assert (tests.q_values[~true] < 0.05).mean() < 0.1
    assert (tests.degrees == 4).all()


@pytest.mark.parametrize("seeds", [range(20)])
def test_false_positive_rates_are_nominal(seeds):
    """240 unconnected pairs: the share of p < 0.05 and p < 0.5 must be binomially close to 0.05 and 0.5."""
    wald, ratio = [], []
    for seed in seeds:
        counts = np.random.default_rng(seed).poisson(0.2, (4000, 4))
        model = PoissonGLM(20, BASIS).fit(counts)
        wald.append(wald_tests(model).p_values[~np.eye(4, dtype=bool)])
        ratio.append(nested_tests(PoissonGLM(20, BASIS), counts).p_values.ravel())
    for p_values in (np.concatenate(wald), np.concatenate(ratio)):
        for level in (0.05, 0.5):
            slack = 3.5 * np.sqrt(level * (1 - level) / len(p_values))
            assert abs((p_values < level).mean() - level) < slack


def test_wald_statistic_is_the_quadratic_form_of_the_inverse_information(known):
    _, _counts, _velocity, model = known
    objective = model.objective_
    hessian = objective.hessians(model.weights_[:, [2]], np.array([2]))[0] * model.design_.rows
    covariance = np.linalg.inv(hessian)[5:9, 5:9]
    weights = model.weights_[5:9, 2]
    assert wald_tests(model).statistic[2, 1] == pytest.approx(weights @ np.linalg.inv(covariance) @ weights, rel=1e-8)


def test_sampled_standard_errors_are_close_to_exact(known):
    _, _counts, _velocity, model = known
    from bmi_runtime.analysis.glm.inference import to_user_units

    free = np.arange(model.design_.parameters)
    for unit, rows, covariance in covariances(model.objective_, model.weights_, np.array([0, 5]), stride=8):
        assert np.array_equal(rows, free)
        sampled = np.sqrt(np.diag(to_user_units(model.design_, rows, covariance)))
        error = np.abs(sampled / model.standard_errors_[unit] - 1)
        assert np.median(error) < 0.02 and error.max() < 0.15  # the tail: coefficients that few bins inform


def test_likelihood_ratio_steps_of_two_areas(known):
    network, counts, velocity, model = known
    tests = nested_tests(PoissonGLM(20, BASIS), counts, velocity, network.areas)
    assert tuple(tests.steps) == STEPS
    assert (np.diff(tests.log_likelihood, axis=0) > -1e-6).all()
    assert tests.log_likelihood[-1] == pytest.approx(model.log_likelihood_, abs=1e-6)
    assert (tests.degrees == np.array([4, 12, 16, 2])[:, None]).all()
    assert (tests.p_values[0] < 1e-6).all()  # every unit is refractory
    assert (tests.p_values[3] < 0.01).mean() > 0.6


def test_block_report_counts_pairs_by_area(known):
    network, _, _, model = known
    report = {entry["block"]: entry for entry in block_report(model, network.areas, wald_tests(model))}
    assert set(report) == {"M1-M1", "M1-PMv", "PMv-M1", "PMv-PMv"}
    assert [report[name]["pairs"] for name in ("M1-M1", "M1-PMv")] == [12, 16]
    assert sum(entry["significant"] for entry in report.values()) > 0


def test_benjamini_hochberg_on_a_worked_example():
    q_values = benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03, 0.005]))
    assert q_values == pytest.approx([0.02, 0.04, np.nan, 0.04, 0.02], nan_ok=True)


def test_penalised_fits_are_refused(known):
    _, counts, _, _ = known
    with pytest.raises(BadInput, match="unpenalised"):
        wald_tests(PoissonGLM(20, BASIS, ridge=1e-3).fit(counts[:4000]))
    with pytest.raises(BadInput, match="unpenalised"):
        nested_tests(PoissonGLM(20, BASIS, ridge=1e-3), counts[:4000])
