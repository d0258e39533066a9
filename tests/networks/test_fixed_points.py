"""Steady states against independent solvers, certificates against what they claim, refusals."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import optimize, sparse

from bmi_runtime.analysis.networks import certificates, graphs
from bmi_runtime.analysis.networks.certificates import Box
from bmi_runtime.analysis.networks.fixed_points import solve
from bmi_runtime.analysis.networks.network import RateNetwork, load_network, save_network
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.solvers import gmres, solve_from
from bmi_runtime.analysis.networks.uniqueness import Certificates
from bmi_runtime.cli.networks import networks
from bmi_runtime.errors import BadInput

SPARSE = {
    "weights_data": np.ones(1),
    "weights_indices": np.zeros(1, dtype=int),
    "weights_indptr": np.array([0, 1, 1]),
}


def random_network(size=80, strength=0.03, fraction=0.2, external_mv=-47.0, seed=0):
    graph = graphs.erdos_renyi(size, 0.2, np.random.default_rng(seed))
    return RateNetwork(graphs.signed_weights(graph, strength, fraction), external_mv)


@pytest.mark.parametrize("method", ["auto", "iteration", "anderson", "newton", "krylov", "transient"])
def test_every_method_reaches_the_solution_of_an_independent_solver(method):
    network = random_network()
    found = solve_from(network, network.external_mv, method)
    other = optimize.root(lambda e: e - network.mapped(e), network.external_mv, method="hybr", tol=1e-13)
    assert found.converged and found.residual < 1e-10
    np.testing.assert_allclose(found.input_mv, other.x, atol=1e-8)


def test_sparse_and_dense_weights_have_the_same_solutions():
    network = random_network()
    thin = RateNetwork(sparse.csr_array(network.weights), network.external_mv)
    dense, other = solve(network, starts=4), solve(thin, starts=4)
    np.testing.assert_allclose(dense.fixed_points[0].input_mv, other.fixed_points[0].input_mv, atol=1e-9)
    assert dense.contraction == pytest.approx(other.contraction)
    assert dense.fixed_points[0].spectral_radius == pytest.approx(other.fixed_points[0].spectral_radius)


def test_a_large_sparse_network_is_solved_without_its_jacobian():
    rng = np.random.default_rng(3)
    graph = graphs.sparse_erdos_renyi(3000, 60, rng)
    network = RateNetwork(graphs.signed_weights(graph, 0.01, 0.2), -46.0)
    for method in ("auto", "krylov"):
        found = solve_from(network, network.external_mv, method)
        assert found.converged
        assert np.abs(network.mapped(found.input_mv) - found.input_mv).max() < 1e-10


def test_gmres_agrees_with_a_direct_solution():
    rng = np.random.default_rng(1)
    matrix = np.eye(40) + 0.1 * rng.normal(size=(40, 40))
    right = rng.normal(size=40)
    found, products = gmres(lambda x: matrix @ x, right, 1e-12)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-9)
    assert products <= 40
    assert not gmres(lambda x: x, np.zeros(5), 1e-8)[0].any()


def test_two_neurons_against_bisection():
    """Two symmetric neurons that excite each other: the symmetric states solve one scalar equation."""
    neuron = LIFNeuron(sigma_mv=2)
    weight = 0.4
    network = RateNetwork(np.array([[0, weight], [weight, 0]]), -50.0, neuron)
    grid = np.linspace(-55, 60, 20001)
    gap = -50.0 + weight * neuron.rate_hz(grid) - grid
    crossings = np.flatnonzero(gap[:-1] * gap[1:] < 0)
    roots = [
        optimize.brentq(lambda e: -50.0 + weight * float(neuron.rate_hz(e)) - e, grid[k], grid[k + 1])
        for k in crossings
    ]
    found = solve(network, starts=40)
    symmetric = sorted(p.input_mv[0] for p in found.fixed_points if np.ptp(p.input_mv) < 1e-6)
    assert len(roots) == 3
    np.testing.assert_allclose(symmetric, roots, atol=1e-7)
    assert [p.stable for p in sorted(found.fixed_points, key=lambda p: p.input_mv[0])] == [True, False, True]
    assert found.unique is False and "not unique: 3" in found.statement


def test_stability_is_what_the_iteration_does():
    network = random_network(strength=0.05, external_mv=-45.0, seed=7)
    points = [p for seed in range(3) for p in solve(network, starts=12, seed=seed).fixed_points]
    assert points
    for point in points:
        pushed = point.input_mv + 1e-6 * np.random.default_rng(0).normal(size=network.size)
        for _ in range(400):
            pushed = network.mapped(pushed)
        assert (np.abs(pushed - point.input_mv).max() < 1e-5) == point.stable


def test_spectrum_by_arnoldi_agrees_with_all_eigenvalues(monkeypatch):
    network = random_network(size=200)
    point = solve_from(network, network.external_mv).input_mv
    whole = certificates.spectrum_at(network, point)
    monkeypatch.setattr(certificates, "DENSE_SPECTRUM", 50)
    part = certificates.spectrum_at(network, point)
    assert part.radius == pytest.approx(whole.radius, rel=1e-4)
    assert part.leading_real == pytest.approx(whole.leading_real, rel=1e-3)
    assert certificates.largest_singular_value(network.weights) == pytest.approx(
        np.linalg.norm(network.weights, 2), rel=1e-5
    )


def test_contraction_constants_are_slope_times_norms_and_bound_the_map():
    network = random_network()
    constants = certificates.contraction_constants(network)
    steepest = network.neuron.steepest[1]
    for name, order in (("1", 1), ("2", 2), ("inf", np.inf)):
        assert constants[name] == pytest.approx(steepest * np.linalg.norm(network.weights, order))
        rng = np.random.default_rng(0)
        for _ in range(20):
            first, second = -45 + 10 * rng.normal(size=(2, network.size))
            moved = np.linalg.norm(network.mapped(first) - network.mapped(second), order)
            assert moved <= constants[name] * np.linalg.norm(first - second, order) * (1 + 1e-12)


def test_the_2_norm_may_certify_where_the_others_do_not_and_the_statement_says_which():
    unique, statement = Certificates(
        {"1": 1.4, "2": 0.9, "inf": 1.2}, {"1": 2, "2": 2, "inf": 2}, Box(np.zeros(2), np.full(2, 10.0), 10.0, 1)
    ).proof()
    assert unique is True
    assert "2-norm 0.9" in statement and "not in the 1-norm 1.4, inf-norm 1.2" in statement


def test_no_certificate_is_said_plainly():
    network = random_network(strength=0.06, external_mv=-45.0)
    found = solve(network, starts=6)
    assert min(found.contraction.values()) > 1
    assert found.unique is not True
    assert "no certificate holds" in found.statement or "not unique" in found.statement


def test_every_steady_state_lies_in_the_box():
    neuron = LIFNeuron(sigma_mv=2)
    network = RateNetwork(np.array([[0, 0.4], [0.4, 0]]), -50.0, neuron)
    box = certificates.enclosing_box(network)
    points = solve(network, starts=40).fixed_points
    assert len(points) == 3
    for point in points:
        assert (box.low_mv - 1e-6 <= point.input_mv).all() and (point.input_mv <= box.high_mv + 1e-6).all()
    assert box.low_mv == pytest.approx(points[0].input_mv, abs=1e-6)  # excitatory: the box is tight
    assert box.high_mv == pytest.approx(points[-1].input_mv, abs=1e-6)


def test_the_box_proves_uniqueness_where_no_norm_does():
    graph = graphs.erdos_renyi(60, 0.2, np.random.default_rng(0))
    network = RateNetwork(graphs.signed_weights(graph, 0.034), -46.0)
    found = solve(network, starts=6)
    assert min(found.contraction.values()) > 1
    assert found.unique is True and found.box_width_mv < 1e-6


def test_weak_coupling_is_certified_in_every_norm():
    found = solve(random_network(strength=0.003), starts=3)
    assert max(found.contraction.values()) < 1
    assert found.unique is True and len(found.fixed_points) == 1 and found.starts_converged == 3


def test_an_iteration_that_cycles_does_not_hide_the_steady_state():
    """Strong mutual inhibition of a network with itself: the iteration flips between two states, the solution
    exists."""
    network = RateNetwork(np.array([[-0.8]]), -30.0)
    assert not solve_from(network, network.external_mv, "iteration").converged
    found = solve(network, starts=3)
    assert len(found.fixed_points) == 1
    point = found.fixed_points[0]
    assert point.residual < 1e-10 and point.stable is False and point.stable_in_time is True
    assert found.unique is None or found.unique is True


def test_the_command_answers_the_contract(tmp_path):
    network = random_network(size=30)
    save_network(tmp_path / "net.npz", network)
    result = CliRunner().invoke(networks, ["solve", str(tmp_path / "net.npz"), "--json"], catch_exceptions=False)
    answer = json.loads(result.stdout.strip().splitlines()[-1])
    point = answer["fixed_points"][0]
    rates = network.neuron.rate_hz(np.array(point["input_mv"]))
    np.testing.assert_allclose(point["rates_hz"], rates)
    np.testing.assert_allclose(network.external_mv + network.weights @ rates, point["input_mv"], atol=1e-9)
    assert set(answer["contraction"]) == {"1", "2", "inf"}


def test_networks_survive_files_dense_and_sparse(tmp_path):
    network = random_network(size=20)
    for k, weights in enumerate((network.weights, sparse.csr_array(network.weights))):
        save_network(tmp_path / f"{k}.npz", RateNetwork(weights, np.linspace(-50, -40, 20), LIFNeuron(tau_ms=12)))
        loaded = load_network(tmp_path / f"{k}.npz")
        assert loaded.neuron.tau_ms == 12 and loaded.is_sparse == bool(k)
        dense = loaded.weights.toarray() if k else loaded.weights
        np.testing.assert_array_equal(dense, network.weights)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"weights": np.zeros((2, 3))}, "square"),
        ({"weights": np.array([[0, np.nan], [0, 0]])}, "not finite, first at row 0, column 1"),
        ({"weights": np.array([["a"]])}, "real numbers"),
        ({"weights": np.zeros((0, 0))}, "empty"),
        ({"weights": np.zeros((2, 2)), "external_mv": [1.0, 2.0, 3.0]}, "one per neuron"),
        ({"weights": np.zeros((2, 2)), "external_mv": np.inf}, "not finite"),
        ({"weights": np.zeros((2, 2)), "sigma_mv": 0.0}, "unbounded at threshold"),
        ({"weights": np.zeros((2, 2)), "sigma_mv": [1.0, 2.0]}, "one finite number"),
        ({"other": 1}, "lacks weights"),
        ({"weights": np.full((2, 2), 1e300)}, "weights reach 1e"),
        ({"weights": np.zeros((2, 2)), "external_mv": -1e300}, "external_mv reaches 1e"),
        (SPARSE | {"weights_data": np.array(["a"])}, "weights_data must hold real numbers"),
        (SPARSE | {"weights_indices": np.array(["0"])}, "weights_indices must hold whole numbers"),
    ],
)
def test_impossible_files_are_refused(tmp_path, content, words):
    path = tmp_path / "bad.npz"
    np.savez(path, **({"external_mv": -50.0} | content))
    with pytest.raises(BadInput, match=words):
        CliRunner().invoke(networks, ["solve", str(path)], catch_exceptions=False)


def test_unknown_methods_and_no_starts_are_refused():
    network = random_network(size=10)
    with pytest.raises(BadInput, match="choose from auto"):
        solve(network, method="magic")
    with pytest.raises(BadInput, match="at least one start"):
        solve(network, starts=0)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(BadInput, match="must be a positive number"):
            solve(network, tolerance_mv=wrong)


def test_files_that_are_no_networks_are_refused(tmp_path):
    np.save(tmp_path / "lone.npy", np.zeros((2, 2)))
    (tmp_path / "text.npz").write_text("hello")
    for name, words in (("lone.npy", "single array"), ("text.npz", "not an .npz"), ("absent.npz", "no file")):
        with pytest.raises(BadInput, match=words):
            load_network(tmp_path / name)


def test_states_are_drawn_from_a_network_and_from_a_solution(tmp_path):
    save_network(tmp_path / "net.npz", RateNetwork(0.4 * np.eye(2), -50.0, LIFNeuron(sigma_mv=2)))
    invoked = CliRunner().invoke(networks, ["solve", str(tmp_path / "net.npz"), "--out", str(tmp_path / "states.npz")])
    assert invoked.exit_code == 0 and "9 fixed points, and no others" in invoked.output
    for name in ("net", "states"):
        drawn = CliRunner().invoke(networks, ["plot", str(tmp_path / f"{name}.npz"), "--folder", str(tmp_path)])
        assert drawn.exit_code == 0
        assert (tmp_path / f"{name}_states.png").read_bytes()[:4] == b"\x89PNG"


def test_parameters_that_the_file_lacks_are_named_with_the_values_taken(tmp_path):
    np.savez(tmp_path / "net.npz", weights=np.zeros((2, 2)), external_mv=-50.0, tau_ms=10.0)
    invoked = CliRunner().invoke(networks, ["solve", str(tmp_path / "net.npz"), "--json"])
    assumed = {"e_l_mv": -60, "v_threshold_mv": -45, "v_reset_mv": -60, "refractory_ms": 2, "sigma_mv": 5}
    assert json.loads(invoked.stdout.strip().splitlines()[-1])["assumed"] == assumed
    assert "assumed: e_l_mv -60" in invoked.stderr and "tau_ms" not in invoked.stderr


def test_a_network_whose_inputs_run_away_has_no_state_and_gives_no_warning(tmp_path):
    weights = np.array([[0, 0.6], [0.6, 0]])  # twice the slope at which rates without refractory time grow without end
    found = solve(RateNetwork(weights, -44.0, LIFNeuron(refractory_ms=0)))
    assert found.fixed_points == [] and found.unique is None and "no fixed point found" in found.statement


def test_solutions_are_written_where_the_answer_says(tmp_path):
    save_network(tmp_path / "net.npz", RateNetwork(np.zeros((2, 2)), -50.0))
    invoked = CliRunner().invoke(
        networks, ["solve", str(tmp_path / "net.npz"), "--out", str(tmp_path / "states"), "--json"]
    )
    assert json.loads(invoked.stdout.strip().splitlines()[-1])["out"] == str(tmp_path / "states.npz")
    assert (tmp_path / "states.npz").is_file()
    with pytest.raises(BadInput, match="is a folder"):
        CliRunner().invoke(
            networks, ["solve", str(tmp_path / "net.npz"), "--out", str(tmp_path)], catch_exceptions=False
        )
