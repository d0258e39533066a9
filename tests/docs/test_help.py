"""What ``--help`` says of every command, read as it stands on a terminal of 80 columns."""

import importlib

import click
import pytest

from bmi_runtime import config
from bmi_runtime.cli.common import CONFIG
from bmi_runtime.cli.group import bmi
from bmi_runtime.cli.subcommands import SUBCOMMANDS


def commands(command, name, parent=None):
    """Yield the path of a command and of all below it, with their contexts."""
    context = click.Context(command, info_name=name.split()[-1], parent=parent, terminal_width=80)
    yield name, context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from commands(command.get_command(context, below), f"{name} {below}", context)


EVERY = dict(commands(bmi, "bmi"))


@pytest.mark.parametrize("path", EVERY)
def test_nothing_is_cut_and_no_mark_up_is_shown(path):
    context = EVERY[path]
    text = context.command.get_help(context)
    options = [param for param in context.command.params if isinstance(param, click.Option)]
    listed = text.partition("\nCommands:")[2]
    assert not [line for line in listed.splitlines() if line.endswith("...")], "cut"
    assert "\\b" not in text and "\b" not in text and "``" not in text
    assert all(option.help or option.hidden for option in options)


def test_examples_stand_on_lines_of_their_own():
    text = EVERY["bmi train"].command.get_help(EVERY["bmi train"])
    lines = [line.strip() for line in text.splitlines()]
    assert [line.split()[:2] for line in lines if line.startswith("bmi ")] == [["bmi", "train"], ["bmi", "run"]]


def test_the_shipped_configurations_are_named():
    shipped = {path.stem for path in config.folder().glob("*.toml")} - {"default"}
    assert shipped == set(CONFIG[CONFIG.index("(") + 1 : CONFIG.index(")")].split(", "))


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_the_list_of_commands_names_what_there_is(name):
    module, function, line = SUBCOMMANDS[name]
    assert isinstance(getattr(importlib.import_module(module), function), click.Command)
    assert line.endswith((".", "?")) and len(line) < 75
