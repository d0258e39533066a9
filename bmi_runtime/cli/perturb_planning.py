"""``bmi perturb plan`` and ``schedule``: before the experiment."""

import click

from bmi_runtime.cli.common import PICTURE_PATH, answer, answer_options
from bmi_runtime.cli.perturb_options import PATH, neurons_option, seed_option


@click.command()
@click.argument("fit", required=False, type=PATH)
@click.option("--correlation", default=0.95, show_default=True, help="Wanted correlation with the true connections.")
@click.option("--pilot", type=PATH, help="A fit of a pilot experiment (from `bmi perturb fit --out`).")
@neurons_option
@click.option("--probability", default=0.1, show_default=True, help="Connection probability of the assumed system.")
@click.option(
    "--trial-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Duration of one perturbation, to answer in hours too.",
)
@click.option("--plot", type=PICTURE_PATH, help="Figure to write (without FIT).")
@click.option("--minutes", default=30.0, show_default=True, help="With FIT: time for stimulation.")
@click.option("--pulses", default=1, show_default=True, help="With FIT: spikes that one stimulation adds.")
@click.option("--at-once", default=4, show_default=True, help="With FIT: most units in one trial.")
@click.option("--power", default=0.8, show_default=True, help="With FIT: wanted chance of finding a coupling.")
@click.option("--fdr", default=0.05, show_default=True, help="With FIT: false-discovery rate of its couplings.")
@click.option("--fano", default=1.0, show_default=True, help="With FIT: variance of counts over that of Poisson's.")
@click.option("--interval-s", default=0.0, help="With FIT: time between onsets.  [default: twice the filters' length]")
@click.option("--out", type=PATH, help="With FIT: where to write the schedule (.npz).")
@seed_option
@answer_options
def plan(fit, correlation, pilot, neurons, probability, trial_s, plot, seed, as_json, **wanted):
    """Design stimulation before it is done.

    With FIT, a coupled GLM from `bmi glm fit --out`: the schedule that tells most of its couplings from indirect ones
    (to run in a session, then `bmi perturb judge`). Without: how many perturbations until the correlation with the true
    connections passes a wanted value.
    """
    if fit is not None:
        answer(*_for_fit(fit, seed, **wanted, as_json=as_json))
        return
    from bmi_runtime.analysis.perturbation import files, report

    if pilot is None:
        system = files.assumed_system(neurons, probability, seed)
    else:
        system = files.pilot_system(pilot)
    result, text = report.planned(system, correlation, trial_s)
    if plot is not None:
        from bmi_runtime.analysis.perturbation.plots import plan_figure

        result["files"] = [plan_figure(system, correlation, plot)]
    answer(result, as_json, text)


def _for_fit(path, seed, minutes, pulses, at_once, power, fdr, fano, interval_s, out, as_json):
    """Return the answer to a plan for the couplings of a fit; write its schedule."""
    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation import designing, predicted, report_coupled

    out = checked_npz(out)
    fit = predicted.read_coupled_fit(path, fdr)
    wish = designing.Wish(minutes, pulses, at_once, power, 0.05, fano, interval_s, seed)
    found = designing.design(fit, wish)
    result = report_coupled.planned(fit, wish, found)
    if out is not None:
        found.design.draw().save(out)
        result["out"] = str(out)
    return result, as_json, report_coupled.planned_text(fit, result)


@click.command()
@click.option("--units", required=True, help="Units to perturb: 0,3,5 or 0-9.")
@click.option("--trials", default=200, show_default=True, help="Number of trials.")
@click.option("--per-trial", type=int, help="Units taking part in each trial (all by default).")
@click.option("--sham-fraction", default=0.5, show_default=True, help="Share of a unit's trials that are sham.")
@click.option("--interval-s", default=0.5, show_default=True, help="Mean time between onsets.")
@click.option("--jitter-s", default=0.1, show_default=True, help="Onsets move by up to half of this either way.")
@click.option("--pulses", default=1, show_default=True, help="Spikes added by one stimulation.")
@click.option("--out", type=PATH, help="File to write (.npz).")
@click.option("--plot", type=PICTURE_PATH, help="Figure to write.")
@seed_option
@answer_options
def schedule(units, trials, per_trial, sham_fraction, interval_s, jitter_s, pulses, out, plot, seed, as_json):
    """Draw a randomised stimulation schedule with sham trials, for a session to run."""
    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation import report
    from bmi_runtime.analysis.perturbation.schedule import StimulationDesign

    out = checked_npz(out)
    design = StimulationDesign(
        report.unit_numbers(units),
        trials,
        per_trial,
        sham_fraction,
        max(1.0, jitter_s),
        interval_s,
        jitter_s,
        pulses,
        seed,
    )
    drawn = design.draw()
    result = report.scheduled(drawn, interval_s)
    if out is not None:
        drawn.save(out)
        result["out"] = str(out)
    if plot is not None:
        from bmi_runtime.analysis.perturbation.plots import schedule_figure

        result["files"] = [schedule_figure(drawn, plot)]
    answer(result, as_json)
