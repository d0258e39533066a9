"""The examples of docs/perturbation.md run and say what the page says."""

import pathlib
import re

import pytest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "perturbation.md"


def test_the_examples_run_in_order():
    namespace: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    assert namespace["total"].estimate[0, 2] == pytest.approx(0.8, abs=0.35)
    assert namespace["per_spike"].estimate[0, 2] == pytest.approx(0.4, abs=0.17)
