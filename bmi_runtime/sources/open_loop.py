"""An open-loop recording in memory: binned counts with the kinematics that were recorded beside them, checked."""

import dataclasses

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.array_checks import MIN_BINS
from bmi_runtime.sources.gaps import bridged

FEWEST_SCORED_BINS = 2  # one alone has no variance


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
    unrecorded_axes : tuple of str
        Of those, the axes without a value.
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
    unrecorded_axes: tuple[str, ...] = ()

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
