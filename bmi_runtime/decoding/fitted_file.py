"""Fitted decoders in files: an ``.npz`` of numbers and arrays (no pickle), or an ONNX model of someone else's."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import zipfile
from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.decoding import base
from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import write_npz

FORMAT = "bmi-runtime fitted decoder 1"


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A decoder that was fitted before, as a session or a comparison takes it.

    Attributes
    ----------
    name : str
        Its file, for messages.
    kind : str
        Row of `FITTED`, or "onnx".
    parameters : dict
        What the decoder is made from.
    units : int
    bin_s : float or None
        Width of the bins that it was fitted to; None where that is not known.
    velocity_unit_m_s : float or None
        1 where it decodes m/s; None where the unit is not known.
    blank : ndarray, shape (units,), or None
        Mean counts, in place of missing ones.
    digest : str
        Of the file's numbers.
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    units: int
    bin_s: float | None
    velocity_unit_m_s: float | None
    blank: np.ndarray | None
    digest: str

    def suited(self, units: int, bin_s: float) -> Any:
        """Return a decoder of its own for data with these units and bins.

        Raises
        ------
        BadInput
            When it was fitted to others.
        """
        if self.units != units:
            raise BadInput(f"{self.name} decodes {self.units} units; these data have {units}")
        if self.bin_s is not None and abs(self.bin_s - bin_s) > 1e-9:
            raise BadInput(
                f"{self.name} was fitted to bins of {1e3 * self.bin_s:g} ms; these are {1e3 * bin_s:g} ms wide"
            )
        if self.kind == "onnx":
            from bmi_runtime.decoding.onnx_model import OnnxDecoder

            return OnnxDecoder(self.name, self.parameters["model"])
        try:
            return registry.load_row(base.FITTED[self.kind]).from_parameters(self.parameters)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadInput(f"{self.name} is not a whole fitted decoder: {type(error).__name__}: {error}") from None


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
        When the decoder is no row of our table, the file exists, or it cannot be written.
    """
    path = pathlib.Path(path)
    if kind not in base.FITTED:
        raise BadInput(f"the decoder '{kind}' is not one that can be written; choose from {', '.join(base.FITTED)}")
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
        raise BadInput(f"{path} exists; give another name (nothing is ever written over)")


def load_fitted(path) -> Fitted:
    """Read a fitted decoder.

    Raises
    ------
    BadInput
        When the file is missing, damaged, of another kind, or of a decoder that is not known here.
    """
    path = pathlib.Path(path)
    if path.suffix == ".onnx":
        from bmi_runtime.decoding.onnx_model import load_onnx

        return load_onnx(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
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
    if kind not in base.FITTED:
        raise registry.unknown("decoder", kind, base.FITTED)
    if not all(np.isfinite(value).all() for value in (blank, *parameters.values())):
        raise BadInput(f"{path} holds a parameter that is not finite")
    return Fitted(str(path), kind, parameters, units, bin_s, head["velocity_unit_m_s"], blank, digest_of(parameters))


def _plain(value: np.ndarray) -> Any:
    return value if value.ndim else value.item()


def digest_of(parameters: dict[str, Any]) -> str:
    """Return what names a set of parameters: a hash of their bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(parameters):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(parameters[name]).tobytes())
    return digest.hexdigest()
