"""What a decoder is, and the table of those that come with the project."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from typing import Any, Protocol

import numpy as np

from bmi_runtime.errors import BadInput

DECODERS = {  # name: "module:class"; a package of someone else's adds to it by an entry point of group ENTRY_POINTS
    "point-process": "bmi_runtime.decoding.velocity_filter:VelocityFilter",
    "kalman": "bmi_runtime.decoding.velocity_filter:VelocityFilter",
}
ENTRY_POINTS = "bmi_runtime.decoders"
FITTED = {  # decoders with `fit`: learned from a training part in one go, then they decode bin by bin
    "history": "bmi_runtime.decoding.learned:LearnedHistoryDecoder",
    "point-process": "bmi_runtime.decoding.learned:PointProcessDecoder",
    "kalman": "bmi_runtime.decoding.kalman:KalmanDecoder",
    "kalman-velocity": "bmi_runtime.decoding.kalman:VelocityKalmanDecoder",
    "kalman-steady": "bmi_runtime.decoding.kalman:SteadyKalmanDecoder",
    "refit-kalman": "bmi_runtime.decoding.refit_kalman:RefitKalmanDecoder",
    "ole": "bmi_runtime.decoding.optimal_linear:OptimalLinearEstimator",
    "population-vector": "bmi_runtime.decoding.optimal_linear:PopulationVector",
    "wiener": "bmi_runtime.decoding.wiener:WienerDecoder",
    "ridge": "bmi_runtime.decoding.wiener:RidgeDecoder",
    "wiener-cascade": "bmi_runtime.decoding.wiener:WienerCascadeDecoder",
}


class Decoder(Protocol):
    """A filter that turns a bin of counts into an estimate of the brain state (the FALCON benchmark's verbs)."""

    variance: np.ndarray
    """Variance of x, y (m^2), vx, vy (m^2/s^2)."""

    def reset(self) -> None:
        """Forget the state; keep the parameters."""

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin in and return x, y (m), vx, vy (m/s)."""

    def observe(self, counts: np.ndarray) -> None:
        """Take one bin in; nothing is wanted back."""

    def on_done(self) -> None:
        """Take note that a trial ended."""


def names() -> list[str]:
    """Return the names of all decoders, those of other packages included."""
    return sorted({*DECODERS, *(point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS))})


def decoder_class(name: str) -> Any:
    """Return the class of the decoder `name`.

    Raises
    ------
    BadInput
        When there is none of that name, or another package's decoder cannot be imported.
    """
    if name in DECODERS:
        module, _, attribute = DECODERS[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        try:
            return point.load()
        except Exception as error:
            raise BadInput(f"the decoder '{name}' of {point.value} cannot be loaded: {error}") from None
    raise BadInput(f"there is no decoder '{name}'; choose from {', '.join(names())}")


def fitted_names() -> list[str]:
    """Return the names of all decoders that can be fitted to data, those of other packages included."""
    return [*FITTED, *(point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS))]


def fit_decoder(name: str, training: Any) -> Any:
    """Return the decoder `name` fitted to a training part (`bmi_runtime.decoding.fitted.Training`).

    Raises
    ------
    BadInput
        When there is none of that name, or another package's decoder cannot be loaded or fails.
    """
    if name in FITTED:
        module, _, attribute = FITTED[name].partition(":")
        return getattr(importlib.import_module(module), attribute).fit(training)
    if name not in fitted_names():
        near = difflib.get_close_matches(name, fitted_names(), 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise BadInput(f"there is no decoder '{name}'; {hint}choose from {', '.join(fitted_names())}")
    from bmi_runtime.decoding.falcon import FalconDecoder

    return FalconDecoder.fitted(decoder_class(name), name, training)
