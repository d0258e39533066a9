"""A population fitted to a simulated array whose parameters are known; the kernel against the density's own solver."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.fokker_planck import array_fit, array_likelihood, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels.particles import step_many

TRUTH = {"b": 2.0, "a0": 1.2, "a1": 0.0, "tau_s": 0.02, "eps": 0.15, "delay_s": 0.003}
FINE = 20  # steps of the simulation in a bin


def simulated(units: int, seconds: float, seed: int, b: float = TRUTH["b"], bin_s: float = 1e-3) -> np.ndarray:
    """Return spikes (bins, units) of interacting neurons with the parameters of :data:`TRUTH`."""
    rng = np.random.default_rng(seed)
    step = bin_s / TRUTH["tau_s"] / FINE
    v, resting = rng.uniform(0, 1.5, units), np.zeros(units, np.int8)
    arrivals = np.zeros(round(TRUTH["delay_s"] / TRUTH["tau_s"] / step))
    neuron = np.array([1.0, 2.0, 0.0, b, TRUTH["a0"], TRUTH["a1"], 0.0, TRUTH["eps"]])
    parts, at = [], 0
    for _ in range(round(seconds / bin_s / 500)):
        count = 500 * FINE
        spikes, fired = np.zeros(count), np.zeros((count, units), np.int8)
        normals, uniforms = rng.standard_normal((count, units)), rng.random((count, units))
        at = step_many(v, resting, step, normals, uniforms, neuron, arrivals, at, spikes, fired)
        parts.append(fired.reshape(-1, FINE, units).sum(axis=1))
    return np.concatenate(parts)


@pytest.mark.parametrize(("a0", "eps"), [(0.8, 0.15), (1.2, 0.15), (1.2, 1.0), (3.0, 0.3)])
def test_the_hazard_of_unconnected_units_gives_the_steady_rate(a0, eps):
    """With b = 0 the mean interval of the hazard is one over the rate of the closed form."""
    rate = steady.steady_states(Model(0.0, a0, 0.0, threshold_eps=eps))[0].rate
    bins, step = 20_000, 0.05
    counts = np.zeros((bins, 1), np.uint8)
    counts[0] = 1
    data = array_likelihood.Recorded(counts, step * 0.02)
    hazards = np.empty(counts.shape)
    values = {"b": 0.0, "a0": a0, "a1": 0.0, "tau_s": 0.02, "eps": eps, "delay_s": 0.001}
    array_likelihood.Likelihood(data)(values, hazards)
    survival = np.exp(-np.cumsum(hazards[1:, 0]))
    mean_interval = step * (1.0 + survival.sum())  # half a bin after the spike, and half of the trapezium's first
    assert 1 / mean_interval == pytest.approx(rate, rel=0.008)


def test_the_likelihood_is_largest_near_the_truth():
    data = array_likelihood.recorded(simulated(20, 6, 0), 1e-3)
    likelihood = array_likelihood.Likelihood(data)
    top = likelihood(TRUTH).sum()
    for name, other in (("b", 0.0), ("b", 4.0), ("a0", 0.7), ("tau_s", 0.01), ("eps", 1.5)):
        assert likelihood(TRUTH | {name: other}).sum() < top - 1, name


def test_a_small_fit_finds_noise_and_connectivity():
    data = array_likelihood.recorded(simulated(12, 3, 3), 1e-3)
    given = {name: TRUTH[name] for name in ("a1", "eps", "delay_s", "tau_s")}
    found = array_fit.fit_array(data, fixed=given)
    for name in ("b", "a0"):
        assert abs(found.values[name] - TRUTH[name]) < 3.5 * found.errors[name], name
    assert np.isnan(found.errors["a1"]) and np.isnan(found.errors["eps"])
    assert found.log_likelihood > found.poisson_log_likelihood


@pytest.mark.slow
def test_a_fit_finds_the_truth_within_its_errors_and_knows_how_far_synchrony_is():
    data = array_likelihood.recorded(simulated(16, 6, 1), 1e-3)
    found = array_fit.fit_array(data, fixed={"a1": 0.0, "eps": 0.15})
    for name in ("b", "a0", "tau_s", "delay_s"):
        assert abs(found.values[name] - TRUTH[name]) < 3.5 * found.errors[name], name
        assert found.errors[name] < 0.6 * TRUTH[name], name
    assert np.isnan(found.errors["a1"]) and np.isnan(found.errors["eps"])
    assert found.rescaled_p > 0.01
    assert found.log_likelihood > found.poisson_log_likelihood
    assert found.predicted_rate_hz == pytest.approx(found.rate_hz, rel=0.2)
    true_critical = steady.critical_b(Model(2.0, 1.2, 0.0, threshold_eps=0.15))
    assert abs(found.distance - (true_critical - 2.0)) < 4 * found.distance_error


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_intervals_cover_at_about_their_rate():
    """95 % intervals of three parameters over 24 arrays: 68.4 of 72 expected, at least 63; and no bias."""
    given = {name: TRUTH[name] for name in ("a1", "eps", "delay_s")}
    scores = []
    for seed in range(24):
        found = array_fit.fit_array(array_likelihood.recorded(simulated(12, 6, 100 + seed), 1e-3), fixed=given)
        b = (found.values["b"] - TRUTH["b"]) / found.errors["b"]
        scores.append([b] + [np.log(found.values[name] / TRUTH[name]) * found.values[name] / found.errors[name]
                             for name in ("a0", "tau_s")])  # fmt: skip
    assert (np.abs(scores) < 1.96).sum() >= 63
    assert (np.abs(np.mean(scores, axis=0)) < 0.7).all()  # three standard errors of a mean of 24


def test_the_command_answers_and_refuses(tmp_path):
    path = tmp_path / "array.npz"
    np.savez(path, counts=simulated(8, 6, 2, b=1.0), bin_s=1e-3)
    given = ["--fix", "a1=0", "--fix", "eps=0.15", "--fix", "delay_s=0.003", "--fix", "tau_s=0.02"]
    done = CliRunner().invoke(fokker_planck, ["fit", str(path), *given, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output.splitlines()[-1])
    assert set(answer["parameters"]) == set(TRUTH) and answer["parameters"]["a1"]["error"] is None
    assert answer["distance_in_errors"] == pytest.approx(answer["distance_to_synchrony"] / answer["distance_error"])
    for arguments, words in (
        ([str(tmp_path / "none.npz")], "no file"),
        ([str(path), "--fix", "c=1"], "no parameter 'c'"),
        ([str(path), "--fix", "b"], "NAME=VALUE"),
        ([str(path), "--fix", "a0=-1"], "must lie between"),
        ([str(path), "--seconds", "0.05"], "too few"),
    ):
        refused = CliRunner().invoke(fokker_planck, ["fit", *arguments]).exception
        assert isinstance(refused, BadInput) and words in str(refused), (arguments, refused)


def test_bins_that_are_too_wide_are_refused():
    with pytest.raises(BadInput, match="few milliseconds"):
        array_likelihood.recorded(np.ones((100, 3)), 0.05)
    with pytest.raises(BadInput, match="narrower"):
        array_likelihood.recorded(np.full((1000, 3), 2), 0.005)
