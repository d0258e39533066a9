"""Spike times and sampled kinematics of a file, counted and averaged in bins: what NWB and acquisition files share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.array_checks import COPIES, memory_bytes
from bmi_runtime.sources.from_arrays import recording_from_arrays
from bmi_runtime.sources.gaps import LONGEST_GAP_S
from bmi_runtime.sources.lost_samples import far_samples, lost_samples

BIN_S = 0.05  # where a mapping names no width
ROUNDED = 0.01  # of the step between samples: one that lies so little before an edge belongs to the next bin
SHORTEST_PART_BINS = 2  # a shorter part has no movement in it
LEAST_SHARED = 0.002  # of the spikes, or of the kinematics' time: milliseconds beside seconds share a thousandth
Pieces = Iterator[tuple[np.ndarray, np.ndarray]]
Finder = Callable[[np.ndarray], np.ndarray]
FINDERS: dict[str, Finder] = {"position": lost_samples, "velocity": far_samples}


@dataclasses.dataclass(frozen=True)
class Track:
    """Columns of a file that were sampled together.

    Attributes
    ----------
    pieces : callable
        ``pieces(from_s, to_s)`` yields (times_s, values of shape (samples, columns)), one stretch after the other, so
        that no file need fit in memory; samples beyond the limits do no harm.
    span_s : (start, stop)
        Between its first sample and the end of its last.
    columns : int
        How many.
    """

    pieces: Callable[[float, float], Pieces]
    span_s: tuple[float, float]
    columns: int = 1


def span_of(times_s: np.ndarray) -> tuple[float, float]:
    """Return the time of the first sample and of the end of the last, s; zeros where no time is known."""
    known = times_s[np.isfinite(times_s)]
    step_s = float(np.median(np.diff(known))) if len(known) > 1 else 0.0
    return (float(known.min()), float(known.max()) + step_s) if len(known) else (0.0, 0.0)


def check_forward(what: str, times_s: np.ndarray) -> None:
    """Raise `BadInput` where the times of samples go back by more than jitter; `what` begins its sentence."""
    back = np.flatnonzero(np.diff(times_s) < -LONGEST_GAP_S)
    if len(back):
        raise BadInput(
            f"{what} goes back from {times_s[back[0]]:.3f} to {times_s[back[0] + 1]:.3f} s (a reset of the clock), so "
            "which samples belong to which spikes is not known; save the parts as files of their own"
        )


@dataclasses.dataclass(frozen=True)
class Sampled:
    """A sampled signal; its columns need not be of one rate or one clock's start.

    Attributes
    ----------
    tracks : tuple of Track
    unit : str
        Of the values: "m", "m/s", or what the file calls it.
    origin : str
        Where in the file it stands.
    """

    tracks: tuple[Track, ...]
    unit: str
    origin: str

    @property
    def span_s(self) -> tuple[float, float]:
        """When all of its columns are recorded."""
        return max(track.span_s[0] for track in self.tracks), min(track.span_s[1] for track in self.tracks)


@dataclasses.dataclass(frozen=True)
class Part:
    """A stretch of a file that was recorded without a break.

    Attributes
    ----------
    span_s : (start, stop)
    trains_s : sequence of ndarray
        Spike times of every unit, s.
    sampled : dict
        ``velocity`` and/or ``position``.
    """

    span_s: tuple[float, float]
    trains_s: Sequence[np.ndarray]
    sampled: dict[str, Sampled]


def binned(name: str, parts: Sequence[Part], bin_s: float = BIN_S) -> Any:
    """Return counts and kinematics in bins, each part from where both spikes and kinematics are recorded.

    Parameters
    ----------
    name : str
        Of the file.
    parts : sequence of Part
        Each starts again: nothing is known of what was before it.
    bin_s : float

    Returns
    -------
    OpenLoopRecording

    Raises
    ------
    BadInput
        When spikes and kinematics share no time.
    """
    found = [(part, edges) for part in parts if len(edges := _edges(part, bin_s)) > SHORTEST_PART_BINS]
    if not found:
        raise BadInput(f"{name}: spikes and kinematics share no time ({_spans(parts)})")
    _check_size(name, parts, sum(len(edges) - 1 for _, edges in found), bin_s)
    counts = np.concatenate([np.column_stack([counted(train, edges) for train in p.trains_s]) for p, edges in found])
    if not counts.any() and any(len(train) for part, _ in found for train in part.trains_s):
        raise BadInput(f"{name}: spikes and kinematics share no time ({_spans(parts)}): they are on different clocks")
    odd = _shared_time(name, parts, int(counts.sum()))
    signals = found[0][0].sampled
    lost: dict[str, list[int]] = {what: [] for what in signals}
    averages = {
        what: np.concatenate([averaged(edges, part.sampled[what], lost[what], FINDERS[what]) for part, edges in found])
        for what in signals
    }
    starts = np.cumsum([0] + [len(edges) - 1 for _, edges in found[:-1]])
    restarts = np.zeros(len(counts), dtype=bool)
    restarts[starts] = True
    origins = {what: signal.origin for what, signal in signals.items()}
    return recording_from_arrays(
        name,
        counts,
        bin_s,
        averages.get("velocity"),
        averages.get("position"),
        starts,
        restarts,
        origins=origins,
        odd=(*odd, *lost_sentences(lost)),
        **units_of(signals),
    )


def _check_size(name: str, parts: Sequence[Part], bins: int, bin_s: float) -> None:
    """Raise `BadInput`, before they are made, when there would be more bins than this machine can hold.

    A clock in another unit, or an impossible rate, makes months of minutes: what the spikes say of it comes first.
    """
    need = 8.0 * bins * len(parts[0].trains_s) * COPIES
    if need < memory_bytes():
        return
    _shared_time(name, parts, sum(len(train) for part in parts for train in part.trains_s))
    raise BadInput(
        f"{name}: {bins:,} bins of {bin_s * 1e3:g} ms and {len(parts[0].trains_s)} units need {need / 1e9:.0f} GB, "
        f"more than this machine has; take wider bins, or a part of the file ({_spans(parts)})"
    )


def _shared_time(name: str, parts: Sequence[Part], inside: int) -> tuple[str, ...]:
    """Return a sentence where most spikes lie outside of the kinematics.

    Raises
    ------
    BadInput
        When hardly any time is shared, as of milliseconds beside seconds.
    """
    trains = {id(train): train for part in parts for train in part.trains_s if len(train)}.values()  # each once
    spikes, texts = sum(map(len, trains)), _spans(parts)
    if inside < LEAST_SHARED * spikes or (len(parts) == 1 and spikes and _fired_briefly(trains, parts[0])):
        raise BadInput(f"{name}: spikes and kinematics hardly share a time ({texts}); is one of them in ms or samples?")
    if inside < spikes / 2:
        return (f"only {inside:,} of {spikes:,} spikes lie within the time of the kinematics ({texts})",)
    return ()


def _fired_briefly(trains: Iterable[np.ndarray], part: Part) -> bool:
    """Return whether all spikes fell into a small part of the kinematics' time."""
    fired_s = max(float(train.max()) for train in trains) - min(float(train.min()) for train in trains)
    starts, stops = zip(*(signal.span_s for signal in part.sampled.values()), strict=True)
    return fired_s < LEAST_SHARED * (min(stops) - max(starts))


def lost_sentences(lost: dict[str, list[int]]) -> tuple[str, ...]:
    """Return a sentence on the samples of each signal that were left out as lost markers."""
    return tuple(
        f"{sum(numbers)} samples of {what} lie where it cannot have been: taken for a lost marker, and left out"
        for what, numbers in lost.items()
        if numbers
    )


def units_of(signals: dict[str, Sampled]) -> dict[str, Any]:
    """Return the units of velocity and position, by the names that a recording has for them."""
    units: dict[str, Any] = {f"{what}_unit": signal.unit for what, signal in signals.items()}
    derived = "m/s" if units.get("position_unit") == "m" else "the file's unit"  # of a velocity that is not there
    return {"velocity_unit": derived} | units


def _edges(part: Part, bin_s: float) -> np.ndarray:
    first = max(part.span_s[0], *(signal.span_s[0] for signal in part.sampled.values()))
    last = min(part.span_s[1], *(signal.span_s[1] for signal in part.sampled.values()))
    return bin_edges(first, last, bin_s)


def _spans(parts: Sequence[Part]) -> str:
    first, last = parts[0].span_s[0], parts[-1].span_s[1]
    times = [edge for part in parts for train in part.trains_s if len(train) for edge in (train.min(), train.max())]
    if times and not first <= min(times) <= max(times) <= last:
        first, last = min(times), max(times)
    texts = [f"spikes from {first:.3f} to {last:.3f} s"]
    for what, signal in parts[0].sampled.items():
        texts.append(f"{what} from {signal.span_s[0]:.3f} to {parts[-1].sampled[what].span_s[1]:.3f} s")
    return ", ".join(texts)


def bin_edges(start_s: float, stop_s: float, bin_s: float) -> np.ndarray:
    """Return the edges of the whole bins between two times; none where they do not hold one."""
    return start_s + bin_s * np.arange(max(0, int((stop_s - start_s) / bin_s + 1e-6)) + 1)


def counted(train_s: np.ndarray, edges_s: np.ndarray) -> np.ndarray:
    """Return the spikes in each bin; a spike on an edge belongs to the bin that it opens."""
    return np.diff(np.searchsorted(np.sort(train_s), edges_s))


def averaged(edges_s: np.ndarray, signal: Sampled, lost: list[int], finder: Finder) -> np.ndarray:
    """Return the mean of the samples of each bin, shape (bins, columns).

    Bins without a sample are interpolated between those that have one, if these are no farther apart than
    `LONGEST_GAP_S`, and are NaN otherwise. Samples of lost markers are left out before the mean is taken.

    Parameters
    ----------
    edges_s : ndarray, shape (bins + 1,)
    signal : Sampled
    lost : list of int
        Where the number of lost samples is added.
    finder : callable
        Returns which samples of an array (samples, columns) are lost markers; one of `FINDERS`.
    """
    return np.hstack([_averaged(edges_s, track, lost, finder) for track in signal.tracks])


def _averaged(edges_s, track: Track, lost: list[int], finder: Finder) -> np.ndarray:
    total = np.zeros((len(edges_s) - 1, 2 + track.columns))  # samples, time, values
    for times_s, values in track.pieces(edges_s[0] - LONGEST_GAP_S, edges_s[-1] + LONGEST_GAP_S):
        known = np.isfinite(times_s) & np.isfinite(values).all(axis=1)
        out = finder(values)
        if out.any():
            lost.append(int(out.sum()))
        known &= ~out
        _gather(edges_s, times_s[known], values[known], total)
    return _means(edges_s, total)


def _gather(edges, times_s, values, total) -> None:
    width_s = edges[1] - edges[0]
    rounding = max(1e-6, 4 * np.spacing(abs(edges[-1])) / width_s)  # of times since 1970, a quarter of a microsecond
    if len(times_s) > 1:  # of times that were single precision, or rounded to what a clock shows: a part of their step
        rounding = max(rounding, ROUNDED * min(abs(float(np.median(np.diff(times_s)))) / width_s, 1.0))
    which = np.floor((times_s - edges[0]) / width_s + rounding).astype(np.int64)  # a sample on an edge opens its bin
    inside = (which >= 0) & (which < len(total))
    rows = which[inside]
    middle = 0.5 * (edges[0] + edges[-1])  # times and values about their middle: sums of 1.7e9 s lose milliseconds
    for column, part in enumerate((None, times_s[inside] - middle, *values[inside].T)):
        total[:, column] += np.bincount(rows, part, minlength=len(total))


def _means(edges, total) -> np.ndarray:
    filled = total[:, 0] > 0
    out = np.full((len(total), total.shape[1] - 2), np.nan)
    if not filled.any():
        return out
    times_s, *columns = (total[filled, 1:] / total[filled, :1]).T
    centres = 0.5 * (edges[1:] + edges[:-1]) - 0.5 * (edges[0] + edges[-1])
    after = np.searchsorted(times_s, centres)
    between = ~filled & (after > 0) & (after < len(times_s))
    between[between] = (times_s[after[between]] - times_s[after[between] - 1]) <= LONGEST_GAP_S
    for axis, column in enumerate(columns):
        out[filled, axis] = column
        out[between, axis] = np.interp(centres[between], times_s, column)
    return out
