"""``bmi fokker-planck particles|entropy|represent|discriminate|wilson-cowan``: further statements of the course."""

import click

from bmi_runtime.cli.common import answer, answer_options
from bmi_runtime.cli.fokker_planck_options import (
    DRAWN,
    INITIAL,
    draw,
    model_options,
    parse_activation,
    parse_function,
    parse_initial,
)
from bmi_runtime.errors import BadInput

WEIGHTS = click.option("--weights", type=int, default=120, show_default=True, help="Cells of the weight w.")
LOWEST = click.option(
    "--lowest-weight", type=float, default=-2.0, show_default=True, help="Weights run from this to 0."
)


@click.command()
@model_options
@INITIAL
@click.option("--duration", type=float, required=True, metavar="T", help="Time to simulate.")
@click.option("--count", type=int, default=5000, show_default=True, help="Neurons.")
@click.option("--step", type=float, default=1e-3, show_default=True, help="Time step of the neurons.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the neurons' noise.")
@DRAWN
@answer_options
def particles(model, initial, duration, count, step, seed, picture, as_json):
    """Interacting neurons beside the density that is their limit: rates, and the distance of the potentials."""
    from bmi_runtime.analysis.fokker_planck import compared, figures

    start = parse_initial(initial, model)
    result, solution, swarm = compared.particles(model, start, duration, count, seed, step)
    draw(lambda: figures.beside_particles(solution, swarm, count), picture, as_json)
    answer(result, as_json, compared.particles_text(result))


@click.command()
@click.option("--a0", type=float, default=1.0, show_default=True, help="Diffusion.")
@click.option("--current", type=float, default=0.0, show_default=True, help="Constant current I.")
@INITIAL
@click.option("--convex", default="square", show_default=True, metavar="H",
              help="square, x-log-x, absolute, hellinger, power:P, or lines x:H,x:H,...")  # fmt: skip
@click.option("--duration", type=float, default=6.0, show_default=True, help="Time to integrate.")
@DRAWN
@answer_options
def entropy(a0, current, initial, convex, duration, picture, as_json):
    """The relative entropy of unconnected neurons (b = 0) for any convex H, and its dissipation."""
    from bmi_runtime.analysis.fokker_planck import compared, figures_results
    from bmi_runtime.analysis.fokker_planck.convex import convex_function
    from bmi_runtime.analysis.fokker_planck.model import Model

    model = Model(a0=a0, current=current)
    chosen = convex_function(convex)
    result, found = compared.entropy(model, parse_initial(initial, model), duration, chosen)
    draw(lambda: figures_results.entropy(found, chosen.name), picture, as_json)
    answer(result, as_json, compared.entropy_text(result))


@click.command()
@click.option("--input", "given", default="1", show_default=True, metavar="I", help="I(w): a number, or w:I,w:I,...")
@click.option("--output", "wanted", required=True, metavar="N", help="N(w) that is wanted, in the same form.")
@LOWEST
@WEIGHTS
@click.option("--a0", type=float, default=1.0, show_default=True, help="Diffusion.")
@DRAWN
@answer_options
def represent(given, wanted, lowest_weight, weights, a0, picture, as_json):
    """The connectivity C(w) with which a network answers an input I(w) by an output N(w)."""
    from bmi_runtime.analysis.fokker_planck import compared, figures_results
    from bmi_runtime.analysis.fokker_planck.model import Model

    inputs, outputs = parse_function(given, "input"), parse_function(wanted, "output")
    result, w, arrays = compared.represented(Model(a0=a0), inputs, outputs, lowest_weight, weights)
    draw(lambda: figures_results.two_inputs(w, [arrays["input"]], [arrays["output"]], ["input"]), picture, as_json)
    answer(result, as_json, compared.represented_text(result))


@click.command()
@click.option("--input", "given", default="1", show_default=True, metavar="I", help="One input I(w).")
@click.option("--new-input", required=True, metavar="J", help="Another input J(w).")
@click.option("--connectivity", metavar="C", help="C(w): a number, or w:C,w:C,...; learned by --rule if absent.")
@click.option("--rule", default="-8", show_default=True, metavar="K", help="K(w) < 0 of the Hebbian rule.")
@LOWEST
@WEIGHTS
@click.option("--a0", type=float, default=1.0, show_default=True, help="Diffusion.")
@DRAWN
@answer_options
def discriminate(given, new_input, connectivity, rule, lowest_weight, weights, a0, picture, as_json):
    """Whether a network tells two inputs apart: both sides of the discrimination inequality."""
    from bmi_runtime.analysis.fokker_planck import compared, figures_results
    from bmi_runtime.analysis.fokker_planck.model import Model

    one, other = parse_function(given, "input"), parse_function(new_input, "new-input")
    known = parse_function(connectivity, "connectivity") if connectivity else None
    rules = parse_function(rule, "rule")
    result, w, arrays = compared.discriminated(Model(a0=a0), one, other, known, rules, lowest_weight, weights)
    pair = ([arrays["input"], arrays["new_input"]], [arrays["output"], arrays["new_output"]])
    draw(lambda: figures_results.two_inputs(w, *pair, ["input", "new input"]), picture, as_json)
    answer(result, as_json, compared.discriminated_text(result))


@click.command("wilson-cowan")
@click.option("--signal", required=True, metavar="S,S,...", help="One constant signal a unit.")
@click.option("--recall-signal", metavar="S,S,...", help="Another signal, recalled with the learned weights.")
@click.option("--gain", default="1", show_default=True, metavar="K", help="k_ij: a number, or rows by semicolons.")
@click.option("--rule", default="decay", show_default=True, help="decay: w' = k N N - w; product: w' = k f(N) f(N).")
@click.option("--sigmoid", default="logistic:4,1", show_default=True, metavar="SIGMA",
              help="logistic:STEEPNESS,MIDDLE, tanh:STEEPNESS,MIDDLE, or lines x:y,x:y,...")  # fmt: skip
@click.option(
    "--f", "f", default="0:-0.5,1:0.5", show_default=True, metavar="F", help="f of the product rule, as SIGMA."
)
@click.option("--speed", type=float, default=0.1, show_default=True, help="How fast weights change.")
@click.option("--duration", type=float, default=150.0, show_default=True, help="Time to integrate.")
@DRAWN
@answer_options
def wilson_cowan(signal, recall_signal, gain, rule, sigmoid, f, speed, duration, picture, as_json):
    """A Wilson-Cowan rate network that learns by either Hebbian rule, with any sigmoid."""
    from bmi_runtime.analysis.fokker_planck import compared, figures_results

    functions = {"sigma": parse_activation(sigmoid, "sigmoid"), "f": parse_activation(f, "f")}
    given = _row(signal, "signal")
    other = _row(recall_signal, "recall-signal") if recall_signal else None
    result, trained = compared.wilson_cowan(given, other, _matrix(gain), rule, speed, duration, **functions)
    draw(lambda: figures_results.rate_network(trained), picture, as_json)
    answer(result, as_json, compared.wilson_cowan_text(result))


def _row(text, name):
    import numpy as np

    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise BadInput(f"--{name} {text}: give numbers with commas, such as 1.2,1.2,0") from None


def _matrix(text):
    import numpy as np

    rows = [_row(row, "gain") for row in text.split(";")]
    if len({row.size for row in rows}) != 1:
        raise BadInput(f"--gain {text}: rows must have equally many numbers")
    return np.array(rows)
