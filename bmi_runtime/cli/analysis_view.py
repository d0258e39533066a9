"""What the `plot --gui` commands share: is there a display, what does the file hold, open the window."""

import os
import sys

from bmi_runtime.cli.common import answer


def needs_display() -> None:
    """Raise `BadInput` when no window can be opened here."""
    from bmi_runtime.errors import BadInput

    named = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in named):
        raise BadInput(
            "there is no display (DISPLAY and WAYLAND_DISPLAY are not set) for --gui; "
            "`bmi gui --screenshot OUT.png --file FILE.npz` draws the same view into a picture"
        )


def read(path):
    """Return the arrays of a file of plain arrays; raises `BadInput` for any other."""
    from gui.files import read as read_arrays

    return read_arrays(path)


def show(panel, arrays, title, as_json) -> None:
    """Open the window of a panel (a name of the registry) on arrays, and answer when it is closed."""
    from gui.analysis_window import show as open_window

    open_window(panel, arrays, title)
    answer({"window": panel, "shown": title}, as_json, f"closed: {title}")


def show_file(panel, path, as_json) -> None:
    """Open the window of a panel on a file that it can read as it is."""
    needs_display()
    show(panel, read(path), str(path), as_json)
