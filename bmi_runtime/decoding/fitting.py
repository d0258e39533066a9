"""Decoders made by name: fitted to a training part, read from a file, or another package's."""

from __future__ import annotations

from typing import Any

from bmi_runtime import registry
from bmi_runtime.decoding.falcon import FalconDecoder
from bmi_runtime.decoding.fitted_file import load_fitted
from bmi_runtime.decoding.tables import ADAPTED, FITTED, decoder_class, fitted_names


def is_file(name: str) -> bool:
    """Return whether the name of a decoder is that of a file: one that was written before, or an ONNX model."""
    return name.endswith((".npz", ".onnx"))


def fit_decoder(name: str, training: Any, **options: Any) -> Any:
    """Return the decoder `name` fitted to a training part (`bmi_runtime.decoding.batch_decoder.Training`).

    A file's name stands for the decoder in the file, which is taken as it is and learns nothing here. The options are
    those of the row's ``fit`` (``half_life_s`` of those in `ADAPTED`).

    Raises
    ------
    BadInput
        When there is none of that name, or another package's decoder cannot be loaded or fails.
    """
    if is_file(name):
        return load_fitted(name).suited(training.counts.shape[1], training.bin_s, training.n_axes)
    if name in FITTED or name in ADAPTED:
        return registry.load_row((FITTED | ADAPTED)[name]).fit(training, **options)
    if name not in fitted_names():
        raise registry.unknown("decoder", name, fitted_names())
    return fit_other(name, training)


def fit_other(name: str, training: Any) -> Any:
    """Return the decoder `name` of another package, fitted to a training part or made with a model that was."""
    return FalconDecoder.fitted(decoder_class(name), name, training)
