"""The Python of the documentation page runs."""

import pathlib
import re


def test_the_examples_run(capsys):
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "glm.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})
    filters = capsys.readouterr().out.splitlines()[0]
    assert float(filters.strip("[ ").split()[0]) > 0.5  # the coupling that was put in, at lag 1
