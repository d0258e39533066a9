"""``bmi fokker-planck fit``: from a recorded array to the population as a density."""

import pathlib

import click

from bmi_runtime.cli.common import answer, answer_options, progress


@click.command()
@click.argument("data", type=click.Path(path_type=pathlib.Path))
@click.option("--bin-s", default=0.001, show_default=True, help="Width of bins, when DATA holds spike times.")
@click.option("--seconds", default=0.0, help="Take the first so many seconds.  [default: all]")
@click.option("--units", default=None, metavar="NAMES", help="Which units, when DATA holds spike times.")
@click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Give b, a0, a1, tau_s, eps or delay_s instead.")
@click.option("--refractory-s", default=0.0, show_default=True, help="Mean time in the refractory state.")
@click.option("--current", default=0.0, show_default=True, help="Constant drive I.")
@click.option("--confidence", default=0.95, show_default=True, help="Of the intervals.")
@answer_options
def fit(data, bin_s, seconds, units, fix, refractory_s, current, confidence, as_json):
    """Fit a population to the spikes in DATA by maximum likelihood, and say how far it is from synchrony.

    DATA is an .npz with counts (bins x units) and bin_s, or a file of spike times (.gdf, .h5, .nwb, ...). Every unit is
    a neuron that hears the recorded population; V_R = 1 and V_F = 2.
    """
    from bmi_runtime.analysis.fokker_planck import array_fit, array_likelihood, report_fit

    counts, width = report_fit.read_counts(data, bin_s, units and [name.strip() for name in units.split(",")])
    if seconds:
        counts = counts[: max(1, round(seconds / width))]
    fixed = report_fit.parse_fixed(fix)
    with progress("fitting") as advance:
        found = array_fit.fit_array(
            array_likelihood.recorded(counts, width), fixed, refractory_s, current, confidence, advance
        )
    answer(report_fit.result(found, confidence), as_json, report_fit.text(found, confidence))
