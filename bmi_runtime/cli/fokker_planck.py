"""``bmi fokker-planck``: steady states, runs, studies and pictures of populations as densities."""

import os

import click

from bmi_runtime.cli.common import PICTURE, OutFile, Verbs, answer, answer_options, progress, say
from bmi_runtime.cli.fokker_planck_blow_up import border, calm, through
from bmi_runtime.cli.fokker_planck_coupled import coupled
from bmi_runtime.cli.fokker_planck_fit import fit
from bmi_runtime.cli.fokker_planck_lecture import discriminate, entropy, particles, represent, wilson_cowan
from bmi_runtime.cli.fokker_planck_models import elapsed, hopf, learn, polarise
from bmi_runtime.cli.fokker_planck_options import DRAWN, INITIAL, draw, model_options, parse_initial, parse_range
from bmi_runtime.errors import BadInput


@click.group("fokker-planck", cls=Verbs)
def fokker_planck():
    """Populations of noisy integrate-and-fire neurons as densities: p(v, t), N(t), steady states, blow-up."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # the matrices are small: threads only cost (numpy is not imported yet)


@fokker_planck.command()
@model_options
@answer_options
def steady(model, as_json):
    """All steady states at this connectivity, their stability, and where they end as the connectivity grows."""
    from bmi_runtime.analysis.fokker_planck import report_steady, spectral
    from bmi_runtime.analysis.fokker_planck import steady as states_of

    known = states_of.search(model)
    states = spectral.with_stability(model, states_of.described(model, known.rates))
    result = report_steady.answer(known, states, states_of.critical(model), states_of.folds(model))
    answer(result, as_json, report_steady.text(model, known, states, result))


@fokker_planck.command()
@model_options
@INITIAL
@click.option(
    "--duration", type=float, required=True, metavar="T", help="Time to integrate, in membrane time constants."
)
@click.option("--tolerance", type=float, default=1e-8, show_default=True, help="Largest error of one time step.")
@click.option("--cells", type=int, default=400, show_default=True, help="Cells of the grid.")
@click.option("--step", type=float, default=0.0, help="Fixed time step; by default steps adapt.")
@click.option("--upper-end", type=float, metavar="V", help="Upper end of the domain, with --threshold-eps.")
@click.option("--snapshots", type=int, default=200, show_default=True, help="Densities kept in --out.")
@click.option("--out", type=OutFile(), help="Keep p(v, t) and N(t) in this .npz file.")
@answer_options
def run(model, initial, duration, tolerance, cells, step, upper_end, snapshots, out, as_json):
    """Integrate p(v, t) from an initial density; a blow-up is reported with its time, never integrated through."""
    from bmi_runtime.analysis.fokker_planck import report

    with progress("integrating", duration) as advance:
        result, solution = report.run(
            model,
            parse_initial(initial, model),
            duration,
            tolerance=tolerance,
            cells=cells,
            fixed_step=step,
            snapshots=snapshots,
            v_max=upper_end,
            advance=advance,
        )
    if out:
        report.save(out, solution, result)
        say(f"wrote {out}", as_json)
    answer(result, as_json, report.text(result))


@fokker_planck.command()
@click.option(
    "--b", "connectivities", default="0:3:31", show_default=True, help="Connectivities: a,b,c or START:STOP:COUNT."
)
@click.option(
    "--refractory", "refractory_times", default="0", show_default=True, help="Refractory times, in the same form."
)
@click.option("--a0", type=float, default=1.0, show_default=True, help="Diffusion at rest.")
@click.option("--a1", type=float, default=0.0, show_default=True, help="Growth of the diffusion with the rate.")
@click.option("--threshold-eps", type=float, default=0.0, help="Random threshold: mean time to fire above V_F.")
@click.option("--delay", type=float, default=0.0, help="Transmission delay.")
@click.option(
    "--initial",
    default="gaussian:0,0.25",
    show_default=True,
    help="Initial density of the runs, or `busy`: near the busiest steady state, where oscillations are found.",
)
@click.option("--duration", type=float, default=0.0, help="Also run every point for this long.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes.")
@click.option("--out", type=OutFile(), help="Write the rows to this .csv file.")
@DRAWN
@answer_options
def study(
    connectivities, refractory_times, a0, a1, threshold_eps, delay, initial, duration, jobs, out, picture, as_json
):
    """Steady states, and on demand runs, over a grid of b and tau, in parallel."""
    from bmi_runtime.analysis.fokker_planck import figures_results
    from bmi_runtime.analysis.fokker_planck import study as studies
    from bmi_runtime.analysis.fokker_planck.model import Model

    model = Model(0.0, a0, a1, threshold_eps=threshold_eps, delay=delay)
    values, taus = parse_range(connectivities, "b"), parse_range(refractory_times, "refractory")
    start = parse_initial(initial, model) if duration > 0 and initial != "busy" else None
    with progress("study", len(values) * len(taus)) as advance:
        rows = studies.study(model, values, taus, initial=start, duration=duration, jobs=jobs, advance=advance)
    if out:
        studies.write(out, rows)
        say(f"wrote {out}", as_json)
    draw(lambda: figures_results.study(rows), picture, as_json)
    result = {"points": len(values) * len(taus), "rows": rows}
    lines = [f"b = {row['b']:<8.5g} tau = {row['refractory']:<7.4g} {_row_text(row)}" for row in rows]
    answer(result, as_json, "\n".join(lines))


def _row_text(row):
    if row["kind"] == "steady":
        return f"steady N = {row['rate']:<14.9g} {'stable' if row['stable'] else 'unstable'}"
    if row["kind"] == "blow_up":
        return f"run: blow-up at t = {row['blow_up_time']:.7g} +- {row['blow_up_time_error']:.1g}"
    if row["kind"] == "oscillation":
        swing = f"N from {row['trough']:.4g} to {row['peak']:.4g}, mean {row['rate']:.5g}"
        return f"run: oscillation, period {row['period']:.5g}, {swing}"
    return f"run: {row['kind']}" + (f", N = {row['rate']:.9g}" if row.get("rate") is not None else "")


@fokker_planck.command()
@click.argument("kind")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--out", type=PICTURE, help="The .png (or .pdf, .svg) to write.")
@click.option("--gui", "--window", "gui", is_flag=True, help="Open a kept run in a window with a time slider instead.")
@answer_options
def plot(kind, file, out, gui, as_json):
    """Draw a figure: KIND run FILE.npz, or one of the course (bifurcation, blow-up, decay, spontaneous, learning,
    elapsed, particles, inhibitory, polarisation, hopf, coupled, avalanche, calm).
    """
    from bmi_runtime.analysis.fokker_planck import course, figures, report

    if kind == "run":
        if not file:
            raise BadInput("plot run needs the file that `bmi fokker-planck run --out FILE.npz` kept")
        kept = report.load(file)
        if gui:
            from bmi_runtime.cli.analysis_view import show_file

            show_file("density", file, as_json)
            return
        figure = figures.run(kept["v"], kept["times"], kept["density"], kept["rate_times"], kept["rate"])
    elif gui:
        raise BadInput("--gui shows a kept run: bmi fokker-planck plot run FILE.npz --gui")
    elif kind in course.COURSE:
        figure = None
    else:
        raise BadInput(f"there is no figure '{kind}'; did you mean '{course.nearest_kind(kind)}'?")
    if not out:
        raise BadInput("give the picture a name with --out FILE.png")
    (figure or course.COURSE[kind]()).savefig(out)
    answer({"files": [str(out)]}, as_json, f"wrote {out}")


for _command in (learn, polarise, elapsed, hopf, coupled, through, border, calm):
    fokker_planck.add_command(_command)
for _command in (fit, particles, entropy, represent, discriminate, wilson_cowan):
    fokker_planck.add_command(_command)
