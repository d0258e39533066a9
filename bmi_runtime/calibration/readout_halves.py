"""What a read-out's rate really costs along a recording: two filters, each taught by its own half of the bins.

Blocks of a few seconds are given to the two in turn. Whatever the best weights do, they do to both, so that half the
mean squared difference of what the two read out is the excess error of one of them: drift, and that the best weights
are not known, drop out. Each is taught half of the time, and is predicted so: with ``P(l)`` the share of bins that are,
together with the one l bins later, in the half, ``k = p m / 2`` and

    D = sum_a m_a p_a^2 / (Z (1 - (1 - k_a)^2)) (G_a(0) P(0) + 2 sum_l (1 - k_a)^l G_a(l) P(l))

once it has settled (before, the share that is there by then): the form of :mod:`bmi_runtime.calibration.readout` with
the scores that are taught. Blocks should be longer than the scores are correlated: across an edge the halves err
alike, which lowers their difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bmi_runtime.calibration.readout import ReadoutPilot, halved, steady_variance
from bmi_runtime.kernels import readout as kernels

BLOCKS_S = (4.0, 6.0, 9.0, 13.0)  # in turn to one filter and the other; several lengths, so that no trial fits one
SETTLED = 0.25  # of the stretch, left out


@dataclasses.dataclass(frozen=True)
class Cost:
    """Excess squared error of one output at a rate, taught half of the time.

    Attributes
    ----------
    rate : float
    measured, expected, white : float
        Of the two halves, from the scores, and from the scores taken as white.
    """

    rate: float
    measured: float
    expected: float
    white: float


def cost_of(
    features: np.ndarray, residual: np.ndarray, rate: float, bin_s: float, blocks_s: Sequence[float] = BLOCKS_S
) -> Cost:
    """Return what a rate costs along recorded features, mean of several lengths of blocks: one division is one sample.

    Parameters
    ----------
    features : ndarray, shape (bins, p)
    residual : ndarray, shape (bins, outputs)
        Truth minus the read-out that is corrected; bins that are not finite teach nothing.
    rate : float
        s, per bin.
    bin_s : float
    blocks_s : sequence of float
        Lengths of the blocks; each is tried from its beginning and from its middle.
    """
    known = np.isfinite(residual).all(axis=1)
    best = np.linalg.lstsq(features[known], residual[known], rcond=None)[0]
    left = np.where(known[:, None], residual - features @ best, 0.0)
    pilot = ReadoutPilot.measured(features, np.where(known[:, None], left, np.nan), bin_s)
    settled, found = (round(SETTLED * len(features)), len(features)), []
    for block in (max(round(block_s / bin_s), 2) for block_s in blocks_s):
        for shift in (0, block // 2):
            first = ((np.arange(len(features)) + shift) // block) % 2 == 0
            said = [_taught_by(features, left, half & known, rate, pilot.noise) for half in (first, ~first)]
            measured = 0.5 * float(((said[0] - said[1])[slice(*settled)] ** 2).mean())
            found.append((measured, *halved(pilot, rate, block, settled)))
    return Cost(rate, *(float(value) for value in np.mean(found, axis=0)))


def _taught_by(features: np.ndarray, left: np.ndarray, taught: np.ndarray, rate: float, noise: float) -> np.ndarray:
    """Return what a filter reads out of every bin, (bins, outputs), that is taught these bins alone."""
    size, outputs = features.shape[1], left.shape[1]
    values, vectors = np.linalg.eigh(features.T @ features / len(features))
    m = 0.5 * np.maximum(values, 1e-12) / noise
    covariance = np.ascontiguousarray((vectors * steady_variance(m, rate)) @ vectors.T)
    weights, work, said = np.zeros((size, outputs)), np.zeros(size), np.zeros((len(features), outputs))
    rows = np.ascontiguousarray(features)
    for t, g in enumerate(rows):
        kernels.read_out(g, weights, said[t])
        if taught[t]:
            kernels.teach(g, left[t], rate, noise, weights, covariance, work)
        else:
            covariance[np.diag_indices(size)] += rate
    return said
