"""The form of a session: who, from where, what, with which model; saved sets of values, and earlier sessions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import processes, screens, theme
from gui.block_editor import BlockEditor, as_toml
from gui.layouts import Memory

CONFIGURATIONS = ("first_session", "default", "real_world", "hard_world")
SOURCES = ("", "simulated", "zeromq", "lsl", "redis", "open-ephys", "blackrock", "network")
TASKS = ("", "centre-out", "random-centre-out", "random-target", "pursuit")
CHECK_S, CHECK_WITHIN_MS = 2, 20_000
FIELDS = {  # key of the configuration: label, hint
    "metadata.subject_id": ("&Subject", "what the laboratory calls the subject"),
    "metadata.species": ("Species", "Latin binomial, such as Macaca mulatta"),
    "metadata.experimenter": ("&Experimenter", "several with commas"),
    "metadata.session_description": ("Session", "what it is for, in a sentence"),
    "metadata.notes": ("&Notes", "goes into the recording and into NWB"),
}
BESIDE = ("session.units", "session.likelihood")
"""Taken from an earlier session together with its model, which fits no other units."""
LISTS = ("metadata.experimenter",)
NUMBERS = {"adapter.learning_rate": "learning rate (adapter.learning_rate)", "task.assist": "assist (task.assist)"}


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
    """

    def __init__(
        self, parent, telemetry: str, control: str, keys: str = "", memory: Memory | None = None, folder="recordings"
    ):
        super().__init__(parent)
        self.setWindowTitle("Start a session")
        self.memory, self.folder = memory or Memory(False), folder
        self.addresses = {"publish_address": telemetry, "control_address": control}
        self.addresses |= {"key_folder": keys} if keys else {}
        self.refused: Callable[[str], None] = lambda text: None
        self._checking: processes.Helper | None = None
        self._lister: processes.Helper | None = None
        self.earlier_entries: list[dict[str, Any]] = []
        self._beside: dict[str, Any] = {}  # of an earlier session, what the form has no field for
        self._make_fields()
        self._lay_out()
        self._fill_sets()
        self.take(self._remembered())
        self._list_earlier()

    # -- building --------------------------------------------------------------------------------------------------

    def _make_fields(self) -> None:
        self.texts: dict[str, QtWidgets.QLineEdit] = {}
        for key, (_, hint) in FIELDS.items():
            self.texts[key] = QtWidgets.QLineEdit()
            self.texts[key].setPlaceholderText(hint)
            self.texts[key].setObjectName(key)
        self.config = _box(CONFIGURATIONS, "The name of a shipped configuration, or the path of a TOML file")
        self.source = _box(SOURCES, "Where spikes come from; empty: as the configuration says")
        self.address = QtWidgets.QLineEdit()
        self.address.setPlaceholderText("as the configuration says, for example tcp://127.0.0.1:5571")
        self.task = _box(TASKS, "Empty: as the configuration says")
        self.decoder = _box(("",), "Kind of decoder; empty: as the configuration says")
        self.model = _box(
            ("",), "A recording, whose last model is taken, or a model .npz; empty: as the configuration says"
        )
        self.rate, self.assist = QtWidgets.QLineEdit(), QtWidgets.QLineEdit()
        self.duration, self.record = QtWidgets.QLineEdit(), QtWidgets.QLineEdit()
        self.rate.setPlaceholderText("from the configuration")
        self.assist.setPlaceholderText("from the configuration, 0 to 1")
        self.duration.setPlaceholderText("until stopped")
        self.record.setPlaceholderText("a new file in recordings/")
        self.blocks = BlockEditor(TASKS)
        self.seed = QtWidgets.QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setValue(1)

    def _lay_out(self) -> None:
        outer = QtWidgets.QVBoxLayout(self)
        inner = QtWidgets.QWidget()
        form = QtWidgets.QFormLayout(inner)
        form.setSpacing(6)
        form.addRow("Sa&ved set", self._sets_row())
        form.addRow("Copy &from", self._earlier_row())
        for key, (label, _) in FIELDS.items():
            form.addRow(label, self.texts[key])
        form.addRow("&Configuration", self.config)
        form.addRow("S&ource", self._source_row())
        form.addRow("Address", self.address)
        form.addRow("&Task", self.task)
        form.addRow("&Decoder", self.decoder)
        form.addRow("&Model to start with", self.model)
        form.addRow("Learning &rate (per bin)", self.rate)
        form.addRow("&Assist", self.assist)
        form.addRow(self.blocks)
        form.addRow("Seed", self.seed)
        form.addRow("Duration (s)", self.duration)
        form.addRow("Recording", self.record)
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        area.setWidget(inner)
        outer.addWidget(area, 1)
        self.problem = QtWidgets.QLabel("")
        self.problem.setWordWrap(True)
        outer.addWidget(self.problem)
        kind = QtWidgets.QDialogButtonBox.StandardButton
        self.buttons = QtWidgets.QDialogButtonBox(kind.Ok | kind.Cancel)
        self.buttons.button(kind.Ok).setText("Start")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        outer.addWidget(self.buttons)
        self.resize(screens.fitting(QtCore.QSize(660, 740), screens.available()))

    def _sets_row(self) -> QtWidgets.QWidget:
        self.sets = _box((), "Values that were saved under a name")
        self.sets.activated.connect(lambda _: self._use_set())
        self.save = QtWidgets.QPushButton("Save as this")
        self.save.setToolTip("Keep what the form holds under the name on the left")
        self.save.clicked.connect(self._save_set)
        return _row(self.sets, self.save)

    def _earlier_row(self) -> QtWidgets.QWidget:
        self.earlier = QtWidgets.QComboBox()
        self.earlier.setToolTip("Take the values of an earlier session of the folder of recordings")
        self.earlier.addItem("an earlier session …")
        self.earlier.activated.connect(self._use_earlier)
        return _row(self.earlier)

    def _source_row(self) -> QtWidgets.QWidget:
        self.check_button = QtWidgets.QPushButton("Chec&k")
        self.check_button.setToolTip(f"Take data from the source for {CHECK_S} s, without recording")
        self.check_button.clicked.connect(self.check)
        self.checked = QtWidgets.QLabel("")
        self.checked.setWordWrap(True)
        self.checked.setFont(theme.font(8.5))
        return _row(self.source, self.check_button, self.checked)

    # -- values ----------------------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """Return everything that the form holds, as text by key (blocks as a list); what is empty is left out."""
        found: dict[str, Any] = {key: line.text().strip() for key, line in self.texts.items()}
        found |= {"config": self.config.currentText().strip(), "source.kind": self.source.currentText().strip()}
        found |= {"source.address": self.address.text().strip(), "task.kind": self.task.currentText().strip()}
        found |= {
            "decoder.kind": self.decoder.currentText().strip(),
            "encoding.initial": self.model.currentText().strip(),
        }
        found |= {"adapter.learning_rate": self.rate.text().strip(), "task.assist": self.assist.text().strip()}
        found |= {"seed": str(self.seed.value()), "duration": self.duration.text().strip()}
        found |= {"block": self.blocks.blocks()} if not self.blocks.fault() else {}
        return {key: value for key, value in found.items() if value} | self._beside

    def take(self, values: dict[str, Any]) -> None:
        """Put values into the form; keys that are not given are emptied."""
        self._beside = {key: values[key] for key in BESIDE if key in values}
        for key, line in self.texts.items():
            given = values.get(key, "")
            line.setText(", ".join(given) if isinstance(given, list | tuple) else str(given))
        for key, box in (("source.kind", self.source), ("task.kind", self.task), ("decoder.kind", self.decoder)):
            box.setCurrentText(str(values.get(key, "")))
        self.config.setCurrentText(str(values.get("config", "default")))
        self.model.setCurrentText(str(values.get("encoding.initial", "")))
        self.address.setText(str(values.get("source.address", "")))
        for key, line in (("adapter.learning_rate", self.rate), ("task.assist", self.assist)):
            line.setText(_number_text(values.get(key, "")))
        self.blocks.take([dict(block) for block in values.get("block") or () if isinstance(block, dict)])
        self.duration.setText(str(values.get("duration", "")))
        self.seed.setValue(int(values.get("seed", 1)))

    def fault(self) -> str:
        """Return in a sentence what cannot be started so, or nothing."""
        for key, line in (
            ("adapter.learning_rate", self.rate),
            ("task.assist", self.assist),
            ("duration", self.duration),
        ):
            text = line.text().strip().replace(",", ".")
            try:
                number = float(text or 0.0)
            except ValueError:
                return f"{NUMBERS.get(key, key)}: '{text[:20]}' is not a number"
            if not 0.0 <= number <= (1.0 if key in NUMBERS else 1e9):
                return f"{NUMBERS.get(key, key)}: {number:g} lies outside 0 to {1 if key in NUMBERS else 1e9:g}"
        if fault := self.blocks.fault():
            return fault
        model = self.model.currentText().strip()
        if model not in ("", "untrained", "truth") and not os.path.exists(model):
            return f"model: there is no file {model}"
        record = self.record.text().strip()
        if record and os.path.exists(record):
            return f"recording: {record} exists already; an existing recording is never overwritten"
        return ""

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
        given = ["--seed", str(self.seed.value())]
        values = self.values()
        if values.get("config", "default") != "default":
            given += ["--config", values["config"]]
        for key in ("adapter.learning_rate", "task.assist"):
            if key in values:
                given += ["--set", f"{key}={values[key].replace(',', '.')}"]
        for key in ("source.kind", "source.address", "task.kind", "decoder.kind", "encoding.initial", *FIELDS):
            if key in values:
                given += ["--set", f"{key}={_toml(key, values[key])}"]
        if values.get("block"):
            given += ["--set", f"block={as_toml(values['block'])}"]
        for key, value in self._beside.items():
            given += ["--set", f"{key}={json.dumps(value)}"]
        if "duration" in values:
            given += ["--duration", values["duration"]]
        if self.record.text().strip():
            given += ["--record", self.record.text().strip()]
        for key, address in self.addresses.items():
            given += ["--set", f"telemetry.{key}='{address}'"]
        return given

    # -- sets and earlier sessions -----------------------------------------------------------------------------------

    def _remembered(self) -> dict[str, Any]:
        return _loaded(self.memory.get("form", "{}"))

    def _fill_sets(self) -> None:
        self.sets.clear()
        self.sets.addItems(["", *sorted(_loaded(self.memory.get("sets", "{}")))])

    def _save_set(self) -> None:
        name = self.sets.currentText().strip()
        if not name:
            self.problem.setText("✕ type a name for the set first")
            return
        sets = _loaded(self.memory.get("sets", "{}")) | {name: self.values()}
        self.memory.put("sets", json.dumps(sets))
        self._fill_sets()
        self.sets.setCurrentText(name)
        self.problem.setText(f"✓ saved as {name}")

    def _use_set(self) -> None:
        found = _loaded(self.memory.get("sets", "{}")).get(self.sets.currentText())
        if isinstance(found, dict):
            self.take(found)

    def _list_earlier(self) -> None:
        if os.path.isdir(self.folder):
            arguments = ["-m", "bmi_runtime.session.recording_list", self.folder]
            self._lister = processes.Helper(arguments, self._add_earlier, lambda code, words: None, self)

    def _add_earlier(self, entry: dict[str, Any]) -> None:
        if "error" in entry:
            return
        self.earlier_entries.append(entry)
        name = os.path.basename(entry["path"])
        subject = (entry.get("metadata") or {}).get("subject_id", "")
        self.earlier.addItem(
            f"{name}{', ' + subject if subject else ''}, {entry.get('task')}, {entry['duration_s']:.0f} s"
        )
        self.model.addItem(entry["path"])

    def _use_earlier(self, index: int) -> None:
        if index < 1:
            return
        entry = self.earlier_entries[index - 1]
        values = {f"metadata.{key}": value for key, value in (entry.get("metadata") or {}).items()}
        values |= entry.get("settings") or {}
        self.take(values | {"config": self.config.currentText(), "seed": entry.get("seed") or 1})
        self.model.setCurrentText(entry["path"])
        self.problem.setText(
            f"taken from {os.path.basename(entry['path'])}; its last model is where this session starts"
        )

    # -- the source ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Take data from the source for a moment, and say what came."""
        if self._checking:
            self._checking.stop()
        self.checked.setText(f"… taking data for {CHECK_S} s")
        run = [
            "-m",
            "bmi_runtime.cli.main",
            "run",
            "--headless",
            "--json",
            "--record",
            "none",
            "--duration",
            str(CHECK_S),
        ]
        quiet = ["--set", "telemetry.enabled=false", "--set", "telemetry.output_address=''"]
        found: list[dict] = []
        self._checking = processes.Helper(
            [*run, *_without(self.arguments()), *quiet],
            found.append,
            lambda code, words: self._was_checked(found, words),
            self,
        )
        QtCore.QTimer.singleShot(CHECK_WITHIN_MS, self._give_up)

    def _was_checked(self, found: list[dict], words: str) -> None:
        self._checking = None
        if found and found[-1].get("bins"):
            self.checked.setText(f"✓ data arrive: {found[-1]['bins']} bins in {CHECK_S} s")
        else:
            self.checked.setText(f"✕ {words or 'no data came'}")

    def _give_up(self) -> None:
        if self._checking:
            self._checking.stop()
            self._checking = None
            where = self.address.text().strip() or "its address"
            kind = self.source.currentText() or "the source"
            self.checked.setText(f"✕ nothing came from {kind} at {where} in {CHECK_WITHIN_MS // 1000} s")

    def done(self, result: int) -> None:
        """End the helpers with the form."""
        for helper in (self._checking, self._lister):
            if helper:
                helper.stop()
        super().done(result)


def _without(arguments: list[str]) -> list[str]:
    """Return arguments without those of sockets, recording and duration, which a check has of its own."""
    kept, skip = [], False
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        skip = name in ("--record", "--duration") or value.startswith(("telemetry.", "block="))
        kept += [] if skip else [name, value]
    return kept


def _toml(key: str, text: str) -> str:
    """Return a value as TOML."""
    if key in LISTS:
        return json.dumps([part.strip() for part in text.split(",") if part.strip()], ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False)


def _number_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def _loaded(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _box(items, tip: str) -> QtWidgets.QComboBox:
    box = QtWidgets.QComboBox()
    box.setEditable(True)
    box.addItems(list(items))
    box.setToolTip(tip)
    box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
    box.setMinimumContentsLength(8)
    return box


def _row(*parts: QtWidgets.QWidget) -> QtWidgets.QWidget:
    holder = QtWidgets.QWidget()
    row = QtWidgets.QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        row.addWidget(part)
    return holder
