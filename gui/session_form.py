"""The form of a session: who, from where, what, with which model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import form_values, screens, theme
from gui.block_editor import BlockEditor
from gui.form_rows import EarlierSessions, SavedSets, SourceCheck, box
from gui.form_values import BESIDE, FIELDS
from gui.layouts import Memory

CONFIGURATIONS = ("first_session", "default", "real_world", "hard_world")
SOURCES = ("", "simulated", "zeromq", "lsl", "redis", "open-ephys", "blackrock", "network")
TASKS = ("", "centre-out", "random-centre-out", "random-target", "pursuit")
LINES = {  # key: label, hint
    "source.address": ("&Address", "as the configuration says, for example tcp://127.0.0.1:5571"),
    "adapter.learning_rate": ("&Learning rate (per bin)", "from the configuration"),
    "task.assist": ("Assis&t", "from the configuration, 0 to 1"),
    "duration": ("Stop a&fter (s)", "until stopped"),
}
BOXES = {  # key: label, what is offered, tip
    "config": ("Confi&guration", CONFIGURATIONS, "The name of a shipped configuration, or the path of a TOML file"),
    "task.kind": ("Tas&k", TASKS, "Empty: as the configuration says"),
    "decoder.kind": ("De&coder", ("",), "Kind of decoder; empty: as the configuration says"),
    "encoding.initial": (
        "Model to start &with",
        ("",),
        "A recording, whose last model is taken, or a model .npz; empty: as the configuration says",
    ),
}
ORDER = (*FIELDS, "config", "source.kind", "source.address", "task.kind", "decoder.kind", "encoding.initial",
         "adapter.learning_rate", "task.assist")  # fmt: skip
"""From top to bottom; the blocks, seed, duration and recording follow."""


class SessionForm(QtWidgets.QDialog):
    """What to run, by whom, on whom.

    Parameters
    ----------
    parent : QWidget
    telemetry, control, keys : str
        The addresses and the folder of keys that the new session shall use: those of this window.
    memory : Memory, optional
        Where sets of values are kept.
    folder : str
        Of earlier recordings.

    Attributes
    ----------
    texts : dict of QLineEdit
        Lines, by key.
    boxes : dict of QComboBox
        Lists to choose from, by key.
    """

    def __init__(
        self, parent, telemetry: str, control: str, keys: str = "", memory: Memory | None = None, folder="recordings"
    ):
        super().__init__(parent)
        self.setWindowTitle("Start a session")
        self.memory = memory or Memory(False)
        self.addresses = {"publish_address": telemetry, "control_address": control}
        self.addresses |= {"key_folder": keys} if keys else {}
        self.refused: Callable[[str], None] = lambda text: None
        self._beside: dict[str, Any] = {}  # of an earlier session, what the form has no field for
        self._make_fields(folder)
        self._lay_out()
        self.take(form_values.loaded(self.memory.get("form", "{}")))
        for line in (*self.texts.values(), *(made.lineEdit() for made in self.boxes.values()), self.record):
            line.textEdited.connect(lambda _: self.problem.setText(""))  # it was said of what stood there before

    # -- building --------------------------------------------------------------------------------------------------

    def _make_fields(self, folder: str) -> None:
        self.problem = QtWidgets.QLabel("")
        self.problem.setWordWrap(True)
        self.texts: dict[str, QtWidgets.QLineEdit] = {}
        for key, (_, hint) in (FIELDS | LINES).items():
            self.texts[key] = QtWidgets.QLineEdit()
            self.texts[key].setPlaceholderText(hint)
            self.texts[key].setObjectName(key)
        self.source = SourceCheck(SOURCES, self.texts["source.address"], self.arguments)
        self.boxes = {key: box(offered, tip) for key, (_, offered, tip) in BOXES.items()}
        self.boxes["source.kind"] = self.source.kind
        self.record = QtWidgets.QLineEdit()
        self.record.setPlaceholderText("a new file in recordings/")
        self.blocks = BlockEditor(TASKS)
        self.seed = QtWidgets.QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setButtonSymbols(QtWidgets.QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.seed.setValue(1)
        self.sets = SavedSets(self.memory, self.values, self.take, self.problem.setText)
        self.earlier = EarlierSessions(folder, self._earlier_found, self._use_earlier)

    def _lay_out(self) -> None:
        outer = QtWidgets.QVBoxLayout(self)
        inner = QtWidgets.QWidget()
        form = QtWidgets.QFormLayout(inner)
        form.setSpacing(6)
        form.addRow("&Saved set", self.sets)
        form.addRow("Cop&y from", self.earlier)
        for key in ORDER:
            label, *_ = (FIELDS | LINES | BOXES | {"source.kind": ("S&ource",)})[key]
            form.addRow(label, self.source if key == "source.kind" else self.texts.get(key) or self.boxes[key])
        form.addRow(self.blocks)
        form.addRow("S&eed", self.seed)
        form.addRow(LINES["duration"][0], self.texts["duration"])
        form.addRow("&Recording", self.record)
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        area.setWidget(inner)
        outer.addWidget(area, 1)
        outer.addWidget(self.problem)
        kind = QtWidgets.QDialogButtonBox.StandardButton
        self.buttons = QtWidgets.QDialogButtonBox(kind.Ok | kind.Cancel)
        self.buttons.button(kind.Ok).setText("Start")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        outer.addWidget(self.buttons)
        self.resize(screens.fitting(QtCore.QSize(760, 740), screens.available()))

    # -- values ----------------------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """Return everything that the form holds, as text by key (blocks as a list); what is empty is left out."""
        found: dict[str, Any] = {key: line.text().strip() for key, line in self.texts.items()}
        found |= {key: made.currentText().strip() for key, made in self.boxes.items()}
        found |= {"seed": str(self.seed.value())}
        found |= {"block": self.blocks.blocks()} if not self.blocks.fault() else {}
        return {key: value for key, value in found.items() if value} | self._beside

    def take(self, values: dict[str, Any]) -> None:
        """Put values into the form; keys that are not given are emptied."""
        self._beside = {key: values[key] for key in BESIDE if key in values}
        for key, line in self.texts.items():
            line.setText(form_values.shown(values.get(key, "")))
        for key, made in self.boxes.items():
            made.setCurrentText(str(values.get(key, "default" if key == "config" else "")))
        blocks = values.get("block")
        listed = blocks if isinstance(blocks, list | tuple) else ()
        self.blocks.take([dict(block) for block in listed if isinstance(block, dict)])
        try:
            seed = int(values.get("seed", 1))
            self.seed.setValue(seed if 0 <= seed <= self.seed.maximum() else 1)
        except (TypeError, ValueError, OverflowError):
            self.seed.setValue(1)  # what was remembered is not a number

    def fault(self) -> str:
        """Return in a sentence what cannot be started so, or nothing."""
        return self.blocks.fault() or form_values.fault(self.values(), self.record.text().strip())

    def accept(self) -> None:
        """Close and start, unless something cannot be."""
        fault = self.fault()
        self.problem.setText(f"✕ {fault}" if fault else "")
        self.problem.setStyleSheet(f"color: {theme.current().bad}")
        if fault:
            self.refused(f"✕ {fault}")
        else:
            self.memory.put("form", json.dumps(self.values()))
            super().accept()

    def arguments(self) -> list[str]:
        """Return what `bmi run` is to be given."""
        record = self.record.text().strip()
        return form_values.arguments(self.values(), self.seed.value(), record, self.addresses)

    def _earlier_found(self, entry: dict[str, Any]) -> None:
        self.boxes["encoding.initial"].addItem(entry["path"])

    def _use_earlier(self, entry: dict[str, Any]) -> None:
        values = form_values.of_an_earlier(entry)
        self.take(values | {"config": self.boxes["config"].currentText(), "seed": entry.get("seed") or 1})
        self.boxes["encoding.initial"].setCurrentText(entry["path"])
        name = os.path.basename(entry["path"])
        self.problem.setText(f"taken from {name}; its last model is where this session starts")

    def done(self, result: int) -> None:
        """End the helpers with the form."""
        self.source.stop()
        self.earlier.stop()
        super().done(result)
