"""The examples of docs/calibration.md run, in order, in one namespace."""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "calibration.md"


def test_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "design.npz").exists()
    assert 5e-6 < names["answer"].learning_rate < 8e-6
    assert "closed form" in capsys.readouterr().out


def test_figures_exist():
    for name in re.findall(r"\]\((figures/[^)]+)\)", PAGE.read_text(encoding="utf-8")):
        assert 5_000 < (PAGE.parent / name).stat().st_size < 150_000
