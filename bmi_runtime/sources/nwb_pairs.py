"""Series of an NWB file that are kinematics: found by names and units, or named by a mapping."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources import nwb_file
from bmi_runtime.sources.mapping import FEWEST_BINS, LENGTHS, FileMapping, Kinematics
from bmi_runtime.state_space import MOST_AXES

POSITION = ("pos", "cursor", "hand", "finger", "trajectory")
NO_POSITION = ("acc", "force", "torque", "angle", "compass")
RANKS = {  # how likely a series of that name is what the subject moves; 2 where the name says nothing
    4: ("decod", "target", "goal", "eye", "gaze", "pupil", "head", "tongue", "jaw", "whisk"),
    3: ("intend", "intention"),
    0: ("hand", "finger", "wrist", "arm", "limb"),
    1: ("cursor",),
}
LENGTH_WORDS = {
    **LENGTHS,
    **dict.fromkeys(("meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("decimeter", "decimeters", "decimetre", "decimetres"), 0.1),
    **dict.fromkeys(("centimeter", "centimeters", "centimetre", "centimetres"), 0.01),
    **dict.fromkeys(("millimeter", "millimeters", "millimetre", "millimetres"), 1e-3),
    **dict.fromkeys(("in", "inch", "inches"), 0.0254),
    **dict.fromkeys(("um", "micrometer", "micrometers", "micrometre", "micrometres"), 1e-6),
}
PER_SECOND = re.compile(r"\s*(?:/|per|\*?\s*(?=s(?:ec\w*)?\s*\^?-1))\s*s(?:ec(?:ond)?s?)?(?:\s*\^?-1)?\.?$")


@dataclasses.dataclass(frozen=True)
class Pair:
    """Columns of a file that belong together: of one series, or of several that stand beside each other.

    Attributes
    ----------
    origin : str
        Path of the series.
    parts : tuple of (series, column)
        Column None of a series that has one only.
    """

    origin: str
    parts: tuple[tuple[Any, int | None], ...]

    @property
    def series(self) -> Any:
        """The first of the series."""
        return self.parts[0][0]

    @property
    def unit(self) -> str:
        """What the file calls the unit."""
        return str(self.series.unit).strip()

    def values(self, rows: slice) -> np.ndarray:
        """Return some samples, shape (samples, columns), in the unit that the file names."""
        return columns_of(self.parts, rows)

    @property
    def together(self) -> bool:
        """Whether all of its columns have the same number of samples."""
        return len({len(series.data) for series, _ in self.parts}) == 1


def columns_of(parts: tuple[tuple[Any, int | None], ...], rows: slice) -> np.ndarray:
    """Return some samples of columns, shape (samples, columns), in the unit that the file names for the first."""
    read = {id(series): _like(parts[0][0], series) * nwb_file.values_of(series, rows) for series, _ in parts}
    return np.column_stack(
        [read[id(series)] if column is None else read[id(series)][:, column] for series, column in parts]
    )


def _like(first: Any, other: Any) -> float:
    """Return how many of the first series' unit one of the other's is; 1 where one of them is not known."""
    units = [length_of(str(series.unit)) for series in (first, other)]
    return 1.0 if units[0] is None or units[1] is None else units[1][0] / units[0][0]


def length_of(unit: str) -> tuple[float, bool] | None:
    """Return how many metres a unit of length (or of speed) is, and whether it is per second; None of any other."""
    words = unit.strip().lower()
    bare = PER_SECOND.sub("", words)
    if bare.strip() in LENGTH_WORDS:
        return LENGTH_WORDS[bare.strip()], bare != words
    return None


def pairs_of(series: dict[str, Any]) -> list[Pair]:
    """Return everything of two or more columns, and series whose names differ by x and y alone."""
    from pynwb.ecephys import ElectricalSeries

    found = []
    for path, item in series.items():
        if isinstance(item, ElectricalSeries) or not len(item.data):
            continue
        if item.data.ndim == 2 and item.data.shape[1] >= 2:
            found.append(Pair(path, ((item, 0), (item, 1))))
        elif item.data.ndim == 1 or item.data.ndim == 2:
            found += [
                Pair(f"{path} and {other}", ((item, _column(item)), (series[other], _column(series[other]))))
                for other in _beside(path)
                if other in series and series[other].data.ndim <= 2 and series[other].data.shape[1:] in ((), (1,))
            ]
    return found + _side_by_side(series, found)


def _side_by_side(series: dict[str, Any], found: list[Pair]) -> list[Pair]:
    """Return the first two of the one-column series that share a container and their samples (one series an axis).

    Series that by their names are of different things, as the cursor and what was decoded of one axis, are no axes.
    """
    taken = {id(item) for pair in found for item, _ in pair.parts}
    folders: dict[tuple[str, int, int], list[tuple[str, Any]]] = {}
    for path, item in series.items():
        folder, _, name = path.rpartition("/")
        if folder and _is_one_column(item) and id(item) not in taken:
            folders.setdefault((folder, len(item.data), rank_of_words(name)), []).append((name, item))
    return [
        Pair(f"{folder} ({', '.join(name for name, _ in items[:2])})", tuple((i, _column(i)) for _, i in items[:2]))
        for (folder, _, rank), items in folders.items()
        if len(items) > 1 and kind_of_words(folder) and rank < max(RANKS)
    ]


def _column(item) -> int | None:
    return None if item.data.ndim == 1 else 0


def kind_of_words(path: str) -> bool:
    """Return whether a container's name says that it holds a velocity or a position."""
    return _says(path, ("vel", *POSITION)) and not _says(path, NO_POSITION)


def _beside(path: str) -> list[str]:
    """Return the paths that differ from this one by a y in place of one x in the last name."""
    folder, slash, name = path.rpartition("/")
    spots = [index for index, letter in enumerate(name) if letter in "xX"]
    return [f"{folder}{slash}{name[:i]}{'y' if name[i] == 'x' else 'Y'}{name[i + 1 :]}" for i in spots]


def _says(path: str, words) -> bool:
    """Return whether a word of a path, split at case and punctuation, begins or ends with one of these."""
    parts = [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", path)]
    return any(part.startswith(word) or part.endswith(word) for part in parts for word in words)


def kind_of(pair: Pair) -> str | None:
    """Return whether two columns are a velocity or a position by their name and unit, or neither (None)."""
    from pynwb.behavior import SpatialSeries

    measured, last = length_of(pair.unit), pair.origin.rpartition("/")[2]
    if _says(last, ("vel",)) or (measured is not None and measured[1]):
        return "velocity"
    if _says(last, NO_POSITION) or _says(pair.origin, ("compass",)):
        return None
    if _says(last, POSITION):
        return "position"
    if _says(pair.origin, ("vel",)):
        return "velocity"
    if _says(pair.origin, POSITION):
        return "position"
    return "position" if isinstance(pair.series, SpatialSeries) and measured is not None else None


def rank_of(pair: Pair) -> int:
    """Return how likely two columns are what the subject moves: hand 0, cursor 1, unnamed 2, intended 3, others 4."""
    return rank_of_words(pair.origin)


def rank_of_words(path: str) -> int:
    """Return how likely a series of this name is what the subject moves, as :func:`rank_of`."""
    return next((rank for rank, words in RANKS.items() if _says(path, words)), 2)


def _single(series: dict[str, Any]) -> list[Pair]:
    """Return the series of one column that may be a movement along one axis: a velocity or position by its name."""
    one = [Pair(path, ((item, _column(item)),)) for path, item in series.items() if _is_one_column(item)]
    return [pair for pair in one if kind_of(pair) and rank_of(pair) < max(RANKS)]


def _is_one_column(item: Any) -> bool:
    shape = item.data.shape
    return item.data.dtype.kind in "iuf" and (len(shape) == 1 or shape[1:] == (1,)) and bool(shape[0])


def _movements(series: dict[str, Any]) -> list[Pair]:
    """Return what may be a velocity or a position: of two columns, of one where there is nothing of two."""
    return [pair for pair in pairs_of(series) if kind_of(pair)] or _single(series)


def chosen(series: dict[str, Any]) -> dict[str, Pair]:
    """Return the velocity and the position of a file, where it has them: those that belong together come first.

    Where nothing has two columns, a movement along one axis is looked for.
    """
    pairs = _movements(series)
    velocities = sorted((pair for pair in pairs if kind_of(pair) == "velocity"), key=rank_of)
    positions = sorted((pair for pair in pairs if kind_of(pair) == "position"), key=rank_of)
    found = {"velocity": velocities[0]} if velocities else {}
    if positions:
        like = rank_of(velocities[0]) if velocities else rank_of(positions[0])
        found["position"] = min(positions, key=lambda pair: (rank_of(pair) != like, rank_of(pair)))
    return found


def others(series: dict[str, Any], taken: dict[str, Pair]) -> list[str]:
    """Return a sentence on each choice that the names left open: two hands, or two cursors, of one file."""
    odd = []
    for what, pair in taken.items():
        if rank_of(pair) == max(RANKS):
            odd.append(f"{pair.origin} is taken for the {what}: by its name it is not what the subject moves")
        alike = [
            other.origin
            for other in _movements(series)
            if kind_of(other) == what and rank_of(other) == rank_of(pair) != max(RANKS) and other.origin != pair.origin
        ]
        if alike:
            odd.append(
                f"{pair.origin} is taken for the {what}; as likely by their names are {', '.join(alike[:4])} (a "
                "mapping chooses)"
            )
    return odd


def lies_turned(item: Any) -> bool:
    """Return whether a series has its samples in columns: a few rows of many."""
    return item.data.ndim == 2 and item.data.shape[0] <= MOST_AXES < FEWEST_BINS <= item.data.shape[1]


def named(path, series: dict[str, Any], mapping: FileMapping) -> dict[str, Pair]:
    """Return the velocity and the position that a mapping names.

    Raises
    ------
    BadInput
        When the file has no such series, or it has too few columns.
    """
    found = {}
    for what, part in (("velocity", mapping.velocity), ("position", mapping.position)):
        if part is None:
            continue
        if part.channels is not None:
            raise BadInput(f"{path.name}: in an NWB file a mapping names a series (variable), not channels")
        found[what] = _named(path, series, part)
    return found


def _named(path, series: dict[str, Any], part: Kinematics) -> Pair:
    missing = [name for name in part.places if name not in series]
    if missing:
        held = ", ".join(series) or "none"
        raise BadInput(f"{path.name}: there is no series '{missing[0]}', which the mapping names; it has {held}")
    if part.variables is not None:
        wide = [name for name in part.variables if series[name].data.ndim > 1 and series[name].data.shape[1] > 1]
        if wide:
            raise BadInput(f"{path.name}: '{wide[0]}' has several columns; 'variables' joins series of one column each")
        columns = tuple((series[name], None if series[name].data.ndim == 1 else 0) for name in part.variables)
        return Pair(" and ".join(part.variables), columns)
    (name,) = part.places
    item = series[name]
    number = 1 if item.data.ndim == 1 else item.data.shape[1]
    if max(part.columns) >= number or min(part.columns) < 0:
        raise BadInput(
            f"{path.name}: '{name}' has {number} column{'s' * (number > 1)}, the mapping names {list(part.columns)} "
            "(counted from 0); series of one column each are joined by variables = [...]"
        )
    return Pair(name, tuple((item, column) for column in part.columns))
