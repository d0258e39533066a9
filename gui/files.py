"""Results of the offline modules in files of plain arrays: read, refused in a sentence. No Qt here."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable

import numpy as np

from bmi_runtime.errors import BadInput, first_line

LARGEST_BYTES = 2_000_000_000  # of a result that is read at once


def read(path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file of plain arrays.

    Raises
    ------
    BadInput
        When there is no such file, or it is not an ``.npz`` of plain arrays, or it is too large to look at.
    """
    try:
        if os.path.getsize(path) > LARGEST_BYTES:
            raise BadInput(f"{path} is larger than {LARGEST_BYTES / 1e9:g} GB; open a part of it")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise BadInput(f"{path} is not an .npz file of plain arrays ({first_line(error)})") from None


def checked(arrays: dict[str, np.ndarray], needs: Iterable[str], path, made_by: str) -> dict[str, np.ndarray]:
    """Return `arrays`, or raise `BadInput` saying which of `needs` are missing and what writes them."""
    missing = [name for name in needs if name not in arrays]
    if missing:
        raise BadInput(f"{path} has no {', '.join(missing)}; this view shows what `{made_by}` writes")
    return arrays
