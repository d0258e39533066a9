"""Half lives of exponentially forgetting re-estimation: RML and SmoothBatch, from the same information matrix.

Recursive maximum likelihood weighs past bins by ``f^age``, ``f = 2^(-1 / half life)``. In the modes of the information
M per bin (eigenvalues m, score variance n) its weights settle, for a constant truth, at

    E_a = (1 - f) / (1 + f) n_a / m_a^2,     C = ln(threshold) / ln(f) bins,

which is the filter of the other pages with the same gain ``k = 1 - f`` in every mode: forgetting moves all directions
alike, where a random-walk prior moves those with much information faster. SmoothBatch keeps ``rho = 2^(-batch / half
life)`` of what it was after every batch of B bins, whose own estimate has the covariance ``n / (m^2 B)``:

    E_a = (1 - rho) / (1 + rho) n_a / (m_a^2 B),     C = B ln(threshold) / ln(rho) bins.

For B = 1 the two are one. Overdispersed, correlated scores multiply E by the same factor as elsewhere, about
``1 + 2 sum_l f^l r(l)`` (Derived here; checked by simulation in the tests.)
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.calibration.closed_form import Information

METHODS = ("smoothbatch", "rml")


@dataclasses.dataclass(frozen=True)
class Forgetting:
    """A method of re-estimation and its half life.

    Attributes
    ----------
    half_life_bins : float
    batch_bins : int
        1 for RML.
    """

    half_life_bins: float
    batch_bins: int = 1

    @property
    def kept(self) -> float:
        """What is kept of the old estimate over one batch."""
        return 2.0 ** (-self.batch_bins / self.half_life_bins)

    def error_in_modes(self, info: Information) -> np.ndarray:
        """Return the steady error variance of the weights in every mode, shape (units, dims)."""
        share = (1.0 - self.kept) / (1.0 + self.kept)
        return share / self.batch_bins * _batch_variance(info)

    def convergence_bins(self, threshold: float) -> float:
        """Return the bins until the mean error is down to `threshold` of its start."""
        return self.batch_bins * np.log(threshold) / np.log(self.kept)


def _batch_variance(info: Information) -> np.ndarray:
    """Return the error variance of an estimate from one bin, in every mode: ``n / m^2``."""
    score = np.diagonal(info.score_in_modes, axis1=-2, axis2=-1)
    return score / info.eigenvalues**2


def half_life_for_error(info: Information, max_error: float, batch_bins: int = 1) -> float:
    """Return the shortest half life, in bins, at which no unit's weights have a variance above `max_error`.

    Raises
    ------
    ValueError
        When a batch without any memory is already better, or the bound is not above zero.
    """
    share = max_error * batch_bins / float(_batch_variance(info).max())
    if not share > 0.0:
        raise ValueError(f"an error variance of {max_error:g} cannot be")
    if share >= 1.0:
        raise ValueError("one batch without memory has a smaller error already; any half life keeps the bound")
    return batch_bins / np.log2((1.0 + share) / (1.0 - share))


def half_life_for_convergence(bins: float, threshold: float) -> float:
    """Return the half life, in bins, that converges to `threshold` in `bins`.

    Raises
    ------
    ValueError
        When `bins` is not above zero.
    """
    if not bins > 0.0:
        raise ValueError(f"a convergence in {bins:g} bins makes no sense")
    return bins * np.log(2.0) / -np.log(threshold)
