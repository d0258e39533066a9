"""How far from the optimum a penalised fit can be at most: a certificate, not a tolerance.

With the intercept at its best the rest of the objective is ``ridge``-strongly convex, so its minimum lies at most
``|gradient|^2 / (2 ridge)`` lower (Boyd & Vandenberghe 2004, eq. 9.9). The best intercept for the other coefficients is
known in closed form with the exponential link, and so is the gradient there: it rescales all rates.
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.likelihood import Objective


def certified_gap(objective: Objective, weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return an upper bound (units,) of how much larger the objective is than at its optimum, in nats per bin.

    NaN where nothing is certified: without a ridge, with another link, or for units without a free intercept.

    Parameters
    ----------
    objective : Objective
    weights, gradient : ndarray, shape (parameters, units)
        Coefficients and the objective's gradient there.
    """
    if objective.ridge <= 0 or objective.link != "exponential":
        return np.full(weights.shape[1], np.nan)
    counts = objective.cross / objective.design.rows
    slope = objective.penalty(weights)[1]
    known = objective.free[0] & (counts[0] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(counts[0] / (gradient[0] + counts[0]))  # of the intercept, to its best
        spikes = gradient + counts - slope  # mean of every column over bins, weighted with the rate
        rest = np.where(objective.free, np.exp(change) * spikes - counts + slope, 0.0)[1:]
        gap = counts[0] * (np.expm1(-change) + change) + (rest**2).sum(axis=0) / (2 * objective.ridge)
    return np.where(known, gap, np.nan)
