"""``bmi perturb``: causal effects from perturbation."""

import click

from bmi_runtime.cli.common import Verbs, answer, answer_options
from bmi_runtime.cli.perturb_coupled import instrument, judge, spikes
from bmi_runtime.cli.perturb_options import PATH, WHOLE, neurons_option, seed_option, show_tutorial
from bmi_runtime.cli.perturb_pictures import compare, plot
from bmi_runtime.cli.perturb_planning import plan, schedule


@click.group(cls=Verbs)
def perturb():
    """Causal effects from perturbation."""


@perturb.command()
@click.option("--neurons", default=6, show_default=True, help="Neurons of the system.")
@click.option("--steps", default=5000, show_default=True, help="Time steps, perturbed and observed in turn.")
@click.option("--selected-neuron", default=1, show_default=True, help="The neuron whose effects are estimated alone.")
@click.option("--gui", is_flag=True, help="Show the causal graph, estimated and true, in a window.")
@answer_options
def tutorial(neurons, steps, selected_neuron, gui, as_json):
    """Run the Neuromatch tutorial on interventions, cell by cell, with its seeds."""
    from bmi_runtime.analysis.perturbation import report
    from bmi_runtime.analysis.perturbation.tutorial import run_tutorial

    if gui:
        show_tutorial(as_json, neurons, steps, selected_neuron)
        return
    done = run_tutorial(neurons, steps, selected_neuron)
    answer(report.tutorial(done), as_json, report.tutorial_text(done))


@perturb.command()
@click.option("--out", type=PATH, required=True, help="File to write (.npz): assignments, outcomes, connectivity.")
@neurons_option
@click.option("--steps", default=20000, show_default=True, help="Time steps.")
@click.option("--clamped-fraction", default=1.0, show_default=True, help="Share of neurons clamped at a clamped step.")
@click.option("--hidden", default=0.0, show_default=True, help="Strength of a hidden common input.")
@seed_option
@answer_options
def simulate(out, neurons, steps, clamped_fraction, hidden, seed, as_json):
    """Simulate a perturbed system with known connections, for `bmi perturb fit`."""
    import numpy as np

    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation import report
    from bmi_runtime.analysis.perturbation import simulate as simulation
    from bmi_runtime.outputs import write_npz

    out = checked_npz(out)
    rng = np.random.default_rng(seed)
    connectivity = simulation.random_connectivity(neurons, rng)
    clamps = simulation.random_assignments(steps, neurons, rng, clamped_fraction=clamped_fraction)
    common = simulation.hidden_input(steps, neurons, rng, hidden) if hidden else None
    activity = simulation.simulate_sigmoid(connectivity, clamps, rng, common)
    assignments, outcomes = simulation.clamped_samples(clamps, activity)
    write_npz(out, assignments=assignments, outcomes=outcomes.astype(np.float32), connectivity=connectivity)
    answer(report.made(out, len(outcomes), connectivity), as_json)


@perturb.command()
@click.argument("data", type=PATH)
@click.option(
    "--out", type=PATH, help="File to write (.npz): estimate, standard_error, low, high, p_values, discoveries."
)
@click.option("--confidence", default=0.95, show_default=True, help="Of the intervals.")
@click.option("--fdr", default=0.05, show_default=True, help="False-discovery rate of the effects named.")
@click.option(
    "--permutations",
    default=0,
    type=WHOLE,
    show_default=True,
    help="Shuffles for p-values without assumptions; 0: t tests.",
)
@seed_option
@answer_options
def fit(data, out, confidence, fdr, permutations, seed, as_json):
    """Estimate all effects from DATA.npz: assignments (samples x sources: 1, 0, or -1 where not clamped), outcomes
    one step later.

    With `treatments` (what each source did, stimulated spikes included) in the file, the effect per added spike is
    estimated too, with the assignment as instrument. DATA may also be a folder of assignments.npy and outcomes.npy,
    read block by block.
    """
    import numpy as np

    from bmi_runtime.analysis.npz import checked_npz
    from bmi_runtime.analysis.perturbation import files, report

    out = checked_npz(out)
    found = files.fit_file(data, confidence, permutations, np.random.default_rng(seed))
    result, named = report.fitted(found, fdr)
    if out is not None:
        files.save_fit(out, found, named)
        result["out"] = str(out)
    answer(result, as_json, files.describe(result))


for _command in (compare, plan, schedule, spikes, judge, instrument, plot):
    perturb.add_command(_command)
