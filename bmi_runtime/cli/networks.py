"""``bmi networks``: integrate-and-fire networks, their steady states, their study, their spikes."""

import pathlib

import click

from bmi_runtime.cli.common import answer, answer_options, progress, say

PATH = click.Path(path_type=pathlib.Path)
WHOLE = click.IntRange(min=0)
seed_option = click.option("--seed", default=0, type=WHOLE, show_default=True, help="Seed of everything random.")


@click.group()
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
    from bmi_runtime.analysis.networks import fixed_points
    from bmi_runtime.analysis.networks.network import load_network
    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.outputs import write_npz

    out = checked_npz(out)
    loaded = load_network(network)
    _say_assumed(loaded, as_json)
    result = fixed_points.solve(loaded, starts, method, seed, tolerance_mv)
    if out is not None:
        write_npz(out, **_states_and_curve(loaded, result))
    extra = {"assumed": loaded.assumed} | ({} if out is None else {"out": str(out)})
    answer(result.as_dict() | extra, as_json, _described(result))


def _say_assumed(network, as_json) -> None:
    """Name the neuron's parameters that the file lacks, and the values taken in their place."""
    if network.assumed:
        values = ", ".join(f"{key} {value:g}" for key, value in network.assumed.items())
        say(f"the file does not give all of the neuron's parameters; assumed: {values}", as_json)


def _states_and_curve(network, result) -> dict:
    """Return the states, (states, neurons) each, and the f-I curve over all that they reach, as plain arrays."""
    import numpy as np

    points, neuron = result.fixed_points, network.neuron
    inputs = np.array([point.input_mv for point in points]).reshape(len(points), network.size)
    rates = np.array([point.rates_hz for point in points]).reshape(len(points), network.size)
    low = min(neuron.v_reset_mv, *inputs.min(axis=1, initial=np.inf), *network.external_mv)
    high = max(neuron.v_threshold_mv, *inputs.max(axis=1, initial=-np.inf), *network.external_mv)
    margin = 0.05 * (high - low)
    curve = np.linspace(low - margin, high + margin, 501)
    stable = [float("nan") if point.stable_in_time is None else float(point.stable_in_time) for point in points]
    return {
        "curve_input_mv": curve,
        "curve_rate_hz": neuron.rate_hz(curve),
        "state_input_mv": inputs,
        "state_rate_hz": rates,
        "state_stable": np.array(stable),
        "statement": np.array(result.statement),
    }


def _described(result) -> str:
    words = {True: "stable", False: "unstable", None: "stability unknown"}
    found = f"{len(result.fixed_points)} fixed point(s)"
    lines = [f"{found} from {result.starts} starts ({result.starts_converged} converged)"]
    for point in result.fixed_points:
        in_time = f"{words[point.stable_in_time]} in continuous time (leading eigenvalue {point.leading_real:.4g})"
        lines.append(f"  mean rate {point.rates_hz.mean():.4g} Hz (sd {point.rates_hz.std():.3g} Hz)")
        lines.append(f"    mean input {point.input_mv.mean():.4g} mV, residual {point.residual:.1e} mV")
        lines.append(f"    {words[point.stable]} under iteration (spectral radius {point.spectral_radius:.4g})")
        lines.append(f"    {in_time}")
        lines.append(f"    {point.iterations} products with W ({point.method}); reached from {point.starts} starts")
    constants = ", ".join(f"{name}-norm {value:.4g}" for name, value in result.contraction.items())
    return "\n".join([*lines, f"contraction constants max r' |W|: {constants}", result.statement])


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
    import dataclasses

    import numpy as np

    from bmi_runtime.analysis.networks import graphs
    from bmi_runtime.analysis.networks.network import RateNetwork, save_network
    from bmi_runtime.analysis.npz import checked_npz

    out = checked_npz(out)
    wanted = graphs.MotifStatistics(probability, reciprocal, convergent, divergent, chain)
    graph = graphs.sonet(size, wanted, np.random.default_rng(seed))
    weights = graphs.signed_weights(graph, strength_uv_per_hz / 1e3, inhibitory_fraction, inhibition)
    save_network(out, RateNetwork(weights, external_mv))
    degrees = graphs.in_degrees(graph)
    result = {
        "out": str(out),
        "wanted": dataclasses.asdict(wanted),
        "measured": dataclasses.asdict(graphs.motif_statistics(graph)),
        "counts": graphs.motif_counts(graph),
        "in_degree_mean": degrees.mean(),
        "in_degree_variance": degrees.var(),
    }
    answer(result, as_json, _made(result, size))


def _made(result: dict, size: int) -> str:
    lines = [
        f"{size} neurons in {result['out']}; in-degree {result['in_degree_mean']:.4g} on average, "
        f"variance {result['in_degree_variance']:.4g}",
        f"  {'':12s}{'wanted':>10s}{'measured':>10s}{'motifs':>12s}",
    ]
    for name, wanted in result["wanted"].items():
        counted = f"{result['counts'][name]:12,}" if name in result["counts"] else ""
        lines.append(f"  {name:12s}{wanted:10.4g}{result['measured'][name]:10.4f}{counted}")
    return "\n".join(lines)


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
@click.option("--plot", type=PATH, help="Figure to write: simulated rates against theory.")
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
    _say_assumed(loaded, as_json)
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


@networks.command()
@click.option("--sizes", default="50,100", show_default=True, help="Network sizes, comma-separated.")
@click.option("--count", default=100, show_default=True, help="Networks of each kind and size.")
@click.option("--strength-uv-per-hz", default=190.0, show_default=True, help="Weight of one excitatory connection.")
@click.option("--external-mv", default=-45.0, show_default=True, help="Mean input without the network, leak included.")
@click.option("--out", type=PATH, help="Table to write (.csv): a row per network.")
@click.option("--folder", type=PATH, help="Existing folder for the figures.")
@click.option("--seed", default=1, type=WHOLE, show_default=True, help="Seed of everything random.")
@answer_options
def study(sizes, count, strength_uv_per_hz, external_mv, out, folder, seed, as_json):
    """Many random networks (E and mixed, ER and SONET): convergence, and rates predicted from in-degree and motifs."""
    import numpy as np

    from bmi_runtime.analysis.networks import study as module
    from bmi_runtime.analysis.npz import checked_out
    from bmi_runtime.errors import BadInput

    checked_out(out)
    checked_out(None if folder is None else folder / "networks_motifs.png")
    try:
        numbers = tuple(int(part) for part in sizes.split(","))
    except ValueError:
        raise BadInput(f"--sizes must be whole numbers separated by commas, not '{sizes}'") from None
    design = module.StudyDesign(
        numbers, count, strength_uv_per_hz=strength_uv_per_hz, external_mv=external_mv, seed=seed
    )
    with progress("networks", 4 * count * len(numbers)) as advance:
        table = module.study(design, advance)
    groups = module.summary(table)
    files: list[str] = []
    if out is not None:
        rows = np.column_stack([table[name].astype(float) for name in module.COLUMNS])
        np.savetxt(out, rows, delimiter=",", header=",".join(module.COLUMNS), comments="", fmt="%.10g")
        files.append(str(out))
    if folder is not None:
        from bmi_runtime.analysis.networks.plots import study_figures

        files += study_figures(table, folder)
    answer({"networks": len(table["size"]), "groups": groups, "files": files}, as_json, module.describe(groups))


@networks.command()
@click.argument("network", type=PATH)
@click.option("--strength-max", default=2.0, show_default=True, help="Largest multiple of the weights.")
@click.option("--points", default=400, type=click.IntRange(min=2), show_default=True, help="Most points per branch.")
@click.option(
    "--checks", default=6, type=WHOLE, show_default=True, help="Strengths at which further branches are sought."
)
@click.option("--plot", type=PATH, help="Figure to write.")
@seed_option
@answer_options
def branches(network, strength_max, points, checks, plot, seed, as_json):
    """Follow the steady states of NETWORK.npz in connection strength, around folds."""
    from bmi_runtime.analysis.networks.continuation import branch_diagram
    from bmi_runtime.analysis.networks.network import load_network

    loaded = load_network(network)
    _say_assumed(loaded, as_json)
    found = branch_diagram(loaded, strength_max, checks, points=points, seed=seed)
    described = [
        {
            "strengths": branch.strengths,
            "mean_rate_hz": branch.rates_hz.mean(axis=1),
            "spectral_radius": branch.spectral_radius,
            "leading_real": branch.leading_real,
            "folds": branch.strengths[branch.folds],
            "ended": branch.ended,
        }
        for branch in found
    ]
    result: dict = {"branches": described}
    if plot is not None:
        from bmi_runtime.analysis.networks.plots import branch_figure

        result["files"] = [branch_figure({network.stem: found}, 1.0, plot, "multiple of the weights")]
    lines = [f"{len(found)} branch(es) up to {strength_max:g} times the weights"]
    for branch in found:
        folds = ", ".join(f"{value:.5g}" for value in branch.strengths[branch.folds]) or "none"
        lines.append(f"  {len(branch.strengths)} points, folds at {folds}; {branch.ended}")
    answer(result, as_json, "\n".join(lines))


@networks.command()
@click.argument("network", required=False, type=PATH)
@click.option("--folder", type=PATH, help="Existing folder for the figures.")
@click.option("--gui", is_flag=True, help="Show the f-I curve and the steady states of NETWORK in a window.")
@seed_option
@answer_options
def plot(network, folder, gui, seed, as_json):
    """Draw the steady states of NETWORK (a network, or what `solve --out` wrote) on its f-I curve, into a folder or,
    with --gui, in a window. Without NETWORK: redraw the poster's figures 1 to 3 (figure 4: `bmi networks study
    --folder`) and the branch diagrams behind figure 3.
    """
    if gui:
        _show_states(network, seed, as_json)
        return
    from bmi_runtime.errors import BadInput

    if folder is None:
        raise BadInput("give an existing folder for the figures with --folder, or a network and --gui for a window")
    if network is not None:
        from bmi_runtime.analysis.networks.plots import states_figure
        from bmi_runtime.analysis.npz import checked_out

        wanted = checked_out(folder / f"{network.stem}_states.png")
        drawn = states_figure(_states_of(network, seed), wanted)
        answer({"files": [drawn]}, as_json, drawn)
        return
    from bmi_runtime.analysis.networks import posters
    from simulators.network import SpikingNetwork

    files = []
    with progress("figures", 4) as advance:
        for draw in (posters.rate_curve, posters.graphs, posters.strength, posters.branches):
            files.append(draw(folder, seed, SpikingNetwork))
            advance()
    answer({"files": files}, as_json, "\n".join(files))


def _states_of(path, seed) -> dict:
    """Return the states and the f-I curve that `solve --out` wrote to `path`, or those of the network in it."""
    from bmi_runtime.analysis.npz import read_npz

    arrays = read_npz(path)
    if "curve_input_mv" in arrays:
        return arrays
    from bmi_runtime.analysis.networks import fixed_points
    from bmi_runtime.analysis.networks.network import load_network

    loaded = load_network(path)
    with progress("steady states"):
        return _states_and_curve(loaded, fixed_points.solve(loaded, seed=seed))


def _show_states(network, seed, as_json):
    from bmi_runtime.cli.analysis_view import needs_display, show
    from bmi_runtime.errors import BadInput

    needs_display()
    if network is None:
        raise BadInput("--gui needs NETWORK.npz (see `bmi networks make`), or what `bmi networks solve --out` wrote")
    show("steady_states", _states_of(network, seed), str(network), as_json)
