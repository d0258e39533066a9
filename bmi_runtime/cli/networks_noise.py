"""``bmi networks noise``: rates and covariances with the network's own noise."""

import click

from bmi_runtime.cli.common import answer, answer_options, progress
from bmi_runtime.cli.networks_options import PATH, say_assumed, seed_option


@click.command()
@click.argument("network", type=PATH)
@click.option("--delay-ms", default=1.5, show_default=True, help="Synaptic delay.")
@click.option("--compare-s", default=0.0, show_default=True, help="Also simulate for so long, and compare.")
@click.option("--bin-s", default=0.25, show_default=True, help="Windows of the simulated counts.")
@click.option("--out", type=PATH, help="File to write (.npz): rates, CV^2, covariance (small networks).")
@seed_option
@answer_options
def noise(network, delay_ms, compare_s, bin_s, out, seed, as_json):
    """Rates and covariances of NETWORK.npz with its own noise: jumps, variance and correlations of every input."""
    from bmi_runtime.analysis.networks import report
    from bmi_runtime.analysis.networks.fixed_points import solve
    from bmi_runtime.analysis.networks.network import load_network
    from bmi_runtime.analysis.networks.self_consistent import solve_self_consistent
    from bmi_runtime.analysis.networks.spiking_check import STARTS, which_state
    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.errors import BadInput
    from bmi_runtime.outputs import write_npz

    out = checked_npz(out)
    if not (0 < delay_ms < 1000 and 0 <= compare_s < 1e6 and bin_s > 0 and (not compare_s or compare_s >= 20 * bin_s)):
        raise BadInput("--delay-ms must be positive, --compare-s 0 or at least 20 times --bin-s")
    loaded = load_network(network)
    say_assumed(loaded, as_json)
    states = solve(loaded, starts=STARTS, seed=seed, certify=False).fixed_points
    if not states:
        raise BadInput(f"no steady state of the rate theory was found in {network} to start from")
    state = max(states, key=lambda state: state.stable_in_time is True)
    start = state.rates_hz
    with progress("own noise", 10) as advance:
        found = solve_self_consistent(loaded, start, delay_ms / 1e3, seed=seed, advance=advance)
    simulated = _counts(loaded, delay_ms, compare_s, bin_s, seed, start) if compare_s else None
    result = report.own_noise(found, start, simulated, report.answering_share(loaded.weights))
    result |= {"theory_stable_in_time": state.stable_in_time, "theory_states": len(states)}
    if out is not None:
        write_npz(out, compressed=False, **report.own_noise_arrays(found))
        result["out"] = str(out)
    answer(result, as_json, report.own_noise_text(result) + which_state(state.stable_in_time, len(states)))


def _counts(loaded, delay_ms, seconds, bin_s, seed, theory_hz):
    """Return simulated counts to compare with."""
    import numpy as np

    from bmi_runtime.analysis.networks.report import Simulated
    from simulators.network import SpikingNetwork

    rng = np.random.default_rng(seed)
    spiking = SpikingNetwork(loaded.weights, loaded.external_mv, loaded.neuron, rng, delay_s=delay_ms / 1e3)
    spiking.step(0.5)
    return Simulated(spiking.run(seconds, bin_s), bin_s, theory_hz)
