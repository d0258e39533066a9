"""Fitted decoders in files: an ``.npz`` of numbers and arrays (no pickle), or an ONNX model of someone else's."""

from __future__ import annotations

import io
import json
import pathlib
import zipfile
from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.decoding import tables
from bmi_runtime.decoding.fitted_model import Fitted, digest_of
from bmi_runtime.decoding.onnx_model import load_onnx
from bmi_runtime.decoding.recorded_files import content_of
from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import check_writable, write_npz

FORMAT = "bmi-runtime fitted decoder 1"


def save_fitted(path, kind: str, decoder: Any, training: Any, velocity_unit_m_s: float | None, about: str) -> None:
    """Write a fitted decoder as ``.npz``.

    Parameters
    ----------
    path : path-like
        Ends in ``.npz``; a file that does not exist yet.
    kind : str
        Row of `FITTED`.
    decoder : FittedDecoder
    training : Training
        What it was fitted to.
    velocity_unit_m_s : float or None
        1 for m/s; None when the unit is not known.
    about : str
        What it was fitted to, for people.

    Raises
    ------
    BadInput
        When the decoder is not in our table, the file exists, or it cannot be written.
    """
    path = pathlib.Path(path)
    if kind not in tables.FITTED:
        raise BadInput(f"the decoder '{kind}' is not one that can be written; choose from {', '.join(tables.FITTED)}")
    check_free(path)
    head = {
        "format": FORMAT,
        "kind": kind,
        "units": training.counts.shape[1],
        "bin_s": training.bin_s,
        "velocity_unit_m_s": velocity_unit_m_s,
        "fitted_to": about,
    }
    arrays: dict[str, Any] = {f"parameter.{name}": np.asarray(value) for name, value in decoder.parameters().items()}
    write_npz(path, head=json.dumps(head), blank=training.counts.mean(axis=0), **arrays)


def check_free(path: pathlib.Path) -> None:
    """Refuse a path that is taken, or that does not end in ``.npz``."""
    if path.suffix != ".npz":
        raise BadInput(f"a fitted decoder is written as .npz, not as '{path.name}'")
    if not path.parent.is_dir():
        raise BadInput(f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists():
        raise BadInput(f"{path} exists; give another name (existing files are never overwritten)")
    check_writable(path)


def load_fitted(path) -> Fitted:
    """Read a fitted decoder.

    Raises
    ------
    BadInput
        When the file is missing, damaged, of another kind, or of a decoder that is not known here.
    """
    path = pathlib.Path(path)
    if path.suffix == ".onnx":
        return load_onnx(path)
    try:
        with np.load(io.BytesIO(content_of(path)), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(str(arrays.pop("head")))
        if head["format"] != FORMAT:
            raise BadInput(f"{path} is of another version ({head['format']}); this one reads '{FORMAT}'")
        blank = arrays.pop("blank")
        parameters = {name.removeprefix("parameter."): _plain(value) for name, value in arrays.items()}
        kind, units, bin_s = head["kind"], int(head["units"]), float(head["bin_s"])
    except FileNotFoundError:
        raise BadInput(f"there is no fitted decoder {path}") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(f"{path} is not a fitted decoder of 'bmi compare --write' ({error})") from None
    if kind not in tables.FITTED:
        raise registry.unknown("decoder", kind, tables.FITTED)
    if not all(np.isfinite(value).all() for value in (blank, *parameters.values())):
        raise BadInput(f"{path} holds a parameter that is not finite")
    return Fitted(str(path), kind, parameters, units, bin_s, head["velocity_unit_m_s"], blank, digest_of(parameters))


def _plain(value: np.ndarray) -> Any:
    return value if value.ndim else value.item()
