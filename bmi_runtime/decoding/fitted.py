"""Decoders that are fitted to a training part in one go and then decode bin by bin: what they share."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np

from bmi_runtime.decoding.baselines import LEADS_BINS, VALIDATION_FRACTION, _mean_r2

VELOCITY = np.array([2, 3])


@dataclasses.dataclass(frozen=True)
class Training:
    """What a decoder is fitted to.

    Attributes
    ----------
    counts : ndarray, shape (bins, units)
    kinematics : ndarray, shape (bins, 4)
        x, y, vx, vy; NaN where not recorded.
    trial_start : ndarray of bool, shape (bins,)
        Where the trajectory jumps.
    restart : ndarray of bool, shape (bins,)
        Where the counts before are unknown or belong to another time.
    bin_s : float
    """

    counts: np.ndarray
    kinematics: np.ndarray
    trial_start: np.ndarray
    restart: np.ndarray
    bin_s: float

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
        )

    def validation(self) -> tuple[Training, Training]:
        """Return the first four fifths and the last fifth, on which hyper-parameters are chosen."""
        inner = int((1.0 - VALIDATION_FRACTION) * len(self.counts))
        return self.part(slice(0, inner)), self.part(slice(inner, None))


class FittedDecoder(Protocol):
    """A decoder with :meth:`fit`, beside the verbs of :class:`bmi_runtime.decoding.base.Decoder`."""

    variance: np.ndarray

    @classmethod
    def fit(cls, training: Training) -> FittedDecoder:
        """Return a decoder fitted to `training`; hyper-parameters are chosen inside it."""

    def reset(self) -> None:
        """Forget the state; keep the parameters."""

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin in; return x, y, vx, vy, NaN where the decoder does not decode it."""

    def observe(self, counts: np.ndarray) -> None:
        """Take one bin in; nothing is wanted back."""

    def on_done(self) -> None:
        """Take note that a trial ended."""


class Verbs:
    """The verbs that most decoders leave empty."""

    def __init__(self):
        self.variance = np.full(4, np.nan)

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin in; return x, y, vx, vy."""
        raise NotImplementedError

    def observe(self, counts: np.ndarray) -> None:
        """Take one bin in; nothing is wanted back."""
        self.predict(counts)

    def on_done(self) -> None:
        """Take note that a trial ended: nothing changes."""


def decode_all(decoder: Any, data: Training) -> np.ndarray:
    """Return what a decoder says bin by bin, shape (bins, 4): reset at restarts, told of trials."""
    states = np.empty((len(data.counts), 4))
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
    scores = [_mean_r2(outer.kinematics[:, 2:], decode_all(make(inner, c), outer)[:, 2:]) for c in candidates]
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


LEADS = list(LEADS_BINS)
