"""The tutorial's printed values, computed."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.perturbation import tutorial
from bmi_runtime.cli.perturb import perturb
from bmi_runtime.errors import BadInput


@pytest.fixture(scope="module")
def done():
    return tutorial.run_tutorial()


def test_the_printed_difference_in_means():
    assert tutorial.two_neuron_trial() == pytest.approx(0.9907195190159408, abs=1e-15)


def test_the_order_of_the_arms_matters():
    rng = np.random.RandomState(12)
    control_first = -(rng.randn(5000).mean() - (1 + rng.randn(5000)).mean())
    assert abs(control_first - 0.9907195190159408) > 1e-3


def test_the_printed_correlation_of_all_neurons(done):
    assert done.all_correlation == pytest.approx(0.987593404378358, abs=1e-14)


def test_the_single_neuron_estimate_finds_its_targets(done):
    assert done.single_correlation > 0.99
    targets = done.connectivity[:, 1] > 0
    assert done.single_estimate[targets].min() > 5 * abs(done.single_estimate[~targets]).max()


def test_stacked_correlation_is_the_difference_in_means_rescaled(done):
    effects = tutorial.perturbed_connectivity_from_single_neuron(done.perturbed_all, 1)
    clamped, outcomes = done.perturbed_all[1, ::2], done.perturbed_all[:, 1::2]
    np.testing.assert_allclose(effects * clamped.std() / outcomes.std(axis=1), done.all_estimate[1], rtol=1e-10)


def test_correlation_must_be_read_source_by_target(done):
    wrong = np.corrcoef(done.connectivity.flatten(), done.all_estimate.flatten())[1, 0]
    assert wrong < 0.5 < done.all_correlation


def test_connectivity_has_the_tutorials_timescale(done):
    assert np.linalg.norm(done.connectivity, 2) == pytest.approx(1 / 1.01)


def test_unperturbed_activity_starts_at_zero_and_stays_between_0_and_1(done):
    assert (done.activity[:, 0] == 0).all()
    assert (done.activity[:, 1:] > 0).all() and (done.activity < 1).all()


def test_the_command_prints_the_same_numbers(done):
    result = CliRunner().invoke(perturb, ["tutorial", "--json"])
    assert result.exit_code == 0
    printed = json.loads(result.stdout.strip().splitlines()[-1])
    assert printed["difference_in_means"] == done.difference_in_means
    assert printed["all_neurons_correlation"] == done.all_correlation


@pytest.mark.parametrize(
    "kwargs", [{"timesteps": 3}, {"timesteps": 7}, {"selected_neuron": 6}, {"n_neurons": 1, "selected_neuron": 0}]
)
def test_impossible_settings_are_refused(kwargs):
    with pytest.raises(BadInput):
        tutorial.run_tutorial(**kwargs)
