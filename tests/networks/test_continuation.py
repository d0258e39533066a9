"""Branches of steady states: every point solves the equation, folds are folds, nothing is lost between."""

import numpy as np
import pytest

from bmi_runtime.analysis.networks import arclength, continuation, graphs
from bmi_runtime.analysis.networks.fixed_points import solve
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.sweep import strength_sweep
from bmi_runtime.errors import BadInput


@pytest.fixture(scope="module")
def bistable():
    """Return a homogeneous excitatory network, whose branch is that of one neuron exciting itself, and its branch."""
    network = RateNetwork(np.full((5, 5), 0.2), -50.0, LIFNeuron(sigma_mv=2))
    return network, continuation.follow(network, 2.0, longest_step=0.3)


def test_every_point_is_a_steady_state(bistable):
    network, branch = bistable
    for strength, inputs in zip(branch.strengths, branch.inputs_mv):
        assert np.abs(network.scaled(strength).mapped(inputs) - inputs).max() < 1e-7


def test_the_branch_runs_from_no_connection_to_the_largest_strength_around_two_folds(bistable):
    _, branch = bistable
    assert branch.strengths[0] == 0 and branch.strengths[-1] == pytest.approx(2.0)
    assert branch.ended == "left the range of strengths"
    assert len(branch.folds) == 2


def test_folds_are_where_the_strength_of_one_neuron_turns(bistable):
    """E = E_0 + g w n r(E) gives g(E) in closed form: its extremes are the folds."""
    network, branch = bistable
    inputs = np.linspace(-49.99, 20, 200001)
    strengths = (inputs + 50) / (1.0 * network.neuron.rate_hz(inputs))
    turns = np.flatnonzero(np.diff(np.sign(np.diff(strengths)))) + 1
    expected = strengths[turns]
    np.testing.assert_allclose(sorted(branch.strengths[branch.folds]), sorted(expected), rtol=0.01)


def test_stability_changes_at_the_folds(bistable):
    _, branch = bistable
    first, second = branch.folds
    assert branch.stable[: first - 1].all() and branch.stable[second + 2 :].all()
    assert not branch.stable[first + 1 : second - 1].any()


def test_the_branch_passes_every_solution_found_at_a_strength(bistable):
    network, branch = bistable
    middle = float(np.mean(branch.strengths[branch.folds]))
    points = solve(network.scaled(middle), starts=30).fixed_points
    uniform = [point for point in points if np.ptp(point.input_mv) < 1e-6]
    crossings = sorted(float(found[0]) for found in branch.crossings(middle))
    assert len(uniform) == len(crossings) == 3
    np.testing.assert_allclose(crossings, [point.input_mv[0] for point in uniform], atol=0.1)


def test_a_branch_is_the_same_with_krylov_steps(bistable, monkeypatch):
    network, branch = bistable
    monkeypatch.setattr(arclength, "DENSE_LIMIT", 2)
    other = continuation.follow(network, 2.0, longest_step=0.3)
    np.testing.assert_allclose(other.strengths[other.folds], branch.strengths[branch.folds], rtol=1e-6)


def test_the_diagram_finds_branches_apart_from_the_first():
    """With several strong inhibitory neurons a second pair of states is born at a fold that the first branch never
    meets."""
    graph = graphs.erdos_renyi(100, 0.2, np.random.default_rng(0))
    network = RateNetwork(graphs.signed_weights(graph, 0.1, 0.2), -45.0)
    found = continuation.branch_diagram(network, 1.2, checks=2, starts=9, points=120)
    assert len(found) >= 2
    apart = found[1]
    assert len(apart.folds) >= 1
    for strength, inputs in zip(apart.strengths[::10], apart.inputs_mv[::10]):
        assert np.abs(network.scaled(strength).mapped(inputs) - inputs).max() < 1e-6


def test_steady_states_go_on_where_the_iteration_stops_converging():
    """The poster's figure 3, upper right: iteration stops at a strength where no branch ends; an eigenvalue passes -1
    or a pair 1."""
    graph = graphs.erdos_renyi(100, 0.2, np.random.default_rng(1))
    network = RateNetwork(graphs.signed_weights(graph, 1e-3, 0.2), -45.0)
    strengths = np.linspace(0, 80, 17)
    swept = strength_sweep(network, strengths, starts=4)
    assert swept.converged[:10].all() and not swept.converged[-1]
    branch = continuation.follow(network, 80.0)
    assert branch.strengths[-1] == pytest.approx(80.0)
    last = branch.strengths[branch.spectral_radius < 1].max()
    assert last == pytest.approx(strengths[swept.converged].max(), abs=6)


def test_excitatory_steady_inputs_grow_linearly_with_strength():
    graph = graphs.erdos_renyi(50, 0.2, np.random.default_rng(0))
    network = RateNetwork(graphs.signed_weights(graph, 1e-3), -45.0)
    swept = strength_sweep(network, np.linspace(50, 200, 16), starts=2)
    assert swept.converged.all() and swept.linearity > 0.999


def test_a_range_that_is_no_range_is_refused():
    network = RateNetwork(np.zeros((3, 3)), -50.0)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(BadInput, match="strength_max"):
            continuation.follow(network, wrong)
