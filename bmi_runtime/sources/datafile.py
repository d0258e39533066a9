"""Open-loop recordings in files: counts, or spike times, with the kinematics that were recorded beside them.

A ``.mat`` file is read through a mapping (:mod:`bmi_runtime.sources.mapping`), given or found by the names of the
variables it must hold; an ``.nwb`` file is binned (:mod:`bmi_runtime.sources.nwb_kinematics`), and so are files of
acquisition systems (:mod:`bmi_runtime.sources.neo_kinematics`); a ``.npz`` or HDF5 file has the names of the command
``bmi decode`` (`counts`, `bin_s`, `velocity` and/or `position`, optionally `trial_start`), or a mapping; a table
(``.csv``, ``.tsv``, ``.parquet``) needs a mapping.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse

from bmi_runtime import registry
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.array_file import NAMES, SPIKE_TIMES, Arrays
from bmi_runtime.sources.array_file import SUFFIXES as ARRAY_SUFFIXES
from bmi_runtime.sources.from_arrays import recording_from_arrays
from bmi_runtime.sources.mapped_counts import arrays_of, lies_turned, turned
from bmi_runtime.sources.mapped_spikes import recording_of_spikes
from bmi_runtime.sources.mapping import FILE_UNIT, FileMapping, load_mapping, shipped_mappings
from bmi_runtime.sources.mat_file import described_variables, mat_variables
from bmi_runtime.sources.open_loop import OpenLoopRecording
from bmi_runtime.sources.recognised import NOT_READ, begins_as, suffixes
from bmi_runtime.sources.table_file import SUFFIXES as TABLE_SUFFIXES
from bmi_runtime.sources.table_file import Table


def load_recording(
    path: str | pathlib.Path,
    test_path: str | pathlib.Path | None = None,
    mapping: str | pathlib.Path | None = None,
    velocity: str = "intended",
) -> OpenLoopRecording:
    """Read an open-loop recording.

    Parameters
    ----------
    path : path
        A ``.npz``, ``.mat``, ``.nwb`` file, or a session of the runtime (``.mcap``).
    test_path : path, optional
        A second file of the same origin that is to be decoded after all of the first was learned from. A ``.mat`` file
        of an origin that comes in such pairs finds its test file by itself.
    mapping : path, optional
        A TOML file that says what is what in the file (:mod:`bmi_runtime.sources.mapping`); by default the one
        that lies beside it (``rig.nev.toml`` beside ``rig.nev``). Without one the shipped ones are tried for ``.mat``,
        and in ``.nwb`` series are found by their names; acquisition systems need one.
    velocity : {"intended", "cursor", "rotated"}
        Which velocity of a session is to be decoded (`session_file.session_recording`).

    Raises
    ------
    BadInput
        When a file is absent, of another kind, lacks a variable or holds impossible values.
    """
    path = pathlib.Path(path)
    mapping = mapping or beside(path)
    layout, recording = _read(path, mapping, velocity)
    if test_path is None and layout is not None and layout.pair is not None:
        test_path = _partner(path, (layout.pair.train, layout.pair.test))
    if test_path is None:
        return recording
    test = _read(pathlib.Path(test_path), mapping, velocity)[1]
    return _joined(recording, test)


def beside(path: pathlib.Path) -> pathlib.Path | None:
    """Return the mapping that lies beside a file under its name with ``.toml`` behind it, None where there is none."""
    file = path.with_name(f"{path.name}.toml")
    return file if file.is_file() else None


def _read(path, mapping=None, velocity="intended"):
    if not path.exists():
        raise BadInput(f"there is no file {path}")
    suffix = "folder" if path.is_dir() else path.suffix.lower()
    if suffix == ".mat":
        return read_mat(path, mapping)
    if suffix == ".nwb":
        from bmi_runtime.sources.nwb_kinematics import binned_recording

        return None, binned_recording(path, None if mapping is None else load_mapping(mapping))
    if suffix in suffixes():
        from bmi_runtime.sources.neo_kinematics import binned_acquisition

        return None, binned_acquisition(path, None if mapping is None else load_mapping(mapping))
    if mapping is not None and suffix == ".mcap":
        raise BadInput(f"{path.name}: a {suffix} file says itself what is what; leave --mapping out")
    if suffix in ARRAY_SUFFIXES:
        return read_arrays(path, mapping)
    if suffix in TABLE_SUFFIXES:
        return read_table(path, mapping)
    if suffix == ".mcap":
        from bmi_runtime.sources.session_file import session_recording

        return None, session_recording(path, velocity)
    if suffix == ".gdf":
        raise _no_kinematics(path)
    if suffix.removeprefix(".") in READERS.names():
        return None, _from_reader(path, suffix.removeprefix("."))
    if suffix in NOT_READ:
        raise BadInput(f"{path.name}: {NOT_READ[suffix]}")
    raise BadInput(
        f"{path.name}: '{suffix or 'no suffix'}' is not a recording that can be decoded; give .npz, .mat, .nwb, .mcap, "
        f"or a file of an acquisition system with a mapping{begins_as(path)}"
    )


READERS = registry.Table("reader", {}, "bmi_runtime.readers")
"""Readers of other packages, by suffix without its dot: ``read(path)`` returns a dict of the arrays of a .npz file."""


def _from_reader(path, suffix):
    """Read a file with another package's reader; what it returns is checked as a .npz file is."""
    read = READERS.find(suffix)
    arrays = registry.made("reader", suffix, read, path)
    if not isinstance(arrays, dict):
        raise BadInput(f"{path.name}: the reader '{suffix}' gave a {type(arrays).__name__}, not a dict of arrays")
    for name in arrays:
        if name not in NAMES:
            raise registry.unknown(f"array of a recording (reader '{suffix}')", str(name), NAMES)
    missing = [name for name in ("counts", "bin_s") if name not in arrays]
    if missing:
        raise BadInput(f"{path.name}: the reader '{suffix}' gave no {' and no '.join(missing)}")
    plain = {name: _plain(path.name, suffix, name, value) for name, value in arrays.items()}
    return recording_from_arrays(path.name, **plain)


def _plain(file: str, reader: str, name: str, value: Any) -> Any:
    """Return what a reader gave as a plain array: sparse ones full, what a mask hides as not known (NaN)."""
    if value is None:
        return None
    try:
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            return np.ma.filled(value.astype(float), np.nan)
        return value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{file}: the reader '{reader}' gave {name} that are not an array ({error})") from None


def read_arrays(path, mapping=None) -> tuple[FileMapping | None, OpenLoopRecording]:
    """Read a ``.npz`` or HDF5 file: by our own names, or through a mapping; return the mapping, if any, and what it is.

    Raises
    ------
    BadInput
        When it lacks an array, or holds impossible values.
    """
    held = Arrays(path)
    if mapping is not None:
        chosen = load_mapping(mapping)
        return chosen, _mapped(path.name, held, chosen)
    if set(held) >= SPIKE_TIMES:
        raise _no_kinematics(path)
    arrays = held.of_names(NAMES)
    missing = [name for name in ("counts", "bin_s") if name not in arrays]
    if "velocity" not in arrays and "position" not in arrays:
        missing.append("velocity (or position)")
    if missing:
        raise held.missing(missing)
    return None, recording_from_arrays(path.name, **arrays)


def read_table(path, mapping=None) -> tuple[FileMapping, OpenLoopRecording]:
    """Read a table through a mapping, which it needs; return the mapping and what it is.

    Raises
    ------
    BadInput
        When there is no mapping, the table lacks a column, or values are impossible.
    """
    held = Table(path)
    if mapping is None:
        raise held.without_mapping()
    chosen = load_mapping(mapping)
    missing = [name for name in chosen.variables if name not in held]
    if missing:
        raise BadInput(
            f"{path.name}: the mapping names {', '.join(missing)}, which it does not have; it is {held.described()}"
        )
    return chosen, _mapped(path.name, held, chosen)


def _no_kinematics(path) -> BadInput:
    return BadInput(
        f"{path.name}: this {path.suffix} file holds spikes and no kinematics; for a GLM of spikes alone count them "
        "with 'bmi glm bin', to decode save counts, bin_s, velocity and position as .npz"
    )


def read_mat(path, mapping=None) -> tuple[FileMapping | None, OpenLoopRecording]:
    """Read a ``.mat`` file through a mapping, or by our own names; return the mapping used, if any, and the recording.

    Parameters
    ----------
    path : pathlib.Path
    mapping : path, optional
        By default the first shipped one whose variables the file has.

    Raises
    ------
    BadInput
        When no mapping fits, or the values are impossible.
    """
    variables = mat_variables(path)
    if mapping is not None:
        chosen = load_mapping(mapping)
    else:
        shipped = shipped_mappings()
        fitting = [candidate for candidate in shipped if candidate.fits(variables)]
        if not fitting and (arrays := _by_our_names(variables)):
            return None, recording_from_arrays(path.name, **arrays)
        if not fitting:
            names = ", ".join(sorted(variables)) or "nothing"
            raise BadInput(
                f"{path.name}: holds {names}, which fits no known layout ({described_variables(variables)}); "
                f"write a mapping into {path.name}.toml beside it, or save it as .npz. A mapping has [counts] "
                "variable or [spikes] variable, [bin] width_s, and [velocity] or [position] variable and unit "
                "(docs/formats.md)"
            )
        chosen = turned(fitting[0]) if fitting[0].counts and lies_turned(variables, fitting[0]) else fitting[0]
    return chosen, _mapped(path.name, variables, chosen)


def _by_our_names(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of a ``.mat`` file that has them under the names of a ``.npz`` file; none if it does not.

    MATLAB knows no single number and no list: a width is 1 x 1, and starts are counted from 1.
    """
    arrays = {name: variables[name] for name in NAMES if name in variables}
    if not ({"counts", "bin_s"} <= set(arrays) and {"velocity", "position"} & set(arrays)):
        return {}
    arrays["bin_s"] = np.squeeze(arrays["bin_s"])
    if "trial_start" in arrays:
        starts = np.asarray(arrays["trial_start"])
        counted = starts.dtype.kind in "iuf" and starts.size > 0 and np.min(starts) >= 1
        arrays["trial_start"] = np.ravel(starts) - 1 if counted else np.ravel(starts)
    return {
        name: value.toarray() if scipy.sparse.issparse(value) else np.asarray(value) for name, value in arrays.items()
    }


def _mapped(name: str, variables: Mapping[str, Any], chosen: FileMapping) -> OpenLoopRecording:
    """Return what a mapping says is in a file's variables."""
    if chosen.spikes is not None:
        return recording_of_spikes(name, variables, chosen)
    recording = recording_from_arrays(name, **arrays_of(name, variables, chosen))
    units: dict[str, Any] = {}
    for what, part, unit in (("velocity", chosen.velocity, "m/s"), ("position", chosen.position, "m")):
        if part is not None and part.unit != FILE_UNIT:
            units[f"{what}_unit"] = unit
    if chosen.velocity is None and "position_unit" in units:
        units["velocity_unit"] = "m/s"
    return dataclasses.replace(recording, **units)


def _partner(path, words):
    """Return the test file beside a training file, or None where the name says that it is not one."""
    train, test = words
    if train not in path.stem:
        return None
    partner = path.with_name(path.name.replace(train, test))
    if not partner.is_file():
        raise BadInput(
            f"{path.name} is the training half of a pair, and {partner.name} is not beside it; give the test file"
        )
    return partner


def _joined(train, test):
    if train.n_units != test.n_units:
        raise BadInput(f"{test.name} has {test.n_units} units, but {train.name} has {train.n_units}")
    if abs(train.bin_s - test.bin_s) > 1e-9:
        raise BadInput(f"{test.name} has bins of {test.bin_s:g} s, but {train.name} of {train.bin_s:g} s")
    for what in ("position", "targets"):
        if (getattr(train, what) is None) != (getattr(test, what) is None):
            raise BadInput(f"one of {train.name} and {test.name} has a {what.rstrip('s')} and the other has none")
    both = [what for what in ("position", "targets") if getattr(train, what) is not None]
    names = ("counts", "velocity", "trial_start", "restart", *both)
    joined = {name: np.concatenate([getattr(train, name), getattr(test, name)]) for name in names}
    return dataclasses.replace(train, **joined, bins_train=train.n_bins, name=f"{train.name} + {test.name}")
