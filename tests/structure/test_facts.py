"""A fact that several packages need is written once; here is what would give a second copy away."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files():
    return [path for top in ("bmi_runtime", "simulators", "gui") for path in sorted((ROOT / top).rglob("*.py"))]


ONCE = {  # what it is: (pattern of a copy, the files that may hold it)
    "dm per m": (r"^(DM_PER_M|SCALE) *= *10", {"bmi_runtime/constants.py"}),
    "the 95 % quantile": (r"1\.9599|[^\w.]1\.96 *\*|\* *1\.96[^\w]|Z_?95 *= *1", {"bmi_runtime/constants.py"}),
    "the usual width of a bin": (r'"poisson": 0\.005|0\.05 if .* else 0\.005', {"bmi_runtime/constants.py"}),
    "the set-up of pyplot": (r"matplotlib\.use\(", {"bmi_runtime/drawing.py"}),
    "the palette of pictures": (r"(?i)#0072b2", {"bmi_runtime/drawing.py", "gui/theme.py"}),
}


@pytest.mark.parametrize("fact", ONCE)
def test_it_is_written_once(fact):
    pattern, allowed = ONCE[fact]
    found = {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if any(re.search(pattern, line) for line in path.read_text(encoding="utf-8").splitlines())
    }
    assert found <= allowed, f"{fact}: {sorted(found - allowed)}"
    assert found & allowed, f"{fact} is nowhere: the pattern is out of date"
