"""``bmi fokker-planck learn|polarise|elapsed|hopf``: the related models of the course, and where oscillations begin."""

import click

from bmi_runtime.cli.common import OutFile, answer, answer_options, progress
from bmi_runtime.cli.fokker_planck_options import DRAWN, draw, keep, parse_decay, parse_function, parse_range

OUT = click.option("--out", type=OutFile(), help="Keep the arrays of the run in this .npz file.")
DURATION = click.option("--duration", type=float, required=True, metavar="T", help="Time to integrate.")


@click.command()
@DURATION
@click.option("--input", "given", default="1", show_default=True, metavar="I", help="I(w): a number, or w:I,w:I,...")
@click.option("--rule", default="-8", show_default=True, metavar="K", help="K(w) < 0: a number, or w:K,w:K,...")
@click.option("--new-input", metavar="J", help="A second input, to be told from the learned one.")
@click.option("--lowest-weight", type=float, default=-2.0, show_default=True, help="Weights run from this to 0.")
@click.option("--weights", type=int, default=120, show_default=True, help="Cells of the weight w.")
@click.option("--cells", type=int, default=80, show_default=True, help="Cells of the potential v.")
@click.option("--speed", type=float, default=0.1, show_default=True, help="epsilon, how slow learning is.")
@click.option("--a0", type=float, default=1.0, show_default=True, help="Diffusion.")
@OUT
@DRAWN
@answer_options
def learn(duration, given, rule, new_input, lowest_weight, weights, cells, speed, a0, out, picture, as_json):
    """Hebbian learning of an inhibitory network: p(v, w, t), the connectivity it generates, what it tells apart."""
    from bmi_runtime.analysis.fokker_planck import figures_results, related
    from bmi_runtime.analysis.fokker_planck.model import Model

    first, hebb = parse_function(given, "input"), parse_function(rule, "rule")
    second = parse_function(new_input, "new-input") if new_input else None
    with progress("learning", duration) as advance:
        result, arrays = related.learning_run(
            Model(a0=a0),
            first,
            hebb,
            duration,
            new_input=second,
            lowest_weight=lowest_weight,
            weights=weights,
            cells=cells,
            speed=speed,
            advance=advance,
        )
    keep(out, as_json, **arrays)
    draw(lambda: figures_results.learning(arrays), picture, as_json)
    answer(result, as_json, related.learning_text(result))


@click.command()
@DURATION
@click.option("--mass", type=float, required=True, metavar="M", help="Total mass; 1 is critical.")
@click.option("--initial", default="exponential:1", show_default=True, help="exponential:SCALE, scaled to the mass.")
@click.option("--memory", type=float, default=0.0, metavar="L", help="mu' = n(0) - mu / L instead of mu = n(0).")
@click.option(
    "--exchange", type=float, default=0.0, metavar="GAMMA", help="The membrane binds and releases at this rate instead."
)
@click.option("--length", type=float, default=40.0, show_default=True, help="Length of the domain.")
@click.option("--cells", type=int, default=400, show_default=True, help="Cells of the grid.")
@click.option("--tolerance", type=float, default=1e-5, show_default=True, help="Largest error of one time step.")
@OUT
@DRAWN
@answer_options
def polarise(duration, mass, initial, memory, exchange, length, cells, tolerance, out, picture, as_json):
    """Cell polarisation: spreading below the critical mass, blow-up above it."""
    from bmi_runtime.analysis.fokker_planck import figures_results, related

    density = parse_decay(initial)
    with progress("polarisation", duration) as advance:
        result, run = related.polarisation_run(
            density,
            mass,
            duration,
            memory=memory,
            exchange=exchange,
            length=length,
            cells=cells,
            tolerance=tolerance,
            advance=advance,
        )
    keep(out, as_json, times=run.times, edge=run.edge, mu=run.mu, z=run.z, density=run.density)
    draw(lambda: figures_results.polarisation(run), picture, as_json)
    answer(result, as_json, related.polarisation_text(result))


@click.command()
@DURATION
@click.option("--coupling", type=float, required=True, metavar="J", help="Strength J of the coupling X = J N.")
@click.option("--step", type=float, default=0.01, show_default=True, help="Time (and age) step.")
@click.option("--delay", type=float, default=0.0, metavar="D", help="X = J N(t - D).")
@click.option("--filter", "filter_time", type=float, default=0.0, metavar="TAU", help="TAU X' = J N - X.")
@click.option(
    "--rule", default="nearest", show_default=True, help="Which instantaneous root: nearest, lowest or highest."
)
@click.option("--initial", default="exponential:1", show_default=True, help="Density of the ages: exponential:SCALE.")
@OUT
@DRAWN
@answer_options
def elapsed(duration, coupling, step, delay, filter_time, rule, initial, out, picture, as_json):
    """Neurons by the time since their last spike: steady rates, instantaneous roots, oscillations."""
    from bmi_runtime.analysis.fokker_planck import figures_results, related

    density = parse_decay(initial)
    result, run = related.elapsed_run(
        coupling, density, step, duration, rule=rule, delay=delay, filter_time=filter_time
    )
    keep(out, as_json, times=run.times, rate=run.rate, roots=run.roots, ages=run.ages, density=run.density)
    draw(lambda: figures_results.elapsed(run, result["steady_rates"]), picture, as_json)
    answer(result, as_json, related.elapsed_text(result))


@click.command()
@click.option("--refractory", default="0.2", show_default=True, help="Refractory times: a,b,c or START:STOP:COUNT.")
@click.option("--threshold-eps", type=float, default=0.02, show_default=True, help="Mean time to fire above V_F.")
@click.option("--a0", type=float, default=1.0, show_default=True, help="Diffusion at rest.")
@click.option("--a1", type=float, default=0.0, show_default=True, help="Growth of the diffusion with the rate.")
@click.option(
    "--rates", default="0.2:4.2:21", show_default=True, help="Steady rates that are searched: START:STOP:COUNT."
)
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes.")
@DRAWN
@answer_options
def hopf(refractory, threshold_eps, a0, a1, rates, jobs, picture, as_json):
    """Where the steady state of a random threshold with a refractory state starts (or ceases) to oscillate."""
    import numpy as np

    from bmi_runtime.analysis.fokker_planck import figures_results
    from bmi_runtime.analysis.fokker_planck import study as studies
    from bmi_runtime.analysis.fokker_planck.model import Model

    model = Model(0.0, a0, a1, threshold_eps=threshold_eps)
    taus, searched = parse_range(refractory, "refractory"), np.sort(parse_range(rates, "rates"))
    with progress("eigenvalues", len(taus) * len(searched)) as advance:
        rows = studies.hopf_study(model, taus, searched, jobs, advance)
    lines = [
        f"tau = {row['refractory']:<7.4g} b = {row['b']:<9.6g} N = {row['rate']:<9.6g} period {row['period']:.6g}"
        for row in rows
    ]
    draw(lambda: figures_results.hopf(rows), picture, as_json)
    answer({"hopf_points": rows}, as_json, "\n".join(lines) or "no Hopf point at these rates")
