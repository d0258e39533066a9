"""``bmi networks``: integrate-and-fire networks, their steady states, their spikes."""

import click

from bmi_runtime.cli.common import PICTURE_PATH, Verbs, answer, answer_options
from bmi_runtime.cli.networks_noise import noise
from bmi_runtime.cli.networks_options import PATH, say_assumed, seed_option
from bmi_runtime.cli.networks_studies import branches, plot, study


@click.group(cls=Verbs)
def networks():
    """Integrate-and-fire networks and their fixed points."""


@networks.command()
@click.argument("network", type=PATH)
@click.option("--starts", default=24, show_default=True, help="Starting points tried.")
@click.option(
    "--method", default="auto", show_default=True, help="auto, iteration, anderson, newton, krylov or transient."
)
@click.option("--tolerance-mv", default=1e-10, show_default=True, help="Wanted residual.")
@click.option("--out", type=PATH, help="File to write (.npz) for `bmi networks plot --gui`: the states, the f-I curve.")
@seed_option
@answer_options
def solve(network, starts, method, tolerance_mv, out, seed, as_json):
    """Find the steady states of NETWORK.npz: E = E_0 + W r(E).

    The file holds weights (n x n, mV per Hz, row = target), external_mv (E_0, leak included), tau_ms, e_l_mv,
    v_threshold_mv, v_reset_mv, refractory_ms and sigma_mv.
    """
    from bmi_runtime.analysis.networks import fixed_points, report
    from bmi_runtime.analysis.networks.network import load_network
    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.outputs import write_npz

    out = checked_npz(out)
    loaded = load_network(network)
    say_assumed(loaded, as_json)
    result = fixed_points.solve(loaded, starts, method, seed, tolerance_mv)
    if out is not None:
        write_npz(out, **report.states_and_curve(loaded, result))
    extra = {"assumed": loaded.assumed} | ({} if out is None else {"out": str(out)})
    answer(result.as_dict() | extra, as_json, report.solved_text(result))


@networks.command()
@click.argument("out", type=PATH)
@click.option("--size", default=100, show_default=True, help="Neurons.")
@click.option("--probability", default=0.2, show_default=True, help="Connection probability.")
@click.option("--strength-uv-per-hz", default=50.0, show_default=True, help="Weight of one excitatory connection.")
@click.option("--inhibitory-fraction", default=0.0, show_default=True, help="Share of inhibitory neurons.")
@click.option("--inhibition", default=4.0, show_default=True, help="How many times stronger inhibition is.")
@click.option("--external-mv", default=-45.0, show_default=True, help="Mean input without the network, leak included.")
@click.option("--reciprocal", default=0.0, show_default=True, help="Motif statistic (SONET).")
@click.option("--convergent", default=0.0, show_default=True, help="Motif statistic (SONET).")
@click.option("--divergent", default=0.0, show_default=True, help="Motif statistic (SONET).")
@click.option("--chain", default=0.0, show_default=True, help="Motif statistic (SONET).")
@seed_option
@answer_options
def make(
    out, size, probability, strength_uv_per_hz, inhibitory_fraction, inhibition, external_mv,
    reciprocal, convergent, divergent, chain, seed, as_json,
):  # fmt: skip
    """Write a random network to OUT.npz: Erdos-Renyi, or second-order (SONET) with the wanted motif statistics."""
    import numpy as np

    from bmi_runtime.analysis.networks import graphs, report
    from bmi_runtime.analysis.networks.network import RateNetwork, save_network
    from bmi_runtime.analysis.npz import checked_npz

    out = checked_npz(out)
    wanted = graphs.MotifStatistics(probability, reciprocal, convergent, divergent, chain)
    graph = graphs.random_graph(size, wanted, np.random.default_rng(seed))
    weights = graphs.signed_weights(graph, strength_uv_per_hz / 1e3, inhibitory_fraction, inhibition)
    save_network(out, RateNetwork(weights, external_mv))
    result = report.made(out, graph, wanted)
    answer(result, as_json, report.made_text(result))


@networks.command()
@click.argument("network", type=PATH)
@click.option("--duration-s", default=2.0, show_default=True, help="Time to simulate, after a warm-up of 0.2 s.")
@click.option("--bin-s", default=0.05, show_default=True, help="Width of the bins.")
@click.option("--dt-ms", default=0.1, show_default=True, help="Time step.")
@click.option("--delay-ms", default=1.5, show_default=True, help="Synaptic delay.")
@click.option(
    "--synapse-ms", default=0.0, show_default=True, help="Decay of the synaptic current; 0: jumps of voltage."
)
@click.option("--crossing", default="bridge", show_default=True, help="bridge (between steps too) or grid.")
@click.option("--out", type=PATH, help="File to write (.npz): counts (bins x neurons), bin_s.")
@click.option("--plot", type=PICTURE_PATH, help="Figure to write: simulated rates against theory.")
@seed_option
@answer_options
def simulate(network, duration_s, bin_s, dt_ms, delay_ms, synapse_ms, crossing, out, plot, seed, as_json):
    """Simulate the spikes of NETWORK.npz and compare the rates with the nearest steady state of the rate theory."""
    import numpy as np

    from bmi_runtime.analysis.networks import spiking_check
    from bmi_runtime.analysis.networks.network import load_network
    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.outputs import write_npz
    from simulators.network import SpikingNetwork

    out = checked_npz(out)
    loaded = load_network(network)
    say_assumed(loaded, as_json)
    spiking = SpikingNetwork(
        loaded.weights, loaded.external_mv, loaded.neuron, np.random.default_rng(seed), dt_ms / 1e3, delay_ms / 1e3,
        synapse_ms, crossing,
    )  # fmt: skip
    spiking.step(0.2)
    counts = spiking.run(duration_s, bin_s)
    check = spiking_check.compared(loaded, counts, bin_s)
    result = check.as_dict() | {"spikes": int(counts.sum()), "duration_s": len(counts) * bin_s}
    if out is not None:
        write_npz(out, compressed=True, counts=counts, bin_s=bin_s)
        result["out"] = str(out)
    if plot is not None:
        from bmi_runtime.analysis.networks.plots import theory_figure

        result["files"] = [theory_figure(check.theory_hz, check.rates_hz, check.errors_hz, plot)]
    answer(result, as_json, check.describe())


for _command in (study, branches, noise, plot):
    networks.add_command(_command)
