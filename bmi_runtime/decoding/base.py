"""What a decoder is, and the table of those that come with the project."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from bmi_runtime import registry
from bmi_runtime.errors import BadInput

DECODERS = {  # name: "module:class"; a package of someone else's adds to it by an entry point of group ENTRY_POINTS
    "point-process": "bmi_runtime.decoding.velocity_filter:VelocityFilter",
    "kalman": "bmi_runtime.decoding.velocity_filter:VelocityFilter",
    "recurrent": "bmi_runtime.decoding.seat:recurrent_from_file",  # decoder.fitted_file of 'bmi train'
    "fitted": "bmi_runtime.decoding.seat:seat_from_file",  # any of FITTED, from the file decoder.fitted_file
}
ENTRY_POINTS = "bmi_runtime.decoders"
FITTED = {  # decoders with `fit`: learned from a training part in one go, then they decode bin by bin
    "recurrent": "bmi_runtime.decoding.recurrent:RecurrentDecoder",
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
ADAPTED = {  # fitted to a calibration, then adapted in control from intentions: for comparison in the closed loop
    "smoothbatch": "bmi_runtime.decoding.smooth_batch:SmoothBatch",
    "rml": "bmi_runtime.decoding.recursive_likelihood:RecursiveLikelihood",
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
    """Return the names of all decoders of sessions, those of other packages included."""
    return sorted(registry.names(DECODERS, ENTRY_POINTS))


def decoder_class(name: str) -> Any:
    """Return what makes the decoder `name` of a session, from the live model and the options of ``[decoder]``.

    Raises
    ------
    BadInput
        When there is none of that name, or another package's decoder cannot be imported.
    """
    if name in FITTED and name not in DECODERS:
        raise BadInput(
            f"the decoder '{name}' is fitted to data first: 'bmi compare DATA --decoders {name} --write FILE.npz', "
            "then decoder.kind = 'fitted' and decoder.fitted_file = 'FILE.npz'"
        )
    return registry.find("decoder", DECODERS, ENTRY_POINTS, name)


def fitted_names() -> list[str]:
    """Return the names of all decoders that can be fitted to data, those of other packages included."""
    return registry.names(FITTED, ENTRY_POINTS)


def is_file(name: str) -> bool:
    """Return whether the name of a decoder is that of a file: one that was written before, or an ONNX model."""
    return name.endswith((".npz", ".onnx"))


def fit_decoder(name: str, training: Any, **options: Any) -> Any:
    """Return the decoder `name` fitted to a training part (`bmi_runtime.decoding.fitted.Training`).

    A file's name stands for the decoder in the file, which is taken as it is and learns nothing here. The options are
    those of the row's ``fit`` (``half_life_s`` of those in `ADAPTED`).

    Raises
    ------
    BadInput
        When there is none of that name, or another package's decoder cannot be loaded or fails.
    """
    if is_file(name):
        from bmi_runtime.decoding.fitted_file import load_fitted

        return load_fitted(name).suited(training.counts.shape[1], training.bin_s)
    if name in FITTED or name in ADAPTED:
        return registry.load_row((FITTED | ADAPTED)[name]).fit(training, **options)
    if name not in fitted_names():
        raise registry.unknown("decoder", name, fitted_names())
    from bmi_runtime.decoding.falcon import FalconDecoder

    return FalconDecoder.fitted(decoder_class(name), name, training)
