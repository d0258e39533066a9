"""Plain arrays out of an ``.npz`` file, or one sentence that says why there are none."""

import pathlib
import zipfile

import numpy as np

from bmi_runtime.errors import BadInput


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
