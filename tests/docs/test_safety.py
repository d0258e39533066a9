"""The safety page names tests, settings and versions that exist, and every package of the base install."""

import ast
import pathlib
import re
import tomllib

import pytest

from bmi_runtime.config import valid_keys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def rows(heading):
    """Return the cells of the table under a heading."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_every_test_that_is_named_is_there(file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_hazard_has_a_cause_a_measure_and_a_test():
    table = rows("Hazards")
    assert len(table) >= 15
    for hazard, cause, measure, held_by in table:
        assert hazard and cause and measure and "::" in held_by, hazard


def test_every_setting_that_is_named_is_one():
    named = re.findall(r"`((?:safety|guard|realtime)\.\w+)`", PAGE)
    assert named and set(named) <= set(valid_keys())


def test_the_versions_are_those_that_are_installed_and_no_package_is_missing():
    lines = (ROOT / ".ci" / "known-good.txt").read_text(encoding="utf-8").splitlines()
    known = dict(line.lower().split("==") for line in lines if "==" in line)
    table = {name.lower(): version for name, version, _ in rows("Third-party software")}
    assert table == {name: known[name] for name in table}
    base = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {re.match(r"[\w-]+", line)[0].lower() for line in base} <= set(table)
