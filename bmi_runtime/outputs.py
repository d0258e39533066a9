"""Files that appear whole or not at all: an older result is replaced by a finished one, and by nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

import numpy as np

from bmi_runtime.errors import BadInput, BmiError


def check_writable(path: str | os.PathLike) -> None:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    The folder is tried with a nameless file: permissions say nothing of a medium that is read-only.

    Raises
    ------
    BadInput
        When its folder is absent or takes no file, or the name cannot be that of a file.
    """
    try:
        target = pathlib.Path(path).resolve()
        if target.exists() and not target.is_file():
            return  # a device or a pipe; a folder says so itself
        if not target.parent.is_dir():
            raise BadInput(f"{path} cannot be written: there is no folder {target.parent}")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Yield a file to write into; `path` becomes it when the block ends, and stays as it was when the block fails.

    The bytes are written beside `path` and are on the disk before the name is changed, so a full disk, a kill or a
    power cut leaves the older file. A link is followed; a device or pipe is written to as it is.

    Raises
    ------
    BmiError
        When it cannot be written: which file, and why.
    """
    target = pathlib.Path(path).resolve()
    straight = target.exists() and not target.is_file()
    partial = target if straight else target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            if not straight:
                file.flush()
                os.fsync(file.fileno())
        if not straight:
            if target.exists():
                os.chmod(partial, target.stat().st_mode & 0o777)
            os.replace(partial, target)
    except OSError as error:
        raise BmiError(
            f"{path} cannot be written: {error.strerror or error}; an older file is kept as it was"
        ) from None
    finally:
        if not straight:
            with contextlib.suppress(OSError):
                partial.unlink()


@contextlib.contextmanager
def whole_text(path: str | os.PathLike) -> Iterator[TextIO]:
    """Yield a text file (UTF-8, newlines as they are written) that appears whole or not at all, as `whole_file`."""
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()


def write_npz(path: str | os.PathLike, compressed: bool = False, **arrays: Any) -> None:
    """Write arrays as an ``.npz`` file that appears whole or not at all; the name is taken as it is."""
    save = np.savez_compressed if compressed else np.savez
    with whole_file(path) as file:
        if pathlib.Path(file.name).is_file():
            save(file, **arrays)
        else:  # a zip archive is written by going back and forth, which a pipe cannot
            content = io.BytesIO()
            save(content, **arrays)
            file.write(content.getvalue())


def npz_path(path: str | os.PathLike) -> pathlib.Path:
    """Return a path with the ending ``.npz``, added (as by numpy) where it is not there."""
    path = pathlib.Path(path)
    return path if path.name.endswith(".npz") else path.with_name(f"{path.name}.npz")
