"""Tables of columns with names, ``.csv``, ``.tsv`` and ``.parquet``, as variables for a mapping.

Columns are apart by whichever of tab, semicolon and comma the line of names has most of; with semicolons a number may
have a decimal comma. What is not a number (nothing, ``NA``, ``nan``) in a column of numbers is not known (NaN).
"""

from __future__ import annotations

import csv
import fnmatch
import io
import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np

from bmi_runtime.errors import BadInput, first_line

SUFFIXES = (".csv", ".tsv", ".parquet")
SEPARATORS = "\t;,"
UNKNOWN = {"", "na", "n/a", "nan", "null", "none", "-"}
MOST_SHOWN = 16  # columns named in a message
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*")


class Table(Mapping[str, np.ndarray]):
    """The columns of a table, and of tables that lie beside it, by name or by a pattern of names.

    ``vx`` is a column, ``unit_*`` every column whose name fits, in the file's order (a table, rows x columns), and
    ``hand.csv:vx`` a column of another file in the same folder.

    Parameters
    ----------
    path : path

    Raises
    ------
    BadInput
        When it is not a table: lines of different lengths, two columns of one name, nothing in it.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.columns = _parquet(path) if path.suffix.lower() == ".parquet" else _text(path)
        self._beside: dict[str, Table] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        file, colon, pattern = name.rpartition(":")
        if colon and name not in self.columns:
            return self._other(file)[pattern]
        names = [name] if name in self.columns else fnmatch.filter(self.columns, name)
        if not names:
            raise KeyError(name)
        return np.column_stack([self.columns[held] for held in names])

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self[name] is not None
        except KeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def _other(self, file: str) -> Table:
        path = self.path.with_name(pathlib.PurePath(file).name)
        if path.name != file or path.suffix.lower() not in SUFFIXES or not path.is_file():
            raise KeyError(file)
        if file not in self._beside:
            self._beside[file] = Table(path)
        return self._beside[file]

    def described(self) -> str:
        """Return its size and the names of its columns for a person."""
        rows = len(next(iter(self.columns.values())))
        names = [*list(self.columns)[:MOST_SHOWN], *["..."] * (len(self.columns) > MOST_SHOWN)]
        return f"a table of {rows} rows with the columns {', '.join(names)}"

    def without_mapping(self) -> BadInput:
        """Return the error of a table about which nobody said what is what, with how to say it."""
        numbered = [match[1] for name in self.columns if (match := re.fullmatch(r"(.*?\D)\d+", name))]
        units = max(numbered, key=numbered.count) + "*" if numbered else "unit*"
        return BadInput(
            f"{self.path.name}: {self.described()}. Say what is what in a mapping, {self.path.name}.toml beside it or "
            f"--mapping: [counts] variable = '{units}' (or [spikes] variable and units), [bin] width_s, and [velocity] "
            "or [position] variables and unit (docs/formats.md)"
        )


def _parquet(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise BadInput(
            f"{path.name}: reading Parquet needs pyarrow (pip install 'bmi-runtime[tables]'); or save it as .csv"
        ) from None
    try:
        table = pq.read_table(path)
    except Exception as error:  # pyarrow raises many kinds on a damaged file
        raise BadInput(f"{path.name}: not a readable Parquet file ({first_line(error)})") from None
    held = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    columns = {name: column for name, column in held.items() if column.dtype.kind in "biuf"}
    columns |= {
        name: column.astype(str)
        for name, column in held.items()
        if column.dtype.kind == "O" and all(isinstance(value, str) for value in column)
    }
    if not columns or not len(table):
        raise BadInput(f"{path.name}: the table has no column of numbers")
    return {name: columns[name] for name in held if name in columns}


def _text(path: pathlib.Path) -> dict[str, np.ndarray]:
    text = _decoded(path)
    lines = text.splitlines(keepends=True)
    begins = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if begins is None:
        raise BadInput(f"{path.name}: the file is empty")
    separator = max(SEPARATORS, key=lines[begins].count)
    names = [name.strip() for name in next(csv.reader([lines[begins]], delimiter=separator))]
    if not any(re.search("[A-Za-z]", name) for name in names):
        raise BadInput(
            f"{path.name}: its first line ({', '.join(names)[:60]}) holds no names of columns; put them there, or save "
            "it as .npz"
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"{path.name}: two columns are called '{twice}'")
    cells = _cells(path, lines[begins + 1 :], begins + 2, separator, len(names))
    return {name: _column(column, separator == ";") for name, column in zip(names, zip(*cells, strict=True))}


def _decoded(path: pathlib.Path) -> str:
    raw = path.read_bytes()
    utf_16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return raw.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # spreadsheets of the west; only names and words are touched


def _cells(path, lines: list[str], first: int, separator: str, columns: int) -> list[list[str]]:
    rows = []
    reader = csv.reader(io.StringIO("".join(lines)), delimiter=separator)
    try:
        for row in reader:
            if not row or row[0].startswith("#") or not any(cell.strip() for cell in row):
                continue
            if len(row) == columns + 1 and not row[-1]:
                row.pop()  # a separator at the end of the line
            if len(row) != columns:
                line = first + reader.line_num - 1
                raise BadInput(f"{path.name}: line {line} has {len(row)} columns, and there are {columns} names")
            rows.append(row)
    except csv.Error as error:
        raise BadInput(f"{path.name}: line {first + reader.line_num - 1} is not a line of a table ({error})") from None
    if not rows:
        raise BadInput(f"{path.name}: a table without rows")
    return rows


def _column(cells: tuple[str, ...], decimal_comma: bool) -> np.ndarray:
    """Return a column of numbers; of words where some cell is one."""
    try:
        return np.array(cells, float)
    except ValueError:
        pass
    cleaned = ["nan" if cell.strip().lower() in UNKNOWN else cell for cell in cells]
    if decimal_comma:
        cleaned = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cleaned]
    try:
        return np.array(cleaned, float)
    except ValueError:
        return np.array([cell.strip() for cell in cells])
