"""``bmi perturb compare`` and ``plot``: methods side by side, and pictures."""

import click

from bmi_runtime.cli.common import PICTURE_PATH, answer, answer_options, progress
from bmi_runtime.cli.perturb_options import PATH, neurons_option, seed_option, show_tutorial


@click.command()
@neurons_option
@click.option("--steps", default="500,2000,8000,32000", show_default=True, help="Amounts of data, comma-separated.")
@click.option(
    "--hidden", default="0,1", show_default=True, help="Strengths of the hidden common input, comma-separated."
)
@click.option("--plot", type=PICTURE_PATH, help="Figure to write.")
@seed_option
@answer_options
def compare(neurons, steps, hidden, plot, seed, as_json):
    """Compare perturbation with regression and correlation, with and without a hidden common input."""
    import numpy as np

    from bmi_runtime.analysis.perturbation import report
    from bmi_runtime.analysis.perturbation.simulate import compare_methods

    counts, strengths = report.numbers(steps, int, "--steps"), report.numbers(hidden, float, "--hidden")
    done = [compare_methods(neurons, np.array(counts), strength, seed) for strength in strengths]
    result = {"steps": counts, "comparisons": [{"hidden": one.hidden_strength, **one.agreement} for one in done]}
    if plot is not None:
        from bmi_runtime.analysis.perturbation.plots import comparison_figure

        result["files"] = [comparison_figure(done, plot)]
    answer(result, as_json, report.comparison_text(done, counts))


@click.command()
@click.argument("fit_file", required=False, type=PATH)
@click.option("--folder", type=PATH, help="Existing folder for the figures.")
@click.option("--gui", is_flag=True, help="Show FIT_FILE (or, without one, the tutorial) in a window.")
@answer_options
def plot(fit_file, folder, gui, as_json):
    """Draw the effects in FIT_FILE (from `bmi perturb fit --out`) as graph and heat-map, into a folder or, with --gui,
    in a window. Without FIT_FILE: redraw the tutorial's figures, true against estimated.
    """
    from bmi_runtime.errors import BadInput

    if gui and fit_file is not None:
        from bmi_runtime.cli.analysis_view import show_file

        show_file("causal", fit_file, as_json)
        return
    if gui:
        show_tutorial(as_json)
        return
    if folder is None:
        raise BadInput("give an existing folder for the figures (--folder FOLDER), or --gui for a window")
    if fit_file is not None:
        from bmi_runtime.analysis.perturbation.files import read_fit
        from bmi_runtime.analysis.perturbation.plots import fit_figure

        drawn = fit_figure(read_fit(fit_file), folder / f"{fit_file.stem}_effects.png")
        answer({"files": [drawn]}, as_json, drawn)
        return
    from bmi_runtime.analysis.perturbation import plots
    from bmi_runtime.analysis.perturbation.tutorial import run_tutorial

    with progress("tutorial"):
        done = run_tutorial()
    files = [
        plots.tutorial_figure(done, folder / "perturb_tutorial.png"),
        plots.single_neuron_figure(done, folder / "perturb_single_neuron.png"),
    ]
    answer({"files": files}, as_json, "\n".join(files))
