"""Do the tests notice a wrong sign? Faults are put into a module, one at a time, and the tests run on each.

    python benchmarks/mutation.py --of safety      # safety states; `make mutation`: and the guard
    python benchmarks/mutation.py --sample 30      # of binner and clock; without: all of them

A fault is one changed operator or constant (`<` to `<=`, `+` to `-`, `and` to `or`, a number by one, `True` to
`False`), a `not` or a minus sign left out, a condition turned round, a statement left out. Nothing in the tree is
touched: each process that runs the tests gives the functions of the module other code. Printed are the faults that no
test noticed, and the share that was noticed. Some are no faults at all (a limit moved by a nanosecond): read them.
Those of safety and guard that are none stand in `mutation_equivalent.json` with the reason; any other one that is not
noticed makes the exit code 3.
"""

import argparse
import ast
import contextlib
import enum
import importlib
import io
import json
import os
import pathlib
import random
import signal
import time
import types

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGETS = {
    "binning": (
        "sources",
        ("clock", "time_guard", "bin_ring", "binner"),
        ("tests/sources/test_binner.py", "tests/sources/test_clock.py", "tests/faults/test_clock_faults.py"),
    ),
    "safety": ("session", ("safety",), ("tests/session/test_safety.py",)),
    "guard": ("session", ("guard",), ("tests/session/test_guard.py",)),
}
"""Package, modules, and the tests that are to notice."""
COMPLETE = ("safety", "guard")  # every fault must be noticed
EQUIVALENT = pathlib.Path(__file__).with_name("mutation_equivalent.json")
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.NotEq: ast.Eq, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
DONE = ast.Assign | ast.AugAssign | ast.Expr | ast.Return
"""Statements that can be left out and leave a module that can still be imported."""
PATIENCE_S = 120  # a fault that makes the tests hang is noticed as well


def places(tree):
    """Yield (node's number, kind, line, what) of every fault that can be put into a tree."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for number, node in enumerate(ast.walk(tree)):
        for kind, what in faults_of(node, inside):
            yield number, kind, node.lineno, what


def faults_of(node, inside):
    """Yield (kind, what) of the faults that one node can be given; `inside` are the statements of functions."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in SWAPS:
            yield "operator", SWAPS[type(operator)].__name__
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in SWAPS:
            yield "operator", SWAPS[type(operator)].__name__
        case ast.Constant(value=bool() as value):
            yield "constant", f"{not value}"
        case ast.Constant(value=int() | float() as value):
            yield "constant", f"{value} + 1"
        case ast.UnaryOp(op=ast.Not() | ast.USub() as operator):
            yield "unary", f"without {type(operator).__name__}"
        case ast.If() | ast.IfExp():
            yield "condition", "condition turned round"
    if isinstance(node, DONE) and id(node) in inside and not is_text(node):
        yield "statement", "left out"


def is_text(node):
    """Return whether a statement is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def mutated(source, number, kind):
    """Return the source with the fault of a kind at one node of its tree."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[number]
    match kind:
        case "operator" if isinstance(node, ast.Compare):
            node.ops[0] = SWAPS[type(node.ops[0])]()
        case "operator":
            node.op = SWAPS[type(node.op)]()
        case "constant":
            node.value = not node.value if isinstance(node.value, bool) else node.value + 1
        case "condition":
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case _:
            tree = Without(node).visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


class Without(ast.NodeTransformer):
    """Leaves a statement out, or the sign before a value."""

    def __init__(self, left_out):
        self.left_out = left_out

    def visit(self, node):
        """Return the node, or what stands in its place."""
        if node is not self.left_out:
            return self.generic_visit(node)
        return node.operand if isinstance(node, ast.UnaryOp) else ast.Pass()


def transplant(module, text):
    """Let the functions of a module run the code of a changed text, in place: whoever has imported them has the change.

    Numbers among the module's own names follow; classes stay the same objects.
    """
    changed = types.ModuleType(module.__name__)
    exec(compile(text, module.__file__, "exec"), vars(changed))
    for name, new in vars(changed).items():
        if isinstance(new, int | float):
            setattr(module, name, new)
        elif getattr(new, "__module__", "") == module.__name__:
            take_code(getattr(module, name), new)


def take_code(old, new):
    """Give a function, or the functions of a class, the code of another one."""
    if isinstance(new, types.FunctionType):
        old.__code__, old.__defaults__ = new.__code__, new.__defaults__
    elif isinstance(new, property):
        take_code(old.fget, new.fget)
    elif isinstance(new, type) and not issubclass(new, enum.Enum):
        for name, part in vars(new).items():
            if isinstance(part, types.FunctionType | property):
                take_code(vars(old)[name], part)


def passes(tests):
    """Return whether the tests pass in this process."""
    import pytest

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return not pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-m", "not slow", *tests])


def noticed(module, text, tests):
    """Return whether the tests fail on a changed module, in a process of its own."""
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE_S)
        try:
            transplant(module, text)
            os._exit(0 if passes(tests) else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] != 0


def faults_in(module):
    """Yield (module, changed text, where, what) of every fault of a module."""
    source = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    for number, kind, line, what in places(ast.parse(source)):
        yield module, mutated(source, number, kind), line, f"{what} in: {lines[line - 1].strip()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=0, help="so many faults, drawn at random; 0: all")
    parser.add_argument("--of", choices=TARGETS, default="binning")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.chdir(ROOT)
    package, names, tests = TARGETS[options.of]
    modules = [importlib.import_module(f"bmi_runtime.{package}.{name}") for name in names]
    if not passes(tests):  # what this imports and compiles is there in every process that is forked
        raise SystemExit("the tests fail without any fault")
    faults = [fault for module in modules for fault in faults_in(module)]
    chosen = random.Random(options.seed).sample(faults, options.sample) if options.sample else faults
    equivalent = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    begin, missed, none = time.perf_counter(), [], 0
    for module, text, line, what in chosen:
        if noticed(module, text, tests):
            continue
        name = pathlib.Path(module.__file__).name
        if what in equivalent.get(name, {}):
            none += 1
            continue
        missed.append(f"{name}:{line}: {what}")
        print(f"not noticed: {missed[-1]}", flush=True)
    share = 1.0 - len(missed) / max(len(chosen) - none, 1)
    print(
        f"{len(chosen)} of {len(faults)} changes, {none} of them no faults, {100 * share:.0f} % of the others noticed, "
        f"{time.perf_counter() - begin:.0f} s"
    )
    print(json.dumps({"changes": len(chosen), "no_faults": none, "noticed": share, "missed": missed}))
    if missed and options.of in COMPLETE:
        raise SystemExit(3)


if __name__ == "__main__":
    main()
