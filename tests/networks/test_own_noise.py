"""Rates and covariances with the network's own noise: every formula against differences, the whole against spikes."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import sparse

from bmi_runtime.analysis.networks import graphs, report
from bmi_runtime.analysis.networks.first_passage import FirstPassage, extrapolated_rate
from bmi_runtime.analysis.networks.fixed_points import solve
from bmi_runtime.analysis.networks.input_classes import InputClasses, responses
from bmi_runtime.analysis.networks.network import RateNetwork, save_network
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.self_consistent import solve_self_consistent
from bmi_runtime.cli.networks import networks
from bmi_runtime.errors import BadInput
from simulators.network import SpikingNetwork

NEURON = LIFNeuron()
JUMPS, RATES = [2.5, -10.0], [400.0, 60.0]


@pytest.mark.parametrize("input_mv", [-58.0, -52.0, -48.0, -40.0, -20.0])
def test_without_jumps_the_rate_is_siegerts(input_mv):
    found = extrapolated_rate(FirstPassage(NEURON, input_mv, [], []))
    assert found == pytest.approx(NEURON.rate_hz(np.array([input_mv]))[0], rel=2e-4)


def test_many_small_jumps_are_a_diffusion():
    jump, rate = 0.05, 4e4
    tau = NEURON.tau_ms / 1e3
    sigma = np.sqrt(NEURON.sigma_mv**2 + tau * jump**2 * rate * 2)
    alike = LIFNeuron(sigma_mv=sigma).rate_hz(np.array([-49.0]))[0]
    assert FirstPassage(NEURON, -49.0, [jump, -jump], [rate, rate]).rate_hz == pytest.approx(alike, rel=5e-3)


def test_the_rate_with_jumps_is_that_of_simulated_neurons():
    rng = np.random.default_rng(0)
    neurons, warm, steps = 2000, 1000, 4000
    network = SpikingNetwork(sparse.csr_array((neurons, neurons)), -48.0, NEURON, rng)
    counts = np.zeros(neurons)
    for step in range(warm + steps):  # Poisson jumps as kicks of the voltage in steps of 0.1 ms
        arrived = rng.poisson(np.array(RATES)[:, None] * 1e-4, (2, neurons))
        network.voltage_mv += JUMPS[0] * arrived[0] + JUMPS[1] * arrived[1]
        counts += network.step(1e-4) * (step >= warm)
    expected = FirstPassage(NEURON, -48.0, JUMPS, RATES).rate_hz
    assert counts.sum() / 800 == pytest.approx(expected, abs=5 * np.sqrt(expected / 800))


def test_gains_are_differences_of_rates():
    found = FirstPassage(NEURON, -48.0, JUMPS, RATES)
    for k, jump in enumerate(JUMPS):
        step = np.zeros(2)
        step[k] = 0.5
        up, down = (FirstPassage(NEURON, -48.0, JUMPS, np.add(RATES, sign * step)).rate_hz for sign in (1, -1))
        assert found.gain(jump) == pytest.approx(up - down, rel=5e-3)
        assert found.at(0.05).gain(jump).real == pytest.approx(up - down, rel=5e-3)


def test_slow_limits_are_static_ones():
    found = FirstPassage(NEURON, -48.0, JUMPS, RATES)
    assert found.at(0.05).spectrum() == pytest.approx(found.cv2 * found.rate_hz, rel=1e-4)
    fine = [FirstPassage(NEURON, -48.0 + shift, JUMPS, RATES, 144) for shift in (-0.5, 0.0, 0.5)]
    curvature = (fine[0].rate_hz - 2 * fine[1].rate_hz + fine[2].rate_hz) / 0.5**2
    assert fine[1].at(0.05).second_order() == pytest.approx(curvature / 2, rel=0.03)


def test_a_fast_spectrum_is_poissons():
    found = FirstPassage(NEURON, -48.0, JUMPS, RATES)
    assert found.at(2 * np.pi * 3000).spectrum() == pytest.approx(found.rate_hz, rel=0.02)


def test_weights_of_many_sizes_are_shared_out_and_keep_their_sum():
    rng = np.random.default_rng(1)
    weights = rng.lognormal(-4, 0.5, (30, 30)) * (rng.random((30, 30)) < 0.3) * np.where(np.arange(30) < 24, 1, -3)
    classes = InputClasses.of(RateNetwork(weights, -50.0))
    total = sum(jump * matrix.toarray() for jump, matrix in zip(classes.jumps_mv, classes.connections))
    assert np.allclose(total * NEURON.tau_ms / 1e3, weights)


def test_interpolated_responses_are_those_of_each_neuron():
    graph = graphs.sonet(150, graphs.MotifStatistics(0.2), np.random.default_rng(2))
    network = RateNetwork(graphs.signed_weights(graph, 0.03, 0.2, 4.0), -48.0)
    classes = InputClasses.of(network)
    rates = np.random.default_rng(3).uniform(5, 20, 150)
    table = responses(classes, rates, np.array([5.0]))
    for i in (0, 70, 149):
        found = FirstPassage(NEURON, -48.0, classes.jumps_mv, classes.inputs(rates)[i])
        assert table.rates_hz[i] == pytest.approx(extrapolated_rate(found), rel=1e-4)
        assert table.at_gains[0, i, 0] == pytest.approx(found.at(10 * np.pi).gain(classes.jumps_mv[0]), rel=1e-3)


def test_a_network_agrees_with_its_own_spikes_where_the_rate_theory_does_not():
    graph = graphs.sonet(60, graphs.MotifStatistics(0.3), np.random.default_rng(1))
    network = RateNetwork(graphs.signed_weights(graph, 0.02, 0.2, 4.0), -45.0)
    spiking = SpikingNetwork(network.weights, network.external_mv, NEURON, np.random.default_rng(4))
    spiking.step(0.5)
    counts = spiking.run(40, 0.25)
    rate = counts.mean() / 0.25
    theory = solve(network, starts=4, certify=False).fixed_points[0].rates_hz
    found = solve_self_consistent(network, theory, rounds=2)
    assert abs(theory.mean() / rate - 1) > 0.1
    assert found.rates_hz.mean() == pytest.approx(rate, rel=0.03)
    assert np.corrcoef(found.rates_hz, counts.mean(axis=0))[0, 1] > 0.99
    variance = np.var(counts, axis=0).sum() / 0.25
    assert np.trace(found.covariance_hz) == pytest.approx(variance, rel=0.25)
    assert found.residual_hz < 1e-3


def test_the_command_compares_with_simulation(tmp_path):
    graph = graphs.sonet(24, graphs.MotifStatistics(0.2), np.random.default_rng(5))
    path = tmp_path / "net.npz"
    save_network(path, RateNetwork(graphs.signed_weights(graph, 0.02, 0.2, 4.0), -50.0))
    out = tmp_path / "noise.npz"
    done = CliRunner().invoke(networks, ["noise", str(path), "--compare-s", "10", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output.splitlines()[-1])
    assert abs(answer["simulated"]["rate_percent"]) < 10
    assert set(answer["covariance_by_motif_hz"]) == {"connections", "chains", "common_input", "all"}
    assert np.load(out)["covariance_hz"].shape == (24, 24)
    text = CliRunner().invoke(networks, ["noise", str(path)]).output
    assert "own noise" in text and "common input" in text


def test_bad_input_is_said_in_a_sentence(tmp_path):
    path = tmp_path / "net.npz"
    save_network(path, RateNetwork(np.zeros((5, 5)), -50.0))
    huge = tmp_path / "huge.npz"
    save_network(huge, RateNetwork(-1e6 * np.ones((4, 4)), -54.0))
    alone = tmp_path / "one.npz"
    save_network(alone, RateNetwork(np.ones((1, 1)), -50.0))
    for arguments, words in (
        (["noise", str(path)], "no connections"),
        (["noise", str(alone)], "one neuron"),
        (["noise", str(huge)], "3.33e+06 times the distance from reset to threshold"),
        (["noise", str(path), "--delay-ms", "-1"], "must be positive"),
    ):
        done = CliRunner().invoke(networks, arguments)
        assert isinstance(done.exception, BadInput) and words in str(done.exception)


@pytest.mark.parametrize(("weight", "said"), [(0.05, False), (0.2, True)])
def test_jumps_at_which_pairs_answer_themselves_are_remarked(tmp_path, weight, said):
    path = tmp_path / "pairs.npz"
    save_network(path, RateNetwork(np.kron(np.eye(3), [[0.0, weight], [weight, 0.0]]), -54.0))
    text = CliRunner().invoke(networks, ["noise", str(path)]).output
    assert ("lifts the voltage by up to 0.67 of the way" in text) == said


@pytest.mark.parametrize("as_sparse", [False, True])
def test_the_echo_that_is_left_out_is_said_beside_the_number(as_sparse):
    """Pairs that excite each other are told, in text and JSON; a ring, in which no spike comes back, is not."""
    ring = 0.2 * np.roll(np.eye(12), 1, axis=1)
    for name, weights, said in (
        ("pairs", np.kron(np.eye(6), [[0.0, 0.2], [0.2, 0.0]]), True),
        ("weak", np.kron(np.eye(6), [[0.0, 0.02], [0.02, 0.0]]), False),
        ("ring", ring, False),
    ):
        share = report.answering_share(sparse.csr_matrix(weights) if as_sparse else weights)
        assert share == (0.0 if name == "ring" else 1.0)
        network = RateNetwork(weights, -54.0)
        found = solve_self_consistent(network, np.full(12, 2.0))
        result = report.own_noise(found, np.full(12, 2.0), None, share)
        assert bool(result["note"]) == said and ("note:" in report.own_noise_text(result)) == said


def test_which_of_several_steady_states_is_spoken_of_is_said(tmp_path):
    """Of three steady states one is not stable in time: noise is not added to it, and spikes do not stay at it."""
    path = str(tmp_path / "net.npz")
    made = ["make", path, "--size=40", "--strength-uv-per-hz=300", "--inhibitory-fraction=0.5", "--seed=4"]
    assert CliRunner().invoke(networks, made).exit_code == 0
    done = CliRunner().invoke(networks, ["noise", path, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["theory_stable_in_time"] and found["theory_states"] > 1
    seen = CliRunner().invoke(networks, ["simulate", path, "--duration-s=3"], catch_exceptions=False).output
    assert "steady states of the rate theory were found" in seen and "not stable in time" in seen
