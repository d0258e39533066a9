"""The page on architecture is true: its files exist, what is central is on it, its picture of imports is of today."""

import ast
import collections
import pathlib
import re
import runpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPS = ("bmi_runtime", "gui", "simulators")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for top in TOPS for path in (ROOT / top).rglob("*.py")
}
CENTRAL = 5  # importers that make a file one that a reader will ask about
IMPORTS = runpy.run_path(str(ROOT / ".ci" / "imports.py"))
PAGE = IMPORTS["PAGE"].read_text(encoding="utf-8")


def named_files() -> set[str]:
    return set(re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE))


def test_the_picture_of_imports_is_that_of_today():
    assert IMPORTS["page"](PAGE) == PAGE, "python .ci/imports.py --write"


def test_every_file_on_the_page_exists():
    paths = {"/" + str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts}
    assert [name for name in named_files() if not any(path.endswith("/" + name) for path in paths)] == []


def test_every_package_is_on_the_page():
    packages = {path.parent.name for path in FILES.values() if path.name == "__init__.py"} - set(TOPS[:1])
    assert [name for name in packages if f"{name}/`" not in PAGE] == []


def test_every_file_that_many_others_import_is_on_the_page():
    importers = collections.Counter()
    for here, path in FILES.items():
        imported = set(IMPORTS["imported"](ast.parse(path.read_text(encoding="utf-8"))))
        modules = imported | {name.rpartition(".")[0] for name in imported}  # what is imported may be a name in one
        importers.update(modules & FILES.keys() - {here})
    names = {pathlib.PurePath(name).name for name in named_files()}
    central = [module for module, many in importers.items() if many >= CENTRAL and FILES[module].name != "__init__.py"]
    assert len(central) > 100
    assert [module for module in central if FILES[module].name not in names] == []
