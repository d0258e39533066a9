"""What docstrings and pages name exists: modules, functions, classes, attributes, keys of the configuration."""

import ast
import pathlib
import re

from bmi_runtime.config import Config
from bmi_runtime.session.live_parameters import LIVE_PARAMETERS

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPS = ("bmi_runtime", "gui", "simulators")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in TOPS
    for path in (ROOT / top).rglob("*.py")
}
PACKAGES = {name.split(".")[1] for name in FILES if name.count(".") > 1} | set(TOPS)
REFERENCE = re.compile(r"(?<!`)`~?([a-z_]+(?:\.\w+)+)`(?!`)")
GROUPS = {
    "bmi_runtime.decoders",
    "bmi_runtime.sources",
    "bmi_runtime.tasks",
    "bmi_runtime.intentions",
    "bmi_runtime.panels",
}
"""Entry points, by which other packages add parts."""
FILE_ENDS = (".py", ".md", ".toml", ".npz", ".mcap", ".json")


def words(path: pathlib.Path) -> set[str]:
    """Return every name that a file defines, binds, imports or reads as an attribute."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for field in ("name", "id", "attr", "arg", "asname"):
            word = getattr(node, field, None)
            if isinstance(word, str):
                found.add(word)
    return found


WORDS = {name: words(path) for name, path in FILES.items()}


def exists(reference: str) -> bool:
    """Return whether a dotted name is a module, a module with names that stand in it, or a key of the configuration."""
    parts = reference.split(".")
    section = Config.model_fields.get(parts[0])
    if reference in GROUPS or reference in LIVE_PARAMETERS:
        return True
    if section is not None and parts[1] in getattr(section.annotation, "model_fields", {}):
        return True
    for prefix in ("", "bmi_runtime."):
        for length in range(len(parts), 0, -1):
            module = prefix + ".".join(parts[:length])
            if module in WORDS:
                return set(parts[length:]) <= WORDS[module]
            if any(name.startswith(module + ".") for name in FILES):
                return length == len(parts)
    return False


def test_what_a_page_or_a_docstring_names_exists():
    stale, seen = [], 0
    for path in [*FILES.values(), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        if path.name == "changelog.md":  # it speaks of what was
            continue
        for name in set(REFERENCE.findall(path.read_text(encoding="utf-8"))):
            if name.split(".")[0] in PACKAGES and not name.endswith(FILE_ENDS):
                seen += 1
                stale += [] if exists(name) else [f"{path.relative_to(ROOT)}: {name}"]
    assert seen > 100
    assert stale == []
