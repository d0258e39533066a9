"""Files of named arrays, ``.npz`` and HDF5: which arrays they hold, and those that are asked for.

Nothing else is read: what more a laboratory keeps in a file is its own, and may be larger than memory.
"""

from __future__ import annotations

import difflib
import pathlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bmi_runtime.errors import BadInput, first_line

SUFFIXES = (".npz", ".h5", ".hdf5")
NAMES = ("counts", "bin_s", "velocity", "position", "trial_start")
MOST_SHOWN = 16  # arrays named in a message
SPARSE = {"indices", "indptr", "format", "shape", "data"}
SPIKE_TIMES = {"spikes", "sCount"}


class Arrays(Mapping[str, Any]):
    """The arrays of a file by name, each read when it is asked for.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    shapes : dict
        Shape of every array by its name (in HDF5 its path); None where it is not a table of numbers.

    Raises
    ------
    BadInput
        When it cannot be read, and (of one array) when it holds Python objects.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._zip = path.suffix.lower() == ".npz"
        self.shapes = _npz_shapes(path) if self._zip else _hdf5_shapes(path)

    def __getitem__(self, name: str) -> Any:
        if name not in self.shapes:
            raise KeyError(name)
        return _npz_array(self.path, name) if self._zip else _hdf5_array(self.path, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def described(self) -> str:
        """Return names and sizes for a person."""
        texts = [f"{name} ({_size(shape)})" for name, shape in sorted(self.shapes.items())]
        return ", ".join(texts[:MOST_SHOWN] + ["..."] * (len(texts) > MOST_SHOWN)) or "nothing"

    def of_names(self, names: Iterable[str]) -> dict[str, Any]:
        """Return those of some arrays that the file has, by name or by the one name that differs in its capitals."""
        found = {}
        for name in names:
            alike = [held for held in self if held.lower() == name]
            held = name if name in self.shapes else alike[0] if len(alike) == 1 else None
            if held is not None:
                found[name] = self[held]
        return found

    def missing(self, names: list[str]) -> BadInput:
        """Return the error of a file that lacks arrays, with what it holds and what to do."""
        if set(self.shapes) >= SPARSE:
            return BadInput(
                f"{self.path.name}: a sparse matrix by itself (scipy.sparse.save_npz); save its toarray() as counts, "
                "with bin_s, velocity and position beside it"
            )
        if "spike_indexes_seg0" in self.shapes:
            return BadInput(
                f"{self.path.name}: a sorting of SpikeInterface, without kinematics; save it as a folder "
                "(sorting.save(folder=...)), which 'bmi inspect' and 'bmi glm bin' read"
            )
        objects = [name for name, shape in self.shapes.items() if shape is None]
        if any("spike" in name.lower() or "unit" in name.lower() for name in objects):
            return BadInput(
                f"{self.path.name}: lacks {', '.join(names)}; it holds {self.described()}. Python objects can run any "
                "program when they are loaded, so they never are: save all spike times as one array, beside it another "
                "that says whose each of them is, and name both in a mapping ([spikes]; docs/formats.md)"
            )
        near = {name: close[0] for name in names if (close := difflib.get_close_matches(name, self.shapes, 1, 0.5))}
        hint = "".join(f"; '{held}' may be the {name}" for name, held in near.items())
        return BadInput(
            f"{self.path.name}: lacks {', '.join(names)}; it holds {self.described()}{hint}. Save them under these "
            f"names, or say what is what in a mapping ({self.path.name}.toml beside it, or --mapping; docs/formats.md)"
        )


def holds_spike_times(path: pathlib.Path) -> bool:
    """Return whether an HDF5 file is one of concatenated spike times (`spike_file.read_spike_h5`)."""
    return set(Arrays(path)) >= SPIKE_TIMES


def _size(shape: tuple[int, ...] | None) -> str:
    return "Python objects" if shape is None else " x ".join(map(str, shape)) or "one value"


def _npz_shapes(path) -> dict[str, tuple[int, ...] | None]:
    with open(path, "rb") as file:
        head = file.read(2)
    if head[:1] == b"\x80":
        raise BadInput(f"{path.name}: not a .npz file but a pickle, which can run any program when it is opened, so it "
                       "never is; save arrays with numpy.savez")  # fmt: skip
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = [name for name in archive.namelist() if pathlib.PurePath(name).suffix == ".npy"]
            return {name.removesuffix(".npy"): _npy_shape(archive, name) for name in arrays}
    except Exception as error:  # zipfile raises many kinds on a damaged file
        raise BadInput(f"{path.name}: not a readable .npz file ({first_line(error)})") from None


def _npy_shape(archive, name) -> tuple[int, ...] | None:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return None if dtype.hasobject else shape


def _npz_array(path, name) -> np.ndarray:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[name]
    except ValueError:  # numpy's own words recommend pickles
        raise BadInput(
            f"{path.name}: '{name}' holds Python objects, which are never loaded; save it as a plain array of numbers"
        ) from None
    except Exception as error:  # numpy and zipfile raise many kinds on a damaged file
        raise BadInput(f"{path.name}: not a readable .npz file ({first_line(error)})") from None


def _opened(path):
    try:
        import h5py
    except ImportError:
        raise BadInput(f"{path.name}: reading HDF5 needs h5py; pip install 'bmi-runtime[nwb]'") from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path.name}: not a readable HDF5 file ({first_line(error)})") from None


def _hdf5_shapes(path) -> dict[str, tuple[int, ...] | None]:
    import h5py

    shapes: dict[str, tuple[int, ...] | None] = {}

    def look(name, item):
        if isinstance(item, h5py.Dataset):
            ragged = isinstance(h5py.check_vlen_dtype(item.dtype), np.dtype)  # one vector in each of its cells
            shapes[name] = item.shape if item.dtype.kind in "biuf" or ragged else None

    with _opened(path) as file:
        file.visititems(look)
        shapes |= {name: () for name, value in file.attrs.items() if np.isscalar(value) and name not in shapes}
    return shapes


def _hdf5_array(path, name) -> np.ndarray:
    with _opened(path) as file:
        try:
            return np.asarray(file[name][()] if name in file else file.attrs[name])
        except OSError as error:
            raise BadInput(f"{path.name}: damaged, '{name}' cannot be read ({first_line(error)})") from None
