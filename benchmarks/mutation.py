"""Do the tests notice a wrong sign? Faults are put into a module, one at a time, and the tests run on each.

    python benchmarks/mutation.py --of safety      # safety states and guard; `make mutation`
    python benchmarks/mutation.py --sample 30      # of binner and clock; without: all of them

A fault is one changed operator or constant (`<` to `<=`, `+` to `-`, `and` to `or`, a number by one). Nothing in the
tree is touched: each process that runs the tests imports the changed module from memory. Printed are the faults that no
test noticed, and the share that was noticed. Some are no faults at all (a limit moved by a nanosecond): read them.
Those of safety and guard that are none stand in `mutation_equivalent.json` with the reason; any other one that is not
noticed makes the exit code 3.
"""

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.util
import io
import json
import os
import pathlib
import random
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGETS = {
    "binning": (
        "sources",
        ("clock", "time_guard", "bin_ring", "binner"),
        ("tests/sources/test_binner.py", "tests/sources/test_clock.py", "tests/faults/test_clock_faults.py"),
    ),
    "safety": ("session", ("safety", "guard"), ("tests/session/test_safety.py", "tests/session/test_guard.py")),
}
"""Package, modules, and the tests that are to notice."""
EQUIVALENT = pathlib.Path(__file__).with_name("mutation_equivalent.json")
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
PATIENCE_S = 120  # a fault that makes the tests hang is noticed as well


def places(tree):
    """Yield (line, what, change) of every fault that can be put into a tree; `change` alters a copy of the node."""
    for number, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            yield number, node.lineno, SWAPS[type(node.ops[0])].__name__
        elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
            yield number, node.lineno, SWAPS[type(node.op)].__name__
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and hasattr(node, "lineno"):
            yield number, node.lineno, f"{node.value} + 1"


def mutated(source, number):
    """Return the source with the fault at one node of its tree."""
    tree = copy.deepcopy(ast.parse(source))
    node = list(ast.walk(tree))[number]
    if isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif isinstance(node, ast.Constant):
        node.value += 1
    else:
        node.op = SWAPS[type(node.op)]()
    return ast.unparse(tree)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from a text."""

    def __init__(self, name, text):
        self.name, self.text = name, text

    def find_spec(self, name, path, target=None):
        """Find the module that is changed."""
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_source(self, fullname):
        """Return the changed text."""
        return self.text


def noticed(package, module, text, tests):
    """Return whether the tests fail on a changed module, in a process of its own."""
    child = os.fork()
    if not child:
        sys.meta_path.insert(0, Changed(f"bmi_runtime.{package}.{module}", text))
        signal.alarm(PATIENCE_S)
        import pytest

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-m", "not slow", *tests])
        os._exit(int(code))
    return os.waitpid(child, 0)[1] != 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=0, help="so many faults, drawn at random; 0: all")
    parser.add_argument("--of", choices=TARGETS, default="binning")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.chdir(ROOT)
    import pytest  # noqa: F401  # once, for every process that is forked

    from bmi_runtime.kernels import binning  # noqa: F401

    package, modules, tests = TARGETS[options.of]
    folder, faults = ROOT / "bmi_runtime" / package, []
    for module in modules:
        source = (folder / f"{module}.py").read_text(encoding="utf-8")
        lines = source.splitlines()
        faults += [
            (module, source, number, line, what, lines[line - 1]) for number, line, what in places(ast.parse(source))
        ]
    chosen = random.Random(options.seed).sample(faults, options.sample) if options.sample else faults
    equivalent = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    begin, missed, none = time.perf_counter(), [], 0
    if noticed(package, modules[0], (folder / f"{modules[0]}.py").read_text(encoding="utf-8"), tests):
        raise SystemExit("the tests fail without any fault")
    for module, source, number, line, what, text in chosen:
        if noticed(package, module, mutated(source, number), tests):
            continue
        if f"{what} in: {text.strip()}" in equivalent.get(f"{module}.py", {}):
            none += 1
            continue
        missed.append(f"{module}.py:{line}: {what} in: {text.strip()}")
        print(f"not noticed: {missed[-1]}", flush=True)
    share = 1.0 - len(missed) / max(len(chosen) - none, 1)
    print(
        f"{len(chosen)} of {len(faults)} changes, {none} of them no faults, {100 * share:.0f} % of the others noticed, "
        f"{time.perf_counter() - begin:.0f} s"
    )
    print(json.dumps({"changes": len(chosen), "no_faults": none, "noticed": share, "missed": missed}))
    if missed and options.of == "safety":
        raise SystemExit(3)


if __name__ == "__main__":
    main()
