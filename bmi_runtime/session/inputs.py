"""What the step takes in of a bin: the counts that can be, which units are valid, and the newest bins once more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bmi_runtime.config import Config
from bmi_runtime.encoding.artifacts import ArtifactGate
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import soundness
from bmi_runtime.messages import MISSING
from bmi_runtime.session.features import FeatureBlock

PROBATION_BINS = 20  # newest bins that a decoder is tried on before it takes over


def checked_left_out(units: Iterable[int], n: int) -> np.ndarray:
    """Return the units that neither decode nor are learned, of `n`.

    Raises
    ------
    BadInput
        When one of them does not exist, or none of the others is left.
    """
    left_out = np.array(sorted(set(units)), np.int64)
    if left_out.size and not (left_out[0] >= 0 and left_out[-1] < n):
        raise BadInput(
            f"session.left_out names unit {left_out[-1 if left_out[-1] >= n else 0]}, there are {n} (from 0)"
        )
    if left_out.size == n:
        raise BadInput(f"session.left_out names all {n} units; at least one must be left to decode with")
    return left_out


def parsed_left_out(text: str, n: int) -> np.ndarray:
    """Return the units of a list such as ``3, 17``.

    Raises
    ------
    BadInput
        When it is not a list of units, or none would be left.
    """
    try:
        units = [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise BadInput(f"session.left_out must be unit numbers with commas between, got '{text[:40]}'") from None
    return checked_left_out(units, n)


class Inputs:
    """The counts of the current bin, cleaned, and of the bins before it.

    Parameters
    ----------
    config : Config
    features : FeatureBlock or None
        Beside the units.
    events : list of dict
        Takes what was refused.

    Attributes
    ----------
    counts, valid : ndarray, shape (units,)
        Zero and not valid where a count is missing, refused, or of a unit that is left out.
    left_out : ndarray of int
    """

    def __init__(self, config: Config, features: FeatureBlock | None, events: list[dict[str, Any]]):
        n = config.session.units
        self.counts, self.valid = np.zeros(n), np.ones(n)
        self.left_out = checked_left_out(config.session.left_out, n)
        self.features, self._events = features, events
        self._newest = np.zeros((PROBATION_BINS, n))
        self._poisson = not config.continuous
        self._largest = config.safety.max_feature if config.continuous else float(config.safety.max_count)
        self.artifacts = ArtifactGate(n, config.bin_s, config.safety, config.continuous)

    def take(self, given: Any, bin_number: int) -> bool:
        """Take one bin; return whether it can be decoded from."""
        fresh = given.stale.item() == 0
        if fresh:
            take = soundness.take_counts if self._poisson else soundness.take_features
            into = (self.counts, self.valid, self.left_out)
            refused = take(given.counts, self._largest, *into, *self.artifacts.arguments)
        else:  # nothing came that could be usual or not
            refused = soundness.clean_counts(given.counts, self._largest, self.counts, self.valid)
        usable = (self._enough_left(given, refused) if refused else self.counts.size > 0) and fresh
        if self.left_out.size:
            self.valid[self.left_out] = 0.0
        self._newest[bin_number % PROBATION_BINS] = self.counts
        return self._take_features(self.features, given, usable) if self.features else usable

    def _enough_left(self, given: Any, refused: int) -> bool:
        """Return whether a bin is usable without the counts that were refused, and say how many were.

        Missing counts say nothing against the others; refused ones do, where they are the majority.
        """
        if refused < 0:
            self._events.append(self._artifact(given))
            return False
        missing = int(np.count_nonzero(given.counts == MISSING)) if self._poisson else 0
        if refused > missing:
            self._events.append({"name": "refused-counts", "units": int(refused - missing)})
        return 2 * (refused - missing) < self.counts.size - missing

    def _artifact(self, given: Any) -> dict[str, Any]:
        """Return the event of an artifact: counts that came and are usual, or how many features were far off."""
        told = float(self.artifacts.lately[0])
        if not self._poisson:
            return {"name": "artifact", "features": int(told)}
        counts = np.delete(given.counts, self.left_out)
        return {"name": "artifact", "counts": int(counts[counts != MISSING].sum()), "usual": round(told, 1)}

    def _take_features(self, features: FeatureBlock, given: Any, usable: bool) -> bool:
        """Take the features; return whether the bin can be decoded, from them alone if need be."""
        if not features.take(given.features, self._events) or given.stale.item():
            return usable
        if not usable:  # the units are missing, the features are there
            self.valid[:] = 0.0
        return True

    def leave_out(self, units: np.ndarray) -> None:
        """Leave these units out of decoding and learning from the next bin on, and take all others in."""
        self.left_out = units

    def newest(self, bins_done: int) -> Iterator[np.ndarray]:
        """Return the counts of the newest bins, oldest first."""
        for number in range(bins_done - min(bins_done, PROBATION_BINS), bins_done):
            yield self._newest[number % PROBATION_BINS]

    def snapshot(self) -> dict[str, Any]:
        """Return what the next bin depends on."""
        return self.artifacts.snapshot()

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.artifacts.restore(snapshot)
