"""The tables of decoders: name to "module:class", those of other packages added by entry points."""

from __future__ import annotations

from typing import Any

from bmi_runtime import registry
from bmi_runtime.errors import BadInput

DECODERS = {  # name: "module:class"; a package of someone else's adds to it by an entry point of group ENTRY_POINTS
    "point-process": "bmi_runtime.decoding.velocity_filter:VelocityFilter",
    "kalman": "bmi_runtime.decoding.velocity_filter:VelocityFilter",
    "recurrent": "bmi_runtime.decoding.closed_loop_decoder:recurrent_from_file",  # a file of 'bmi train'
    "joined": "bmi_runtime.decoding.closed_loop_decoder:joined_from_file",  # a file of 'bmi train --kind joined'
    "fitted": "bmi_runtime.decoding.closed_loop_decoder:fitted_from_file",  # any of FITTED, from a file
}
ENTRY_POINTS = "bmi_runtime.decoders"
OWN = ("point-process", "kalman")
FILTER_OF = {"poisson": "point-process", "gaussian": "kalman"}
"""Which of the project's own decoders fits the units: the evidence of a bin is that of their likelihood."""
FITTED = {  # decoders with `fit`: learned from a training part in one go, then they decode bin by bin
    "recurrent": "bmi_runtime.decoding.recurrent:RecurrentDecoder",
    "joined": "bmi_runtime.decoding.joined:JoinedDecoder",
    "short-history": "bmi_runtime.decoding.short_history:ShortHistoryDecoder",
    "history": "bmi_runtime.decoding.adaptive_decoders:LearnedHistoryDecoder",
    "point-process": "bmi_runtime.decoding.adaptive_decoders:PointProcessDecoder",
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
TRAINED = ("recurrent", "joined", "short-history")  # of FITTED, by ``bmi train``
FROM_FILES = FITTED | {"onnx": "bmi_runtime.decoding.onnx_model:OnnxDecoder"}
ADAPTED = {  # fitted to a calibration, then adapted in control from intentions: for comparison in the closed loop
    "smoothbatch": "bmi_runtime.decoding.smooth_batch:SmoothBatch",
    "rml": "bmi_runtime.decoding.recursive_likelihood:RecursiveLikelihood",
}


TABLE = registry.Table("decoder", DECODERS, ENTRY_POINTS, ("predict(counts)",))


def names() -> list[str]:
    """Return the names of all decoders of sessions, those of other packages included."""
    return sorted(TABLE.names())


def decoder_class(name: str) -> Any:
    """Return what makes the decoder `name` of a session, from the live model and the options of ``[decoder]``.

    Raises
    ------
    BadInput
        When there is none of that name, or another package's decoder cannot be imported.
    """
    if name in FITTED and name not in TABLE.names():
        makes = f"bmi compare DATA --decoders {name} --write FILE.npz"
        if name in TRAINED:
            makes = f"bmi train DATA --kind {name} --out FILE.npz"
        raise BadInput(
            f"the decoder '{name}' is fitted to data first: '{makes}', then decoder.kind = 'fitted' and "
            "decoder.fitted_file = 'FILE.npz'"
        )
    return TABLE.find(name)


def fitted_names() -> list[str]:
    """Return the names of all decoders that can be fitted to data, those of other packages included."""
    return registry.names(FITTED, ENTRY_POINTS)
