"""Rows of a session's form that do something: saved sets, an earlier session, the check of the source."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import form_values, processes, theme
from gui.layouts import Memory

CHECK_S, CHECK_WITHIN_MS = 2, 20_000


def box(items, tip: str, hint: str = "from the configuration") -> QtWidgets.QComboBox:
    """Return a list to choose from, in which something else can be typed; `hint` stands in it while it is empty."""
    made = QtWidgets.QComboBox()
    made.setEditable(True)
    made.lineEdit().setPlaceholderText(hint)
    made.addItems(list(items))
    made.setToolTip(tip)
    made.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
    made.setMinimumContentsLength(8)
    return made


class Row(QtWidgets.QWidget):
    """Widgets beside each other; a label's mnemonic goes to the first."""

    def hold(self, *parts: QtWidgets.QWidget) -> None:
        """Take the widgets in, from left to right."""
        line = QtWidgets.QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        for part in parts:
            line.addWidget(part)
        self.setFocusProxy(parts[0])
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)  # a label's letter passes by what takes no focus


class SavedSets(Row):
    """Values of the form, kept under names.

    Parameters
    ----------
    memory : Memory
    values, take : callable
        Return the form's values, and put values into it.
    tell : callable
        Shows a sentence.
    """

    def __init__(self, memory: Memory, values: Callable[[], dict], take: Callable[[dict], None], tell):
        super().__init__()
        self.memory, self.values, self.take, self.tell = memory, values, take, tell
        self.names = box((), "Values that were saved under a name", "a name")
        self.save = QtWidgets.QPushButton("Sa&ve set")
        self.hold(self.names, self.save)
        self.save.setToolTip("Keep what the form holds under the name on the left")
        self.names.activated.connect(lambda _: self._use())
        self.save.clicked.connect(self._save)
        self._fill()

    def _kept(self) -> dict[str, Any]:
        return form_values.loaded(self.memory.get("sets", "{}"))

    def _fill(self) -> None:
        self.names.clear()
        self.names.addItems(["", *sorted(self._kept())])

    def _save(self) -> None:
        name = self.names.currentText().strip()
        if not name:
            self.tell("✕ type a name for the set first")
            return
        self.memory.put("sets", json.dumps(self._kept() | {name: self.values()}))
        self._fill()
        self.names.setCurrentText(name)
        self.tell(f"✓ saved as {name}")

    def _use(self) -> None:
        found = self._kept().get(self.names.currentText())
        if isinstance(found, dict):
            self.take(found)


class EarlierSessions(Row):
    """The sessions of the folder of recordings, to copy values from.

    Parameters
    ----------
    folder : str
    found : callable
        Called with every recording that is found.
    chosen : callable
        Called with the one that is chosen.
    """

    def __init__(self, folder: str, found: Callable[[dict], None], chosen: Callable[[dict], None]):
        super().__init__()
        self.found, self.chosen = found, chosen
        self.names = QtWidgets.QComboBox()
        self.hold(self.names)
        self.names.setToolTip("Take the values of an earlier session of the folder of recordings")
        self.names.addItem("an earlier session …")
        self.names.activated.connect(self._choose)
        self.entries: list[dict[str, Any]] = []
        self._lister: processes.Helper | None = None
        if os.path.isdir(folder):
            arguments = ["-P", "-m", "bmi_runtime.session.recording_list", folder]
            self._lister = processes.Helper(arguments, self.add, lambda code, words: None, self)

    def add(self, entry: dict[str, Any]) -> None:
        """Take a recording into the list."""
        if "error" in entry:
            return
        self.entries.append(entry)
        subject = (entry.get("metadata") or {}).get("subject_id", "")
        name = f"{os.path.basename(entry['path'])}{', ' + subject if subject else ''}"
        self.names.addItem(f"{name}, {entry.get('task')}, {entry['duration_s']:.0f} s")
        self.found(entry)

    def _choose(self, index: int) -> None:
        if index >= 1:
            self.chosen(self.entries[index - 1])

    def stop(self) -> None:
        """End the program that lists."""
        if self._lister:
            self._lister.stop()


class SourceCheck(Row):
    """The kind of the source, and whether data come from it.

    Parameters
    ----------
    kinds : sequence of str
    address : QLineEdit
        Of the source.
    arguments : callable
        Returns those of the session.
    """

    def __init__(self, kinds, address: QtWidgets.QLineEdit, arguments: Callable[[], list[str]]):
        super().__init__()
        self.kind = box(kinds, "Where spikes come from; empty: as the configuration says")
        self.button, self.told = QtWidgets.QPushButton("C&heck"), QtWidgets.QLabel("")
        self.hold(self.kind, self.button, self.told)
        self.address, self.arguments = address, arguments
        self.button.setToolTip(f"Take data from the source for {CHECK_S} s, without recording")
        self.button.clicked.connect(self.check)
        self.told.setWordWrap(True)
        self.told.setFont(theme.font(8.5))
        self._checking: processes.Helper | None = None

    def check(self) -> None:
        """Take data from the source for a moment, and say what came."""
        self.stop()
        self.told.setText(f"… taking data for {CHECK_S} s")
        found: list[dict] = []
        given = ["run", "--headless", "--json", *form_values.for_a_check(self.arguments(), CHECK_S)]
        self._checking = processes.Helper(
            ["-P", "-m", "bmi_runtime.cli.main", *given],
            found.append,
            lambda code, words: self._checked(found, words),
            self,
        )
        QtCore.QTimer.singleShot(CHECK_WITHIN_MS, self._give_up)

    def _checked(self, found: list[dict], words: str) -> None:
        self._checking = None
        if found and found[-1].get("bins"):
            self.told.setText(f"✓ data arrive: {found[-1]['bins']} bins in {CHECK_S} s")
        else:
            self.told.setText(f"✕ {words or 'no data came'}")

    def _give_up(self) -> None:
        if self._checking:
            self.stop()
            where, kind = self.address.text().strip() or "its address", self.kind.currentText() or "the source"
            self.told.setText(f"✕ nothing came from {kind} at {where} in {CHECK_WITHIN_MS // 1000} s")

    def stop(self) -> None:
        """End a check that is under way."""
        if self._checking:
            self._checking.stop()
            self._checking = None
