"""The documentation: every link resolves, every example of the general pages runs."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```(?:\w+)?\n.*?```|`[^`]*`", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_resolves(page):
    missing = []
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.split("#")[0]).exists():
            missing.append(target)
    assert missing == []


def anchors(page):
    """Return what a link into a page may name: its headings, as Markdown turns them into anchors."""
    headings = re.findall(
        r"^#+ +(.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.M
    )
    return {re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_is_a_heading(page):
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        file, hash_mark, name = target.partition("#")
        if hash_mark and not re.match(r"[a-z]+:", target):
            assert name in anchors(page.parent / file if file else page), target


@pytest.mark.parametrize("name", ["first_ten_minutes", "howto"])
def test_the_python_examples_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    namespace: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, f"{name}.md", "exec"), namespace)
    if name == "first_ten_minutes":
        assert namespace["session"].bins == 2000


def test_the_first_ten_minutes_as_typed(tmp_path):
    text = (ROOT / "docs" / "first_ten_minutes.md").read_text(encoding="utf-8")
    design = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "design.py").write_text(design[1])
    subprocess.run([sys.executable, "design.py"], cwd=tmp_path, check=True)
    lines = [line for line in re.findall(r"^bmi .*$", text, re.MULTILINE) if "hard_world" not in line]
    assert len(lines) >= 4
    for line in lines:
        command = [sys.executable, "-m", "bmi_runtime.cli.main", *line.split()[1:]]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_decoder_of_the_how_to_decodes():
    import numpy as np

    from bmi_runtime.encoding.model import EncodingModel

    text = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    namespace: dict = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], namespace)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    model = EncodingModel.untrained(np.full(40, 10.0), "poisson", 0.05, 0.1)
    model.weights[1:] = np.cos(angle), np.sin(angle)
    decoder = namespace["PopulationVector"](model)
    counts = 0.05 * np.exp(np.array([1.0, 1.0, 0.0]) @ model.weights)  # moving right at 1 dm/s
    state = decoder.predict(counts)
    assert state[2] > 0.05
    assert abs(state[3]) < 0.01
