"""Variables of ``.mat`` files: those of MATLAB up to 7.2 through scipy, those of 7.3 (HDF5) through h5py."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput, first_line

HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_OFFSET = 512  # MATLAB writes a header of its own before it
DEEPEST, MOST_SHOWN = 2, 16  # levels of structs, and variables, named in a message


def mat_variables(path: pathlib.Path) -> dict[str, Any]:
    """Return the variables of a ``.mat`` file: arrays as MATLAB shows them, structs, and object arrays of cells.

    Nothing is squeezed: one bin of forty units (40 x 1) and forty bins of one unit (1 x 40) stay what they are.

    Raises
    ------
    BadInput
        When it is not one, or is one of version 7.3 and h5py is not installed.
    """
    with open(path, "rb") as file:
        head = file.read(HDF5_OFFSET + len(HDF5))
    if head[HDF5_OFFSET:] == HDF5 or head.startswith(HDF5):
        return _hdf5_variables(path)
    import scipy.io

    try:
        variables = scipy.io.loadmat(path, squeeze_me=False, struct_as_record=False)
    except Exception as error:  # scipy raises many kinds on a damaged file
        reason = first_line(error)
        raise BadInput(f"{path.name}: not a readable .mat file ({reason})") from None
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def _hdf5_variables(path) -> dict[str, Any]:
    try:
        import h5py
    except ImportError:
        raise BadInput(f"{path.name}: reading .mat of version 7.3 needs h5py; pip install 'bmi-runtime[nwb]'") from None
    try:
        with h5py.File(path, "r") as file:
            return {name: _value(file, item) for name, item in file.items() if not name.startswith("#")}
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise BadInput(f"{path.name}: not a readable .mat file of version 7.3 ({first_line(error)})") from None


def _value(file, item) -> Any:
    """Return an array as MATLAB shows it (HDF5 holds it transposed), a dict for a struct, an object array for cells."""
    import h5py

    if isinstance(item, h5py.Group):
        return _sparse(item) if "MATLAB_sparse" in item.attrs else _struct(file, item)
    if item.attrs.get("MATLAB_empty", 0):
        return np.zeros(tuple(int(size) for size in np.ravel(item[()])))
    if item.dtype != h5py.ref_dtype:
        return np.asarray(item[()]).T
    references = np.ravel(item[()].T)
    return _together([_value(file, file[reference]) for reference in references])


def _sparse(group) -> np.ndarray:
    """Return a sparse matrix, which MATLAB keeps by compressed columns, as a full one."""
    import scipy.sparse

    stops, rows = np.ravel(group["jc"][()]), int(group.attrs["MATLAB_sparse"])
    data, ir = (np.ravel(group[name][()]) if name in group else np.zeros(0, int) for name in ("data", "ir"))
    return scipy.sparse.csc_array((data, ir, stops), shape=(rows, len(stops) - 1)).toarray()


def _struct(file, group) -> Any:
    """Return a struct as a dict; an array of structs, whose fields are lists of references, as an array of dicts."""
    import h5py

    fields = list(group.values())
    is_array = bool(fields) and all(
        isinstance(field, h5py.Dataset) and field.dtype == h5py.ref_dtype and "MATLAB_class" not in field.attrs
        for field in fields
    )
    values = {name: _value(file, item) for name, item in group.items()}
    if not is_array:
        return values
    return _together([{name: column[row] for name, column in values.items()} for row in range(fields[0].size)])


def _together(values: list[Any]) -> np.ndarray:
    """Return values of any shape as a one-dimensional array of objects."""
    out = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        out[index] = value
    return out


def described_variables(variables: dict[str, Any]) -> str:
    """Return names and sizes of variables for a person, fields of structs as the paths that a mapping would have."""
    return ", ".join(_described("", variables))


def _described(prefix: str, fields: dict[str, Any]) -> list[str]:
    texts = []
    for name, value in sorted(fields.items()):
        path, inner = f"{prefix}{name}", value
        cells = isinstance(value, np.ndarray) and value.dtype == object and value.size > 0
        if cells:
            inner = value.ravel()[0]
            path += "[*]" if value.size > 1 else ""
            while isinstance(inner, np.ndarray) and inner.dtype == object and inner.size == 1:
                inner = inner.item()
        if hasattr(inner, "_fieldnames"):
            inner = {field: getattr(inner, field) for field in inner._fieldnames}
        if isinstance(inner, dict) and prefix.count(".") < DEEPEST:
            texts += _described(f"{path}.", inner)
        else:
            texts.append(f"{path} ({' x '.join(map(str, np.shape(inner))) or 'one value'})")
    return texts[:MOST_SHOWN] + (["..."] if len(texts) > MOST_SHOWN else [])
