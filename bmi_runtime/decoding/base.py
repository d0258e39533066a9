"""What a decoder is, and the table of those that come with the project."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

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
OWN = ("point-process", "kalman")
FILTER_OF = {"poisson": "point-process", "gaussian": "kalman"}
"""Which of the project's own decoders fits the units: the evidence of a bin is that of their likelihood."""
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


TABLE = registry.Table("decoder", DECODERS, ENTRY_POINTS, ("predict(counts)",))


class NotFinite(BadInput):
    """A decoder's answer is not finite: it may recover, so the session freezes and starts it again."""


@runtime_checkable
class Decoder(Protocol):
    """What every decoder can do; the other protocols of this module are what it may be able to do (FALCON's verbs).

    Sizes: counts are (units,), the answer is a velocity (m/s, one number per axis) or position (m) and velocity.
    """

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Take one bin in and return velocity, or position and velocity. May take ``valid`` (units,) beside it."""


@runtime_checkable
class Resets(Protocol):
    """Forgets its state when asked."""

    def reset(self) -> None:
        """Forget the state; keep the parameters."""


@runtime_checkable
class Observes(Protocol):
    """Takes bins in that nobody wants decoded."""

    def observe(self, counts: np.ndarray) -> None:
        """Take one bin in."""


@runtime_checkable
class NotesTrials(Protocol):
    """Wants to know when a trial ended."""

    def on_done(self) -> None:
        """Take note that a trial ended."""


@runtime_checkable
class Coasts(Protocol):
    """Knows what to do in a bin without data; otherwise the velocity is kept."""

    def coast(self) -> None:
        """Go on one bin without data; ``state`` is read afterwards where it has one."""


@runtime_checkable
class TakesPosition(Protocol):
    """Wants to know where the cursor is (assist and walls move it, too)."""

    def set_position(self, *position_m: float) -> None:
        """Take the cursor's position as known, one number per axis."""


@runtime_checkable
class Snapshots(Protocol):
    """Says itself what its next bin depends on; otherwise its arrays, numbers and texts are taken."""

    def snapshot(self) -> dict[str, Any]:
        """Return copies: arrays, numbers, texts, and lists and dicts of them."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put a :meth:`snapshot` back."""


@runtime_checkable
class ReportsLargestRate(Protocol):
    """Has a model of the units' rates that can explode."""

    largest: float
    """The largest log expected count per bin of the newest one."""


class SessionDecoder(Protocol):
    """What the step asks for: the project's own filter has it, a host (`decoding.hosting`) gives it to any other."""

    state: np.ndarray
    variance: np.ndarray
    failure: str

    @property
    def largest(self) -> float:
        """The largest log expected count per bin of the newest one."""

    def predict(
        self,
        counts: np.ndarray,
        valid: np.ndarray | None = None,
        features: np.ndarray | None = None,
        features_valid: np.ndarray | None = None,
    ) -> np.ndarray:
        """Take one bin in and return position (m) and velocity (m/s)."""

    def coast(self) -> None:
        """Go on one bin without data."""

    def reset(self) -> None:
        """Forget the state."""

    def set_position(self, *position_m: float) -> None:
        """Take the cursor's position as known."""

    def on_done(self) -> None:
        """Take note that a trial ended."""

    def is_kin_of(self, other: Any) -> bool:
        """Return whether another decoder's snapshot can be put back here."""

    def snapshot(self) -> dict[str, Any]:
        """Return copies of what the next bin depends on."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put a :meth:`snapshot` back."""


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
        raise BadInput(
            f"the decoder '{name}' is fitted to data first: 'bmi compare DATA --decoders {name} --write FILE.npz', "
            "then decoder.kind = 'fitted' and decoder.fitted_file = 'FILE.npz'"
        )
    return TABLE.find(name)


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
    return fit_other(name, training)


def fit_other(name: str, training: Any) -> Any:
    """Return the decoder `name` of another package, fitted to a training part or made with a model that was."""
    from bmi_runtime.decoding.falcon import FalconDecoder

    return FalconDecoder.fitted(decoder_class(name), name, training)
