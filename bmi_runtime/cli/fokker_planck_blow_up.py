"""``bmi fokker-planck continue|border|calm``: through a blow-up, its border, and the models that do not blow up."""

import click

from bmi_runtime.cli.common import OutFile, answer, answer_options, progress
from bmi_runtime.cli.fokker_planck_options import (
    DRAWN,
    INITIAL,
    draw,
    keep,
    model_options,
    parse_current,
    parse_initial,
)

CELLS = click.option("--cells", type=int, default=800, show_default=True, help="Cells of the finer grid.")


@click.command("continue")
@model_options
@INITIAL
@click.option("--duration", type=float, required=True, metavar="T", help="Time to integrate.")
@CELLS
@click.option("--particles", type=int, default=0, metavar="N", help="Also simulate N neurons, cascades resolved.")
@click.option("--step", type=float, default=1e-3, show_default=True, help="Time step of the neurons.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the neurons.")
@click.option("--out", type=OutFile(), help="Keep rates, and densities about avalanches, in this .npz.")
@DRAWN
@answer_options
def through(model, initial, duration, cells, particles, step, seed, out, picture, as_json):
    """Integrate through every blow-up: the fraction that fires at once, the jump of the density, the restart."""
    from bmi_runtime.analysis.fokker_planck import continued, figures_blow_up
    from bmi_runtime.analysis.fokker_planck.particles import avalanches

    start = parse_initial(initial, model)
    with progress("through the blow-ups", duration) as advance:
        result = continued.with_errors(model, start, duration, cells, advance)
    run, neurons = result.pop("run"), None
    if particles:
        neurons = avalanches(model, start, duration, particles, seed, step)
        result["particles"] = continued.sizes(*neurons)
    keep(
        out, as_json, v=run.v, avalanche_times=run.times, fractions=run.fractions, before=run.before, after=run.after,
        rate_times=run.rate_times, rate=run.rate,
    )  # fmt: skip
    draw(lambda: figures_blow_up.through(model, run, neurons), picture, as_json)
    answer(result, as_json, continued.text(result))


@click.command()
@model_options(fixed=("b", "delay", "threshold_eps"))
@INITIAL
@CELLS
@answer_options
def border(model, initial, cells, as_json):
    """The connectivity B(n0) between relaxation and blow-up for one's own initial density, beside the theorem's."""
    from bmi_runtime.analysis.fokker_planck import border as borders

    start = parse_initial(initial, model)
    with progress("runs", 40) as advance:
        found = borders.border(model, start, cells, advance=advance)
    answer(borders.answer(found), as_json, borders.text(found))


@click.command()
@click.argument("kind", type=click.Choice(["deterministic", "kinetic"]))
@click.option("--b", type=float, default=3.0, show_default=True, help="Connectivity (deterministic).")
@click.option("--current", default="0", show_default=True, help="Constant current I (deterministic).")
@INITIAL
@click.option("--coupling", type=float, default=0.2, show_default=True, help="S: conductance per rate (kinetic).")
@click.option("--duration", type=float, default=3.0, show_default=True, help="Time to integrate.")
@answer_options
def calm(kind, b, current, initial, coupling, duration, as_json):
    """The network without noise, and the kinetic one, which do not blow up from the data of one that does."""
    from bmi_runtime.analysis.fokker_planck import without_noise
    from bmi_runtime.analysis.fokker_planck.model import Model

    if kind == "deterministic":
        model = Model(b=b, current=parse_current(current))
        start = parse_initial(initial, model)
        run, coarse = (without_noise.deterministic(model, start, duration, count) for count in (20000, 10000))
        result = without_noise.deterministic_result(run, coarse)
        answer(result, as_json, without_noise.deterministic_text(result))
        return
    found, rougher = (without_noise.kinetic(coupling, duration, cells=cells) for cells in (60, 30))
    result = without_noise.kinetic_result(found, rougher)
    answer(result, as_json, without_noise.kinetic_text(result, duration))
