"""Declarative mappings: which part of a file is what, in which unit. One TOML file a layout.

Those shipped for ``.mat`` files stand in ``configs/mappings``; a laboratory writes its own and gives it with
``--mapping FILE.toml``. In a ``.mat`` file a variable is a path: ``D.blocks[*].spikes`` goes through structs by name
and through arrays of structs or cells by ``[*]``, whose pieces are joined along time. In an NWB file it is the path of
a series. In tables (``.csv``, ``.tsv``, ``.parquet``) it is a column, or several by a pattern. In files of acquisition
systems kinematics are two analog ``channels``, by name or number.
"""

from __future__ import annotations

import difflib
import pathlib
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pydantic
import scipy.sparse

from bmi_runtime.errors import BadInput
from bmi_runtime.state_space import MOST_AXES

LENGTHS = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001}
SPEEDS = {f"{unit}/s": scale for unit, scale in LENGTHS.items()}
TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
FILE_UNIT = "file"
FEWEST_BINS = 40
FASTEST_HAND_M_S = 20.0  # faster velocities are in another unit
LARGEST_MISMATCH = 4.0  # between a velocity and the slope of the position beside it
ONE_QUANTITY = 0.9  # correlation above which the velocity is plainly that of the position


Order = Literal["bins x units", "units x bins"]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Counts(_Part):
    """Where the counts are."""

    variable: str
    order: Order = "bins x units"


class Spikes(_Part):
    """Where spike times are, in place of counts.

    ``spikes[*]`` goes through the units of an array of cells; ``trial[*].spikes[*]`` through trials, and the units of
    each. One long list of times has `units` beside it: whose each of them is.
    """

    variable: str
    units: str | None = None
    time_unit: Literal["s", "ms", "us", "ns", "samples"] = "s"
    rate_hz: float | None = pydantic.Field(default=None, gt=0.0)

    @pydantic.model_validator(mode="after")
    def _of_units(self):
        if (self.time_unit == "samples") != (self.rate_hz is not None):
            raise ValueError("times in samples, and they alone, need a rate_hz")
        if self.units is None and not self.variable.endswith("[*]"):
            raise ValueError("one list of times needs the variable that says whose they are (units); cells end in [*]")
        return self

    @property
    def scale(self) -> float:
        """What one of its times is, s."""
        return TIMES[self.time_unit] if self.rate_hz is None else 1.0 / self.rate_hz

    @property
    def places(self) -> tuple[str, ...]:
        """The variables that it names."""
        return (self.variable,) if self.units is None else (self.variable, self.units)


class Width(_Part):
    """How wide a bin is."""

    width_s: float = pydantic.Field(gt=0.0, le=1.0)
    time: str | None = None
    time_unit: str = "s"
    trial: str | None = None  # a variable that says of every bin which trial it is of


class Kinematics(_Part):
    """Where a velocity or position is, and in which unit it is after multiplication with `scale`.

    One `variable` with several `columns`, several `variables` of one column each, or several `channels`. Beside spike
    times `time` is the variable that says when its samples were taken.
    """

    variable: str | None = None
    variables: tuple[str, ...] | None = pydantic.Field(default=None, min_length=1, max_length=MOST_AXES)
    channels: tuple[str, ...] | None = pydantic.Field(default=None, min_length=1, max_length=MOST_AXES)
    columns: tuple[int, ...] = pydantic.Field(default=(0, 1), min_length=1, max_length=MOST_AXES)
    unit: str = FILE_UNIT
    scale: float = 1.0
    time: str | None = None
    time_unit: Literal["s", "ms", "us", "ns"] = "s"

    @pydantic.model_validator(mode="after")
    def _one_place(self):
        if sum(place is not None for place in (self.variable, self.variables, self.channels)) != 1:
            raise ValueError(
                "needs either a variable, variables of one column each (.mat, .nwb), or channels (of acquisition)"
            )
        if self.scale == 0.0 or not np.isfinite(self.scale):
            raise ValueError(f"a scale of {self.scale:g} leaves nothing")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns {list(self.columns)} name one column twice")
        return self

    @property
    def si_scale(self) -> float:
        """What one of its numbers is in SI; in the file's unit where that is not known."""
        return self.scale * (SPEEDS | LENGTHS).get(self.unit, 1.0)

    @property
    def si_unit(self) -> str:
        """The unit of its numbers times `si_scale`."""
        return "the file's unit" if self.unit == FILE_UNIT else ("m/s" if self.unit in SPEEDS else "m")

    @property
    def places(self) -> tuple[str, ...]:
        """The variables that it names."""
        return self.variables or (() if self.variable is None else (self.variable,))


class Pair(_Part):
    """The words that tell a training file's name from its test file's."""

    train: str
    test: str


class FileMapping(_Part):
    """One layout of files."""

    name: str
    counts: Counts | None = None
    spikes: Spikes | None = None
    bin: Width
    velocity: Kinematics | None = None
    position: Kinematics | None = None
    pair: Pair | None = None

    @property
    def variables(self) -> list[str]:
        """Paths that a file of this layout must hold."""
        counts = [] if self.counts is None else [self.counts.variable]
        spikes = [] if self.spikes is None else [*self.spikes.places]
        kinematics = [part for part in (self.velocity, self.position) if part is not None]
        times = [part.time for part in kinematics if part.time is not None]
        return counts + spikes + times + [name for part in kinematics for name in part.places]

    def fits(self, variables: Mapping[str, Any]) -> bool:
        """Say whether a file's variables have everything this mapping names."""
        try:
            return all(pieces(variables, path) for path in self.variables)
        except KeyError:
            return False


def load_mapping(path: str | pathlib.Path) -> FileMapping:
    """Read one mapping.

    Raises
    ------
    BadInput
        When the file is absent, is not TOML, lacks a key, has an unknown one, or names an unknown unit.
    """
    path = pathlib.Path(path)
    try:
        mapping = FileMapping(**tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"the mapping {path} cannot be read: {error}") from None
    except pydantic.ValidationError as error:
        wrong = "; ".join(_wrong(item["type"], item["loc"], item["msg"]) for item in error.errors())
        raise BadInput(f"the mapping {path.name} is not right: {wrong}") from None
    _check_unit(path, "velocity", mapping.velocity, SPEEDS)
    _check_unit(path, "position", mapping.position, LENGTHS)
    if mapping.velocity is None and mapping.position is None:
        raise BadInput(f"the mapping {path.name} names neither a velocity nor a position")
    _check_spikes(path, mapping)
    if mapping.bin.time_unit not in TIMES:
        raise BadInput(f"the mapping {path.name}: bin.time_unit is '{mapping.bin.time_unit}'; give {', '.join(TIMES)}")
    return mapping


def _check_spikes(path, mapping: FileMapping) -> None:
    kinematics = [part for part in (mapping.velocity, mapping.position) if part is not None]
    if mapping.spikes is None:
        if any(part.time is not None for part in kinematics):
            raise BadInput(f"the mapping {path.name}: kinematics have a time of their own beside [spikes] only")
        return
    if mapping.counts is not None:
        raise BadInput(f"the mapping {path.name} names both [counts] and [spikes]; one of them is decoded")
    if any(part.channels is not None or part.time is None for part in kinematics):
        raise BadInput(
            f"the mapping {path.name}: beside [spikes] a velocity or position is one variable, or variables of one "
            "column each, with the time of its samples (time)"
        )


def _wrong(kind: str, place: tuple[int | str, ...], message: str) -> str:
    """Return what is wrong with a key of a mapping, and of one that there is not which is meant."""
    where = ".".join(map(str, place))
    if kind != "extra_forbidden":
        said = (message[0].lower() + message[1:]).removeprefix("value error, ")
        return f"{where}: {said.replace('a valid tuple', 'a list').replace('tuple', 'list')}"
    known = _keys_of(place[:-1])
    near = difflib.get_close_matches(str(place[-1]), known, 1, 0.4)
    return f"there is no key '{where}'; " + (
        f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(known)}"
    )


def _keys_of(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that a section of a mapping may have."""
    section: type[pydantic.BaseModel] = FileMapping
    for name in place:
        kind = section.model_fields[str(name)].annotation
        held = (kind, *typing.get_args(kind))
        section = next(one for one in held if isinstance(one, type) and issubclass(one, pydantic.BaseModel))
    return list(section.model_fields)


def _check_unit(path, what, part, known):
    if part is None or part.unit == FILE_UNIT or part.unit in known:
        return
    near = difflib.get_close_matches(part.unit, known, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise BadInput(
        f"the mapping {path.name} gives {what} in '{part.unit}', which is not a unit for it; "
        f"{hint}choose from {', '.join(known)} or {FILE_UNIT}"
    )


def shipped_mappings() -> list[FileMapping]:
    """Return the mappings that come with the project."""
    here = pathlib.Path(__file__).resolve().parent.parent
    folder = here / "configs" if (here / "configs").is_dir() else here.parent / "configs"
    return [load_mapping(path) for path in sorted((folder / "mappings").glob("*.toml"))]


def pieces(variables: Mapping[str, Any], path: str) -> list[np.ndarray]:
    """Return the arrays that a path such as ``D.blocks[*].spikes`` names; one unless it has a ``[*]``.

    Raises
    ------
    KeyError
        When some part of the path is not there.
    """
    if path in variables:  # the name as it stands: of tables it may be a pattern, with dots and brackets of its own
        whole = _only(variables[path])
        return [whole.toarray() if scipy.sparse.issparse(whole) else np.asarray(whole)]
    found = list(_walk(variables, re.findall(r"[^.\[\]]+|\[\*\]", path)))
    if not found:
        raise KeyError(path)
    return found


def _walk(value: Any, parts: list[str]) -> Iterator[np.ndarray]:
    if parts and parts[0] == "[*]":
        cells = np.ravel(value, order="F") if isinstance(value, np.ndarray) and value.dtype == object else value
        for item in np.atleast_1d(cells):
            yield from _walk(item, parts[1:])
        return
    value = _only(value)
    if not parts:
        yield value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)
    elif isinstance(value, Mapping):
        yield from _walk(value[parts[0]], parts[1:])
    elif parts[0] in getattr(value, "_fieldnames", ()):
        yield from _walk(getattr(value, parts[0]), parts[1:])
    else:
        raise KeyError(parts[0])


def _only(value: Any) -> Any:
    """Return what a cell or a struct of one element holds: MATLAB keeps every struct in an array, of one if alone."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    return value


def check_plausible(name: str, mapping: FileMapping, velocity, position, bin_s: float) -> None:
    """Refuse units that make the hand impossibly fast, or velocity and position contradict each other.

    The bounds are ours: twenty metres per second, and a factor of four between the velocity and the change of position.

    Raises
    ------
    BadInput
        When a unit of the mapping cannot be right.
    """
    quick, placed = (
        part if part is not None and part.unit != FILE_UNIT else None for part in (mapping.velocity, mapping.position)
    )
    steps = None if position is None or len(position) < 3 else np.diff(position, axis=0) / bin_s
    if quick is not None:
        _check_speed(name, quick, float(np.nanmax(np.abs(velocity), initial=0.0)), "is")
    elif placed is not None and steps is not None:
        moved = np.abs(steps[np.isfinite(steps)])
        usual = float(np.quantile(moved, 0.99)) if len(moved) else 0.0  # a few joins of trials are faster than a hand
        _check_speed(name, placed, usual, "changes")
    if quick is not None and placed is not None and steps is not None and len(velocity) == len(position):
        _check_agreement(name, quick, placed, steps.ravel(), velocity[1:].ravel())


def _check_speed(name, part: Kinematics, speed_m_s: float, verb: str) -> None:
    if speed_m_s > FASTEST_HAND_M_S:
        what = " and ".join(part.places or part.channels or ())
        raise BadInput(
            f"{name}: '{what}' in {part.unit} {verb} as fast as {speed_m_s:.3g} m/s; the unit in the mapping is wrong"
        )


def _check_agreement(name, quick: Kinematics, placed: Kinematics, steps, speeds) -> None:
    both = np.isfinite(steps) & np.isfinite(speeds)
    spread, said = steps[both] @ steps[both], steps[both] @ speeds[both]
    alike = said / max(np.sqrt(spread * (speeds[both] @ speeds[both])), 1e-300)
    if alike > ONE_QUANTITY and not 1.0 / LARGEST_MISMATCH < said / spread < LARGEST_MISMATCH:
        raise BadInput(
            f"{name}: the velocity in {quick.unit} is {said / spread:.3g} times the change of the position "
            f"in {placed.unit}; one of the two units in the mapping is wrong"
        )
