"""Two answers mixed, each kinematic column by its share."""

from __future__ import annotations

import numpy as np


def mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return `second` by its share and `first` for the rest; where one is not known, the other."""
    both = (1.0 - share) * first + share * second
    return np.where(np.isfinite(second), np.where(np.isfinite(first), both, second), first)


def best_share(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray,
    first_less: np.ndarray | float = 0.0, second_less: np.ndarray | float = 0.0,
) -> np.ndarray:  # fmt: skip
    """Return the share in [0, 1] of `second` that minimises the squared error, per column; 0 where none is known.

    With ``d = second - first`` the error ``|truth - first - share d|^2`` is least at ``d'(truth - first) / d'd``. Where
    one network was judged and several are to be averaged, `first_less` and `second_less` say how much less variance
    the average has (per bin): its errors have that much less of their own, and the share is best for those.

    Parameters
    ----------
    truth, first, second : ndarray, shape (bins, columns)
    first_less, second_less : ndarray, shape (columns,), or float
    """
    known = np.isfinite(truth) & np.isfinite(first) & np.isfinite(second)
    bins = known.sum(axis=0)
    step = np.where(known, second - first, 0.0)
    wanted = np.where(known, truth - first, 0.0)
    size = (step**2).sum(axis=0) - bins * (np.nan_to_num(first_less) + np.nan_to_num(second_less))
    toward = (step * wanted).sum(axis=0) - bins * np.nan_to_num(first_less)
    inside = np.clip(toward / np.where(size > 0.0, size, 1.0), 0.0, 1.0)
    return np.where(size > 0.0, inside, 2.0 * toward > size)  # no minimum between: the better end
