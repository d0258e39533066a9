"""Put calculated settings into a TOML configuration, keeping the rest of the file and its comments."""

import copy
import pathlib
import re
import tomllib

from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import whole_text

MARK = "# calculated by bmi calibrate"
LARGEST_RATE = 1.0  # as `adapter.learning_rate` allows
BIN_OF_RATE = {"adapter.learning_rate": "bin_s", "adapter.feature_learning_rate": "feature_bin_s"}
"""The learning rates, and which bins of section session each is for."""


def write_settings(
    path: str | pathlib.Path,
    settings: dict[str, tuple[float, str]],
    bin_s: float | None = None,
    otherwise: str | None = None,
) -> None:
    """Set numbers in a TOML file, each with a comment above it that says where it came from.

    The file is replaced in one step, and only if reading it back gives the old configuration with these keys changed.

    Parameters
    ----------
    path : path
        A configuration.
    settings : dict of (float, str)
        By ``section.key``: the value, and in one line what it was calculated for.
    bin_s : float, optional
        The bin that the values are for: a configuration whose session.bin_s (for features, session.feature_bin_s)
        differs is refused.
    otherwise : str, optional
        What a file that is not there yet starts from, TOML; None: it must be there.

    Raises
    ------
    BadInput
        If a learning rate is beyond what a configuration takes, the file is missing, is not TOML, or has a key in a
        form that cannot be changed safely (an inline table).
    """
    path = pathlib.Path(path)
    _check_rate(settings, path)
    names = next(iter(settings)).partition(".")[2].replace("_", " ")
    text, before = _read(path, names, otherwise)
    session = before.get("session", {})
    width = next((BIN_OF_RATE[key] for key in settings if key in BIN_OF_RATE), "bin_s")
    configured = session.get(width) if isinstance(session, dict) else None
    if bin_s is not None and isinstance(configured, int | float) and abs(configured / bin_s - 1) > 1e-9:
        raise BadInput(
            f"{path} has bins of {configured:g} s, the {names} is for bins of {bin_s:g} s; calibrate with the same bins"
        )
    newline = "\r\n" if "\r\n" in text else "\n"
    lines, wanted = text.split(newline), copy.deepcopy(before)
    for key, (value, origin) in settings.items():
        section, _, name = key.partition(".")
        lines = _changed(lines, section, f"{name} = {value!r}", f"{MARK}: {' '.join(origin.split())}")
        table = wanted.setdefault(section, {})
        if isinstance(table, dict):
            table[name] = value
    changed = newline.join(lines)
    if not _says(changed, wanted):
        sections = list(dict.fromkeys(key.partition(".")[0] for key in settings))
        raise BadInput(
            f"{path} writes its {' or '.join(sections)} in a form that cannot be changed safely; write it as a table "
            f"[{sections[0]}]"
        )
    with whole_text(path) as file:
        file.write(changed)


def _check_rate(settings: dict[str, tuple[float, str]], path: pathlib.Path) -> None:
    rate = max((settings[key][0] for key in BIN_OF_RATE if key in settings), default=0.0)
    if not 0 <= rate <= LARGEST_RATE:
        raise BadInput(
            f"a learning rate of {rate:.4g} is beyond {LARGEST_RATE:g}, the most that a configuration takes: every bin "
            f"would overwrite what was learned; allow a longer time to converge (nothing was written into {path})"
        )


def _read(path: pathlib.Path, names: str, otherwise: str | None) -> tuple[str, dict]:
    """Return a configuration's text and what it says; `otherwise` for a file that is not there yet."""
    try:
        text = path.read_bytes().decode("utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        if otherwise is not None and path.parent.is_dir():
            return otherwise, tomllib.loads(otherwise)
        raise BadInput(f"there is no configuration {path} to write the {names} into") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} cannot be read as TOML ({error}); nothing was written") from None


def _says(text: str, wanted: dict) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _changed(lines: list[str], section: str, setting: str, comment: str) -> list[str]:
    """Return the lines with the setting and its comment in place of the old ones, or where they belong."""
    name = setting.partition(" ")[0]
    header = next((i for i, line in enumerate(lines) if re.match(rf"\s*\[\s*{section}\s*\]", line)), None)
    if header is None:
        dotted = next((i for i, line in enumerate(lines) if re.match(rf"\s*{section}\s*\.\s*{name}\s*=", line)), None)
        if dotted is not None:
            return _swapped(lines, dotted, f"{section}.{setting}", comment)
        start = [] if not lines or not lines[-1].strip() else [""]
        return [*lines, *start, f"[{section}]", comment, setting, ""]
    for i in range(header + 1, len(lines)):
        if re.match(r"\s*\[", lines[i]):
            break
        if re.match(rf"""\s*["']?{name}["']?\s*=""", lines[i]):
            return _swapped(lines, i, setting, comment)
    return [*lines[: header + 1], comment, setting, *lines[header + 1 :]]


def _swapped(lines: list[str], at: int, setting: str, comment: str) -> list[str]:
    """Return the lines with line `at` replaced, its own trailing comment kept, our earlier comment above it dropped."""
    trailing = re.search(r"\s+#.*$", lines[at])
    start = at - 1 if at and lines[at - 1].strip().startswith(MARK) else at
    indent = re.match(r"\s*", lines[at]).group()  # type: ignore[union-attr]
    new = [indent + comment, indent + setting + (trailing.group() if trailing else "")]
    return [*lines[:start], *new, *lines[at + 1 :]]
