"""The notebook: its cells run in their order, and say now what they are shown to say."""

import json
import pathlib
import re

import pytest

NOTEBOOK = pathlib.Path(__file__).resolve().parents[2] / "docs" / "session_from_python.ipynb"
MOST_BYTES = 100_000


@pytest.fixture(scope="module")
def cells():
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_every_cell_runs_and_prints_what_is_shown(cells, capsys, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install bmi-runtime[plots])")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    namespace: dict = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), namespace)
        shown = "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")
        printed = capsys.readouterr().out
        assert re.sub(r"\d+", "#", printed) == re.sub(r"\d+", "#", shown), f"cell {number}"
    plt.close("all")
    assert namespace["replayed"]["identical"]
    assert namespace["first"]["successes"] > 40
    assert namespace["second"]["successes"] > 20


def test_outputs_are_small_and_whole(cells):
    outputs = [out for cell in cells for out in cell["outputs"]]
    assert all(cell["execution_count"] for cell in cells)
    assert outputs and not [out for out in outputs if out["output_type"] == "error"]
    assert max(len(json.dumps(out)) for out in outputs) < MOST_BYTES
