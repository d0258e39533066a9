"""What preparing a fit has found: the objective, what is held fixed, and what was done about odd inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bmi_runtime.analysis.glm.likelihood import Objective


@dataclass
class Prepared:
    """An objective with what was found on the way.

    Attributes
    ----------
    objective : Objective
    gram : ndarray, shape (parameters, parameters)
        Of the standardised design extended by silence, see :meth:`Design.gram`.
    fixed : ndarray, shape (parameters, units)
        Values of coefficients that are not free: 0, or :data:`IMPOSSIBLE` where the likelihood's supremum lies at
        minus infinity (its opposite for a covariate that is never positive).
    separated : list of dict
    notes : list of str
    silent : ndarray of bool, shape (units,)
    dropped : ndarray of bool, shape (parameters,)
        Columns that other columns already determine, or that are zero throughout.
    estimated : ndarray of bool, shape (parameters, units)
        Coefficients that the data determine, those at infinity included.
    """

    objective: Objective
    gram: np.ndarray
    fixed: np.ndarray
    separated: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    silent: np.ndarray | None = None
    dropped: np.ndarray | None = None
    estimated: np.ndarray | None = None
