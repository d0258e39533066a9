"""A fitted GLM as the encoding model of a live session: baseline and velocity gains of every unit, with covariances."""

from __future__ import annotations

import numpy as np

from bmi_runtime.errors import BadInput

DM_PER_UNIT = {"m/s": 10.0, "dm/s": 1.0, "cm/s": 0.1, "mm/s": 0.01}


def encoding_arrays(arrays: dict, columns: tuple[int, ...] = (0, 1), velocity_unit: str = "m/s") -> tuple[dict, list]:
    """Return the arrays of an encoding model, and notes.

    Parameters
    ----------
    arrays : dict
        Of a fit file.
    columns : tuple of int
        Which covariates are the velocity's dimensions. Their leads are summed: neighbouring leads are nearly collinear
        and only their sum is well determined.
    velocity_unit : {"m/s", "dm/s", "cm/s", "mm/s"}
        Unit of those covariates in the data of the fit; inside an encoding model velocity is in dm/s.

    Returns
    -------
    dict
        ``weights`` (units, 1 + dims): log rate in hertz at rest, then gains per dm/s. ``covariance`` (units, 1 + dims,
        1 + dims), ``bin_s``, ``likelihood`` and ``unit_names``. The baseline is that of
        :meth:`PoissonGLM.baseline_log_hz`: the history's average effect is folded in.

    Raises
    ------
    BadInput
        When the link is not exponential, the unit is unknown, or the fit lacks the velocity or standard
        errors.
    """
    if velocity_unit not in DM_PER_UNIT:
        raise BadInput(f"there is no velocity unit '{velocity_unit}'; choose from {', '.join(DM_PER_UNIT)}")
    if str(arrays["link"]) != "exponential":
        raise BadInput("an encoding model has an exponential link; fit with --link exponential")
    for name, option in (("outside_covariance", "--standard-errors auto"), ("baseline_log_hz", "bin_s in the data")):
        if name not in arrays:
            raise BadInput(f"the fit has no {name}; fit again with {option}")
    leads = max(len(arrays["leads"]), 1)
    count = arrays["covariate_weights"].shape[1] // leads
    if not columns or max(columns) >= count:
        raise BadInput(f"the fit has {count} covariates, so columns {list(columns)} cannot be its velocity")
    units = len(arrays["intercept"])
    change = np.zeros((1 + len(columns), 1 + count * leads))
    change[0, 0] = 1.0
    for row, column in enumerate(columns, 1):
        change[row, 1 + column * leads : 1 + (column + 1) * leads] = 1.0 / DM_PER_UNIT[velocity_unit]
    gains = arrays["covariate_weights"] @ change[1:, 1:].T
    weights = np.column_stack([arrays["baseline_log_hz"], gains])
    covariance = change @ arrays["outside_covariance"] @ change.T
    notes = _fill_unknown(weights, covariance, arrays)
    model = {"weights": weights, "covariance": covariance, "bin_s": arrays["bin_s"], "likelihood": np.array("poisson")}
    names = arrays.get("unit_names", np.array([f"unit {unit}" for unit in range(units)]))
    return model | {"unit_names": names}, notes


def _fill_unknown(weights: np.ndarray, covariance: np.ndarray, arrays: dict) -> list[str]:
    """Give units without finite coefficients no tuning and a wide covariance; say so."""
    unknown = ~(np.isfinite(weights).all(axis=1) & np.isfinite(covariance).all(axis=(1, 2)))
    for unit in np.flatnonzero(unknown):
        weights[unit, 1:] = np.where(np.isfinite(weights[unit, 1:]), weights[unit, 1:], 0.0)
        covariance[unit] = np.eye(covariance.shape[1])
    return [
        f"{arrays['unit_names'][unit]} has no finite coefficients or covariance: exported with unit covariance"
        for unit in np.flatnonzero(unknown)
    ]
