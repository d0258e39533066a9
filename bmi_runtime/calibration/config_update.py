"""Put a calculated learning rate into a TOML configuration, keeping the rest of the file and its comments."""

import copy
import os
import pathlib
import re
import tempfile
import tomllib

from bmi_runtime.errors import BadInput

MARK = "# calculated by bmi calibrate"
LARGEST_RATE = 1.0  # as `adapter.learning_rate` allows


def write_learning_rate(path: str | pathlib.Path, rate: float, origin: str, bin_s: float | None = None) -> None:
    """Set ``adapter.learning_rate`` in a TOML file, with a comment above it that says where it came from.

    The file is replaced in one step, and only if reading it back gives the old configuration with this one key changed.

    Parameters
    ----------
    path : path
        An existing configuration.
    rate : float
    origin : str
        One line: what the rate was calculated for.
    bin_s : float, optional
        The bin that the rate is for: a configuration whose session.bin_s differs is refused.

    Raises
    ------
    BadInput
        If the rate is beyond what a configuration takes, the file is missing, is not TOML, or has the key in a form
        that cannot be changed safely (an inline table).
    """
    path = pathlib.Path(path)
    if not 0 <= rate <= LARGEST_RATE:
        raise BadInput(
            f"a learning rate of {rate:.4g} is beyond {LARGEST_RATE:g}, the most that a configuration takes: every bin "
            f"would overwrite what was learned; allow a longer time to converge (nothing was written into {path})"
        )
    try:
        text = path.read_bytes().decode("utf-8")
        before = tomllib.loads(text)
    except FileNotFoundError:
        raise BadInput(f"there is no configuration {path} to write the learning rate into") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} cannot be read as TOML ({error}); nothing was written") from None
    session = before.get("session", {})
    configured = session.get("bin_s") if isinstance(session, dict) else None
    if bin_s is not None and isinstance(configured, int | float) and abs(configured / bin_s - 1) > 1e-9:
        raise BadInput(
            f"{path} has bins of {configured:g} s, the learning rate is for bins of {bin_s:g} s; calibrate with the "
            f"same bins"
        )
    newline = "\r\n" if "\r\n" in text else "\n"
    changed = newline.join(
        _changed(text.split(newline), f"learning_rate = {rate!r}", f"{MARK}: {' '.join(origin.split())}")
    )
    wanted = copy.deepcopy(before)
    wanted.setdefault("adapter", {})["learning_rate"] = rate
    try:
        same = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise BadInput(
            f"{path} writes its adapter in a form that cannot be changed safely; write it as a table [adapter]"
        )
    _replace(path, changed)


def _changed(lines: list[str], setting: str, comment: str) -> list[str]:
    """Return the lines with the setting and its comment in place of the old ones, or where they belong."""
    header = next((i for i, line in enumerate(lines) if re.match(r"\s*\[\s*adapter\s*\]", line)), None)
    if header is None:
        dotted = next(
            (i for i, line in enumerate(lines) if re.match(r"\s*adapter\s*\.\s*learning_rate\s*=", line)), None
        )
        if dotted is not None:
            return _swapped(lines, dotted, f"adapter.{setting}", comment)
        start = [] if not lines or not lines[-1].strip() else [""]
        return [*lines, *start, "[adapter]", comment, setting, ""]
    for i in range(header + 1, len(lines)):
        if re.match(r"\s*\[", lines[i]):
            break
        if re.match(r"""\s*["']?learning_rate["']?\s*=""", lines[i]):
            return _swapped(lines, i, setting, comment)
    return [*lines[: header + 1], comment, setting, *lines[header + 1 :]]


def _swapped(lines: list[str], at: int, setting: str, comment: str) -> list[str]:
    """Return the lines with line `at` replaced, its own trailing comment kept, our earlier comment above it dropped."""
    trailing = re.search(r"\s+#.*$", lines[at])
    start = at - 1 if at and lines[at - 1].strip().startswith(MARK) else at
    indent = re.match(r"\s*", lines[at]).group()  # type: ignore[union-attr]
    new = [indent + comment, indent + setting + (trailing.group() if trailing else "")]
    return [*lines[:start], *new, *lines[at + 1 :]]


def _replace(path: pathlib.Path, text: str) -> None:
    """Replace a file in one step, keeping its permissions."""
    target = path.resolve()
    with tempfile.NamedTemporaryFile("wb", dir=target.parent, prefix=f".{target.name}-", delete=False) as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, target.stat().st_mode & 0o7777)
    os.replace(file.name, target)
