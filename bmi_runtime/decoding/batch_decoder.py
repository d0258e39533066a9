"""Decoders that are fitted to a training part in one go and then decode bin by bin: what they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np

from bmi_runtime.decoding.baselines import LEADS_BINS, VALIDATION_FRACTION, mean_r2
from bmi_runtime.sources.gaps import bridged


@dataclasses.dataclass(frozen=True)
class Training:
    """What a decoder is fitted to.

    Attributes
    ----------
    counts : ndarray, shape (bins, units)
    kinematics : ndarray, shape (bins, 2 axes)
        Positions, then velocities; NaN where not recorded.
    trial_start : ndarray of bool, shape (bins,)
        Where the trajectory jumps.
    restart : ndarray of bool, shape (bins,)
        Where the counts before are unknown or belong to another time.
    bin_s : float
    targets : ndarray, shape (bins, axes + 1), optional
        Position and radius of the target that was shown, where there were targets.
    """

    counts: np.ndarray
    kinematics: np.ndarray
    trial_start: np.ndarray
    restart: np.ndarray
    bin_s: float
    targets: np.ndarray | None = None

    @property
    def n_axes(self) -> int:
        """Number of axes of the movement."""
        return self.kinematics.shape[1] // 2

    @property
    def position(self) -> np.ndarray:
        """Shape (bins, axes)."""
        return self.kinematics[:, : self.n_axes]

    @property
    def velocity(self) -> np.ndarray:
        """Shape (bins, axes)."""
        return self.kinematics[:, self.n_axes :]

    @property
    def columns(self) -> np.ndarray:
        """Kinematic dimensions that were recorded."""
        return np.flatnonzero(np.isfinite(self.kinematics).any(axis=0))

    def part(self, rows: slice | np.ndarray) -> Training:
        """Return some bins; those that do not follow their neighbour are starts."""
        index = np.arange(len(self.counts))[rows]
        seam = np.ones(len(index), dtype=bool)
        seam[1:] = np.diff(index) != 1
        return Training(
            self.counts[index],
            self.kinematics[index],
            self.trial_start[index] | seam,
            self.restart[index] | seam,
            self.bin_s,
            None if self.targets is None else self.targets[index],
        )

    @classmethod
    def joined(cls, parts: Sequence[Training]) -> Training:
        """Return parts one after the other; each begins with a start of its own."""
        arrays: dict[str, Any] = {
            name: None if getattr(parts[0], name) is None else np.concatenate([getattr(part, name) for part in parts])
            for name in ("counts", "kinematics", "trial_start", "restart", "targets")
        }
        return cls(bin_s=parts[0].bin_s, **arrays)

    def about(self, origin: np.ndarray) -> Training:
        """Return the same movement with its positions counted from `origin`, shape (axes,)."""
        shift = np.zeros(self.kinematics.shape[1])
        shift[: len(origin)] = origin
        targets = None if self.targets is None else self.targets - np.r_[origin, 0.0]
        return dataclasses.replace(self, kinematics=self.kinematics - shift, targets=targets)

    def of_axes(self, axes: np.ndarray) -> Training:
        """Return the movement in some axes alone (their numbers)."""
        targets = None if self.targets is None else self.targets[:, [*axes, -1]]
        kinematics = np.ascontiguousarray(self.kinematics[:, columns_of(axes, self.n_axes)])
        return dataclasses.replace(self, kinematics=kinematics, targets=targets)

    def bridged(self) -> Training:
        """Return it with short gaps of the kinematics filled, for learning."""
        return dataclasses.replace(self, kinematics=bridged(self.kinematics, self.trial_start, self.bin_s))

    def validation(self) -> tuple[Training, Training]:
        """Return the first four fifths and the last fifth, on which hyper-parameters are chosen."""
        inner = int((1.0 - VALIDATION_FRACTION) * len(self.counts))
        return self.part(slice(0, inner)), self.part(slice(inner, None))


def columns_of(axes: np.ndarray, n_axes: int) -> np.ndarray:
    """Return which columns of kinematics (positions, then velocities) are those of some axes."""
    return np.concatenate([axes, n_axes + np.asarray(axes)])


class FittedDecoder(Protocol):
    """A decoder with :meth:`fit`, beside the verbs of :class:`bmi_runtime.decoding.base.Decoder`."""

    variance: np.ndarray

    @classmethod
    def fit(cls, training: Training) -> FittedDecoder:
        """Return a decoder fitted to `training`; hyper-parameters are chosen inside it."""

    def reset(self) -> None:
        """Forget the state; keep the parameters."""

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities, NaN where the decoder does not decode it."""

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""

    def on_done(self) -> None:
        """Notify the decoder that a trial ended."""


class DecoderBase:
    """What most decoders share: verbs that they leave empty, and their numbers as they are written to files.

    Attributes
    ----------
    PARAMETERS : tuple of str
        Attributes that the class is made from again, by the names of its arguments.
    DERIVED : tuple of str
        Attributes that are computed from those by a library. They are written too: another machine's library would
        give other last bits, and a replay there would differ.
    STATE : tuple of str
        Attributes that change from bin to bin: arrays, numbers, or objects with `snapshot` and `restore`.
    """

    PARAMETERS: tuple[str, ...] = ()
    DERIVED: tuple[str, ...] = ()
    STATE: tuple[str, ...] = ()

    def __init__(self, n_axes: int = 2):
        self.n_axes = n_axes
        self.variance = np.full(2 * n_axes, np.nan)

    def reset(self) -> None:
        """Forget the state; keep the parameters."""
        raise NotImplementedError

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return positions, then velocities."""
        raise NotImplementedError

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        self.predict(counts)

    def on_done(self) -> None:
        """Notify the decoder that a trial ended: nothing changes."""

    def parameters(self) -> dict[str, Any]:
        """Return the numbers and arrays that the decoder is made from."""
        return {name: getattr(self, name) for name in (*self.PARAMETERS, *self.DERIVED)}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Return the decoder whose :meth:`parameters` these are."""
        decoder = cls._made(**{name: value for name, value in parameters.items() if name not in cls.DERIVED})
        for name in cls.DERIVED:
            setattr(decoder, name, np.ascontiguousarray(parameters[name], dtype=float))
        return decoder

    @classmethod
    def _made(cls, **parameters: Any) -> Self:
        return cls(**parameters)

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""
        return {name: copied(getattr(self, name)) for name in (*self.STATE, "variance")}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        for name, value in snapshot.items():
            restore_attribute(self, name, value)


def axes_of(columns: np.ndarray) -> int:
    """Return how many axes there are where these columns of positions and velocities, the last one among them, are."""
    return (int(np.max(columns)) + 1) // 2


def copied(value: Any) -> Any:
    """Return a copy of one attribute of a state, as a recording holds it."""
    if hasattr(value, "snapshot"):
        return value.snapshot()
    return value.copy() if isinstance(value, np.ndarray) else value


def restore_attribute(owner: Any, name: str, value: Any) -> None:
    """Restore one attribute that :func:`copied` saved."""
    own = getattr(owner, name)
    if hasattr(own, "restore"):
        own.restore(value)
    else:
        setattr(owner, name, value.copy() if isinstance(value, np.ndarray) else value)


def decode_all(decoder: Any, data: Training) -> np.ndarray:
    """Return what a decoder says bin by bin, of the shape of the kinematics: reset at restarts, told of trials."""
    states = np.empty_like(data.kinematics)
    for index, counts in enumerate(data.counts):
        if index == 0 or data.restart[index]:
            decoder.reset()
        elif data.trial_start[index]:
            decoder.on_done()
        states[index] = decoder.predict(counts)
    return states


def best_of(candidates, make, training: Training):
    """Return the candidate whose decoder, made from the first four fifths, decodes velocity of the last fifth best.

    Parameters
    ----------
    candidates : sequence
    make : callable
        ``make(training, candidate)`` returns a decoder.
    """
    inner, outer = training.validation()
    n = training.n_axes
    scores = [mean_r2(outer.velocity, decode_all(make(inner, c), outer)[:, n:]) for c in candidates]
    return list(candidates)[int(np.argmax(scores))]


def paired_rows(restart: np.ndarray, lead: int) -> np.ndarray:
    """Return for each bin the row of the counts `lead` bins before it, -1 where that is before a restart."""
    index = np.arange(len(restart))
    first = np.maximum.accumulate(np.where(restart, index, 0))
    rows = index - lead
    return np.where(rows >= first, rows, -1)


class Delay:
    """Counts of `bins` ago; `blank` until there are any."""

    def __init__(self, bins: int, blank: np.ndarray):
        self.bins, self.blank = bins, np.array(blank, dtype=float)
        self.reset()

    def reset(self) -> None:
        """Forget the counts that wait."""
        self._ring = np.tile(self.blank, (self.bins + 1, 1))
        self._head = 0

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Take the newest counts in, return those of `bins` ago."""
        self._ring[self._head] = counts
        self._head = (self._head + 1) % (self.bins + 1)
        return self._ring[self._head]

    def snapshot(self) -> list[Any]:
        """Return copies of the counts that wait."""
        return [self._ring.copy(), self._head]

    def restore(self, snapshot: list[Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self._ring[:], self._head = snapshot


LEADS = list(LEADS_BINS)
