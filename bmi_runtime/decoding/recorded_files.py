"""Files of decoders as a recording holds them: what was handed over in a session is there when its file is gone."""

from __future__ import annotations

import pathlib

from bmi_runtime.errors import BadInput

_recorded: dict[str, bytes] = {}


def content_of(path) -> bytes:
    """Return the bytes of a decoder's file, of the disk, or where it is not there of a recording that was opened.

    Raises
    ------
    OSError
        When it is in neither place.
    """
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        if str(path) in _recorded:
            return _recorded[str(path)]
        raise


def stamp_of(path: str) -> tuple[int, int]:
    """Return what changes when a decoder's file does.

    Raises
    ------
    OSError
        As :func:`content_of`.
    """
    try:
        found = pathlib.Path(path).stat()
        return found.st_mtime_ns, found.st_size
    except OSError:
        if path in _recorded:
            return 0, hash(_recorded[path])
        raise


def offer(path: str, content: bytes) -> None:
    """Keep a recorded file for whoever asks for it by its name, should the disk no longer have it.

    Raises
    ------
    BadInput
        When the disk has another file of that name: which one is meant could not be known.
    """
    try:
        present = pathlib.Path(path).read_bytes()
    except OSError:
        _recorded[path] = content
        return
    if present != content:
        raise BadInput(f"{path} is not the file that was recorded; move it away, the recording holds its own")
