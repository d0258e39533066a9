"""Simulation against its definition, time rescaling, and the checks for runaway rates."""

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.glm import PoissonGLM, parse_basis
from bmi_runtime.analysis.glm.goodness import rescale, rescale_all
from bmi_runtime.analysis.glm.simulation import branching_ratio, random_network, simulate
from bmi_runtime.cli.glm import glm
from bmi_runtime.errors import BadInput, BmiError


def reference_simulation(intercept, coupling, bins, uniforms, history):
    """The definition, bin by bin, with scipy's inverse distribution function."""
    from scipy.stats import poisson

    lags = coupling.shape[2]
    counts = np.r_[history, np.zeros((bins, len(intercept)), int)]
    for t in range(lags, lags + bins):
        past = counts[t - lags : t][::-1]
        rate = np.exp(intercept + np.einsum("ijm,mj->i", coupling, past))
        counts[t] = poisson.ppf(uniforms[t - lags], rate)
    return counts[lags:]


def test_simulation_equals_its_definition():
    rng = np.random.default_rng(0)
    coupling = rng.normal(0, 0.2, (3, 3, 5))
    intercept, history = np.log([0.3, 0.5, 0.1]), rng.poisson(0.5, (5, 3))
    drawn = simulate(intercept, coupling, 300, np.random.default_rng(7), history=history)
    uniforms = np.random.default_rng(7).random((300, 3))
    assert np.array_equal(drawn, reference_simulation(intercept, coupling, 300, uniforms, history))


def test_blocks_of_the_simulation_join(monkeypatch):
    from bmi_runtime.analysis.glm import simulation

    network = random_network(4, parse_basis("raised-cosine:3", 9), np.random.default_rng(1), 0.1)
    whole = simulate(network.intercept, network.coupling, 1000, np.random.default_rng(2))
    monkeypatch.setattr(simulation, "BLOCK", 77)
    assert np.array_equal(whole, simulate(network.intercept, network.coupling, 1000, np.random.default_rng(2)))


def test_runaway_rates_are_reported_not_returned():
    coupling = np.full((2, 2, 3), 0.8)
    with pytest.raises(BmiError, match=r"ran away at bin \d+"):
        simulate(np.log([0.5, 0.5]), coupling, 5000, np.random.default_rng(0))
    assert branching_ratio(np.array([0.5, 0.5]), coupling) > 1


def test_softplus_keeps_the_same_network_finite():
    coupling = np.full((2, 2, 3), 0.1)
    counts = simulate(np.array([-1.0, -1.0]), coupling, 5000, np.random.default_rng(0), link="softplus")
    assert 0.2 < counts.mean() < 2.0


def test_minus_infinity_forbids_spikes():
    coupling = np.zeros((1, 1, 4))
    coupling[0, 0, :2] = -np.inf
    counts = simulate(np.log([0.5]), coupling, 2000, np.random.default_rng(0))
    assert np.diff(np.flatnonzero(counts[:, 0])).min() == 3


def test_a_fitted_model_simulates_its_own_rates():
    counts = np.random.default_rng(3).poisson([0.1, 0.4], (6000, 2))
    model = PoissonGLM(5, "raised-cosine:3").fit(counts)
    again = model.simulate(6000, seed=1)
    assert np.abs(again.mean(axis=0) / counts.mean(axis=0) - 1).max() < 0.15
    assert np.array_equal(again, model.simulate(6000, seed=1))
    assert model.branching_ratio() < 1


def test_covariates_drive_the_simulation():
    rng = np.random.default_rng(4)
    kinematics = rng.normal(size=(8000, 1))
    counts = rng.poisson(np.exp(-1.0 + 0.6 * kinematics))
    model = PoissonGLM(2, leads=(0,)).fit(counts, kinematics)
    drawn = model.simulate(8000, kinematics, seed=2)
    assert PoissonGLM(2).fit(drawn, kinematics).covariate_weights_[0, 0, 0] == pytest.approx(0.6, abs=0.06)
    with pytest.raises(BadInput, match="give \\(100, 1\\)"):
        model.simulate(100)


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.5])
def test_time_rescaling_passes_true_models_at_the_nominal_rate(rate):
    """Coarse bins, several spikes each: 95 % of true models must pass, and p-values must be uniform."""
    rng = np.random.default_rng(6)
    results = []
    for repeat in range(200):
        expected = rate * np.exp(0.5 * np.sin(np.arange(3000) / 50 + repeat))
        results.append(rescale(rng.poisson(expected), expected, seed=repeat))
    passed = np.mean([result.passes for result in results])
    assert abs(passed - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 200)
    assert abs(np.mean([result.p_value < 0.5 for result in results]) - 0.5) < 3.5 * np.sqrt(0.25 / 200)


def test_spikes_at_bin_edges_would_fail_true_models():
    """The trap that the randomisation avoids: intervals that end at bin edges."""
    rng = np.random.default_rng(7)
    failed = 0
    for _ in range(50):
        rate = np.full(3000, 0.3)
        counts = np.minimum(rng.poisson(rate), 1)
        ends = np.cumsum(rate)[counts > 0]
        quantiles = np.sort(-np.expm1(-np.diff(ends)))
        n = len(quantiles)
        failed += np.abs(quantiles - (np.arange(n) + 0.5) / n).max() > 1.358 / np.sqrt(n)
    assert failed > 25


def test_bernoulli_correction_passes_zero_one_data():
    rng = np.random.default_rng(8)
    rate = np.full(4000, 0.4)
    outcomes = [
        rescale((rng.random(4000) < -np.expm1(-rate)).astype(int), rate, seed, "bernoulli").passes
        for seed in range(100)
    ]
    assert np.mean(outcomes) > 0.87
    with pytest.raises(BadInput, match="at most one spike"):
        rescale(np.array([0, 2, 1]), rate[:3], within="bernoulli")


def test_time_rescaling_fails_a_wrong_model():
    rng = np.random.default_rng(9)
    truth = np.exp(-2 + 1.5 * np.sin(np.arange(6000) / 40))
    counts = rng.poisson(truth)
    assert rescale(counts, truth).passes
    wrong = rescale(counts, np.full(6000, counts.mean()))
    assert not wrong.passes and wrong.p_value < 1e-6
    assert (np.abs(wrong.autocorrelation) > wrong.autocorrelation_bound).any()


def test_rescaling_of_a_fit_on_held_out_data():
    network = random_network(4, parse_basis("raised-cosine:3", 9), np.random.default_rng(11), 0.1)
    counts = simulate(network.intercept, network.coupling, 20_000, np.random.default_rng(12))
    model = PoissonGLM(9, "raised-cosine:3").fit(counts[:15_000])
    assert np.mean([result.passes for result in rescale_all(model, counts[15_000:])]) >= 0.75


@pytest.mark.parametrize(
    ("option", "said"),
    [("--bins=1", "--bins 2 at least"), ("--bin-s=inf", "finite"), ("--rate-hz=1e6", "baseline and covariates alone")],
)
def test_random_networks_that_cannot_be_drawn_are_refused_for_what_they_are(tmp_path, option, said):
    out = ["--out", str(tmp_path / "a.npz"), "--units=3", option]
    assert said in str(CliRunner().invoke(glm, ["simulate", *out]).exception)
