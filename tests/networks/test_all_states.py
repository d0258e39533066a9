"""All steady states of small networks: against brute force, against products of single neurons, at folds."""

import numpy as np
import pytest
from scipy import optimize

from bmi_runtime.analysis.networks import arclength, branch_and_bound, certificates, deflation, graphs
from bmi_runtime.analysis.networks.certificates import Box, enclosing_box
from bmi_runtime.analysis.networks.fixed_points import solve
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.solvers import newton
from bmi_runtime.analysis.networks.uniqueness import Certificates

SHARP = LIFNeuron(sigma_mv=2)


def small_network(seed):
    """Two to four neurons that excite themselves and inhibit each other, or with signs by source, or any signs."""
    rng = np.random.default_rng(seed)
    n, sizes = rng.integers(2, 5), np.exp(rng.uniform(np.log(0.1), np.log(3)))
    weights = sizes * np.abs(rng.normal(size=(n, n)))
    signs = (2 * np.eye(n) - 1, np.where(rng.random(n) < 0.5, 1, -1), rng.choice([-1, 1], (n, n)))[seed % 3]
    neuron = LIFNeuron(sigma_mv=float(rng.choice([1, 2, 5])), refractory_ms=float(rng.choice([1, 2, 5])))
    return RateNetwork(weights * signs, rng.uniform(-65, -35, n), neuron)


def brute_force(network, starts=400):
    """Return what scipy's hybrid Powell solver finds from many starts all over the possible inputs."""
    rng, n, neuron, weights = np.random.default_rng(0), network.size, network.neuron, network.weights
    found = []
    for k in range(starts):
        if k % 2:
            start = network.external_mv + weights @ (neuron.saturation_hz * rng.random(n) ** 3)
        else:
            start = neuron.v_threshold_mv + 3 * neuron.sigma_mv * rng.normal(size=n) + 10 * rng.normal()
        done = optimize.root(
            lambda e: e - network.mapped(e),
            start,
            jac=lambda e: np.eye(n) - weights * neuron.rate_and_slope(e)[1],
            tol=1e-13,
        )
        residual = np.abs(done.x - network.mapped(done.x)).max()
        if residual < 1e-9 and not any(np.abs(done.x - other).max() < 1e-4 for other in found):
            found.append(done.x)
    return found


@pytest.mark.parametrize("seed", [0, 1, 4, 6, 8, 9, 12, 15, 18, 20, 23, 39])  # 1 to 15 states
def test_every_state_that_brute_force_finds_is_found(seed):
    network = small_network(seed)
    wanted, found = brute_force(network), solve(network)
    assert found.complete and found.unique is (len(found.fixed_points) == 1)
    for state in wanted:
        assert min(np.abs(state - point.input_mv).max() for point in found.fixed_points) < 1e-5
    assert len(found.fixed_points) >= len(wanted)
    assert sum(point.index for point in found.fixed_points) == 1
    for point in found.fixed_points:
        assert np.abs(network.mapped(point.input_mv) - point.input_mv).max() <= 1e-9
        values = np.linalg.eigvals(network.weights * network.neuron.rate_and_slope(point.input_mv)[1])
        assert point.spectral_radius == pytest.approx(np.abs(values).max(), rel=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_unconnected_bistable_neurons_have_the_product_of_their_states(size):
    found = solve(RateNetwork(0.4 * np.eye(size), -50.0, SHARP))
    assert len(found.fixed_points) == 3**size and found.complete
    assert f"{3**size} fixed points, and no others" in found.statement
    assert sum(point.stable for point in found.fixed_points) == 2**size


def test_stable_in_time_is_what_the_rate_dynamics_do():
    network = small_network(12)
    for point in solve(network).fixed_points:
        pushed = point.input_mv + 1e-5 * np.random.default_rng(0).normal(size=network.size)
        for _ in range(20000):
            pushed = pushed + 0.02 * (network.mapped(pushed) - pushed)
        assert (np.abs(pushed - point.input_mv).max() < 1e-4) == point.stable_in_time


@pytest.mark.parametrize(("relative", "count"), [(-1e-3, 1), (-1e-7, 1), (1e-7, 3), (1e-3, 3)])
def test_states_appear_at_a_fold(relative, count):
    """One neuron that excites itself: ``w = (E - E_0) / r(E)`` has its least value at a fold."""

    def weight(mean):
        return (mean + 50.0) / float(SHARP.rate_hz(mean))

    fold = optimize.minimize_scalar(weight, bounds=(-46, -38), method="bounded", options={"xatol": 1e-12})
    found = solve(RateNetwork(np.array([[fold.fun * (1 + relative)]]), -50.0, SHARP))
    assert len(found.fixed_points) == count and found.complete and found.unique is (count == 1)


def test_at_the_very_fold_nothing_is_claimed():
    def weight(mean):
        return (mean + 50.0) / float(SHARP.rate_hz(mean))

    fold = optimize.minimize_scalar(weight, bounds=(-46, -38), method="bounded", options={"xatol": 1e-12})
    found = solve(RateNetwork(np.array([[fold.fun]]), -50.0, SHARP))
    assert len(found.fixed_points) == 2 and found.unique is False and not found.complete


def test_dividing_gives_up_within_its_means():
    network = small_network(15)
    whole = branch_and_bound.divide(network, enclosing_box(network))
    assert whole.complete and whole.parts > 10
    assert not branch_and_bound.divide(network, enclosing_box(network), 10).complete
    endless = Box(np.full(network.size, -np.inf), np.full(network.size, np.inf), np.inf, 0)
    assert not branch_and_bound.divide(network, endless).complete


def test_each_proven_part_holds_its_state():
    network = small_network(15)
    found = branch_and_bound.divide(network, enclosing_box(network))
    for near, within in zip(found.near_mv, found.within_mv):
        state = newton(network, near)
        assert state.converged and (np.abs(state.input_mv - near) <= within + 1e-9).all()


@pytest.mark.parametrize("weight", [0.1, 0.29, -1.0])
def test_without_refractory_time_a_single_state_is_proven(weight):
    neuron = LIFNeuron(refractory_ms=0)
    found = solve(RateNetwork(np.array([[weight]]), -50.0, neuron))
    state = optimize.brentq(lambda e: e + 50 - weight * float(neuron.rate_hz(e)), -200, 1e4, xtol=1e-12)
    assert found.unique is True and found.fixed_points[0].input_mv[0] == pytest.approx(state, abs=1e-8)
    box = enclosing_box(RateNetwork(np.array([[weight]]), -50.0, neuron))
    assert box.low_mv[0] <= state + 1e-9 and box.high_mv[0] >= state - 1e-9


def test_without_refractory_time_excitation_that_sustains_itself_has_no_bound_and_no_state():
    network = RateNetwork(np.array([[0.4]]), -50.0, LIFNeuron(refractory_ms=0))
    assert np.isinf(enclosing_box(network).width_mv)
    found = solve(network)
    assert not found.fixed_points and found.unique is None and "no fixed point" in found.statement


def test_index_tells_the_state_between_two_others():
    network = RateNetwork(np.array([[0.4]]), -50.0, SHARP)
    points = solve(network).fixed_points
    assert [point.index for point in points] == [1, -1, 1]
    assert [certificates.spectrum_at(network, p.input_mv).leading_real > 1 for p in points] == [False, True, False]


def test_indices_that_do_not_add_up_prove_that_states_are_missing():
    bounds = Box(np.zeros(1), np.ones(1), 1.0, 1)
    known = Certificates({"1": 2.0, "2": 2.0, "inf": 2.0}, {"1": 2.0, "2": 2.0, "inf": 2.0}, bounds)
    unique, statement = known.without_proof([-1], 5, False)
    assert unique is False and "1 fixed point was found, and others exist (the indices add up to -1" in statement
    assert known.without_proof([1], 5, False)[0] is None
    assert "others are not ruled out" in known.without_proof([1, -1, 1], 5, False)[1]
    assert known.without_proof([None], 5, False)[0] is None


def test_known_states_repel():
    network = RateNetwork(0.4 * np.eye(2), -50.0, SHARP)
    known = solve(network).fixed_points[0].input_mv
    found = [known]
    for attempt in deflation.further(network, found, [network.external_mv], 1e-10):
        assert np.abs(network.mapped(attempt.input_mv) - attempt.input_mv).max() <= 1e-10
        found.append(attempt.input_mv)
    gaps = [np.abs(a - b).max() for k, a in enumerate(found) for b in found[:k]]
    assert len(found) >= 6 and min(gaps) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_state_grows_from_the_unconnected_network(seed):
    graph = graphs.erdos_renyi(60, 0.2, np.random.default_rng(seed))
    network = RateNetwork(graphs.signed_weights(graph, 0.6, 0.5), -46.0)
    found = arclength.grown(network)
    assert found.converged and np.abs(network.mapped(found.input_mv) - found.input_mv).max() <= 1e-9


def test_a_network_too_large_to_divide_says_what_it_does_not_know():
    graph = graphs.erdos_renyi(45, 0.2, np.random.default_rng(0))
    network = RateNetwork(graphs.signed_weights(graph, 0.6, 0.2), -46.0)
    found = solve(network, starts=3)
    assert found.fixed_points and not found.complete and found.unique is not True
    assert "others" in found.statement
