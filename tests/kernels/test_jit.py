"""The name of a kernel's cache follows every file that its machine code comes from."""

import ast
import pathlib

import pytest

from bmi_runtime.kernels import jit

FILES = sorted(path for path in jit.FOLDER.glob("*.py") if path.name not in ("jit.py", "__init__.py"))


def imported(path):
    """Return the kernel files that a file imports, by Python's own parser."""
    found = {path}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bmi_runtime.kernels"):
            names = [node.module.rpartition(".")[2], *(alias.name for alias in node.names)]
            for file in {jit.FOLDER / f"{name}.py" for name in names} - {pathlib.Path(jit.__file__), path}:
                found |= imported(file) if file.exists() else set()
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_that_a_kernel_is_made_from_is_in_the_name_of_its_cache(path):
    assert jit._imports(path) >= imported(path)


def test_an_edit_of_an_imported_file_is_another_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(jit, "FOLDER", tmp_path)
    (tmp_path / "inner.py").write_text("def f():\n    return 1\n")
    outer = tmp_path / "outer.py"
    outer.write_text("from bmi_runtime.kernels.inner import (\n    f as g,  # why\n)\n")
    before = jit.cache_folder.__wrapped__(outer)
    (tmp_path / "inner.py").write_text("def f():\n    return 2\n")
    assert jit.cache_folder.__wrapped__(outer) != before
