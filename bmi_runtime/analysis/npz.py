"""Plain arrays out of an ``.npz`` file, and places to write one to; or one sentence that says why not."""

import pathlib
import zipfile

import numpy as np

from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import check_writable


def read_npz(path) -> dict[str, np.ndarray]:
    """Return every array of the ``.npz`` file `path`, by name.

    Raises
    ------
    BadInput
        When there is no such file, or it is something else.
    """
    path = pathlib.Path(path)
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise BadInput(f"{path} holds a single array without a name; write an .npz file with numpy.savez")
        with file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}") from None
    except ValueError:  # numpy's own words recommend pickles
        raise BadInput(f"{path} is not an .npz file of plain arrays") from None
    except (OSError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise BadInput(f"{path} is not an .npz file of plain arrays ({error})") from None


def checked_out(path) -> pathlib.Path | None:
    """Return `path`, or raise BadInput when nothing can be written there (before any work is done)."""
    if path is None:
        return None
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {path.parent} to write {path.name} into")
    if path.is_dir():
        raise BadInput(f"{path} is a folder: name the file to write")
    check_writable(path)
    return path


def checked_npz(path) -> pathlib.Path | None:
    """Return where NumPy will write an ``.npz`` file called `path` (it adds the ending), checked as by
    :func:`checked_out`.
    """
    path = checked_out(path)
    return path if path is None or path.name.endswith(".npz") else checked_out(path.with_name(path.name + ".npz"))
