"""A decoder that was fitted before, as it came out of its file."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from bmi_runtime import registry
from bmi_runtime.decoding import tables
from bmi_runtime.errors import BadInput


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

    def suited(self, units: int, bin_s: float, n_axes: int | None = None) -> Any:
        """Return a decoder of its own for data with these units, bins and axes.

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
        own = {"n_axes": n_axes} if self.kind == "onnx" else {}
        try:
            decoder = registry.load_row(tables.FROM_FILES[self.kind]).from_parameters(self.parameters | own)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadInput(f"{self.name} is not a complete fitted decoder: {type(error).__name__}: {error}") from None
        decoded = len(decoder.variance) // 2
        if n_axes is not None and decoded != n_axes:
            raise BadInput(f"{self.name} decodes {decoded} axes; this session has {n_axes}")
        return decoder


def digest_of(parameters: dict[str, Any]) -> str:
    """Return what names a set of parameters: a hash of their bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(parameters):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(parameters[name]).tobytes())
    return digest.hexdigest()
