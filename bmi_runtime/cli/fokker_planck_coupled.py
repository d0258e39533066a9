"""``bmi fokker-planck coupled``: excitatory and inhibitory populations, or any few of them, coupled."""

import functools

import click

from bmi_runtime.cli.common import OutFile, Verbs, answer, answer_options, progress
from bmi_runtime.cli.fokker_planck_options import DRAWN, draw, keep, parse_initial, parse_range
from bmi_runtime.errors import BadInput


@click.group(cls=Verbs)
def coupled():
    """Coupled populations: matrices are rows by semicolons, each row what one population receives."""


OPTIONS = (
    click.option("--b", "b", required=True, metavar="B", help="Connectivity, e.g. '3,-2;3,-1' for E and I."),
    click.option("--a", "a", default="0", show_default=True, help="Noise by spikes a_kl: a matrix, or one number."),
    click.option("--delay", default="0", show_default=True, help="Delays: a matrix, or one number."),
    click.option("--a0", default="1", show_default=True, help="Noise at rest: one number, or one a population."),
    click.option("--current", default="0", show_default=True, help="Constant currents."),
    click.option("--refractory", default="0", show_default=True, help="Mean refractory times."),
    click.option("--v-reset", default="1", show_default=True, help="Resets V_R."),
    click.option("--v-threshold", default="2", show_default=True, help="Thresholds V_F."),
    click.option("--names", help="Names, e.g. E,I; by default after the signs of the columns."),
)


def populations_options(function):
    """Add the options of coupled populations; the function receives them as `net`."""

    @functools.wraps(function)
    def wrapped(b, a, delay, a0, current, refractory, v_reset, v_threshold, names, **rest):
        from bmi_runtime.analysis.fokker_planck.populations import make

        fields = {"a0": a0, "current": current, "refractory": refractory, "v_reset": v_reset}
        fields |= {"v_threshold": v_threshold}
        lists = {name: _numbers(text, name)[0] for name, text in fields.items()}
        lists = {name: values[0] if len(values) == 1 else values for name, values in lists.items()}
        for name, text in (("a", a), ("delay", delay)):
            rows = _numbers(text, name)
            lists[name] = rows[0][0] if rows == [rows[0][:1]] else rows
        return function(net=make(_numbers(b, "b"), names, **lists), **rest)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _numbers(text, name):
    """Return the rows of ``1,2;3,4``."""
    try:
        rows = [[float(part) for part in row.split(",")] for row in text.split(";")]
    except ValueError:
        raise BadInput(f"--{name} {text}: give numbers with commas, rows with semicolons, such as 3,-2;3,-1") from None
    if len({len(row) for row in rows}) != 1:
        raise BadInput(f"--{name} {text}: the rows have {', '.join(str(len(row)) for row in rows)} numbers")
    return rows


INITIAL = click.option(
    "--initial",
    default="gaussian:0,0.25",
    show_default=True,
    help="gaussian:MEAN,VARIANCE for all populations, or one each with semicolons.",
)


def _initial(text, net):
    parts = text.split(";")
    if len(parts) not in (1, net.count):
        raise BadInput(f"--initial names {len(parts)} densities for {net.count} populations")
    parts = parts * net.count if len(parts) == 1 else parts
    noisy = [net.alone(k, 0.0, 1.0) for k in range(net.count)]
    return [parse_initial(part.strip(), model) for part, model in zip(parts, noisy, strict=True)]


@coupled.command()
@populations_options
@answer_options
def steady(net, as_json):
    """All steady states, whether that is proved, and their stability (delays included)."""
    from bmi_runtime.analysis.fokker_planck import report_coupled

    result = report_coupled.steady(net)
    answer(result, as_json, report_coupled.steady_text(result))


@coupled.command()
@populations_options
@INITIAL
@click.option("--duration", type=float, required=True, metavar="T", help="Time to integrate.")
@click.option("--tolerance", type=float, default=1e-8, show_default=True, help="Largest error of one time step.")
@click.option("--cells", type=int, default=400, show_default=True, help="Cells of every grid.")
@click.option("--snapshots", type=int, default=200, show_default=True, help="Densities kept in --out.")
@click.option("--particles", type=int, default=0, metavar="N", help="Also simulate so many neurons a population.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the neurons.")
@click.option("--out", type=OutFile(), help="Keep densities and rates in this .npz file.")
@DRAWN
@answer_options
def run(net, initial, duration, tolerance, cells, snapshots, particles, seed, out, picture, as_json):
    """Integrate all populations; a blow-up in any of them is reported with its time."""
    from bmi_runtime.analysis.fokker_planck import coupled_particles, figures_coupled, report_coupled

    start = _initial(initial, net)
    with progress("integrating", duration) as advance:
        result, solution = report_coupled.run(net, start, duration, cells, tolerance, snapshots, advance)
    neurons = None
    if particles:
        neurons = coupled_particles.simulate(net, start, float(solution.rate_times[-1]), particles, seed)
        result |= {"particle_times": neurons[0], "particle_rates": neurons[1]}
    keep(
        out, as_json, v=solution.v, times=solution.times, density=solution.density, rate_times=solution.rate_times,
        rates=solution.rates,
    )  # fmt: skip
    draw(lambda: figures_coupled.rates(net, solution, neurons), picture, as_json)
    answer(result, as_json, report_coupled.run_text(result))


@coupled.command()
@populations_options
@click.option("--vary", required=True, metavar="NAME=START:STOP:COUNT", help="e.g. b:E,I=-12:-1:12 or current:E=0:8:9.")
@click.option("--over", metavar="NAME=START:STOP:COUNT", help="A second parameter: the surface of Hopf points over it.")
@DRAWN
@answer_options
def hopf(net, vary, over, picture, as_json):
    """Where steady states start (or cease) to oscillate as one parameter is varied, or over two."""
    from bmi_runtime.analysis.fokker_planck import figures_coupled, report_coupled

    name, values = _varied(vary, "vary")
    other, others = _varied(over, "over") if over else (None, [0.0])
    with progress("eigenvalues", len(others) * (len(values) - 1)) as advance:
        rows = report_coupled.hopf(net, name, values, other, others, advance)
    draw(lambda: figures_coupled.hopf(net, rows, name, other), picture, as_json)
    lines = [
        f"{name} = {row[name]:<14.9g}"
        + (f"{other} = {row[other]:<11.6g}" if other else "")
        + " ".join(f"N_{who} = {rate:<12.9g} " for who, rate in zip(net.names, row["rates"], strict=True))
        + f"period {row['period']:.9g}"
        for row in rows
    ]
    answer({"hopf_points": rows}, as_json, "\n".join(lines) or "no Hopf point was found at these values")


def _varied(text, option):
    name, found, values = text.partition("=")
    if not found:
        raise BadInput(f"--{option} {text}: give NAME=START:STOP:COUNT, such as b:E,I=-12:-1:12")
    numbers = parse_range(values, option)
    if option == "vary" and len(numbers) < 2:
        raise BadInput(f"--vary {text}: give at least two values")
    return name.strip(), numbers
