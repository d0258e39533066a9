"""Rates for labels that are sometimes wrong, against filters that are run with them."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.calibration.closed_form import convergence_bins, information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.uncertain_labels import LabelCalibration, Taught, _autocovariance, wrong_labels
from bmi_runtime.cli.calibrate import calibrate
from bmi_runtime.errors import BadInput

BIN_S = 0.02


def _states(bins, rng, keep=0.95):
    noise, states = rng.standard_normal((bins, 2)) * np.sqrt(1 - keep**2), np.zeros((bins, 2))
    for t in range(1, bins):
        states[t] = keep * states[t - 1] + noise[t]
    return states - states.mean(axis=0)


def _design(likelihood, rng):
    weights = np.array([[np.log(8.0) if likelihood == "poisson" else 0.5, 0.3, 0.6]])
    noise = None if likelihood == "poisson" else np.ones(1)
    return Design(_states(20_000, rng), weights, BIN_S, likelihood, noise, counts="poisson")


def _filtered(design, sequences, start, rate, bins, burn, rng):
    """Run one filter a label sequence from a weight and its covariance; return mean and covariance after `burn`."""
    weights, covariance = start
    runs = len(sequences)
    weights, covariance = np.tile(weights, (runs, 1)), np.tile(covariance, (runs, 1, 1))
    labels = np.array([one.labels for one in sequences])
    meant, at = sequences[0].states, rng.integers(0, len(sequences[0].states), runs)
    total, square, every = np.zeros(3), np.zeros((3, 3)), np.arange(runs)
    for t in range(bins):
        index = (t + at) % len(meant)
        given, true = np.c_[np.ones(runs), labels[every, index]], np.c_[np.ones(runs), meant[index]]
        covariance[:, range(3), range(3)] += rate
        moved = np.einsum("rij,rj->ri", covariance, given)
        spread, mean = (moved * given).sum(axis=1), true @ design.weights[0]
        if design.likelihood == "poisson":
            expected = np.exp((weights * given).sum(axis=1)) * BIN_S
            gain = 1.0 / (1.0 + expected * spread)
            weights += moved * ((rng.poisson(np.exp(mean) * BIN_S) - expected) * gain)[:, None]
            gain = gain * expected
        else:
            gain = 1.0 / (1.0 + spread)
            weights += moved * ((mean + rng.standard_normal(runs) - (weights * given).sum(axis=1)) * gain)[:, None]
        covariance -= moved[:, :, None] * moved[:, None, :] * gain[:, None, None]
        if t >= burn:
            total += weights.mean(axis=0)
            square += weights.T @ weights / runs
    mean = total / (bins - burn)
    return mean, square / (bins - burn) - np.outer(mean, mean)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_right_labels_give_the_closed_form(likelihood):
    design = _design(likelihood, np.random.default_rng(0))
    found = LabelCalibration(design, Taught(design.states, design.states)).predict(1e-5)
    closed = steady_state(information(design), 1e-5)
    np.testing.assert_allclose(found.error_covariance, closed.error_covariance, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.bias, 0.0, atol=1e-9)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("error", [0.1, 0.3])
def test_scatter_and_bias_are_those_of_filters_run_with_wrong_labels(likelihood, error):
    rng = np.random.default_rng(3)
    design = _design(likelihood, rng)
    calibration = LabelCalibration(design, wrong_labels(design.states, error, 10.0, seed=1))
    rate = 1e-5
    found, state = calibration.predict(rate), steady_state(calibration.info, rate)
    sequences = [wrong_labels(design.states, error, 10.0, seed=50 + k) for k in range(60)]
    shortest = min(len(one.states) for one in sequences)
    sequences = [Taught(one.states[:shortest], one.labels[:shortest], 10.0) for one in sequences]
    start = found.weights[0], state.filter_covariance[0]
    mean, covariance = _filtered(design, sequences, start, rate, 6000, 1500, rng)
    ratio = np.diagonal(covariance) / np.diagonal(found.error_covariance[0])
    assert np.all((ratio > 0.75) & (ratio < 1.3)), ratio
    np.testing.assert_allclose(mean, found.weights[0], atol=0.03)
    white = np.diagonal(covariance) / np.diagonal(state.error_covariance[0])
    assert white.mean() > 1.2  # what a calibration that does not know of the misfit would be off by


def test_autocovariance_in_blocks_is_that_of_the_sums():
    series = np.random.default_rng(2).standard_normal((777, 3))
    sums = [series[lag:].T @ series[: len(series) - lag] / len(series) for lag in range(21)]
    np.testing.assert_allclose(_autocovariance(series, 20), sums, atol=1e-12)


def test_a_fast_filter_settles_later_than_the_averaged_form_says():
    """Along states that follow each other smoothly, in the mean over moments, as a filter that is run does."""
    design = _design("gaussian", np.random.default_rng(3))
    calibration = LabelCalibration(design, Taught(design.states, design.states))
    averaged = convergence_bins(steady_state(calibration.info, 1e-4))
    assert np.all(calibration.predict(1e-4).settling_bins > 1.15 * averaged)
    slow = convergence_bins(steady_state(calibration.info, 1e-7))
    np.testing.assert_array_equal(calibration.predict(1e-7).settling_bins, slow)


def test_a_wrong_label_attenuates_the_tuning_by_its_probability():
    design = _design("gaussian", np.random.default_rng(5))
    for error in (0.1, 0.3):
        found = LabelCalibration(design, wrong_labels(design.states, error, 10.0)).predict(1e-5)
        attenuated = np.linalg.norm(found.weights[0, 1:]) / np.linalg.norm(design.weights[0, 1:])
        assert attenuated == pytest.approx(1.0 - error, abs=0.04)


def test_backward_is_the_inverse_and_a_bias_is_refused():
    design = _design("gaussian", np.random.default_rng(6))
    calibration = LabelCalibration(design, wrong_labels(design.states, 0.1, 10.0))
    wanted = float(np.linalg.eigvalsh(calibration.predict(3e-5).total_error)[:, -1].max())
    assert calibration.rate_for_error(wanted) == pytest.approx(3e-5, rel=1e-6)
    with pytest.raises(BadInput, match="no learning rate removes it"):
        calibration.rate_for_error(1e-4)


def test_command(tmp_path):
    design, path = _design("gaussian", np.random.default_rng(7)), tmp_path / "design.npz"
    np.savez(path, states=design.states[:3000], weights=design.weights, noise_variance=np.ones(1), bin_s=BIN_S)
    arguments = [str(path), "--likelihood", "gaussian", "--learning-rate", "1e-5", "--labels", "inferred", "--json"]
    done = CliRunner().invoke(calibrate, [*arguments, "--label-error", "0.2"], catch_exceptions=False)
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    unit = answer["units"][0]
    assert np.trace(unit["error_covariance_labels"]) > np.trace(unit["error_covariance"])
    with pytest.raises(BadInput, match="probability"):
        CliRunner().invoke(calibrate, [*arguments, "--label-error", "1.2"], catch_exceptions=False)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
@pytest.mark.parametrize("error", [0.0, 0.1, 0.3])
def test_steady_error_within_a_tenth_and_settling_within_a_fifth(likelihood, error, rate=1e-5):
    rng = np.random.default_rng(11)
    design = _design(likelihood, rng)

    def taught(seed):
        return wrong_labels(design.states, error, 10.0, seed=seed) if error else Taught(design.states, design.states)

    # one sequence of labels has 200 wrong runs of 2,000: its own prediction is off by 7 % of the error's variance
    made = [LabelCalibration(design, taught(seed)) for seed in range(16 if error else 1)]
    found = [one.predict(rate) for one in made]
    settled = np.mean([one.weights[0] for one in found], axis=0)
    predicted = np.mean([np.trace(one.error_covariance[0]) for one in found])
    memory = int(np.mean([one.settling_bins[0].max() for one in found]))
    sequences = [taught(50 + k) for k in range(240)]
    shortest = min(len(one.states) for one in sequences)
    sequences = [Taught(one.states[:shortest], one.labels[:shortest], 10.0) for one in sequences]
    covariance = steady_state(made[0].info, rate).filter_covariance[0]
    _, scatter = _filtered(design, sequences, (settled, covariance), rate, 4 * memory, 2 * memory, rng)
    assert np.trace(scatter) / predicted == pytest.approx(1.0, abs=0.1)
    info = made[0].info
    slowest = info.directions[0][:, int(np.argmin(info.eigenvalues[0]))]
    half = memory // 2
    away = 0.3 if likelihood == "poisson" else 1.5  # far beside the scatter; counts are linear only nearby
    mean, _ = _filtered(design, sequences, (settled + away * slowest, covariance), rate, half + 1, half, rng)
    left = float((mean - settled) @ slowest) / away
    # the mean error falls geometrically, to 0.05 after the settling time
    assert np.log(left) / np.log(0.05) * memory / half == pytest.approx(1.0, abs=0.2)
