"""What the commands of ``bmi networks`` share."""

import pathlib

import click

from bmi_runtime.cli.common import say

PATH = click.Path(path_type=pathlib.Path)
WHOLE = click.IntRange(min=0)
seed_option = click.option("--seed", default=0, type=WHOLE, show_default=True, help="Seed of everything random.")


def say_assumed(network, as_json) -> None:
    """Name the neuron's parameters that the file lacks, and the values taken in their place."""
    from bmi_runtime.analysis.networks.report import assumed_text

    if network.assumed:
        say(assumed_text(network), as_json)
