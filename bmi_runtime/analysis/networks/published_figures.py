"""The poster's figures 1 to 3 redrawn from our own runs, and the branch diagrams behind figure 3."""

import pathlib

import numpy as np

from bmi_runtime.analysis.networks import graphs as random_graphs
from bmi_runtime.analysis.networks import plots
from bmi_runtime.analysis.networks.continuation import branch_diagram
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.sweep import strength_sweep

UNIT_MV_PER_HZ = 1e-3  # weights of 1 uV per Hz, so that strengths read in uV per Hz


def rate_curve(folder: pathlib.Path, seed: int, simulator) -> str:
    """Draw figure 1: a trace, the f-I curve against simulation, its slope. `simulator` is ``SpikingNetwork``."""
    neuron = LIFNeuron()
    alone = simulator(np.zeros((1, 1)), -47.0, neuron, np.random.default_rng(seed))
    start = alone.time_s
    voltages = alone.trace(0.4)[:, 0]
    times = alone.dt_s * np.arange(len(voltages))
    spikes = times[1:][(voltages[1:] == neuron.v_reset_mv) & (voltages[:-1] != neuron.v_reset_mv)] - start
    inputs = np.linspace(-58, 10, 15)
    copies, duration_s = 100, 2.0
    many = simulator(
        np.zeros((inputs.size * copies,) * 2), np.repeat(inputs, copies), neuron, np.random.default_rng(seed)
    )
    many.step(0.2)
    rates = many.step(duration_s).reshape(inputs.size, copies) / duration_s
    measured = (inputs, rates.mean(axis=1), rates.std(axis=1, ddof=1) / np.sqrt(copies))
    return plots.rate_curve_figure(neuron, (times, voltages), spikes, measured, folder / "networks_rate_curve.png")


def graphs(folder: pathlib.Path, seed: int, simulator=None) -> str:
    """Draw figure 2: a purely excitatory and a mixed Erdos-Renyi network."""
    rng = np.random.default_rng(seed)
    panels = {}
    for name, fraction in (("excitatory", 0.0), ("mixed: excitatory and inhibitory", 0.2)):
        graph = random_graphs.erdos_renyi(20, 0.2, rng)
        panels[name] = random_graphs.signed_weights(graph, 0.05, fraction)
    return plots.graphs_figure(panels, folder / "networks_graphs.png")


def _network(seed: int, size: int, fraction: float, external_mv: float, probability: float = 0.2) -> RateNetwork:
    graph = random_graphs.erdos_renyi(size, probability, np.random.default_rng(seed))
    return RateNetwork(random_graphs.signed_weights(graph, UNIT_MV_PER_HZ, fraction), external_mv)


def strength(folder: pathlib.Path, seed: int, simulator=None) -> str:
    """Draw figure 3: steady inputs against strength by iteration, two mixed and two excitatory networks."""
    strengths = np.linspace(0, 200, 81)
    panels = {}
    for name, number, size, fraction in (
        ("mixed, n = 50", 2, 50, 0.2),
        ("mixed, n = 100", 1, 100, 0.2),
        ("excitatory, n = 50", 0, 50, 0.0),
        ("excitatory, n = 100", 0, 100, 0.0),
    ):
        found = strength_sweep(_network(seed + number, size, fraction, -45.0), strengths, seed=seed)
        panels[name] = (strengths, found.inputs_mv, found.converged)
    return plots.strength_figure(panels, folder / "networks_strength.png")


def branches(folder: pathlib.Path, seed: int, simulator=None) -> str:
    """Draw the branch diagrams: where iteration stops, and what becomes of the steady states there."""
    panels = {}
    for name, number, size, fraction, external_mv, top in (
        ("excitatory at low drive: bistable", 0, 100, 0.0, -54.0, 40.0),
        ("mixed, n = 100: iteration stops", 1, 100, 0.2, -45.0, 200.0),
        ("another mixed network: folds", 0, 100, 0.2, -45.0, 200.0),
    ):
        network = _network(seed + number, size, fraction, external_mv)
        panels[name] = branch_diagram(network, top, checks=4, points=600, seed=seed, longest_step=0.5)
    return plots.branch_figure(panels, 1.0, folder / "networks_branches.png")
