"""Perfect separation: where the likelihood has a supremum but no maximum.

If a column of the design is never negative, is positive somewhere, and is zero whenever the unit fires, then lowering
its coefficient never lowers the likelihood: the coefficient runs to minus infinity (an absolute refractory period
does this to a unit's own short lags). That is a statement about the data, tested exactly on ``X.T @ counts``, not a
guess from a large coefficient. In the limit the rate is zero in every bin where the column is positive; the other
coefficients are those of a fit without these bins, which is what holding the coefficient at minus infinity computes
(Albert & Anderson 1984 for the logistic case).
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.analysis.glm.design import IMPOSSIBLE


def set_separated_aside(prepared, names: list[str]) -> None:
    """Hold separated coefficients at minus infinity and list them in ``prepared.separated``."""
    objective = prepared.objective
    design = objective.design
    positive = prepared.gram[0]
    history = np.arange(1, 1 + design.history_columns)
    found = np.zeros(objective.free.shape, bool)
    if len(history) and (design.basis >= 0).all():
        found[history] = (objective.cross[history] == 0) & (positive[history] > 0)[:, None]
    covered = _refractory_columns(objective)
    found &= objective.free & ~covered
    for unit in np.flatnonzero(found.any(axis=0)):
        prepared.separated += _describe(objective, unit, np.flatnonzero(found[:, unit]), positive, names)
    found |= covered & objective.free
    prepared.fixed[found] = IMPOSSIBLE
    objective.free[found] = False
    _one_sided_covariates(prepared, names)


def _refractory_columns(objective) -> np.ndarray:
    """Return own-history columns that live entirely inside the declared refractory lags."""
    design = objective.design
    covered = np.zeros(objective.free.shape, bool)
    lags = design.refractory_bins
    if lags:
        inside = ~(design.basis[lags:] > 0).any(axis=0)
        for unit in range(objective.units):
            covered[design.history(design.own[unit]), unit] = inside
    return covered


def _describe(objective, unit, rows, positive, names) -> list[dict]:
    """Return one entry per source: which lags never precede a spike, and how many spikes chance would put there."""
    design = objective.design
    functions = design.basis.shape[1]
    rate = objective.cross[0, unit] / design.rows
    entries = []
    for source in np.unique((rows - 1) // functions):
        columns = rows[(rows - 1) // functions == source]
        lags = np.flatnonzero((design.basis[:, (columns - 1) % functions] > 0).any(axis=1)) + 1
        expected = float(rate * positive[columns].sum())
        entries.append(
            {
                "target": int(unit),
                "source": int(source),
                "lags": lags.tolist(),
                "expected_spikes": expected,
                "meaning": f"{names[unit]} never fires at these lags after {names[source]} "
                f"({expected:.1f} spikes expected by chance): coefficients are minus infinity",
            }
        )
    return entries


def _one_sided_covariates(prepared, names) -> None:
    """Find covariates that have one sign and are zero whenever the unit fires."""
    objective = prepared.objective
    design = objective.design
    if not design.covariates:
        return
    leads = design.covariates.leads
    for row in range(1 + design.history_columns, design.parameters):
        covariate, lead = divmod(row - 1 - design.history_columns, len(leads))
        sign = design.covariates.sign[covariate]
        for unit in np.flatnonzero(objective.cross[row] == 0) if sign else ():
            if not objective.free[row, unit]:
                continue
            prepared.fixed[row, unit] = sign * IMPOSSIBLE
            objective.free[row, unit] = False
            prepared.separated.append(
                {
                    "target": int(unit),
                    "covariate": int(covariate),
                    "lead": int(leads[lead]),
                    "meaning": f"{names[unit]} never fires while covariate {covariate} is not zero: "
                    "its weight is infinite",
                }
            )
