"""What the panels share that show a file of an offline module: open, refuse in a sentence, build when first needed."""

from __future__ import annotations

import os

import numpy as np
from pyqtgraph.Qt import QtWidgets

from bmi_runtime.errors import BadInput
from gui import files, panels, plots, theme
from gui.panels.base import Panel


class FilePanel(Panel):
    """A panel that is opened with a file. It costs nothing until then: `build` makes its plots for the first file.

    Attributes
    ----------
    needs : tuple of str
        Arrays that a file must have to be shown here; they tell the files of the modules apart.
    made_by : str
        The command that writes such a file.
    """

    needs: tuple[str, ...] = ()
    made_by = ""
    refresh_hz = 1.0
    needs_runtime = False

    def __init__(self, context):
        super().__init__(context)
        self.arrays: dict[str, np.ndarray] = {}
        self.path, self.built = "", False
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 5, 8, 3)
        row.setSpacing(8)
        self.open_button = QtWidgets.QPushButton("Open …")
        self.open_button.setToolTip(f"Open a file that {self.made_by} wrote")
        self.open_button.clicked.connect(self._choose)
        self.words = plots.caption("")
        row.addWidget(self.open_button)
        row.addWidget(self.words, 1)
        self.column.addLayout(row)
        self.body = QtWidgets.QWidget()
        self.column.addWidget(self.body, 1)
        self._say(f"nothing is open; this shows what <b>{self.made_by}</b> writes")

    def _say(self, text: str) -> None:
        self.words.setText(text)

    def _choose(self) -> None:
        name = f"{self.title}: choose a file"
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, name, self.path, "Results (*.npz)")
        if path:
            self.open_file(path)

    def open_file(self, path) -> bool:
        """Show a file, or say why not; return whether it is shown."""
        try:
            arrays = files.checked(files.read(path), self.needs, path, self.made_by)
            self.show_arrays(arrays, str(path))
        except BadInput as error:
            self._say(f"✕ {error}")
            return False
        return True

    def show_arrays(self, arrays: dict[str, np.ndarray], name: str) -> None:
        """Show arrays that are laid out as such a file.

        Raises
        ------
        BadInput
            When they do not fit each other.
        """
        self.check(arrays, name)
        self.arrays, self.path = arrays, name
        if not self.built:
            self.build()
            self.built = True
        self.fill()
        self.restyle()
        self._say(f"{os.path.basename(name)}: {self.summary()}")

    def check(self, arrays: dict[str, np.ndarray], name: str) -> None:
        """Raise `BadInput` when the arrays do not fit each other."""

    def build(self) -> None:
        """Make the plots, once."""

    def stacked(self) -> tuple[QtWidgets.QVBoxLayout, QtWidgets.QHBoxLayout]:
        """Return the body's column and an empty row for plots beside each other, without gaps, for `build`."""
        column, row = QtWidgets.QVBoxLayout(self.body), QtWidgets.QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        row.setSpacing(0)
        return column, row

    def fill(self) -> None:
        """Draw `arrays`."""

    def summary(self) -> str:
        """Return what is shown, in one line."""
        return ""

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        self.words.setStyleSheet(f"color: {theme.current().text}")


def mismatch(arrays: dict[str, np.ndarray], shapes: dict[str, tuple], name: str) -> None:
    """Raise `BadInput` when an array that is there has another shape than in `shapes`."""
    for key, shape in shapes.items():
        if key in arrays and arrays[key].shape != shape:
            raise BadInput(f"{name}: {key} has shape {arrays[key].shape}, expected {shape}")


def file_panels() -> dict[str, type[FilePanel]]:
    """Return the panels that are opened with a file, by their name in the registry."""
    found = {name: panels.panel_class(row) for name, row in panels.available().items()}
    return {name: kind for name, kind in found.items() if issubclass(kind, FilePanel)}


def panel_for(arrays, path) -> str:
    """Return the name of the panel that shows such arrays; raise `BadInput` when there is none."""
    kinds = file_panels()
    for name, kind in kinds.items():
        if all(needed in arrays for needed in kind.needs):
            return name
    writers = "; ".join(kind.made_by for kind in kinds.values())
    raise BadInput(f"no view shows {path}: it holds {', '.join(sorted(arrays)) or 'nothing'}. Views show: {writers}")
