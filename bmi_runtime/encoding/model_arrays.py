"""What a file of an encoding model holds, looked at before it is one: shapes, numbers that can be, a bin's width."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.constants import NARROWEST_BIN_S, WIDEST_BIN_S
from bmi_runtime.errors import BadInput

LARGEST_WEIGHT, LARGEST_VARIANCE = 1e6, 1e12  # beyond them a file is damaged, or its units are others
LARGEST_LOG_RATE = 12.0  # log Hz, of a spiking unit without movement: 160 kHz
ROUNDING = 1e-6  # of a unit's largest entry, by which its covariance may be asymmetric or negative
NO_COVARIANCE = (
    "the covariance of a unit in the model that was found has a negative variance, so it is not a covariance"
)
NEEDED = ("weights", "covariance", "bin_s", "likelihood")


def plain_arrays(archive: Any) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz``; one of Python objects that no model has is passed over, and never loaded."""
    arrays = {}
    for name in archive.files:
        try:
            arrays[name] = archive[name]
        except ValueError:
            if name in NEEDED:
                raise
    return arrays


def check_arrays(arrays: dict[str, np.ndarray]) -> None:
    """Raise where the arrays of a model cannot be those of units.

    Raises
    ------
    KeyError
        When one is missing.
    ValueError
        Saying what is wrong with them.
    BadInput
        When a covariance has a negative variance: the sentence is that of models of recordings.
    """
    weights, covariance = np.asarray(arrays["weights"]), np.asarray(arrays["covariance"])
    if weights.dtype.kind == "c" or covariance.dtype.kind == "c":
        raise ValueError("its numbers are complex")
    if weights.ndim != 2 or covariance.shape != (*weights.shape, weights.shape[1]):
        sizes = " and ".join(" x ".join(map(str, array.shape)) or "one value" for array in (weights, covariance))
        raise ValueError(
            f"weights are units x regressors, covariance units x regressors x regressors; they are {sizes}"
        )
    _check_bin_s(arrays["bin_s"])
    weights, covariance = weights.astype(float), covariance.astype(float)
    if not (np.isfinite(weights).all() and np.isfinite(covariance).all()):
        return  # which says so itself, by name
    if weights.size and np.abs(weights).max() > LARGEST_WEIGHT:
        raise ValueError(f"a weight of {weights.flat[np.abs(weights).argmax()]:g} cannot be")
    if str(arrays["likelihood"]) == "poisson" and weights.size and weights[:, 0].max() > LARGEST_LOG_RATE:
        raise ValueError(f"a unit would fire exp({weights[:, 0].max():g}) times a second; baselines are in log Hz")
    _check_covariance(covariance)


def _check_bin_s(given: Any) -> None:
    width = float(np.asarray(given, dtype=float).reshape(-1)[0]) if np.size(given) == 1 else float("nan")
    if not NARROWEST_BIN_S <= width <= WIDEST_BIN_S:
        hint = f"; if these are milliseconds it is {width * 1e-3:g}" if 1.0 < width <= 1e3 else ""
        raise ValueError(f"bin_s is {width:g} s, which cannot be the width of a bin{hint}")


def _check_covariance(covariance: np.ndarray) -> None:
    if not covariance.size:
        return
    largest = np.abs(covariance).max(axis=(1, 2))
    if largest.max() > LARGEST_VARIANCE:
        raise ValueError(f"a variance of {largest.max():g} cannot be")
    apart = np.abs(covariance - np.swapaxes(covariance, 1, 2)).max(axis=(1, 2)) > ROUNDING * largest
    if apart.any():
        raise ValueError(f"the covariance of unit {int(apart.argmax())} is not symmetric, so it is not a covariance")
    least = np.linalg.eigvalsh(covariance).min(axis=1)
    if (least < -ROUNDING * largest).any():
        raise BadInput(NO_COVARIANCE)
