"""What happened: trials, commands, warnings, notes, newest first."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import theme
from gui.panels.base import Panel

KINDS = {"trial": ("◎", "trials", "muted"), "command": ("→", "commands", "first")}
KINDS |= {"warning": ("!", "warnings", "bad"), "note": ("✎", "notes", "second")}


class EventModel(QtCore.QAbstractTableModel):
    """The filtered events as a table model, newest first."""

    HEADERS = ("time", "bin", "", "what")

    def __init__(self):
        super().__init__()
        self.rows = []

    def show(self, rows) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent=None):
        """Return the number of rows."""
        return len(self.rows)

    def columnCount(self, parent=None):
        """Return the number of columns."""
        return len(self.HEADERS)

    def headerData(self, section, orientation, role=QtCore.Qt.ItemDataRole.DisplayRole):
        """Return a heading."""
        if orientation == QtCore.Qt.Orientation.Horizontal and role == QtCore.Qt.ItemDataRole.DisplayRole:
            return self.HEADERS[section]
        return None

    def data(self, index, role=QtCore.Qt.ItemDataRole.DisplayRole):
        """Return a cell's text or colour."""
        entry = self.rows[index.row()]
        if role in (QtCore.Qt.ItemDataRole.DisplayRole, QtCore.Qt.ItemDataRole.ToolTipRole):
            sign = KINDS[entry.kind][0]
            text = (
                entry.text
                if entry.name in ("trial", "note") or entry.kind == "command"
                else f"{entry.name}: {entry.text}"
            )
            return (clock(entry.t_s), str(entry.bin), sign, text)[index.column()]
        if role == QtCore.Qt.ItemDataRole.ForegroundRole:
            return QtGui.QBrush(theme.colour(KINDS[entry.kind][2] if index.column() == 2 else "text"))
        return None


class EventsPanel(Panel):
    """The event log with filters, a search field, and a line for notes."""

    title = "Event log"
    about = (
        "Everything that happened, newest first: ◎ trials, → commands with the bin at which they took effect, ! "
        "warnings, ✎ notes. The buttons and the search field filter the list, not the recording. A note goes into the "
        "recording with its bin number; F8 puts a marker there at once. In a replay a double click on a row goes to "
        "its bin."
    )
    refresh_hz = 4.0

    def __init__(self, context):
        super().__init__(context)
        self.kinds = {}
        self._seen = None
        self.model = EventModel()
        self._filters()
        self.view = QtWidgets.QTableView()
        self.view.setModel(self.model)
        self.view.setShowGrid(False)
        self.view.setAlternatingRowColors(True)
        self.view.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(21)
        self.view.horizontalHeader().setStretchLastSection(True)
        self.view.horizontalHeader().setDefaultAlignment(QtCore.Qt.AlignmentFlag.AlignLeft)
        for column, width in enumerate((74, 70, 24)):
            self.view.setColumnWidth(column, width)
        self.view.doubleClicked.connect(self._go_to)
        self.column.addWidget(self.view, 1)
        self._note_line()

    def _filters(self) -> None:
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 5, 8, 4)
        row.setSpacing(4)
        for kind, (_, name, _) in KINDS.items():
            button = QtWidgets.QToolButton()
            button.setCheckable(True)
            button.setChecked(True)
            button.setToolTip(f"Show {name}")
            button.setFont(theme.font(8.5))
            button.setStyleSheet("QToolButton { padding: 3px 4px; border-width: 1px; }")
            button.toggled.connect(lambda _: self._name_filters())
            button.toggled.connect(lambda _: self._filter())
            self.kinds[kind] = button
            row.addWidget(button)
        self.search = QtWidgets.QLineEdit()
        self.search.setPlaceholderText("search")
        self.search.setMinimumWidth(72)
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _: self._filter())
        row.addWidget(self.search, 1)
        self.column.addLayout(row)
        self._name_filters()

    def resizeEvent(self, event):
        """Leave the filters' words out where they would stand on each other."""
        super().resizeEvent(event)
        self._name_filters()

    def _name_filters(self) -> None:
        texts = {kind: (f"{sign} {name}", sign) for kind, (sign, name, _) in KINDS.items()}
        room = self.width() - self.search.minimumWidth() - 4 * len(texts) - 16  # spacing and margins of the row
        metrics = self.kinds["trial"].fontMetrics()
        whole = sum(metrics.horizontalAdvance(_ticked(True, words)) + 14 for words, _ in texts.values()) <= room
        for kind, button in self.kinds.items():
            words, sign = texts[kind]
            button.setMinimumWidth(metrics.horizontalAdvance(_ticked(True, sign)) + 12)
            text = _ticked(button.isChecked(), words if whole else sign)
            if button.text() != text:
                button.setText(text)

    def _note_line(self) -> None:
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 4, 8, 6)
        self.note = QtWidgets.QLineEdit()
        self.note.setPlaceholderText("a note for the recording, then Enter")
        self.note.returnPressed.connect(self.send_note)
        row.addWidget(self.note, 1)
        self.column.addLayout(row)

    def send_note(self) -> None:
        """Send the note to the runtime; it appears in the list once it is recorded."""
        text = self.note.text().strip()
        if text:
            self.context.run("note", text)
            self.note.clear()

    def refresh(self) -> None:
        """Show new events."""
        if self.store.event_count != self._seen:
            self._filter()

    def _filter(self) -> None:
        self._seen = self.store.event_count
        words = self.search.text().lower()
        wanted = {kind for kind, button in self.kinds.items() if button.isChecked()}
        rows = [e for e in self.store.events if e.kind in wanted and words in f"{e.name} {e.text}".lower()]
        self.model.show(rows[::-1])

    def _go_to(self, index) -> None:
        self.context.run("seek", self.model.rows[index.row()].bin + 1)

    def table(self):
        """Return the rows shown."""
        rows = self.model.rows
        return {name: [getattr(row, name) for row in rows] for name in ("t_s", "bin", "kind", "name", "text")}


def _ticked(on: bool, words: str) -> str:
    return f"{'☑' if on else '☐'} {words}"


def clock(seconds: float) -> str:
    """Return session time as minutes and seconds."""
    return f"{int(seconds // 60):d}:{seconds % 60:05.2f}"
