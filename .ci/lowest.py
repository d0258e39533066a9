"""Prints the lowest version that pyproject.toml allows of every dependency, as constraints for pip (`make lowest`)."""

import pathlib
import re
import tomllib

PROJECT = pathlib.Path(__file__).resolve().parents[1] / "pyproject.toml"
TOOLS = ("dev", "docs")


def lowest() -> list[str]:
    """Return ``name==version`` of every bound, of the base install and of the extras that a user installs."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in TOOLS}
    wanted = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    bounds = (re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", line) for line in wanted)
    return sorted({f"{bound[1]}=={bound[2]}" for bound in bounds if bound})


if __name__ == "__main__":
    print("\n".join(lowest()))
