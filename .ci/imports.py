"""Draws the imports between packages from the source: every package with those it imports, the lowest first.

``python .ci/imports.py`` prints the picture; ``--write`` puts it into docs/architecture.md.
"""

import ast
import pathlib
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- imports: python .ci/imports.py --write -->\n", "<!-- /imports -->\n"
TOPS = ("bmi_runtime", "simulators", "gui")
# left out of the picture: almost every package has them
EVERYWHERE = {
    "codec",
    "errors",
    "kernels",
    "messages",
    "registry",
    "state_space",
}


def room(module: str) -> str:
    """Return the package that a module belongs to, by its name in the picture."""
    top, *rest = module.split(".")
    return rest[0] if top == "bmi_runtime" and rest else top


def imported(tree: ast.AST):
    """Yield the modules that a file imports, but not those for type checkers alone."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        stack += ast.iter_child_nodes(node)


def excepted() -> set[tuple[str, str]]:
    """Return the imports that the contract against circles names as exceptions."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (acyclic,) = (contract for contract in contracts if contract["type"] == "acyclic_siblings")
    pairs = (line.split(" -> ") for line in acyclic.get("ignore_imports", ()))
    return {(importer, of) for importer, of in pairs}


def edges() -> dict[str, set[str]]:
    """Return for each package the packages that it imports."""
    found: dict[str, set[str]] = {}
    left_out = excepted()
    for path in (path for top in TOPS for path in (ROOT / top).rglob("*.py")):
        here = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found.setdefault(room(here), set())
        for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
            excused = any(here == importer and module.startswith(of) for importer, of in left_out)
            if module.split(".")[0] in TOPS and not excused:
                found.setdefault(room(here), set()).add(room(module))
    return {name: {other for other in others - {name} if not other.startswith(("__", "bmi_runtime"))}
            for name, others in found.items() if not name.startswith("__")}  # fmt: skip


def picture() -> str:
    """Return one line for each package, those that import least first."""
    left = edges()
    lines, done = [], set(EVERYWHERE)
    width = max(map(len, left))
    while left:
        ready = [name for name in left if left[name] <= done] or [min(left, key=lambda name: len(left[name] - done))]
        for name in sorted(ready):
            shown = sorted(left.pop(name) - EVERYWHERE)
            if name not in EVERYWHERE:
                lines.append(f"{name:<{width}} <- {', '.join(shown)}" if shown else name)
        done |= set(ready)
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the page with the picture of today."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}```\n{picture()}\n```\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(picture())
