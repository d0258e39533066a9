"""Two answers mixed, each kinematic column by its share."""

from __future__ import annotations

import numpy as np


def mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return `second` by its share and `first` for the rest; where one is not known, the other."""
    both = (1.0 - share) * first + share * second
    return np.where(np.isfinite(second), np.where(np.isfinite(first), both, second), first)


def best_share(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the share in [0, 1] of `second` that minimises the squared error, per column; 0 where none is known.

    With ``d = second - first`` the error ``|truth - first - share d|^2`` is least at ``d'(truth - first) / d'd``.
    """
    known = np.isfinite(truth) & np.isfinite(first) & np.isfinite(second)
    step = np.where(known, second - first, 0.0)
    wanted = np.where(known, truth - first, 0.0)
    size = (step**2).sum(axis=0)
    return np.clip((step * wanted).sum(axis=0) / np.where(size > 0.0, size, 1.0), 0.0, 1.0)
