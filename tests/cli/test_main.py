"""The front of the command line."""

import os
import subprocess
import sys

import pytest

from bmi_runtime.cli.main import help_text


def said_by(program, **environment):
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return done.stdout


@pytest.mark.parametrize("columns", [20, 60, 79, 80, 200])
def test_help_is_laid_out_as_click_does(columns):
    program = "from bmi_runtime.cli.group import bmi; bmi.main(['--help'], prog_name='bmi')"
    assert help_text(columns) + "\n" == said_by(program, COLUMNS=str(columns))


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_imports_nothing_heavy(option):
    program = (
        f"import sys; sys.argv = ['bmi', '{option}']\nfrom bmi_runtime.cli.main import main\ntry: main()\n"
        "except SystemExit as stop: print(stop.code, sorted({'click', 'numpy', 'rich'} & set(sys.modules)))"
    )
    said = said_by(program)
    assert said.splitlines()[-1] == "0 []"
    assert said.startswith("Usage: bmi [OPTIONS]")
