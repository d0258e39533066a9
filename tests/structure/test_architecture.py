"""The picture of imports in the documentation is that of the source."""

import pathlib
import runpy

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_picture_of_imports_is_that_of_today():
    drawn = runpy.run_path(str(ROOT / ".ci" / "imports.py"))
    text = drawn["PAGE"].read_text(encoding="utf-8")
    assert drawn["page"](text) == text, "python .ci/imports.py --write"
