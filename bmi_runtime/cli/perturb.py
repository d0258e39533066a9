"""``bmi perturb``: causal effects from perturbation."""

import click

from bmi_runtime.cli.common import answer, answer_options


@click.group()
def perturb():
    """Causal effects from perturbation."""


@perturb.command()
@click.option("--neurons", default=6, show_default=True, help="Neurons of the system.")
@click.option("--steps", default=5000, show_default=True, help="Time steps, perturbed and observed in turn.")
@click.option("--selected-neuron", default=1, show_default=True, help="The neuron whose effects are estimated alone.")
@answer_options
def tutorial(neurons, steps, selected_neuron, as_json):
    """Run the Neuromatch tutorial on interventions, cell by cell, with its seeds."""
    from bmi_runtime.analysis.perturbation.tutorial import run_tutorial

    done = run_tutorial(neurons, steps, selected_neuron)
    result = {
        "difference_in_means": done.difference_in_means,
        "single_neuron_correlation": done.single_correlation,
        "all_neurons_correlation": done.all_correlation,
        "selected_neuron": done.selected_neuron,
        "connectivity": done.connectivity,
        "single_neuron_estimate": done.single_estimate,
        "all_neurons_estimate": done.all_estimate,
    }
    text = (
        f"two neurons, randomised: difference in means {done.difference_in_means!r} (the truth is 1)\n"
        f"effects of neuron {selected_neuron} against its true connections: correlation {done.single_correlation!r}\n"
        f"all neurons, stacked correlation against the true connections: correlation {done.all_correlation!r}"
    )
    answer(result, as_json, text)
