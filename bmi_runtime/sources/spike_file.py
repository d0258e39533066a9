"""Spike trains as files hold them, which reader reads what, and the readers of two plain formats: ``.gdf``, ``.h5``."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib

import numpy as np

from bmi_runtime.errors import BadInput, first_line

UNIT_RATIO = 5.0  # between neighbours in order of frequency: the widest gap parts the two kinds of number
GDF_TICK_S = 1e-3  # NEST writes milliseconds
FEWEST_LINES, OFTEN_BACK = 20, 0.1
"""From which the two columns are told apart; share of steps back in a column of units."""
LARGEST_WHOLE = 2.0**53  # beyond it identifiers and ticks are not told apart
MOST_HZ = 1000.0  # a unit that fires faster has another tick
BIOSIG = b"GDF "
READERS = {
    ".nwb": "bmi_runtime.sources.nwb_spikes:read_nwb",
    ".gdf": "bmi_runtime.sources.spike_file:read_gdf",
    ".h5": "bmi_runtime.sources.spike_file:read_spike_h5",
    ".hdf5": "bmi_runtime.sources.spike_file:read_spike_h5",
}
ACQUISITION = "bmi_runtime.sources.neo_file:read_acquisition"


@dataclasses.dataclass
class SpikeFile:
    """What is in a file of spike trains.

    Attributes
    ----------
    kind : str
        The format.
    trains_s : list of ndarray
        Spike times of every unit, s, in the file's order.
    names : list of str
        Of the units.
    segments_s : list of (start, stop)
        Stretches that were recorded without a break, s.
    signals : list of str
        Sampled signals, described.
    events : dict
        Number of events or intervals by name.
    notes : dict
        What else the file says about itself.
    odd : list of str
        What the reader itself found odd.
    counts, bin_times_s : ndarray, (bins, units) and (bins,), or None
        Of a file that holds counts in place of spike times.
    """

    kind: str
    trains_s: list[np.ndarray]
    names: list[str]
    segments_s: list[tuple[float, float]]
    signals: list[str] = dataclasses.field(default_factory=list)
    events: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    odd: list[str] = dataclasses.field(default_factory=list)
    counts: np.ndarray | None = None
    bin_times_s: np.ndarray | None = None

    @property
    def spikes(self) -> list[float]:
        """Number of spikes of every unit (of features: their sum)."""
        return [len(train) for train in self.trains_s] if self.counts is None else self.counts.sum(axis=0).tolist()


def read_spikes(path: pathlib.Path, tick_s: float | None = None) -> SpikeFile:
    """Read a file of spike trains with the reader of its format.

    Parameters
    ----------
    path : path
    tick_s : float, optional
        What a tick of a ``.gdf`` file is, s; other formats say it themselves.

    Raises
    ------
    BadInput
        When the file cannot be read as what its suffix says, or no reader knows it.
    """
    if tick_s is not None:
        if path.suffix.lower() != ".gdf":
            raise BadInput(f"{path.name}: --tick-s is for .gdf files; this format says itself what its times are")
        if not (np.isfinite(tick_s) and tick_s > 0):
            raise BadInput(f"--tick-s is {tick_s:g}; a tick is a time above zero, s")
        return read_gdf(path, tick_s)
    module, _, function = READERS.get("" if path.is_dir() else path.suffix.lower(), ACQUISITION).partition(":")
    return getattr(importlib.import_module(module), function)(path)


def distinct(names: list[str]) -> list[str]:
    """Return names with a number behind those that occurred before."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} [{seen[name]}]")
    return result


def read_gdf(path: pathlib.Path, tick_s: float | None = None) -> SpikeFile:
    """Read a ``.gdf`` table: an identifier and a time in ticks on every line, units and task events mixed.

    The format does not say which identifiers are units. Ordered by how often they occur, those above the widest gap are
    taken for units where it is more than fivefold, else all (ours: a unit fires all the time, an event comes once or
    twice a trial).

    Raises
    ------
    BadInput
        When a line is not two numbers.
    """
    if path.stat().st_size == 0:
        raise BadInput(f"{path.name}: the file is empty")
    with open(path, "rb") as file:
        if file.read(4) == BIOSIG:
            raise BadInput(
                f"{path.name}: a .gdf of BioSig, which holds field potentials; here .gdf is a table of spikes"
            )
    table = _table(path)
    turned = _times_first(table)
    table = table[:, ::-1] if turned else table
    _check_gdf(path, table)
    assumed = tick_s is None
    tick_s = GDF_TICK_S if tick_s is None else tick_s
    codes, number = np.unique(table[:, 0].astype(int), return_counts=True)
    units = _far_more_frequent(number)
    trains = [table[table[:, 0] == code, 1] * tick_s for code in codes[units]]
    times = table[:, 1] * tick_s
    events = {str(code): int(count) for code, count in zip(codes[~units], number[~units], strict=True)}
    notes = {
        "tick": f"{tick_s:g} s" + (" (assumed; the file does not say, --tick-s does)" if assumed else ""),
        "units": "the identifiers that are far more frequent than the others",
    }
    back = int((np.diff(times) < 0).sum())
    odd = [f"{back} lines go back in time"] if back else []
    odd += _too_often(trains, times) if assumed else []
    odd += ["the first column is in order and the second is not: taken for time and identifier"] * turned
    span = [(float(times.min()), float(times.max()))]
    return SpikeFile("gdf", trains, [str(code) for code in codes[units]], span, events=events, notes=notes, odd=odd)


def _lines(path: pathlib.Path) -> list[str]:
    """Return the lines of a table without comments, its columns apart by space, tab, comma or semicolon."""
    bare = (line.partition("#")[0] for line in path.read_text(encoding="utf-8-sig").splitlines())
    return [line.replace(",", " ").replace(";", " ") for line in bare if line.strip()]


def _table(path: pathlib.Path) -> np.ndarray:
    """Return the numbers of a ``.gdf`` table, shape (lines, 2); a first line of words is the columns' names."""
    try:
        rows = [line.split() for line in _lines(path)]
        rows = rows[1:] if rows and all(word[:1].isalpha() and word.lower() != "nan" for word in rows[0]) else rows
        odd = next((row for row in rows if len(row) != 2), None)
        if odd is not None:
            raise ValueError(f"'{' '.join(odd)[:80]}' has {len(odd)} columns, not 2")
        return np.array(rows, dtype=float).reshape(-1, 2)
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name}: not a .gdf table of identifier and time ({first_line(error)})") from None


def _check_gdf(path: pathlib.Path, table: np.ndarray) -> None:
    if len(table) == 0:
        raise BadInput(f"{path.name}: there is no line of an identifier and a time in it")
    wrong = ~np.isfinite(table).all(axis=1) | (np.abs(table) > LARGEST_WHOLE).any(axis=1) | (table[:, 0] % 1 != 0)
    if wrong.any():
        line = table[np.flatnonzero(wrong)[0]]
        raise BadInput(
            f"{path.name}: a .gdf line is a whole identifier and a time; {int(wrong.sum())} are not, the first is "
            f"{line[0]:g} {line[1]:g}"
        )


def _too_often(trains_s: list[np.ndarray], times_s: np.ndarray) -> list[str]:
    """Return a sentence where an assumed tick makes units fire as no neuron does: the times are in another unit."""
    span_s = float(np.ptp(times_s))
    rate_hz = float(np.median([len(train) for train in trains_s])) / span_s if span_s > 0.0 else 0.0
    if rate_hz <= MOST_HZ:
        return []
    return [f"with ticks of {GDF_TICK_S * 1e3:g} ms units would fire at {rate_hz:.3g} Hz: what is a tick (--tick-s)?"]


def _times_first(table: np.ndarray) -> bool:
    """Return whether the columns are time and identifier: the first never goes back, the second does all the time."""
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < FEWEST_LINES:
        return False
    first, second = (float((np.diff(column) < 0).mean()) for column in table.T)
    return first == 0.0 and second > OFTEN_BACK and np.unique(table[:, 1]).size < np.unique(table[:, 0]).size


def _far_more_frequent(number: np.ndarray) -> np.ndarray:
    """Return which of some numbers lie above the widest gap in their order, all where none is wide."""
    ordered = np.sort(number)
    ratios = ordered[1:] / ordered[:-1]
    if not (ratios > UNIT_RATIO).any():
        return np.ones(len(number), bool)
    return number >= ordered[1 + ratios.argmax()]


def read_spike_h5(path: pathlib.Path) -> SpikeFile:
    """Read an ``.h5`` file of concatenated spike times (``spikes``, s) with the number of each unit (``sCount``).

    Raises
    ------
    BadInput
        When it is not HDF5, or lacks one of the two.
    """
    try:
        import h5py
    except ImportError:
        raise BadInput(f"{path.name}: reading HDF5 needs h5py; pip install 'bmi-runtime[nwb]'") from None
    try:
        with h5py.File(path, "r") as file:
            held = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
            said = {name: item[()] for name, item in file.get("meta", {}).items()}
            summary = {name: item[()] for name, item in file.get("summary", {}).items()}
    except OSError as error:
        raise BadInput(f"{path.name}: not a readable HDF5 file ({first_line(error)})") from None
    missing = [name for name in ("spikes", "sCount") if name not in held]
    if missing:
        found = ", ".join(held) or "no arrays"
        raise BadInput(f"{path.name}: lacks {' and '.join(missing)} (spike times, spikes per unit); it holds {found}")
    number, spikes = np.asarray(held["sCount"], dtype=int).ravel(), np.asarray(held["spikes"], dtype=float).ravel()
    if number.sum() != len(spikes) or (number < 0).any():
        raise BadInput(f"{path.name}: sCount sums to {number.sum()}, but there are {len(spikes)} spikes")
    trains = np.split(spikes, np.cumsum(number)[:-1])
    names = (
        [_text(name) for name in np.ravel(held["names"])] if "names" in held else [str(i) for i in range(len(trains))]
    )
    stop = float(np.ravel(summary.get("duration", spikes.max(initial=0.0)))[0])
    notes = {name: ", ".join(_text(item) for item in np.ravel(value)) for name, value in said.items()}
    signals = [f"epos: electrode positions, {held['epos'].shape}"] if "epos" in held else []
    return SpikeFile("HDF5 spike times", trains, names, [(0.0, stop)], signals=signals, notes=notes)


def _text(value) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
