"""The spiking network against the rate theory, against a plain loop, and against itself."""

import numpy as np
import pytest
from scipy import sparse

from bmi_runtime.analysis.networks import graphs
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.spiking_check import compared, rate_errors
from bmi_runtime.errors import BadInput
from simulators.network import SpikingNetwork


def alone(count, inputs_mv, neuron=None, seed=1, **options):
    nothing = sparse.csr_array((count, count))
    return SpikingNetwork(nothing, inputs_mv, neuron or LIFNeuron(), np.random.default_rng(seed), **options)


@pytest.mark.parametrize("refractory_ms", [2.0, 0.0, 2.03])
def test_simulated_rates_agree_with_siegert_within_sampling_error(refractory_ms):
    neuron = LIFNeuron(refractory_ms=refractory_ms)
    inputs = np.array([-52.0, -48.0, -40.0, -20.0])
    copies, duration_s = 250, 3.0
    network = alone(4 * copies, np.repeat(inputs, copies), neuron, dt_s=2e-4)
    network.step(0.2)
    rates = network.step(duration_s).reshape(4, copies) / duration_s
    errors = rates.std(axis=1, ddof=1) / np.sqrt(copies)
    expected = neuron.rate_hz(inputs)
    assert (np.abs(rates.mean(axis=1) - expected) < 3.5 * errors + 2e-3 * expected).all()


def test_a_grid_alone_misses_crossings_by_the_square_root_of_the_step():
    shortfall = []
    for dt_s in (1e-4, 4e-4):
        network = alone(500, -45.0, crossing="grid", dt_s=dt_s)
        network.step(0.2)
        shortfall.append(1 - network.step(2.0).mean() / 2.0 / float(LIFNeuron().rate_hz(-45.0)))
    assert shortfall[0] > 0.01
    assert shortfall[1] / shortfall[0] == pytest.approx(2, abs=0.5)


def test_without_threshold_the_voltage_has_the_stationary_law():
    neuron = LIFNeuron(v_threshold_mv=1000.0)
    network = alone(4000, -50.0, neuron)
    network.step(0.4)
    assert network.voltage_mv.mean() == pytest.approx(-50, abs=0.25)
    assert network.voltage_mv.std() == pytest.approx(5 / np.sqrt(2), rel=0.05)


def test_noiseless_rate_is_the_textbook_formula():
    network = alone(3, -30.0, noise=False, dt_s=2e-5)
    network.step(0.1)
    count = network.step(1.0)[0]
    interval_s = 0.002 + 0.02 * np.log((-30 + 60) / (-30 + 45))
    assert count == pytest.approx(1.0 / interval_s, abs=1.01)


def test_agrees_with_a_plain_loop_with_delays_per_connection():
    rng = np.random.default_rng(0)
    n, steps, dt_s = 6, 3000, 1e-4
    weights = np.where(rng.random((n, n)) < 0.5, rng.normal(scale=0.04, size=(n, n)), 0)
    delays = rng.uniform(1e-4, 3e-3, (n, n))
    network = SpikingNetwork(weights, -40.0, LIFNeuron(), np.random.default_rng(5), dt_s, delays, noise=False)
    voltage = network.voltage_mv.copy()
    seen = np.zeros((steps, n), dtype=int)
    for k in range(steps):
        seen[k] = network.step(dt_s)
    lag = np.maximum(np.rint(delays / dt_s).astype(int), 1)
    pending, held, expected = np.zeros((steps + 50, n)), np.zeros(n, dtype=int), np.zeros((steps, n), dtype=int)
    for k in range(steps):
        moved = -40 + (voltage + 40) * np.exp(-dt_s / 0.02) + pending[k]
        voltage = np.where(held > 0, -60.0, moved)
        held = np.maximum(held - 1, 0)
        for j in np.flatnonzero(voltage >= -45):
            voltage[j], held[j], expected[k, j] = -60.0, 20, 1
            for i in np.flatnonzero(weights[:, j]):
                pending[k + lag[i, j], i] += weights[i, j] / 0.02
    assert expected.sum() > 30
    np.testing.assert_array_equal(seen, expected)


def test_equal_weights_take_the_short_way_with_the_same_result():
    graph = graphs.erdos_renyi(30, 0.3, np.random.default_rng(0))
    weights = graphs.signed_weights(graph, 0.03, 0.2)
    quick = SpikingNetwork(weights, -44.0, LIFNeuron(), np.random.default_rng(5))
    delays = np.full(weights.shape, 1.5e-3)
    general = SpikingNetwork(weights, -44.0, LIFNeuron(), np.random.default_rng(5), delay_s=delays)
    assert quick._deliver is not general._deliver
    np.testing.assert_array_equal(quick.step(0.5), general.step(0.5))


def test_synaptic_current_carries_the_same_charge_as_a_jump():
    """One spike of a driver moves a silent target by the same integral of voltage, jump or current."""
    weights = np.array([[0.0, 0.0], [0.02, 0.0]])
    areas = []
    for synapse_ms in (0.0, 5.0, 20.0):
        network = SpikingNetwork(
            weights, [-30.0, -60.0], LIFNeuron(), np.random.default_rng(0), noise=False, synapse_ms=synapse_ms
        )
        network.voltage_mv[:] = -60.0
        trace = network.trace(0.02, 2)  # the driver's first spike comes at about 14 ms
        network.external_mv = np.full(2, -60.0)
        rest = network.trace(0.4, 2)
        areas.append(1e-4 * np.concatenate([trace, rest])[:, 1].sum() + 60 * 0.42)
    assert areas[0] == pytest.approx(0.02 * 1, rel=0.01)  # W (mV per Hz = mV s) per spike
    np.testing.assert_allclose(areas[1:], areas[0], rtol=0.02)


def test_weakly_coupled_network_agrees_with_its_fixed_point():
    graph = graphs.sparse_erdos_renyi(500, 50, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    network = RateNetwork(graphs.signed_weights(graph, 0.0008, 0.2), -48 + 3 * rng.normal(size=500))
    spiking = SpikingNetwork(network.weights, network.external_mv, network.neuron, rng)
    spiking.step(0.3)
    check = compared(network, spiking.run(4.0, 0.05), 0.05)
    apart = (check.rates_hz - check.theory_hz) / np.maximum(check.errors_hz, 0.05)
    assert abs(np.median(apart)) < 0.3
    assert np.mean(np.abs(apart) < 3) > 0.95
    spread = check.theory_hz.var()
    expected = np.sqrt(spread / (spread + (check.errors_hz**2).mean()))  # what sampling error leaves of 1
    assert check.as_dict()["correlation"] == pytest.approx(expected, abs=0.006)


def test_the_same_seed_gives_the_same_spikes_however_they_are_binned():
    whole = alone(50, -46.0, seed=3).step(0.4)
    network = alone(50, -46.0, seed=3)
    parts = network.run(0.4, 0.4)
    np.testing.assert_array_equal(parts[0], whole)
    times, neurons = alone(50, -46.0, seed=3).spikes(0.4)
    np.testing.assert_array_equal(np.bincount(neurons, minlength=50), whole)
    assert (np.diff(times) >= 0).all() and times.max() <= 0.4
    assert not np.array_equal(alone(50, -46.0, seed=4).step(0.4), whole)


def test_input_of_a_bin_drives_the_neurons_it_names():
    network = alone(200, -60.0)
    extra = np.zeros(200)
    extra[:100] = 20.0
    counts = network.step(1.0, extra)
    assert counts[:100].mean() > 20 and counts[100:].mean() < 1
    assert network.step(1.0)[:100].mean() < 1


def test_batched_errors_see_slow_correlations():
    rng = np.random.default_rng(0)
    independent = rng.poisson(2.0, (2000, 50))
    rates, errors = rate_errors(independent, 0.1)
    assert errors.mean() == pytest.approx(np.sqrt(2.0 / 2000) / 0.1, rel=0.06)
    np.testing.assert_allclose(rates, independent.mean(axis=0) / 0.1)
    slow = np.repeat(rng.poisson(2.0, (100, 50)), 20, axis=0)
    assert rate_errors(slow, 0.1)[1].mean() > 3 * errors.mean()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": np.zeros((2, 3))}, "square"),
        ({"weights": np.full((2, 2), np.nan)}, "not finite"),
        ({"dt_s": 0.0}, "dt_s"),
        ({"dt_s": 0.1}, "half of tau_ms"),
        ({"crossing": "sometimes"}, "choose bridge or grid"),
        ({"delay_s": -1e-3}, "negative"),
        ({"delay_s": np.zeros((3, 3))}, "like the weights"),
        ({"synapse_ms": -1}, "synapse_ms"),
        ({"external_mv": [1.0, 2.0, 3.0]}, "one per neuron"),
    ],
)
def test_impossible_simulations_are_refused(options, words):
    given = {"weights": np.zeros((2, 2)), "external_mv": -50.0} | options
    with pytest.raises(BadInput, match=words):
        SpikingNetwork(neuron=LIFNeuron(), rng=np.random.default_rng(0), **given)


def test_bins_that_are_no_multiple_of_the_step_are_refused():
    network = alone(2, -50.0)
    for wrong in (1.5e-4, 0.0, -1.0, np.nan):
        with pytest.raises(BadInput, match="whole number"):
            network.step(wrong)
        with pytest.raises(BadInput, match="whole number"):
            network.run(1.0, wrong)
    for wrong in (np.nan, np.inf):
        with pytest.raises(BadInput, match="finite number of seconds"):
            network.run(wrong, 1e-3)
