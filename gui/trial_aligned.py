"""Spikes around the go signal and the end of trials, kept in fixed memory, by direction of movement. No Qt here."""

from __future__ import annotations

import numpy as np

BIN_S = 0.05
BEFORE_GO_S, AFTER_GO_S, BEFORE_END_S = 0.3, 1.2, 1.2  # of each trial, that are kept
ALIGNMENTS = {"go": (-BEFORE_GO_S, AFTER_GO_S), "end of trial": (-BEFORE_END_S, 0.0)}
DIRECTIONS = ("→", "↗", "↑", "↖", "←", "↙", "↓", "↘")
MOST_TRIALS = 96  # the newest
SMOOTHED_S = 0.07  # standard deviation, for the components


def bins_of(alignment: str) -> np.ndarray:
    """Return the middles of the bins around an event, s."""
    first, last = ALIGNMENTS[alignment]
    count = round((last - first) / BIN_S)
    return first + BIN_S * (np.arange(count) + 0.5)


def octant(start, target) -> int:
    """Return which of `DIRECTIONS` leads from start to target, in the first two axes."""
    way = np.zeros(2)
    n = min(len(start), len(target), 2)
    way[:n] = np.asarray(target[:n], float) - np.asarray(start[:n], float)
    return round(float(np.arctan2(way[1], way[0])) / (np.pi / 4)) % 8


def smoothed(rates: np.ndarray) -> np.ndarray:
    """Return rates (directions, bins, units) smoothed over time by a Gaussian of `SMOOTHED_S`; gaps stay gaps."""
    known = np.isfinite(rates)
    lags = np.arange(-4, 5)
    weights = np.exp(-0.5 * (lags * BIN_S / SMOOTHED_S) ** 2)
    sums, total = np.zeros_like(rates), np.zeros_like(rates)
    for lag, weight in zip(lags, weights, strict=True):
        here, there = (
            slice(max(lag, 0), rates.shape[1] + min(lag, 0)),
            slice(max(-lag, 0), rates.shape[1] - max(lag, 0)),
        )
        sums[:, here] += weight * np.where(known, rates, 0.0)[:, there]
        total[:, here] += weight * known[:, there]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, sums / total, np.nan)


class TrialAligned:
    """Counts of every unit around the events of the newest trials.

    Parameters
    ----------
    n_units : int

    Attributes
    ----------
    total : int
        Trials ever added.
    """

    def __init__(self, n_units: int):
        self.n_units, self.total = n_units, 0
        self._counts = {name: np.zeros((MOST_TRIALS, len(bins_of(name)), n_units), np.float32) for name in ALIGNMENTS}
        self._seen_s = {name: np.zeros((MOST_TRIALS, len(bins_of(name))), np.float32) for name in ALIGNMENTS}
        self._direction = np.zeros(MOST_TRIALS, int)
        self._success = np.zeros(MOST_TRIALS, bool)

    def add(self, columns, ends_s, widths_s, begin_s: float, end_s: float, direction: int, success: bool) -> None:
        """Add a trial from the columns of the raster.

        Parameters
        ----------
        columns : ndarray, (columns, units)
        ends_s, widths_s : ndarray, (columns,)
            When each ended, in session time, and how long it was.
        begin_s, end_s : float
            Of the trial.
        direction : int
            Into `DIRECTIONS`.
        success : bool
        """
        row = self.total % MOST_TRIALS
        middles = ends_s - 0.5 * widths_s
        for name, event_s in (("go", begin_s), ("end of trial", end_s)):
            counts, seen_s = self._counts[name], self._seen_s[name]
            counts[row], seen_s[row] = 0.0, 0.0
            first, _ = ALIGNMENTS[name]
            at = np.floor((middles - event_s - first) / BIN_S).astype(int)
            inside = (at >= 0) & (at < counts.shape[1]) & (middles <= end_s)
            np.add.at(counts[row], at[inside], columns[inside])
            np.add.at(seen_s[row], at[inside], widths_s[inside])
        self._direction[row], self._success[row] = direction, success
        self.total += 1

    @property
    def size(self) -> int:
        """Trials that are kept."""
        return min(self.total, MOST_TRIALS)

    def rates(self, alignment: str) -> np.ndarray:
        """Return mean rates by direction, Hz, (8, bins, units); not a number where nothing was seen."""
        counts, seen_s = self._counts[alignment][: self.size], self._seen_s[alignment][: self.size]
        found = np.full((8, *counts.shape[1:]), np.nan)
        for direction in range(8):
            chosen = self._direction[: self.size] == direction
            if chosen.any():
                time_s = seen_s[chosen].sum(axis=0)[:, None]
                with np.errstate(invalid="ignore", divide="ignore"):
                    found[direction] = np.where(time_s > 0, counts[chosen].sum(axis=0) / time_s, np.nan)
        return found

    def trials_of(self, alignment: str, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """Return counts (trials, bins) of one unit, and the trials' directions, sorted by direction."""
        order = np.argsort(self._direction[: self.size], kind="stable")
        return self._counts[alignment][: self.size][order, :, unit], self._direction[: self.size][order]

    def components(self, alignment: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the path of every direction in the two largest components, (8, bins, 2), and the shares of variance.

        Principal components of the mean rates, square roots taken so that lively units do not drown the others.
        """
        rates = smoothed(self.rates(alignment))
        known = np.isfinite(rates).all(axis=2)
        if known.sum() < 8 or self.n_units < 2:
            return None
        points = np.sqrt(rates[known])
        centred = points - points.mean(axis=0)
        variances, sides = np.linalg.eigh(centred @ centred.T)  # as small as there are points, whatever the units
        variances = np.maximum(variances[::-1], 0.0)
        paths = np.full((8, rates.shape[1], 2), np.nan)
        paths[known] = sides[:, ::-1][:, :2] * np.sqrt(variances[:2])
        return paths, variances[:2] / max(float(variances.sum()), 1e-12)
