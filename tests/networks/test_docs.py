"""The examples of docs/networks.md run."""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "networks.md"


def test_the_examples_run_in_order():
    namespace: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    assert namespace["rates"][0] < 1e-30 and namespace["counts"].shape == (50,)
    assert 1.03 < namespace["predicted"] / namespace["simulated"] < 1.13  # the echo that the theory leaves out
