"""Every example of docs/recording.md runs, and the reader in plain Python agrees with ours."""

import os
import pathlib
import re

import pytest

from bmi_runtime.recording.reader import Recording

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "recording.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def in_folder(recorded, monkeypatch):
    monkeypatch.chdir(recorded.parent)
    return recorded


def test_there_are_examples():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("number", range(3))
def test_example_runs(in_folder, number, capsys):
    exec(compile(EXAMPLES[number], f"example {number}", "exec"), {"__name__": "example"})
    assert (capsys.readouterr().out == "") == (number == 1)


@pytest.mark.parametrize("cut", [0, 1, 3000, 9000])
def test_reader_in_plain_python_agrees(in_folder, cut, capsys):
    os.truncate(in_folder, in_folder.stat().st_size - cut)
    example: dict = {}
    exec(compile(EXAMPLES[2], "example", "exec"), example)
    read, ours = list(example["read_steps"](in_folder)), Recording(in_folder).steps()
    assert len(read) == len(ours) > 5
    for mine, step in zip(read, ours, strict=True):
        for part in step.dtype.names:
            for name in step[part].dtype.names:
                got, wanted = mine[f"{part}.{name}"], step[part][name].reshape(-1).tolist()
                assert got == wanted
