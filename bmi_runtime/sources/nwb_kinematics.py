"""Counts and kinematics of NWB files: which series is the velocity, which the position, and both in bins."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources import nwb_file
from bmi_runtime.sources.binned_file import (
    BIN_S,
    FINDERS,
    Part,
    Pieces,
    Sampled,
    Track,
    averaged,
    binned,
    lost_sentences,
    units_of,
)
from bmi_runtime.sources.gaps import LONGEST_GAP_S
from bmi_runtime.sources.mapping import FILE_UNIT, LENGTHS, SPEEDS, FileMapping, Kinematics, check_plausible
from bmi_runtime.sources.open_loop import recording_from_arrays

ROWS = 1_000_000  # read at once
EVAL_MASK = "eval_mask"
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
    """Return some samples of columns, shape (samples, columns), in the unit that the file names."""
    read = {id(series): nwb_file.values_of(series, rows) for series, _ in parts}
    return np.column_stack(
        [read[id(series)] if column is None else read[id(series)][:, column] for series, column in parts]
    )


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
            column = None if item.data.ndim == 1 else 0
            found += [
                Pair(f"{path} and {other}", ((item, column), (series[other], column)))
                for other in _beside(path)
                if other in series and series[other].data.shape == item.data.shape
            ]
    return found + _side_by_side(series, found)


def _side_by_side(series: dict[str, Any], found: list[Pair]) -> list[Pair]:
    """Return the first two of the one-column series that share a container and their samples (one series an axis)."""
    taken = {id(item) for pair in found for item, _ in pair.parts}
    folders: dict[tuple[str, int], list[tuple[str, Any]]] = {}
    for path, item in series.items():
        folder, _, name = path.rpartition("/")
        one_column = item.data.ndim == 1 or item.data.shape[1:] == (1,)
        if folder and one_column and item.data.dtype.kind in "iuf" and id(item) not in taken:
            folders.setdefault((folder, len(item.data)), []).append((name, item))
    return [
        Pair(f"{folder} ({', '.join(name for name, _ in items[:2])})", tuple((i, _column(i)) for _, i in items[:2]))
        for (folder, _), items in folders.items()
        if len(items) > 1 and kind_of_words(folder)
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
    return next((rank for rank, words in RANKS.items() if _says(pair.origin, words)), 2)


def chosen(series: dict[str, Any]) -> dict[str, Pair]:
    """Return the velocity and the position of a file, where it has them: those that belong together come first."""
    pairs = pairs_of(series)
    velocities = sorted((pair for pair in pairs if kind_of(pair) == "velocity"), key=rank_of)
    positions = sorted((pair for pair in pairs if kind_of(pair) == "position"), key=rank_of)
    found = {"velocity": velocities[0]} if velocities else {}
    if positions:
        like = rank_of(velocities[0]) if velocities else rank_of(positions[0])
        found["position"] = min(positions, key=lambda pair: (rank_of(pair) != like, rank_of(pair)))
    return found


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
        raise BadInput(f"{path.name}: there is no series '{missing[0]}' that the mapping wants; it has {held}")
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
            f"{path.name}: '{name}' has {number} column{'s' * (number > 1)}, the mapping wants {list(part.columns)} "
            "(counted from 0); series of one column each are joined by variables = [...]"
        )
    return Pair(name, tuple((item, column) for column in part.columns))


def binned_recording(path: pathlib.Path, mapping: FileMapping | None = None) -> Any:
    """Return counts and kinematics of an NWB file in bins, on the time of its behaviour.

    Without a mapping velocity and position are found by their names and units, those of a hand before those of a
    cursor, and the bins are 50 ms. Samples are averaged over a bin, in SI where the unit is one of length.

    Raises
    ------
    BadInput
        When there are no spikes or no kinematics.
    """
    from bmi_runtime.sources import nwb_oddities

    with nwb_file.opened(path) as content:
        series = nwb_file.series_of(content)
        counts = _counts(path, content, series, mapping)
        pairs = chosen(series) if mapping is None else named(path, series, mapping)
        if not pairs:
            raise BadInput(
                f"{path.name}: no velocity or position of two columns is among its series "
                f"({', '.join(series) or 'none'}); it can be inspected, not decoded"
            )
        parts = {"velocity": mapping.velocity, "position": mapping.position} if mapping else {}
        for pair in pairs.values():
            _check_times(path, pair)
        kept = _kept(series)
        sampled = {what: _sampled(pair, parts.get(what), kept) for what, pair in pairs.items()}
        if counts is not None:
            recording = _row_by_row(path, counts, pairs, sampled)
        else:
            trains, _, _ = nwb_file.spike_trains(content)
            stretches = _stretches(content, trains, sampled, pairs)
            recording = binned(
                path.name, [Part(one, trains, sampled) for one in stretches], mapping.bin.width_s if mapping else BIN_S
            )
        recording = dataclasses.replace(recording, odd=(*recording.odd, *nwb_oddities.of_pairs(pairs.values())))
    if mapping is not None:
        check_plausible(path.name, mapping, recording.velocity, recording.position, recording.bin_s)
    return recording


def _counts(path, content, series, mapping):
    """Return the series of counts to decode, None where the units table holds spikes.

    Raises
    ------
    BadInput
        When there is neither.
    """
    if mapping is not None and mapping.counts is not None:
        wanted = mapping.counts.variable
        if wanted not in series:
            raise BadInput(
                f"{path.name}: there is no series '{wanted}' that the mapping wants; it has {', '.join(series)}"
            )
        return wanted, series[wanted]
    if nwb_file.has_units(content):
        return None
    found = nwb_file.counts_of(series)
    if found is None:
        raise nwb_file.no_spikes(path, content)
    return found


def _row_by_row(path, counts, pairs, sampled):
    """Return binned counts with the kinematics beside them: of the same row, or averaged where their times differ."""
    table, times_s, bin_s = nwb_file.binned_counts(path, *counts)
    if table.ndim != 2:
        raise BadInput(f"{path.name}: '{counts[0]}' is not a table of bins x units")
    breaks = np.r_[True, (np.diff(times_s) > 1.5 * bin_s) | (np.diff(times_s) <= 0)]
    averages = {}
    lost: dict[str, list[int]] = {what: [] for what in pairs}
    for what, pair in pairs.items():
        beside = nwb_file.times_of(pair.series)
        if pair.together and len(beside) == len(times_s) and np.allclose(beside, times_s, rtol=0, atol=1e-3 * bin_s):
            whole = [track.pieces(-np.inf, np.inf) for track in sampled[what].tracks]
            averages[what] = np.hstack([np.concatenate([values for _, values in pieces]) for pieces in whole])
            continue
        averages[what] = np.concatenate([
            averaged(np.r_[part, part[-1] + bin_s], sampled[what], lost[what], FINDERS[what])
            for part in np.split(times_s, np.flatnonzero(breaks)[1:])
        ])  # fmt: skip
    origins = {what: signal.origin for what, signal in sampled.items()}
    starts = np.flatnonzero(breaks)
    return recording_from_arrays(
        path.name, table, bin_s, averages.get("velocity"), averages.get("position"), starts, breaks, origins=origins,
        odd=lost_sentences(lost), **units_of(sampled),
    )  # fmt: skip


def _check_times(path, pair: Pair) -> None:
    for series, _ in pair.parts:
        times_s, samples = nwb_file.times_of(series), len(series.data)
        if len(times_s) != samples:
            raise BadInput(f"{path.name}: {pair.origin} has {samples} samples and {len(times_s)} times")
        back = np.flatnonzero(np.diff(times_s) < -LONGEST_GAP_S)
        if len(back):
            raise BadInput(
                f"{path.name}: the time of {pair.origin} goes back from {times_s[back[0]]:.3f} to "
                f"{times_s[back[0] + 1]:.3f} s (a reset of the clock), so which samples belong to which spikes is not "
                "known; save the parts as files of their own"
            )


def _kept(series: dict[str, Any]) -> np.ndarray | None:
    """Return which samples a file wants evaluated (FALCON's ``eval_mask``), None where it does not say."""
    mask = next((item for path, item in series.items() if path.rpartition("/")[2] == EVAL_MASK), None)
    return None if mask is None or mask.data.ndim != 1 else np.asarray(mask.data[:]) != 0


def _sampled(pair: Pair, part: Kinematics | None, kept: np.ndarray | None = None) -> Sampled:
    """Return the columns as a signal in SI where the unit, the mapping's or the file's, is known.

    Columns of one series share its times; of several series each has its own. Samples that are not `kept` are NaN.
    """
    scale, unit = _scale(pair, part)
    together = all(series is pair.series for series, _ in pair.parts)
    groups = [pair.parts] if together else [(one,) for one in pair.parts]
    tracks = [_track(group, scale, kept) for group in groups]
    return Sampled(tuple(tracks), unit, pair.origin)


def _track(parts: tuple[tuple[Any, int | None], ...], scale: float, kept: np.ndarray | None) -> Track:
    times_s = nwb_file.times_of(parts[0][0])
    ordered = bool((np.diff(times_s) >= 0).all())
    known = times_s[np.isfinite(times_s)]
    step = float(np.median(np.diff(known))) if len(known) > 1 else 0.0
    span = (float(known.min()), float(known.max()) + step) if len(known) else (0.0, 0.0)
    kept = kept if kept is not None and len(kept) == len(times_s) and not kept.all() else None
    return Track(functools.partial(_read, parts, scale, times_s, ordered, kept), span, len(parts))


def _scale(pair: Pair, part: Kinematics | None) -> tuple[float, str]:
    if part is not None and part.unit != FILE_UNIT:
        speed = part.unit in SPEEDS
        return part.scale * (SPEEDS if speed else LENGTHS)[part.unit], "m/s" if speed else "m"
    measured, extra = length_of(pair.unit), 1.0 if part is None else part.scale
    if measured is None:
        return extra, pair.unit or "the file's unit"
    return extra * measured[0], "m/s" if measured[1] else "m"


def _read(parts, scale: float, times_s, ordered: bool, kept, from_s: float, to_s: float) -> Pieces:
    first, last = np.searchsorted(times_s, [from_s, to_s]).tolist() if ordered else (0, len(times_s))
    for begin in range(first, last, ROWS):
        rows = slice(begin, min(begin + ROWS, last))
        values = scale * columns_of(parts, rows)
        yield times_s[rows], values if kept is None else np.where(kept[rows, None], values, np.nan)


def _stretches(content, trains, sampled, pairs) -> list[tuple[float, float]]:
    """Return the stretches to bin: those that were observed and not marked invalid, cut where nothing was recorded."""
    everything = (min(s.span_s[0] for s in sampled.values()), max(s.span_s[1] for s in sampled.values()))
    stretches = nwb_file.observed(content) or [everything]
    for start, stop in _invalid(content) + _silences(trains, pairs):
        cut = [part for first, last in stretches for part in ((first, min(last, start)), (max(first, stop), last))]
        stretches = [part for part in cut if part[0] < part[1]]
    return stretches


def _invalid(content) -> list[tuple[float, float]]:
    table = content.invalid_times
    if table is None:
        return []
    rows = zip(table["start_time"][:], table["stop_time"][:], strict=True)
    return [(float(start), float(stop)) for start, stop in rows if stop > start]


def _silences(trains, pairs, shortest_s: float = 1.0) -> list[tuple[float, float]]:
    """Return the gaps between samples in which no unit fires either: pauses of the recording."""
    spikes = np.sort(np.concatenate(trains)) if trains else np.zeros(0)
    holes = []
    for pair in pairs.values():
        steps = np.diff(times_s := nwb_file.times_of(pair.series))
        usual = float(np.median(steps)) if len(steps) else 0.0
        for index in np.flatnonzero(steps > max(shortest_s, 3 * usual)):
            start, stop = float(times_s[index]) + usual, float(times_s[index + 1])
            inside = np.searchsorted(spikes, [start, stop - usual])
            if inside[0] == inside[1]:
                holes.append((start, stop))
    return holes
