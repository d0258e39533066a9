"""``bmi networks study``, ``branches`` and ``plot``: many networks, many strengths, and their pictures."""

import click

from bmi_runtime.cli.common import PICTURE_PATH, answer, answer_options, progress
from bmi_runtime.cli.networks_options import PATH, WHOLE, say_assumed, seed_option


@click.command()
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
    from bmi_runtime.analysis.networks import report
    from bmi_runtime.analysis.networks import study as module
    from bmi_runtime.analysis.npz import checked_out

    checked_out(out)
    checked_out(None if folder is None else folder / "networks_motifs.png")
    design = module.StudyDesign(
        report.sizes(sizes), count, strength_uv_per_hz=strength_uv_per_hz, external_mv=external_mv, seed=seed
    )
    with progress("networks", 4 * count * len(design.sizes)) as advance:
        table = module.study(design, advance)
    groups = module.summary(table)
    files: list[str] = []
    if out is not None:
        report.write_table(out, table)
        files.append(str(out))
    if folder is not None:
        from bmi_runtime.analysis.networks.plots import study_figures

        files += study_figures(table, folder)
    answer({"networks": len(table["size"]), "groups": groups, "files": files}, as_json, module.describe(groups))


@click.command()
@click.argument("network", type=PATH)
@click.option("--strength-max", default=2.0, show_default=True, help="Largest multiple of the weights.")
@click.option("--points", default=400, type=click.IntRange(min=2), show_default=True, help="Most points per branch.")
@click.option(
    "--checks", default=6, type=WHOLE, show_default=True, help="Strengths at which further branches are sought."
)
@click.option("--plot", type=PICTURE_PATH, help="Figure to write.")
@seed_option
@answer_options
def branches(network, strength_max, points, checks, plot, seed, as_json):
    """Follow the steady states of NETWORK.npz in connection strength, around folds."""
    from bmi_runtime.analysis.networks import report
    from bmi_runtime.analysis.networks.continuation import branch_diagram
    from bmi_runtime.analysis.networks.network import load_network

    loaded = load_network(network)
    say_assumed(loaded, as_json)
    found = branch_diagram(loaded, strength_max, checks, points=points, seed=seed)
    result: dict = {"branches": report.branches(found)}
    if plot is not None:
        from bmi_runtime.analysis.networks.plots import branch_figure

        result["files"] = [branch_figure({network.stem: found}, 1.0, plot, "multiple of the weights")]
    answer(result, as_json, report.branches_text(found, strength_max))


@click.command()
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
        drawn = states_figure(_states(network, seed), wanted)
        answer({"files": [drawn]}, as_json, drawn)
        return
    from bmi_runtime.analysis.networks import published_figures
    from simulators.network import SpikingNetwork

    files = []
    with progress("figures", 4) as advance:
        for draw in (
            published_figures.rate_curve,
            published_figures.graphs,
            published_figures.strength,
            published_figures.branches,
        ):
            files.append(draw(folder, seed, SpikingNetwork))
            advance()
    answer({"files": files}, as_json, "\n".join(files))


def _states(path, seed) -> dict:
    from bmi_runtime.analysis.networks.report import states_of

    with progress("steady states"):
        return states_of(path, seed)


def _show_states(network, seed, as_json):
    from bmi_runtime.cli.analysis_view import needs_display, show
    from bmi_runtime.errors import BadInput

    needs_display()
    if network is None:
        raise BadInput("--gui needs NETWORK.npz (see `bmi networks make`), or what `bmi networks solve --out` wrote")
    show("steady_states", _states(network, seed), str(network), as_json)
