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


def listed(docstring: str | None) -> list[str]:
    """Return the parameters that a numpydoc docstring lists, stars left out."""
    lines = (docstring or "").splitlines()
    if "Parameters" not in lines or not lines[lines.index("Parameters") + 1].startswith("---"):
        return []
    names = []
    for number in range(lines.index("Parameters") + 2, len(lines)):
        line = lines[number]
        if number + 1 < len(lines) and lines[number + 1].startswith("---"):
            break  # the next section
        if line and not line.startswith(" "):
            names += [name.strip().lstrip("*") for name in line.partition(" : ")[0].split(",")]
    return names


def taken(node: ast.ClassDef | ast.FunctionDef, classes: dict[str, ast.ClassDef]) -> set[str] | None:
    """Return the names that a function, or a class where it is made, takes; None where another's base says it."""
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        return {argument.arg for argument in every if argument is not None}
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return taken(method, classes)
    if any("dataclass" in ast.dump(decorator) for decorator in node.decorator_list):
        return {field.target.id for field in node.body if isinstance(field, ast.AnnAssign)}
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return taken(classes[bases[0]], classes) if bases and bases[0] in classes else None


def test_the_parameters_of_a_docstring_are_those_that_are_taken():
    """The reference on the site is made from them, and is refused where one is not there."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES.values()}
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    classes = {node.name: node for _, node in nodes if isinstance(node, ast.ClassDef)}
    wrong, seen = [], 0
    for path, node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (names := listed(ast.get_docstring(node))):
            known = taken(node, classes)
            seen += 1
            wrong += [
                f"{path.relative_to(ROOT)}: {node.name}: {n}" for n in names if known is not None and n not in known
            ]
    assert seen > 500
    assert wrong == []
