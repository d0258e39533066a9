"""The size of what a reader must hold in mind at once: classes, functions, branches. Exceptions are named, with why."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("bmi_runtime", "simulators", "gui")
MOST_LINES_OF_A_CLASS = 300
MOST_LINES_OF_A_FUNCTION = 60  # its docstring not counted
MOST_LINES_OF_A_MODULE = 370
MOST_BRANCHES = 14
MOST_BRANCHES_OF_THE_SESSION = 12  # of every function in bmi_runtime/session, `and`, `or` and `x if y else z` counted

EXCEPTIONS = {  # file: {name: why}
    "bmi_runtime/kernels/encoding_mc.py": {"closed_loop": "one compiled pass over a whole experiment: a call costs"},
    "bmi_runtime/kernels/fokker_planck_rosenbrock.py": {"rosenbrock_step": "its stages share eight work arrays"},
    "bmi_runtime/kernels/linear.py": {"condition": "elimination with its back substitution, as in the textbook"},
    "bmi_runtime/kernels/glm_proximal.py": {"shrink_group": "the cases of one scalar equation, in order"},
    "bmi_runtime/kernels/coupled_rosenbrock.py": {"step_all": "one step of coupled densities, all work arrays shared"},
    "bmi_runtime/kernels/steering.py": {"steer": "one compiled pass over all trials; a call a bin would cost more"},
    "bmi_runtime/kernels/wire_body.py": {"read_body": "one pass over the bytes of a message, one branch for each form"},
}

LONG_MODULES = {  # file: why
    "bmi_runtime/calibration/rate_search.py": "the filters of one bank with all that judges them",
    "bmi_runtime/decoding/history_experts.py": "one decoder's experts, fitted from the same sums",
}


def files():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def code_lines(node):
    """Return how many lines a function has without its docstring."""
    first = node.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if has_docstring and isinstance(first.value.value, str) else 0
    return node.end_lineno - node.lineno + 1 - docstring


def branches(node):
    """Return the cyclomatic complexity of a function: 1 and one for every place where it may go two ways."""
    count, stack = 1, list(ast.iter_child_nodes(node))
    while stack:
        child = stack.pop()
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(child, ast.If | ast.For | ast.While | ast.ExceptHandler | ast.match_case | ast.comprehension):
            count += 1
        stack += ast.iter_child_nodes(child)
    return count


def ways(node):
    """Return the cyclomatic complexity with boolean operators, conditional expressions and filters counted as well."""
    own, stack = branches(node), list(ast.iter_child_nodes(node))
    while stack:
        child = stack.pop()
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(child, ast.BoolOp):
            own += len(child.values) - 1
        elif isinstance(child, ast.IfExp | ast.Assert):
            own += 1
        elif isinstance(child, ast.comprehension):
            own += len(child.ifs)
        stack += ast.iter_child_nodes(child)
    return own


def too_large(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_CLASS:
            yield node.name, f"class {node.name} has {node.end_lineno - node.lineno + 1} lines"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if code_lines(node) > MOST_LINES_OF_A_FUNCTION:
                yield node.name, f"{node.name} has {code_lines(node)} lines of code"
            if branches(node) > MOST_BRANCHES:
                yield node.name, f"{node.name} branches {branches(node)} times"


def test_no_class_or_function_is_larger_than_a_reader_can_hold():
    found = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        excused = EXCEPTIONS.get(name, {})
        found += [f"{name}: {text}" for what, text in too_large(path) if what not in excused]
    assert not found, "\n".join(found)


def test_every_exception_is_still_needed():
    needed = {(path.relative_to(ROOT).as_posix(), what) for path in files() for what, _ in too_large(path)}
    named = {(name, what) for name, excused in EXCEPTIONS.items() for what in excused}
    assert named <= needed, f"no exception any more: {named - needed}"


def test_no_function_of_the_session_goes_more_ways_than_can_be_tried():
    found = [
        f"{path.name}: {node.name} goes {ways(node)} ways"
        for path in sorted((ROOT / "bmi_runtime" / "session").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ways(node) > MOST_BRANCHES_OF_THE_SESSION
    ]
    assert not found, "\n".join(found)


def test_the_ways_of_a_function_are_counted_with_its_boolean_operators():
    node = ast.parse("def f(x, y):\n    if x and y or not x:\n        return [a if a else 0 for a in x if a]\n").body[0]
    assert (branches(node), ways(node)) == (3, 7)


@pytest.mark.parametrize(
    ("source", "lines", "ways"),
    [
        ("def f():\n    '''Say.\n\n    More.\n    '''\n    return 1\n", 2, 1),
        ("def f(x):\n    if x:\n        return [y for y in x if y]\n    return 0\n", 4, 3),
    ],
)
def test_the_measures_count_what_they_say(source, lines, ways):
    node = ast.parse(source).body[0]
    assert (code_lines(node), branches(node)) == (lines, ways)


def test_a_module_is_about_one_thing():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files()}
    long = {name for name, lines in lengths.items() if lines > MOST_LINES_OF_A_MODULE}
    assert long <= set(LONG_MODULES), f"over {MOST_LINES_OF_A_MODULE} lines: {sorted(long - set(LONG_MODULES))}"
    assert set(LONG_MODULES) <= long, f"named, but short now: {sorted(set(LONG_MODULES) - long)}"
