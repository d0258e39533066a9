"""The recordings of a folder: what was run, when, with what, how it went; open, verify, compare."""

from __future__ import annotations

import datetime
import os
import pathlib
import time
from typing import Any

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import processes, theme
from gui.panels.base import Panel

HEADERS = (
    "when",
    "subject",
    "file",
    "length",
    "units",
    "source",
    "decoder",
    "learning rate",
    "reached",
    "p99",
    "whole",
    "verified",
)


class RecordingsPanel(Panel):
    """A table of recordings and what to do with them."""

    title = "Recordings"
    about = (
        "Every recording of the folder, newest first. Open (Enter, or a double click) replays one in this window. "
        "Verify replays it through the same step and compares every output to the bit. Compare shows two selected "
        "recordings side by side, and the success of more than two over the sessions. Export writes NWB or tables. A "
        "recording that was cut off is still listed and can be opened up to where it ends."
    )
    refresh_hz = 1.0

    def __init__(self, context, folder: str = "recordings"):
        super().__init__(context)
        self.folder, self.entries = folder, []
        self._lister: processes.Helper | None = None
        self._verifying: dict[str, processes.Helper] = {}
        self.verified: dict[str, str] = {}
        self._wanted = True
        self._bar()
        self.cells = QtWidgets.QTableWidget(0, len(HEADERS))
        self._style_cells()
        self.column.addWidget(self.cells, 1)
        self.words = QtWidgets.QLabel("")
        self.words.setContentsMargins(10, 3, 10, 5)
        self.words.setWordWrap(True)
        self.column.addWidget(self.words)

    def _bar(self) -> None:
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(4, 5, 4, 4)
        row.setSpacing(3)
        self.buttons = {}
        for name, tip, what in (
            ("Open", "Replay the selected recording in this window (Enter)", self.open),
            ("Verif&y", "Replay it and compare every output to the bit", self.verify),
            ("&Compare", "Two selected recordings side by side; more: their success over the sessions", self.compare),
            ("E&xport …", "To NWB or to tables", self.export),
            ("Re&fresh", "Read the folder again", self.read),
            ("Fol&der …", "Choose another folder", self._choose_folder),
        ):
            button = self.buttons[name.replace("&", "")] = QtWidgets.QPushButton(name)
            button.setToolTip(tip)
            button.clicked.connect(what)
            button.setStyleSheet("QPushButton { padding: 3px 5px; }")
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(name.replace("&", "")) + 14)
            row.addWidget(button)
        self.search = QtWidgets.QLineEdit()
        self.search.setPlaceholderText("search: subject, date, note, task, file")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Enter goes to the list")
        self.search.textChanged.connect(lambda _: self._search())
        self.search.returnPressed.connect(self.enter)
        row.addStretch(1)
        self.column.addLayout(row)
        second = QtWidgets.QHBoxLayout()
        second.setContentsMargins(8, 0, 8, 4)
        second.addWidget(self.search, 1)
        for name in ("Refresh", "Folder …"):
            row.removeWidget(self.buttons[name])
            second.addWidget(self.buttons[name])
        self.column.addLayout(second)
        self.running = QtCore.QTimer(self)
        self.running.setInterval(1000)
        self.running.timeout.connect(self._say_running)
        self._begun: dict[str, float] = {}
        self._exporting: processes.Helper | None = None

    def _search(self) -> None:
        """Hide the rows that do not hold all words of the search."""
        words = self.search.text().lower().split()
        shown = 0
        for row, entry in enumerate(self.entries):
            hidden = not all(word in searched(entry) for word in words)
            self.cells.setRowHidden(row, hidden)
            shown += not hidden
        if words:
            self.words.setText(f"{shown} of {len(self.entries)} recordings")

    def _say_running(self) -> None:
        """Say how long what runs has been running."""
        if not self._begun:
            self.running.stop()
            return
        told = ", ".join(f"{what} for {time.monotonic() - begun:.0f} s" for what, begun in self._begun.items())
        self.words.setText(f"… {told}")

    def _begin(self, what: str) -> None:
        self._begun[what] = time.monotonic()
        self._say_running()
        self.running.start()

    def _style_cells(self) -> None:
        cells = self.cells
        cells.setHorizontalHeaderLabels(HEADERS)
        cells.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        cells.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        cells.setShowGrid(False)
        cells.setAlternatingRowColors(True)
        cells.verticalHeader().hide()
        cells.verticalHeader().setDefaultSectionSize(23)
        cells.horizontalHeader().setDefaultAlignment(QtCore.Qt.AlignmentFlag.AlignLeft)
        cells.horizontalHeader().setSectionResizeMode(QtWidgets.QHeaderView.ResizeMode.ResizeToContents)
        cells.activated.connect(lambda _: self.open())  # a double click, or Enter

    def enter(self) -> None:
        """Take the keyboard into the table, on the newest recording: arrows choose, Enter opens, letters do more."""
        self.cells.setFocus(QtCore.Qt.FocusReason.ShortcutFocusReason)
        self._select_first()

    def _select_first(self) -> None:
        """Select the newest recording that is shown, unless one is selected that is."""
        rows = [row for row in range(self.cells.rowCount()) if not self.cells.isRowHidden(row)]
        if rows and not any(index.row() in rows for index in self.cells.selectedIndexes()):
            self.cells.setCurrentCell(rows[0], 0)

    def refresh(self) -> None:
        """Read the folder when it was not read yet, or a session has ended since."""
        if self.store.catalogue is not None:
            if self.entries != self.store.catalogue:
                self._show(self.store.catalogue)
            return
        if self.store.recording:
            folder = str(pathlib.Path(self.store.recording).parent)
            if folder != self.folder:
                self.folder, self._wanted = folder, True
        state = (self.store.mode, self.store.ended)
        if state != getattr(self, "_state", None):
            self._state, self._wanted = state, True
        if self._wanted:
            self.read()

    def read(self) -> None:
        """List the folder again, in another process."""
        self._wanted = False
        if self._lister:
            self._lister.stop()
        if not os.path.isdir(self.folder):
            self._show([])
            self.words.setText(f"there is no folder '{self.folder}' yet; a session with a recording makes it")
            return
        self._found: list[dict[str, Any]] = []
        arguments = ["-P", "-m", "bmi_runtime.session.recording_list", self.folder]
        self._lister = processes.Helper(arguments, self._found.append, self._listed, self)
        self.words.setText(f"reading {self.folder} …")

    def _listed(self, code: int, words: str) -> None:
        self._lister = None
        self._show(self._found)
        self.words.setText(words if code else f"{_counted(len(self._found))} in {self.folder}")

    def _show(self, entries: list[dict[str, Any]]) -> None:
        selected = {entry["path"] for entry in self.selected()}
        self.entries = entries
        self.cells.setRowCount(len(entries))
        for row, entry in enumerate(entries):
            for column, text in enumerate((*cells_of(entry), self.verified.get(entry["path"], ""))):
                item = QtWidgets.QTableWidgetItem(text)
                if "error" in entry or (column == HEADERS.index("whole") and text != "✓ yes"):
                    item.setForeground(QtGui.QBrush(theme.colour("bad")))
                item.setToolTip(entry.get("error") or f"{entry['path']}\n{entry.get('notes', '')}".strip())
                self.cells.setItem(row, column, item)
            if entry["path"] in selected:
                self.cells.selectRow(row)
        self._search()
        if self.cells.hasFocus():
            self._select_first()

    def selected(self) -> list[dict[str, Any]]:
        """Return the entries of the selected rows."""
        rows = sorted({index.row() for index in self.cells.selectedIndexes()})
        return [self.entries[row] for row in rows if row < len(self.entries)]

    def _one(self) -> dict[str, Any] | None:
        chosen = self.selected()
        if len(chosen) != 1:
            self.words.setText("select one recording first")
            return None
        return chosen[0]

    def open(self) -> None:
        """Replay the selected recording in this window."""
        chosen = self._one()
        if chosen:
            self.context.run("open_recording", chosen["path"])

    def verify(self) -> None:
        """Replay the selected recording and compare every bit."""
        chosen = self._one()
        if not chosen:
            return
        path = chosen["path"]
        self._mark(path, "… verifying")
        self._begin(f"verifying {os.path.basename(path)}")
        self._verifying[path] = processes.verify(path, lambda result, words: self._verified(path, result, words), self)

    def _verified(self, path: str, result: dict | None, words: str) -> None:
        self._verifying.pop(path, None)
        self._begun.pop(f"verifying {os.path.basename(path)}", None)
        if result is None:
            self._mark(path, "✕ failed")
            self.words.setText(words or "the check ended without an answer")
        elif result["identical"]:
            self._mark(path, "✓ identical")
            factor = result["realtime_factor"]
            self.words.setText(f"{path}: all {result['bins']} bins identical to the bit, {factor:.0f} times real time")
        else:
            where = result["first_divergence"]
            self._mark(path, f"✕ bin {where['bin']}")
            self.words.setText(f"{path} differs first at bin {where['bin']}, field '{where['field']}'")

    def _mark(self, path: str, text: str) -> None:
        self.verified[path] = text
        for row, entry in enumerate(self.entries):
            if entry["path"] == path:
                self.cells.item(row, len(HEADERS) - 1).setText(text)

    def compare(self) -> None:
        """Show two selected recordings side by side, or the success of more of them over the sessions."""
        chosen = self.selected()
        if len(chosen) < 2:
            self.words.setText("select two or more recordings to compare (Ctrl+click, Shift+click)")
        elif len(chosen) == 2:
            self.context.run("show_comparison", *chosen)
        else:
            self.context.run("show_sessions", chosen)

    def export(self) -> None:
        """Write the selected recording as NWB or as tables."""
        chosen = self._one()
        if not chosen:
            return
        name = os.path.splitext(chosen["path"])[0] + ".nwb"
        kinds = "NWB (*.nwb);;Tables, a folder (*.tables)"
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Export the recording", name, kinds)
        if path:
            self.export_to(chosen["path"], path)

    def export_to(self, recording: str, path: str) -> None:
        """Export in another process, and say how long it takes and where it went."""
        if self._exporting:
            self.words.setText("an export is running already")
            return
        form = "tables" if path.endswith(".tables") else "nwb"
        what = f"exporting {os.path.basename(recording)}"
        found: list[dict[str, Any]] = []

        def ended(code: int, words: str) -> None:
            self._exporting = None
            self._begun.pop(what, None)
            done = f"✓ {path} is written" if not code else f"✕ {words or f'the export ended with code {code}'}"
            self.words.setText(done)
            self.context.run("say", done)

        self._begin(what)
        arguments = ["-P", "-m", "bmi_runtime.cli.main", "export", recording, "--to", form, "-o", path, "--json"]
        self._exporting = processes.Helper(arguments, found.append, ended, self)

    def _choose_folder(self) -> None:
        folder = QtWidgets.QFileDialog.getExistingDirectory(self, "Folder of recordings", self.folder)
        if folder:
            self.folder = folder
            self.read()

    def stop(self) -> None:
        """End every helper process."""
        for helper in (self._lister, self._exporting, *self._verifying.values()):
            if helper:
                helper.stop()

    def table(self):
        """Return the list."""
        return {
            name: [entry.get(name, "") for entry in self.entries] for name in ("path", "duration_s", "success_rate")
        }


def searched(entry: dict[str, Any]) -> str:
    """Return the text of a recording that a search looks through: cells, metadata, notes."""
    metadata = " ".join(str(value) for value in (entry.get("metadata") or {}).values())
    return " ".join([*cells_of(entry), metadata, str(entry.get("notes", "")), str(entry.get("task", ""))]).lower()


def cells_of(entry: dict[str, Any]) -> list[str]:
    """Return the texts of one row, all but the last."""
    name = os.path.basename(entry["path"])
    subject = str((entry.get("metadata") or {}).get("subject_id", ""))
    when = datetime.datetime.fromtimestamp(entry.get("created_s") or entry["modified_s"]).strftime("%Y-%m-%d %H:%M:%S")
    if "error" in entry:
        return [when, "", name, *[""] * 7, "✕ unreadable"]
    rates = entry["learning_rate"]
    rate = "" if not rates else f"{rates[0]:g}" if rates[0] == rates[1] else f"{rates[0]:g} → {rates[1]:g}"
    reached = f"{100 * entry['success_rate']:.0f} % of {entry['trials']}" if entry["trials"] else "no trial"
    p99 = "" if entry["latency_p99_us"] is None else f"{entry['latency_p99_us']:.0f} µs"
    whole = "✓ yes" if entry["complete"] else f"✕ cut, {entry['lost_bytes']} bytes lost"
    length = f"{entry['duration_s']:.1f} s"
    return [
        when,
        subject,
        name,
        length,
        str(entry["units"]),
        str(entry["source"]),
        str(entry["decoder"]),
        rate,
        reached,
        p99,
        whole,
    ]


def _counted(number: int) -> str:
    return "1 recording" if number == 1 else f"{number} recordings"
