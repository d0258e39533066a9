"""The one decorator of every compiled kernel, and where its machine code is cached.

Without ``fastmath`` the results are identical to the bit between processes and between levels of the same CPU family,
which replay needs. Numba's on-disk cache notices edits of a function's own file only, so the name of the cache folder
holds a hash of that file and of every kernel file that it imports.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import pickle
import re
import sys
import tempfile

import numba
from numba.core import config as _numba_config

FOLDER = pathlib.Path(__file__).parent
_IMPORT = re.compile(r"^\s*from (bmi_runtime\.kernels[\w.]*) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)
_NAME = re.compile(r"\w+")  # names too many (of an `as`, a comment) cost nothing: only those that are files count
OPTIONS = {"cache": True, "nogil": True, "fastmath": False, "error_model": "numpy"}


def cache_root() -> pathlib.Path:
    """Return the folder of the compiled-kernel caches (``$XDG_CACHE_HOME`` or ``~/.cache``, then ``bmi-runtime``)."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "bmi-runtime" / "kernels"


@functools.cache
def _imports(path: pathlib.Path) -> frozenset[pathlib.Path]:
    """Return the kernel files that `path` depends on, itself included."""
    found = {path}
    for module, listed, rest in _IMPORT.findall(path.read_text(encoding="utf-8")):
        names = [module.rpartition(".")[2], *_NAME.findall(listed or rest)]
        for file in {FOLDER / f"{name}.py" for name in names} - {pathlib.Path(__file__), path}:
            if file.exists():
                found |= _imports(file)
    return frozenset(found)


@functools.cache
def cache_folder(path: pathlib.Path) -> pathlib.Path:
    """Return the cache folder of the kernels defined in the file `path`."""
    digest = hashlib.sha256()
    for file in sorted(_imports(path)):
        digest.update(file.read_bytes())
    return cache_root() / f"{path.stem}-{digest.hexdigest()[:16]}"


def kernel(function=None, **options):
    """Compile `function` with numba in the project's one mode (no fastmath, cached, without the interpreter lock).

    Parameters
    ----------
    function : callable, optional
        A function of arrays and scalars, defined in ``bmi_runtime/kernels/``.
    **options
        Additions to :data:`OPTIONS`, for example ``inline="always"`` or ``parallel=True``.
    """
    if function is None:
        return functools.partial(kernel, **options)
    path = pathlib.Path(sys.modules[function.__module__].__file__ or "")
    folder = cache_folder(path)
    chosen = {**OPTIONS, **options}
    chosen["cache"] = chosen["cache"] and writable(folder)
    _numba_config.CACHE_DIR = str(folder)
    compiled = numba.njit(**chosen)(function)
    if chosen["cache"]:
        _tolerant(compiled._cache)
    return compiled


@functools.cache
def writable(folder: pathlib.Path) -> bool:
    """Return whether the cache can be kept: without one, every process compiles again, and runs all the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _tolerant(cache) -> None:
    """Let a disk that fills up, or a damaged file of the cache, cost time only: neither may end a session."""
    save, load = cache.save_overload, cache.load_overload

    def save_overload(signature, data):
        with contextlib.suppress(OSError):
            save(signature, data)

    def load_overload(signature, target_context):
        try:
            return load(signature, target_context)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            return None

    cache.save_overload, cache.load_overload = save_overload, load_overload
