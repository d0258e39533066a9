"""Draws the golden pictures anew: ``python tests/gui/golden.py``. Look at each before committing it."""

import os
import pathlib
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import synthetic  # noqa: E402

from gui import panels  # noqa: E402
from gui.screenshot import panel_picture  # noqa: E402

if __name__ == "__main__":
    (HERE / "golden").mkdir(exist_ok=True)
    for name in panels.REGISTRY:
        if name != "recordings":
            panel_picture(synthetic.hello(), HERE / "golden" / f"{name}.png", name, (480, 320))
