"""Processes that we start import our modules, whatever lies in the folder that somebody works in."""

import os
import pathlib
import re
import subprocess

import pytest

from gui.processes import COMMAND

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_no_process_looks_for_modules_in_the_folder_where_it_is_started():
    """Without -P the folder comes first: a laboratory's gui.py or csv.py would run in place of ours."""
    started = []
    for package in ("bmi_runtime", "gui", "simulators"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text()
            found = re.findall(r'("-P",\s*)?"-m",', text)
            started += found
            assert all(found), f"{file.relative_to(ROOT)} starts python -m without -P"
    assert len(started) >= 10


@pytest.mark.parametrize("name", ["csv", "gui", "bmi_runtime", "statistics"])
def test_a_file_of_a_modules_name_in_the_folder_does_no_harm(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    known = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [*COMMAND, "inspect", "nothing.mcap"], cwd=tmp_path, env=known, capture_output=True, text=True
    )
    assert done.returncode == 2 and "the wrong module" not in done.stderr and "nothing.mcap" in done.stderr
