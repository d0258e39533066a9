"""What the commands of ``bmi perturb`` share."""

import pathlib

import click

from bmi_runtime.cli.common import progress

PATH = click.Path(path_type=pathlib.Path)
WHOLE = click.IntRange(min=0)
seed_option = click.option("--seed", default=0, type=WHOLE, show_default=True, help="Seed of everything random.")
neurons_option = click.option("--neurons", default=100, show_default=True, help="Neurons of the simulated system.")


def show_tutorial(as_json, *options):
    """Run the tutorial and show it in a window."""
    from bmi_runtime.analysis.perturbation.tutorial import run_tutorial
    from bmi_runtime.cli.analysis_view import needs_display, show

    needs_display()
    with progress("tutorial"):
        done = run_tutorial(*options)
    arrays = {"estimate": done.all_estimate, "connectivity": done.connectivity}
    show("causal", arrays, "tutorial", as_json)
