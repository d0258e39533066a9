"""Draws the golden pictures anew: ``python tests/gui/golden.py``. Look at each before committing it."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import tempfile  # noqa: E402

import numpy as np  # noqa: E402
import results  # noqa: E402
import synthetic  # noqa: E402

from gui import panels  # noqa: E402
from gui.screenshot import panel_picture  # noqa: E402

SIZE = (480, 320)


def draw(path, name):
    """Draw one panel: of a session made of formulas, or of a file made of formulas."""
    if name not in results.ARRAYS:
        panel_picture(synthetic.hello(), path, name, SIZE)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / f"{name}.npz"
        np.savez(file, **results.ARRAYS[name]())
        panel_picture(None, path, name, SIZE, file=file)


if __name__ == "__main__":
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    (HERE / "golden").mkdir(exist_ok=True)
    for name in panels.REGISTRY:
        if name != "recordings":
            draw(HERE / "golden" / f"{name}.png", name)
