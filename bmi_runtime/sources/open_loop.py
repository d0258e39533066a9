"""An open-loop recording in memory: binned counts with the kinematics that were recorded beside them, checked."""

import dataclasses
from typing import Any

import numpy as np

from bmi_runtime.constants import NARROWEST_BIN_S, WIDEST_BIN_S
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import MOST_AXES
from bmi_runtime.sources.gaps import bridged, difference, held_every, without_held
from bmi_runtime.sources.lost_samples import described, far_samples, jumps, lost_samples

MAX_COUNT = 100_000  # per bin and unit: no neuron, multi-unit or threshold-crossing channel comes near
MIN_BINS = 40  # half of them to learn from
FEWEST_SCORED_BINS = 2  # one alone has no variance
LARGEST_NUMBER = 1e100  # of a movement, in any unit: squares of larger ones overflow, of their inverse vanish


@dataclasses.dataclass(frozen=True)
class OpenLoopRecording:
    """Binned counts and recorded kinematics.

    Attributes
    ----------
    counts : ndarray, shape (bins, units)
        Spike counts (or real-valued features) of each bin.
    bin_s : float
        Width of a bin, s.
    velocity : ndarray, shape (bins, axes)
        Recorded velocity; NaN where it was not recorded.
    position : ndarray, shape (bins, axes), or None
        Recorded position, None where the file has none.
    trial_start : ndarray of bool, shape (bins,)
        True at bins where the trajectory jumps (its first bin included).
    restart : ndarray of bool, shape (bins,)
        True at bins before which no counts are known: the first bin of every file.
    bins_train : int or None
        Where the file itself says that the test part starts.
    name, velocity_unit, position_unit : str
        For people: what was read, and in which units.
    targets : ndarray, shape (bins, axes + 1), or None
        Position and radius of the target that was shown, in sessions of the runtime.
    origins : dict
        Which series or channels of the file velocity and position are, where the file holds several.
    axes : tuple of str
        Names of the axes; x, y, z, ... where the file has none.
    given_axes : tuple of str
        Those of the file: axes in which nothing ever moves, or nothing is recorded, are not among `axes`.
    odd : tuple of str
        What reading it found that a person should know: lost markers, kinematics slower than the bins.
    velocity_derived : bool
        Whether the velocity is the change of the position, where the file has none.
    """

    counts: np.ndarray
    bin_s: float
    velocity: np.ndarray
    position: np.ndarray | None
    trial_start: np.ndarray
    restart: np.ndarray
    bins_train: int | None = None
    name: str = "recording"
    velocity_unit: str = "the file's unit"
    position_unit: str = "the file's unit"
    targets: np.ndarray | None = None
    origins: dict[str, str] = dataclasses.field(default_factory=dict)
    odd: tuple[str, ...] = ()
    velocity_derived: bool = False
    axes: tuple[str, ...] = ()
    given_axes: tuple[str, ...] = ()

    def __post_init__(self):
        if not self.axes:
            object.__setattr__(self, "axes", axes_called(self.velocity.shape[1]))
        if not self.given_axes:
            object.__setattr__(self, "given_axes", self.axes)

    @property
    def n_axes(self) -> int:
        """Number of axes of the movement."""
        return self.velocity.shape[1]

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.counts)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.counts.shape[1]

    @property
    def described(self) -> str:
        """One line for people: how much there is, and where the kinematics stand in a file that holds several."""
        origins = "".join(f"; {what}: {origin}" for what, origin in self.origins.items())
        return f"{self.name}: {self.n_units} units, {self.n_bins} bins of {1e3 * self.bin_s:g} ms{origins}"

    @property
    def kinematics(self) -> np.ndarray:
        """Position and velocity, shape (bins, 2 axes); position NaN where the file has none."""
        position = np.full_like(self.velocity, np.nan) if self.position is None else self.position
        return np.hstack([position, self.velocity])

    def split(self, train_fraction: float) -> int:
        """Return the number of training bins: the file's own, or the first `train_fraction` of them."""
        if self.bins_train is not None:
            return self.bins_train
        if not 0.0 < train_fraction < 1.0:
            raise BadInput(f"the train fraction is {train_fraction:g}; give a number between 0 and 1, for example 0.8")
        bins_train = int(train_fraction * self.n_bins)
        if bins_train < MIN_BINS // 2 or self.n_bins - bins_train < 2:
            raise BadInput(
                f"{self.name}: a train fraction of {train_fraction:g} leaves {bins_train} bins to learn from and "
                f"{self.n_bins - bins_train} to decode; at least {MIN_BINS // 2} and 2 are needed"
            )
        return bins_train

    def to_learn(self, bins_train: int) -> "OpenLoopRecording":
        """Return the recording as decoders learn from it: short gaps of the training part bridged, position centred.

        A decoder's numbers depend on the origin of the position (squares of a thousand metres leave no digit for a
        centimetre), the movement does not: the position is given about its median in the training part. Nothing is
        filled in, or taken, from the bins that are decoded.

        Raises
        ------
        BadInput
            When no bin after the training part has recorded kinematics, or none that change, so that nothing could be
            scored.
        """
        known = int(np.isfinite(self.velocity[bins_train:]).all(axis=1).sum())
        if known < FEWEST_SCORED_BINS:
            raise BadInput(
                f"{self.name}: {known} of the {self.n_bins - bins_train} bins to decode have a recorded velocity, so "
                "nothing can be scored; give another --train-fraction"
            )
        tail = self.velocity[bins_train:][np.isfinite(self.velocity[bins_train:]).all(axis=1)]
        if not np.ptp(tail, axis=0).any():
            raise BadInput(
                f"{self.name}: the velocity of the {len(tail)} bins to decode never changes, so nothing can be scored; "
                "give another --train-fraction"
            )
        head, starts = slice(0, bins_train), self.trial_start[:bins_train]
        velocity = self.velocity.copy()
        velocity[head] = bridged(velocity[head], starts, self.bin_s)
        position = self.position
        if position is not None:
            position = position - centre_of(position[head])
            position[head] = bridged(position[head], starts, self.bin_s)
        return dataclasses.replace(self, velocity=velocity, position=position)

    def moving_in(self, bins_train: int) -> tuple["OpenLoopRecording", list[str]]:
        """Return the recording without the axes that rest in all of the training part, and their names.

        Where all rest it stays as it is: there is nothing to learn.
        """
        rests = resting_axes(self.velocity[:bins_train])
        if not rests.any() or rests.all():
            return self, []
        axes = np.flatnonzero(~rests)
        without = dataclasses.replace(
            self,
            velocity=np.ascontiguousarray(self.velocity[:, axes]),
            position=None if self.position is None else np.ascontiguousarray(self.position[:, axes]),
            targets=None if self.targets is None else self.targets[:, [*axes, -1]],
            axes=tuple(self.axes[axis] for axis in axes),
        )
        return without, [name for name, off in zip(self.axes, rests, strict=True) if off]


def axes_called(number: int) -> tuple[str, ...]:
    """Return names for axes that a file does not name: x, y, z, then axis_4, ..."""
    return tuple("xyz"[axis] if axis < 3 else f"axis_{axis + 1}" for axis in range(number))


def centre_of(position: np.ndarray) -> np.ndarray:
    """Return the median of the recorded positions, shape (axes,); zero where none is recorded."""
    known = position[np.isfinite(position).all(axis=1)]
    return np.median(known, axis=0) if len(known) else np.zeros(position.shape[1])


def recording_from_arrays(
    name, counts, bin_s, velocity=None, position=None, trial_start=None, restart=None, **known: Any
) -> OpenLoopRecording:
    """Check arrays and make a recording of them.

    Parameters
    ----------
    name : str
        For error messages.
    counts : array, shape (bins, units)
        Finite numbers of at most :data:`MAX_COUNT` in size.
    bin_s : float
        Bin width, s.
    velocity, position : array, shape (bins, axes) with 1 to 8 axes, optional
        At least one. A missing velocity is the backward difference of the position, a missing position stays missing.
    trial_start : array, optional
        Bins at which the trajectory jumps; or one value a bin: whether it jumps there, or the number of its trial.
    restart : array of bool, shape (bins,), optional
        Bins before which no counts are known; by default the first one.
    **known
        ``targets``, ``velocity_unit``, ``position_unit``, ``origins`` where they are known.

    Raises
    ------
    BadInput
        When a shape or a value is impossible.
    """
    counts, velocity, position, trial_start, restart = _unfolded(counts, velocity, position, trial_start, restart)
    _check_turned(name, counts, {"velocity": velocity, "position": position})
    counts = _table_of_counts(name, counts)
    bins = len(counts)
    width_s = checked_width_s(name, bin_s)
    starts = _checked_starts(name, trial_start, bins)
    position = _checked_kinematics(name, "position", position, bins)
    velocity = _checked_kinematics(name, "velocity", velocity, bins)
    if velocity is None and position is None:
        raise BadInput(f"{name}: neither velocity nor position is given")
    if velocity is not None and position is not None and velocity.shape != position.shape:
        raise BadInput(
            f"{name}: velocity has {velocity.shape[1]} columns and position {position.shape[1]}; each has one for "
            "every axis"
        )
    velocity, position, told = _moving_axes(velocity, position, known)
    restarts = np.zeros(bins, dtype=bool) if restart is None else np.array(restart)
    counts, velocity, position, starts, restarts, odd = _without_unrecorded(
        counts, velocity, position, starts, restarts
    )
    _check_counts(name, counts)
    known["odd"] = (*known.get("odd", ()), *told, *odd)
    known["velocity_derived"] = velocity is None
    velocity, position, starts, odd = _cleaned(velocity, position, starts, width_s)
    for what, values in (("velocity", velocity), ("position", position)):
        if values is not None and np.isfinite(values).all(axis=1).sum() < MIN_BINS // 2:
            raise BadInput(f"{name}: fewer than {MIN_BINS // 2} bins have a recorded {what}")
    known["odd"] = (*known["odd"], *odd)
    return OpenLoopRecording(counts, width_s, velocity, position, starts, restarts, name=name, **known)


def _moving_axes(velocity, position, known: dict[str, Any]) -> tuple[Any, Any, list[str]]:
    """Return kinematics without the axes in which nothing ever moves, and what was left out; `known` gets the names.

    A hand that is held to a plane, or a marker whose height was not recorded, does not keep the other axes from being
    decoded. Where no axis moves, and where targets stand beside them, all are kept.
    """
    table = position if velocity is None else velocity
    lost = ~np.isfinite(table).any(axis=0)
    still = lost | (np.nanmax(np.where(lost, 0.0, table), axis=0) == np.nanmin(np.where(lost, 0.0, table), axis=0))
    if not still.any() or still.all() or "targets" in known:
        return velocity, position, []
    names = known.get("axes") or axes_called(len(still))
    known["given_axes"], known["axes"] = names, tuple(n for n, off in zip(names, still, strict=True) if not off)
    what = "position" if velocity is None else "velocity"
    told = [
        f"the {what} {'has no value' if gone else 'never changes'} in {name}: left out"
        for name, off, gone in zip(names, still, lost, strict=True)
        if off
    ]
    velocity, position = (None if each is None else each[:, ~still] for each in (velocity, position))
    return velocity, position, told


def _unfolded(counts, velocity, position, trial_start, restart) -> tuple[Any, Any, Any, Any, Any]:
    """Return counts of one unit as a table, and counts and kinematics of trials x bins one trial after the other."""
    shape, tables = np.shape(counts), [np.shape(table) for table in (velocity, position) if table is not None]
    if len(shape) == 1 and tables and all(table[:1] == shape for table in tables):
        return np.asarray(counts)[:, None], velocity, position, trial_start, restart
    if (
        len(shape) != 3
        or trial_start is not None
        or not all(table[:2] == shape[:2] and len(table) in (2, 3) for table in tables)
    ):
        return counts, velocity, position, trial_start, restart
    starts, bins = np.arange(shape[0]) * shape[1], shape[0] * shape[1]
    joined = [None if table is None else np.reshape(table, (bins, -1)) for table in (counts, velocity, position)]
    return *joined, starts, np.isin(np.arange(bins), starts)


def _without_unrecorded(counts, velocity, position, starts, restarts):
    """Return everything without the bins in which every count is NaN (trials filled up to one length), and a sentence.

    What follows such bins starts again, as does the first bin of all.
    """
    kept = ~np.isnan(counts).all(axis=1)
    after = np.r_[True, ~kept[:-1]]
    trial = np.cumsum(starts)[kept]  # a trial whose first bins are not there begins at its first that is
    starts = np.r_[True, trial[1:] != trial[:-1]][: len(trial)] | after[kept]
    restarts = np.array(restarts) | after
    if kept.all():
        return counts, velocity, position, starts, restarts, ()
    said = f"{int((~kept).sum())} bins have no counts (NaN for every unit): left out, what follows starts again"
    velocity, position = (None if table is None else table[kept] for table in (velocity, position))
    return counts[kept], velocity, position, starts, restarts[kept], (said,)


def _cleaned(velocity, position, starts, bin_s: float) -> tuple[Any, Any, np.ndarray, list[str]]:
    """Return velocity and position without lost markers, the starts of trials, and what was odd.

    Where there is no velocity it is the change of the position, which is none where the position jumps: there the
    trajectory starts again.
    """
    odd = []
    if position is not None:
        lost = lost_samples(position, starts)
        if lost.any():
            odd.append(described(lost, position, "position"))
            position = np.where(lost[:, None], np.nan, position)
            beside = lost | np.r_[lost[1:], False] | np.r_[False, lost[:-1]]
            velocity = None if velocity is None else np.where(beside[:, None], np.nan, velocity)
    if velocity is not None:
        far = far_samples(velocity)
        if far.any():
            odd.append(described(far, velocity, "velocity"))
            velocity = np.where(far[:, None], np.nan, velocity)
        return velocity, position, starts, odd
    held = held_every(position)
    if held > 1:
        odd.append(
            f"the position changes only once in {held} bins (sampled at {1 / (held * bin_s):.3g} Hz and held): the "
            "velocity is its change from sample to sample, and the bins between are not scored"
        )
    sampled = without_held(position) if held > 1 else position
    joined = jumps(sampled, np.arange(len(sampled)))
    joined = joined[~starts[joined]]
    if len(joined):
        starts = starts.copy()
        starts[joined] = True
        odd.append(
            f"the position jumps before {len(joined)} bins ({', '.join(map(str, joined[:5]))}"
            f"{', ...' if len(joined) > 5 else ''}): taken for starts of trials"
        )
    return difference(sampled, starts, bin_s), position, starts, odd


def checked_width_s(name: str, bin_s: Any) -> float:
    """Return the width of a bin as one number of seconds.

    Raises
    ------
    BadInput
        When it is not a number, or cannot be seconds; milliseconds are named as such.
    """
    given = np.asarray(bin_s)
    width = given.astype(float) if given.dtype.kind in "iuf" else np.array(np.nan)
    alike = width.size and (width == width.flat[0]).all()
    value = float(width.flat[0]) if alike or width.size == 1 else float("nan")
    if NARROWEST_BIN_S <= value <= WIDEST_BIN_S:
        return value
    alone = f"; it is {value:g}" if given.dtype.kind == "f" else f"; it is {given.dtype}"
    hint = alone if given.size == 1 else f"; it is {given.size} different ones" if given.size else "; it is empty"
    if np.isfinite(value):
        hint = f"; it is {value:g}"
        for most, divisor, what in ((1e3, 1e3, "milliseconds"), (1e6, 1e6, "microseconds"), (1e9, 1e9, "nanoseconds")):
            if 1.0 < value <= most:
                hint += f": if these are {what}, save {value / divisor:g}"
                break
    raise BadInput(
        f"{name}: bin_s must be one number of seconds between {NARROWEST_BIN_S:g} and {WIDEST_BIN_S:g}{hint}"
    )


def _check_turned(name, counts, tables) -> None:
    """Refuse tables that have their bins in columns, as is usual in MATLAB, and say which."""
    shape = np.shape(counts)
    for what, values in tables.items():
        other = np.shape(values)
        if values is None or len(shape) != 2 or len(other) != 2 or other[0] == shape[0]:
            continue
        which = next(
            (
                said
                for said, same in (
                    ("counts", shape[1] == other[0]),
                    (what, shape[0] == other[1]),
                    (f"counts and {what}", shape[1] == other[1]),
                )
                if same
            ),
            None,
        )
        if which is not None:
            raise BadInput(
                f"{name}: counts is {shape[0]} x {shape[1]} and {what} {other[0]} x {other[1]}: {which} "
                "must be transposed (counts is bins x units, kinematics bins x axes)"
            )


def resting_axes(velocity: np.ndarray) -> np.ndarray:
    """Return in which axes the velocity, shape (bins, axes), never changes where all of it is known; shape (axes,)."""
    known = velocity[np.isfinite(velocity).all(axis=1)]
    return np.ptp(known, axis=0) == 0 if len(known) else np.zeros(velocity.shape[1], dtype=bool)


def check_decodable(name: str, counts: np.ndarray, velocity: np.ndarray, part: str = "") -> None:
    """Refuse what no decoder can learn from.

    Parameters
    ----------
    name : str
    counts : ndarray, shape (bins, units)
    velocity : ndarray, shape (bins, axes)
        NaN where it was not recorded.
    part : str
        What of the recording this is, for the message.

    Raises
    ------
    BadInput
        When too few bins have a velocity, it never changes, or no unit ever changes its count.
    """
    known = np.isfinite(velocity).all(axis=1)
    inner = int(0.8 * len(known))  # hyper-parameters are chosen on the last fifth
    for rows, where in ((known[:inner], "the first four fifths of the"), (known[inner:], "the last fifth of the")):
        needed = min(MIN_BINS // 2, len(rows) // 2)
        if rows.sum() < needed:
            raise BadInput(
                f"{name}: {rows.sum()} of {where} bins{part} have a recorded velocity; at least {needed} are needed"
            )
    still = np.flatnonzero(resting_axes(velocity))
    if still.size:
        axis = axes_called(velocity.shape[1])[still[0]]
        raise BadInput(f"{name}: the velocity{part} never changes in {axis}, so there is nothing to decode")
    if (np.ptp(counts, axis=0) == 0).all():
        raise BadInput(f"{name}: no unit{part} ever changes its count, so there is nothing to decode from")


def _table_of_counts(name, counts):
    counts = np.asarray(counts)
    if counts.ndim == 3:
        raise BadInput(
            f"{name}: counts of three dimensions are trials x bins x units, beside kinematics of trials x bins x axes; "
            f"they are {' x '.join(map(str, counts.shape))}"
        )
    if counts.ndim != 2 or counts.dtype.kind not in "biuf" or counts.shape[1] < 1:
        raise BadInput(
            f"{name}: counts must be a table of numbers, bins x units; it is {counts.dtype} of shape {counts.shape}"
        )
    _check_enough(name, counts)
    return np.ascontiguousarray(counts, dtype=float)


def _check_enough(name, counts) -> None:
    if len(counts) < MIN_BINS:
        raise BadInput(
            f"{name}: {len(counts)} bins are too few to learn from and decode; at least {MIN_BINS} are needed"
        )


def _check_counts(name, counts) -> None:
    _check_enough(name, counts)
    bad = ~np.isfinite(counts) | (np.abs(counts) > MAX_COUNT)
    if bad.any():
        row, unit = np.argwhere(bad)[0]
        units = np.flatnonzero(bad.any(axis=0))
        named = ", ".join(map(str, units[:8])) + (", ..." if len(units) > 8 else "")
        raise BadInput(
            f"{name}: counts of bin {row}, unit {unit} is {counts[row, unit]:g}; {int(bad.sum())} such values, in "
            f"{'unit' if len(units) == 1 else 'units'} {named}: leave them out, or make all units of those bins NaN: "
            "such bins are left out"
        )
    if (counts < 0).any() and (counts == np.round(counts)).all():
        row, unit = np.argwhere(counts < 0)[0]
        raise BadInput(f"{name}: the count of bin {row}, unit {unit} is negative ({counts[row, unit]:g})")


def _checked_kinematics(name, what, values, bins):
    if values is None:
        return None
    values = np.asarray(values)
    values = values[:, None] if values.ndim == 1 else values
    fits = values.ndim == 2 and len(values) == bins and 1 <= values.shape[1] <= MOST_AXES
    if values.dtype.kind not in "biuf":
        raise BadInput(f"{name}: {what} must hold numbers, bins x axes; it holds {values.dtype}")
    if not fits:
        one_off = abs(len(values) - bins) == 1 and values.ndim == 2
        hint = "; a difference leaves one out: repeat its first row" if one_off and len(values) < bins else ""
        raise BadInput(
            f"{name}: {what} must have the shape ({bins}, axes), 1 to {MOST_AXES} of them, as counts has {bins} bins; "
            f"it has {values.shape}{hint}"
        )
    values = np.ascontiguousarray(values, dtype=float)
    _check_no_clock(name, what, values)
    if np.isinf(values).any():
        raise BadInput(f"{name}: {what} of bin {int(np.argwhere(np.isinf(values))[0][0])} is infinite")
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if largest and not 1.0 / LARGEST_NUMBER < largest < LARGEST_NUMBER:
        raise BadInput(f"{name}: the largest {what} is {largest:g}; give it in a unit that makes it an ordinary number")
    recorded = np.isfinite(values)
    return np.where(recorded[:, recorded.any(axis=0)].all(axis=1)[:, None], values, np.nan)


def _check_no_clock(name: str, what: str, values: np.ndarray) -> None:
    """Refuse a column that grows by the same in every bin: a time or a number of the bin, and no axis of a movement."""
    if len(values) < MIN_BINS:
        return
    for column, row in enumerate(values.T):
        steps = np.diff(row)
        if np.isfinite(steps).all() and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=0.0):
            others = [other for other in range(values.shape[1]) if other != column]
            raise BadInput(
                f"{name}: column {column} of {what} grows by {steps[0]:g} in every bin: a clock, not a movement; "
                + (f"save columns {others} without it" if others else "save the movement in its place")
            )


def _checked_starts(name, trial_start, bins):
    starts = np.zeros(bins, dtype=bool)
    starts[0] = True
    if trial_start is None:
        return starts
    indices = np.asarray(trial_start)
    indices = np.squeeze(indices) if indices.ndim > 1 else indices
    if indices.shape == (bins,):
        if indices.dtype.kind == "b" or np.isin(indices, (0, 1)).all():  # a flag of every bin
            return starts | (indices != 0)
        if indices.dtype.kind in "iuf" and not (np.diff(indices) > 0).all():  # the number of every bin's trial
            return np.r_[True, indices[1:] != indices[:-1]]
    whole = indices.dtype.kind in "iu" or (
        indices.dtype.kind == "f" and np.isfinite(indices).all() and (indices % 1 == 0).all()
    )
    if indices.ndim > 1 or not whole or (indices.size and (indices.min() < 0 or indices.max() >= bins)):
        raise BadInput(f"{name}: trial_start must list bin indices from 0 to {bins - 1}")
    starts[np.atleast_1d(indices).astype(int)] = True
    return starts
