"""Redraws the golden pictures: ``python tests/gui/golden.py``. Look at each before committing it."""

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
from gui.screenshot import LAYOUTS, panel_picture, picture  # noqa: E402

SIZE = (480, 320)
SIZES = {"": SIZE, "large": (800, 560)}
THEMES = ("dark", "light")
LAYOUT_SIZES = {"small": (1000, 620), "large": (1600, 1000)}


def file_name(name, theme="dark", size=""):
    """Return the name of a golden picture."""
    return "_".join(part for part in (name, "" if theme == "dark" else theme, size) if part) + ".png"


def draw(path, name, theme="dark", size=""):
    """Draw one panel: of a session made of formulas, or of a file made of formulas."""
    if name not in results.ARRAYS:
        panel_picture(synthetic.hello(), path, name, SIZES[size], theme)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / f"{name}.npz"
        np.savez(file, **results.ARRAYS[name]())
        panel_picture(None, path, name, SIZES[size], theme, file=file)


def draw_layout(path, layout, theme, size):
    """Draw a layout of the whole window."""
    hello = {**synthetic.hello(), "catalogue": []}
    picture(hello, path, layout, LAYOUT_SIZES[size], theme)


if __name__ == "__main__":
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    (HERE / "golden").mkdir(exist_ok=True)
    for name in panels.REGISTRY:
        if name != "recordings":
            for theme in THEMES:
                for size in SIZES:
                    draw(HERE / "golden" / file_name(name, theme, size), name, theme, size)
    for layout in LAYOUTS:
        for theme in THEMES:
            for size in LAYOUT_SIZES:
                draw_layout(HERE / "golden" / file_name(f"layout_{layout}", theme, size), layout, theme, size)


def raw(image):
    """Return the bytes of a picture: PyQt gives a pointer that has to be told the size, PySide a view."""
    bits = image.constBits()
    return bits.asstring(image.sizeInBytes()) if hasattr(bits, "asstring") else bytes(bits)
