"""Initial densities, as masses of the cells."""

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from bmi_runtime.analysis.fokker_planck.grid import Grid
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput


class Gaussian:
    """A Gaussian restricted to v < V_F and renormalised.

    Parameters
    ----------
    mean, variance : float
        Of the Gaussian before the restriction.
    v_threshold : float
        V_F.
    taper : float
        Width over which the density is brought to zero at V_F, by the factor ``1 - exp(-(V_F - v) / taper)``; 0 for
        none. With a1 > 0 the slope at V_F matters, and a jump there, however small, would have an infinite one.
    """

    def __init__(self, mean: float, variance: float, v_threshold: float = 2.0, taper: float = 0.0):
        if not (math.isfinite(mean) and math.isfinite(variance)) or variance <= 0:
            raise BadInput(f"the initial Gaussian has variance {variance:g}: it must be positive")
        self.mean, self.variance, self.v_threshold = mean, variance, v_threshold
        self.taper = taper
        self.inside = special.ndtr((v_threshold - mean) / math.sqrt(variance))
        if self.inside < 0.5:
            raise BadInput(
                f"{1 - self.inside:.0%} of the initial Gaussian (mean {mean:g}, variance {variance:g}) lies beyond "
                f"V_F = {v_threshold:g}, where no neuron can be: lower its mean to V_F or below"
            )

    def __call__(self, v: np.ndarray) -> np.ndarray:
        """Return the density at the points `v`."""
        z = (np.asarray(v, float) - self.mean) ** 2 / (2 * self.variance)
        value = np.exp(-z) / (math.sqrt(2 * math.pi * self.variance) * self.inside)
        if self.taper > 0:
            value = value * -np.expm1(-np.maximum(self.v_threshold - np.asarray(v, float), 0.0) / self.taper)
        return np.where(np.asarray(v) <= self.v_threshold, value, 0.0)

    def spread(self) -> tuple[float, float]:
        """Return an interval that holds all but 1e-12 of the mass."""
        reach = 7.2 * math.sqrt(self.variance)
        return self.mean - reach, min(self.mean + reach, self.v_threshold)


def masses(density: Callable[[np.ndarray], np.ndarray], model: Model, grid: Grid) -> np.ndarray:
    """Return the masses of the cells (n,) of a density, normalised to one.

    Raises
    ------
    BadInput
        If the density is negative or not finite, has mass beyond V_F, or is too narrow for the grid.
    """
    beyond = model.v_threshold + np.linspace(0.0, 4.0, 401)[1:]
    outside = np.asarray(density(beyond), float)
    if np.any(outside > 1e-12):
        raise BadInput(f"the initial density has mass beyond V_F = {model.v_threshold:g}: it must vanish there")
    values = np.asarray(density(grid.v), float)
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise BadInput("the initial density must be finite and not negative")
    mass = values * grid.width
    if model.threshold_eps > 0:  # the node at V_F owns half a cell of neurons below it
        at = int(np.argmin(np.abs(grid.v - model.v_threshold)))
        mass[at] = values[at] * 0.5 * grid.edges[1, at - 1]
        mass[at + 1 :] = 0.0
    total = float(mass.sum())
    filled = np.flatnonzero(mass > 1e-6 * max(mass.max(), 1e-300))
    if total <= 0 or filled.size < 8:
        raise BadInput(
            f"the initial density covers {filled.size} cells: it is too narrow for the grid, use more --cells"
        )
    return mass / total
