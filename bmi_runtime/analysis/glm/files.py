"""Files of the command line: data in, fits out. No pickle."""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import write_npz
from bmi_runtime.sources.array_checks import LARGEST_NUMBER, checked_width_s

TABLES = ("covariates", "velocity", "position")


@dataclass
class Data:
    """Counts and what belongs to them.

    Attributes
    ----------
    counts : ndarray, shape (bins, units)
    bin_s : float
    tables : dict
        Covariates by name, each (bins, k): any of ``covariates``, ``velocity``, ``position``.
    covariate_names : list of str or None
        Names of the columns of ``covariates``.
    areas : list of str or None
        Area of each unit.
    unit_names : list of str or None
    """

    counts: np.ndarray
    bin_s: float
    tables: dict = field(default_factory=dict)
    covariate_names: list | None = None
    areas: list | None = None
    unit_names: list | None = None


def open_npz(path: str, need: tuple[str, ...] = ()) -> dict:
    """Return the arrays of an ``.npz`` file; members stored without compression are memory-mapped.

    Raises
    ------
    BadInput
        If the file is absent, not an ``.npz``, or lacks a needed array.
    """
    file = pathlib.Path(path)
    if not file.exists():
        raise BadInput(f"there is no file '{path}'")
    try:
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = dict(_plain_members(file, archive, need))
    except ValueError as error:
        why = "" if "pickle" in str(error) else f" ({error})"  # numpy recommends pickles of whatever is no archive
        raise BadInput(f"'{path}' is not a readable .npz of plain arrays{why}") from error
    except Exception as error:  # numpy and zipfile raise many kinds on a damaged file
        raise BadInput(f"'{path}' is not a readable .npz of plain arrays ({error})") from error
    for name in need:
        if name not in arrays:
            raise BadInput(f"'{path}' has no array '{name}'; it has {', '.join(names) or 'nothing'}")
    return arrays


def _plain_members(file: pathlib.Path, archive, need: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of an archive; one of Python objects that nobody needs is passed over."""
    for name in archive.files:
        try:
            yield name, _member(file, archive, name)
        except ValueError:
            if name in need:
                raise


def _member(file: pathlib.Path, archive, name: str):
    """Return one array of an archive, memory-mapped when it is large and stored uncompressed."""
    info = archive.zip.getinfo(f"{name}.npy") if f"{name}.npy" in archive.zip.namelist() else None
    if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size < 1 << 24:
        return archive[name]
    with open(file, "rb") as raw:
        raw.seek(info.header_offset + 26)
        lengths = np.frombuffer(raw.read(4), "<u2")
        raw.seek(info.header_offset + 30 + int(lengths.sum()))
        version = np.lib.format.read_magic(raw)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(raw)
        if dtype.hasobject:
            raise ValueError(f"array '{name}' holds Python objects")
        return np.memmap(file, dtype, "r", raw.tell(), shape, "F" if fortran else "C")


def load_data(path: str) -> Data:
    """Return the data of an ``.npz`` with ``counts`` (bins x units), ``bin_s`` and, optionally, ``covariates``.

    ``covariates`` is (bins, k), as are ``velocity`` and ``position``; ``areas`` and ``unit_names`` hold one string per
    unit, ``covariate_names`` one per column of ``covariates``.
    """
    arrays = open_npz(path, ("counts", "bin_s"))
    bin_s = checked_width_s(str(path), arrays["bin_s"])
    tables = {name: arrays[name] for name in TABLES if name in arrays}
    for name, table in tables.items():
        _check_table(path, name, table, arrays["counts"].shape)
    units = arrays["counts"].shape[1] if arrays["counts"].ndim == 2 else 0
    labels = {key: _labels(arrays, key, units, path) for key in ("areas", "unit_names")}
    names = [str(name) for name in arrays["covariate_names"]] if "covariate_names" in arrays else None
    return Data(arrays["counts"], bin_s, tables, names, **labels)


def _check_table(path: str, name: str, table: np.ndarray, counted: tuple[int, ...]) -> None:
    if table.dtype.kind not in "biuf" or table.ndim not in (1, 2):
        raise BadInput(f"'{path}': {name} must be a table of numbers, a row a bin; it is {table.dtype} {table.shape}")
    largest = float(np.abs(table, where=np.isfinite(table), out=np.zeros(table.shape)).max(initial=0.0))
    if largest > LARGEST_NUMBER:
        raise BadInput(f"'{path}': {name} is as large as {largest:g}; give it in another unit")
    if len(counted) != 2 or len(table) == counted[0]:
        return
    other = "counts" if len(table) == counted[1] else name if table.shape[-1] == counted[0] else None
    hint = f": {other} must be transposed (a row a bin)" if other else ""
    raise BadInput(f"'{path}': counts has {counted[0]} bins and {name} {len(table)}{hint}")


def choose_covariates(data: Data, text: str = "auto") -> tuple[np.ndarray | None, list[str]]:
    """Return the covariates that `text` names, (bins, k), and a name for each.

    ``auto`` takes the table ``covariates`` if there is one; ``none`` takes nothing; ``all`` takes every table;
    otherwise a comma-separated list of tables (``velocity``) and columns (``velocity:0``, or ``0`` for
    ``covariates:0``).
    """
    if text == "auto":
        text = "covariates" if "covariates" in data.tables else "none"
    if text == "none":
        return None, []
    wanted = list(data.tables) if text == "all" else text.split(",")
    columns, names = [], []
    for part in wanted:
        for table, index in _columns(data, part.strip()):
            columns.append((table, index))
            names.append(_column_label(data, table, index))
    if not columns:
        return None, []
    whole = {table for table, _ in columns}
    if len(whole) == 1:
        only = _two_dimensional(data.tables[next(iter(whole))])
        indices = [index for _, index in columns]
        return (only if indices == list(range(only.shape[1])) else np.asarray(only[:, indices])), names
    return np.stack([_two_dimensional(data.tables[table])[:, index] for table, index in columns], axis=1), names


def _two_dimensional(table: np.ndarray) -> np.ndarray:
    return table if table.ndim == 2 else np.asarray(table)[:, None]


def _columns(data: Data, part: str) -> list[tuple[str, int]]:
    name, _, index = part.partition(":")
    if name.isdigit() and not index:
        name, index = "covariates", name
    if name not in data.tables:
        raise BadInput(f"the data have no covariates '{part}'; choose from {', '.join([*data.tables, 'none'])}")
    width = _two_dimensional(data.tables[name]).shape[1]
    if not index:
        return [(name, k) for k in range(width)]
    if not index.isdigit() or int(index) >= width:
        raise BadInput(f"'{name}' has columns 0 to {width - 1}, not '{index}'")
    return [(name, int(index))]


def _column_label(data: Data, table: str, index: int) -> str:
    if table == "covariates" and data.covariate_names:
        return data.covariate_names[index]
    axis = "xyz"[index] if table != "covariates" and index < 3 else str(index)
    return f"{table}_{axis}"


def _labels(arrays, key: str, units: int, path: str) -> list | None:
    if key not in arrays:
        return None
    labels = [str(value) for value in np.atleast_1d(arrays[key])]
    if len(labels) != units:
        raise BadInput(f"'{key}' in '{path}' has {len(labels)} entries for {units} units")
    return labels


def save_fit(path: str, model, areas=None, covariate_names=None) -> None:
    """Write a fit as plain arrays (see the table in the documentation)."""
    from bmi_runtime.analysis.glm.family_model import FamilyGLM

    arrays = {
        "intercept": model.intercept_,
        "coupling": model.coupling_,
        "covariate_weights": model.covariate_weights_.reshape(len(model.intercept_), -1),
        "standard_errors": _or_nan(model.standard_errors_, model),
        "basis_weights": model.basis_weights_,
        "basis": model.basis_,
        "leads": np.asarray(model.design_.covariates.leads if model.design_.covariates else (), int),
        "link": np.array(model.link),
        "family": np.array(model.family if isinstance(model, FamilyGLM) else "poisson"),
        "shape": model.shape_ if isinstance(model, FamilyGLM) else np.zeros(len(model.intercept_)),
        "ridge": np.array(model.ridge),
        "smooth": np.array(model.smooth),
        "refractory_bins": np.array(model.refractory_bins),
        "connections": model.connections_,
        "log_likelihood": model.log_likelihood_ - model.log_factorial_,
        "spikes": model.spikes_,
        "mean_count": model.mean_count_,
        "bin_s": np.array(np.nan if model.bin_s_ is None else model.bin_s_),
        "unit_names": np.array(model.unit_names_),
        "standard_errors_method": np.array(model.standard_errors_method_),
    }
    if model.uncertainty_ is not None:
        arrays["filter_standard_errors"] = model.uncertainty_.filters
        arrays["outside_covariance"] = model.uncertainty_.outside
    if model.bin_s_:
        arrays["baseline_log_hz"] = model.baseline_log_hz()
    if areas:
        arrays["areas"] = np.array(areas)
    if covariate_names:
        arrays["covariate_names"] = np.array(covariate_names)
    write_npz(path, **arrays)


def load_fit(path: str):
    """Return a model written by :func:`save_fit`: it predicts and simulates; the file's arrays are in ``file_``."""
    from bmi_runtime.analysis.glm.design import IMPOSSIBLE, Covariates
    from bmi_runtime.analysis.glm.family_model import FamilyGLM
    from bmi_runtime.analysis.glm.model import PoissonGLM

    arrays = open_npz(path, ("intercept", "coupling", "covariate_weights", "basis", "basis_weights", "bin_s", "link"))
    units, _, lags = arrays["coupling"].shape
    leads = tuple(int(lead) for lead in arrays["leads"])
    family = str(arrays.get("family", "poisson"))  # fits written before had one family
    model: PoissonGLM
    if family == "poisson":
        lost = int(arrays["refractory_bins"])
        model = PoissonGLM(lags, arrays["basis"], link=str(arrays["link"]), refractory_bins=lost)
    else:
        model = FamilyGLM(family, lags, arrays["basis"])
        model.shape_ = arrays["shape"]
    model.leads, model.leads_ = leads, leads
    model.basis_ = arrays["basis"]
    vars(model)["file_"] = arrays
    model.intercept_, model.coupling_ = arrays["intercept"], arrays["coupling"]
    model.basis_weights_, model.mean_count_ = arrays["basis_weights"], arrays["mean_count"]
    wide = arrays["covariate_weights"]
    columns = wide.shape[1] // max(len(leads), 1)
    model.covariate_weights_ = wide.reshape(units, columns, len(leads)) if wide.size else np.zeros((units, 0, 0))
    history = arrays["basis_weights"].reshape(units, units * arrays["basis"].shape[1])
    raw = np.concatenate([arrays["intercept"][:, None], history, wide], axis=1).T
    model.weights_ = np.ascontiguousarray(np.where(np.isinf(raw), -np.sign(raw) * IMPOSSIBLE, raw))
    nothing = np.zeros(columns)
    plain = Covariates(np.zeros((0, columns)), leads, nothing, nothing + 1, nothing.astype(int))
    model.standardisation_ = plain if columns and leads else None
    model.unit_names_ = [str(name) for name in arrays["unit_names"]]
    vars(model)["areas_"] = [str(area) for area in arrays["areas"]] if "areas" in arrays else None
    bin_s = float(arrays["bin_s"])
    model.bin_s_ = bin_s if np.isfinite(bin_s) else None
    return model


def _or_nan(errors, model) -> np.ndarray:
    return np.full((len(model.intercept_), model.design_.parameters), np.nan) if errors is None else errors


__all__ = ["Data", "choose_covariates", "load_data", "load_fit", "open_npz", "save_fit"]
