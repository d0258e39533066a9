"""The settings of the subject's window."""

from __future__ import annotations

import dataclasses

from pyqtgraph.Qt import QtWidgets

from gui import screens
from gui.subject_options import CORNERS, SubjectOptions

SWITCHES = {
    "full_screen": "&fill the screen (where there is more than one)",
    "score": "s&core",
    "state": "the st&ate in a word",
    "trail": "the cursor's t&rail",
    "places": "a&ll possible targets",
    "signs": "✓ and ✕ in the target at its &end",
    "sounds": "s&ounds for go, success and failure",
    "hide_pointer": "&hide the mouse pointer",
}
NUMBERS = {  # field: label, tip, range, suffix, what is shown at 0
    "magnification": (
        "Si&ze",
        "Centimetres on the screen for one of the task; 0: fits",
        (0.0, 20.0),
        " cm per cm",
        "as large as fits",
    ),
    "screen_width_cm": (
        "&Width of the screen",
        "Measured with a ruler; 0: as the screen says",
        (0.0, 1000.0),
        " cm",
        "as the screen says",
    ),
    "patch_cm": ("Pa&tch", "Side of the photodiode's patch", (0.2, 20.0), " cm", ""),
}


class SubjectSettings(QtWidgets.QDialog):
    """A form of :class:`SubjectOptions`.

    Parameters
    ----------
    parent : QWidget
    options : SubjectOptions
    """

    def __init__(self, parent, options: SubjectOptions):
        super().__init__(parent)
        self.setWindowTitle("Subject's window")
        form = QtWidgets.QFormLayout(self)
        self.screen_box = QtWidgets.QComboBox()
        self.screen_box.setEditable(True)
        self.screen_box.addItems(["", *screens.names()])
        self.screen_box.setCurrentText(options.screen)
        self.screen_box.setToolTip("Number or name; empty: the last one")
        form.addRow("&Screen", self.screen_box)
        self.numbers = {}
        for name, (label, tip, (low, high), suffix, at_zero) in NUMBERS.items():
            box = self.numbers[name] = QtWidgets.QDoubleSpinBox()
            box.setRange(low, high)
            box.setDecimals(2)
            box.setSuffix(suffix)
            box.setSpecialValueText(at_zero)  # empty: none
            box.setButtonSymbols(QtWidgets.QAbstractSpinBox.ButtonSymbols.NoButtons)
            box.setToolTip(tip)
            box.setValue(getattr(options, name))
            form.addRow(label, box)
        self.patch = QtWidgets.QComboBox()
        self.patch.addItems(CORNERS)
        self.patch.setCurrentText(options.patch)
        self.patch.setToolTip("White while a target is shown, black else: a photodiode on it times the screen")
        form.addRow("Patch for a &photodiode", self.patch)
        self.switches = {}
        for name, words in SWITCHES.items():
            box = self.switches[name] = QtWidgets.QCheckBox(words)
            box.setChecked(getattr(options, name))
            form.addRow("Show" if name == "score" else "", box)
        kind = QtWidgets.QDialogButtonBox.StandardButton
        self.buttons = QtWidgets.QDialogButtonBox(kind.Ok | kind.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form.addRow(self.buttons)

    def options(self) -> SubjectOptions:
        """Return what the form holds."""
        chosen: dict[str, object] = {name: box.value() for name, box in self.numbers.items()}
        chosen |= {name: box.isChecked() for name, box in self.switches.items()}
        chosen |= {"screen": self.screen_box.currentText().strip(), "patch": self.patch.currentText()}
        return dataclasses.replace(SubjectOptions(), **chosen)  # type: ignore[arg-type]
