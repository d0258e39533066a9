"""What happened: trials, commands, warnings, notes, newest first."""

from __future__ import annotations

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import theme
from gui.panels.base import Panel

KINDS = {  # group of the log: sign, name of its filter, role of its sign
    "trial": ("◎", "trials", "muted"),
    "safety": ("▲", "safety", "bad"),
    "data": ("≋", "data", "warn"),
    "command": ("→", "changes", "first"),
    "note": ("✎", "notes", "second"),
    "unit": ("·", "units", "muted"),
}
ONLY = "! only"
NARROW = 400  # pixels
SEVERITY_SIGNS = {"alarm": ("✕", "bad"), "warning": ("!", "warn"), "information": ("", "muted")}


class EventModel(QtCore.QAbstractTableModel):
    """The filtered events as a table model, newest first."""

    HEADERS = ("", "time", "", "what", "bin")

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
        entry, column = self.rows[index.row()], index.column()
        sign, role_of_severity = SEVERITY_SIGNS[entry.severity]
        if role == QtCore.Qt.ItemDataRole.DisplayRole:
            return (sign, clock(entry.t_s), KINDS[entry.kind][0], entry.text, str(entry.bin))[column]
        if role == QtCore.Qt.ItemDataRole.ToolTipRole:
            return f"{entry.severity}, {KINDS[entry.kind][1]}: {entry.text} (bin {entry.bin})"
        if role == QtCore.Qt.ItemDataRole.ForegroundRole:
            roles = {0: role_of_severity, 2: KINDS[entry.kind][2], 3: "text"}
            if column == 3 and entry.severity != "information":
                return QtGui.QBrush(theme.colour(role_of_severity))
            return QtGui.QBrush(theme.colour(roles.get(column, "muted")))
        return None


class EventsPanel(Panel):
    """The event log with filters, a search field, and a line for notes."""

    title = "Event log"
    about = (
        "Everything that happened, newest first. The first column says how serious it is: ✕ alarm, ! warning. The "
        "third says what it is about: ◎ trials, ▲ safety, ≋ data and recording, → changes of parameters, "
        "✎ notes and markers, · single units. The buttons, 'serious only' and the search field "
        "filter the list, not the recording. A note goes into the "
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
        header = self.view.horizontalHeader()
        header.setMinimumSectionSize(18)
        header.setSectionResizeMode(3, QtWidgets.QHeaderView.ResizeMode.Stretch)
        self.view.horizontalHeader().setDefaultAlignment(QtCore.Qt.AlignmentFlag.AlignLeft)
        for column, width in ((0, 20), (1, 66), (2, 22), (4, 62)):
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
            button.setChecked(kind != "unit")
            button.setToolTip(f"Show {name}")
            button.setFont(theme.font(8.5))
            button.setStyleSheet("QToolButton { padding: 3px 4px; border-width: 1px; }")
            button.toggled.connect(lambda _: self._name_filters())
            button.toggled.connect(lambda _: self._filter())
            self.kinds[kind] = button
            row.addWidget(button)
        self.serious = QtWidgets.QToolButton()
        self.serious.setCheckable(True)
        self.serious.setText(ONLY)
        self.serious.setToolTip("Show alarms and warnings only")
        self.serious.setFont(theme.font(8.5))
        self.serious.setStyleSheet("QToolButton { padding: 3px 4px; border-width: 1px; }")
        self.serious.toggled.connect(lambda _: self._filter())
        row.addWidget(self.serious)
        self.search = QtWidgets.QLineEdit()
        self.search.setPlaceholderText("search")
        self.search.setMinimumWidth(72)
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _: self._filter())
        row.addWidget(self.search, 1)
        self.column.addLayout(row)
        self._row, self._below = row, QtWidgets.QHBoxLayout()
        self._below.setContentsMargins(8, 0, 8, 0)
        self.column.addLayout(self._below)
        self._name_filters()

    def resizeEvent(self, event):
        """Leave the filters' words out where they would stand on each other, and put the search field below them.

        The bins of events leave their room to the sentences then; the hint of a row names its bin.
        """
        super().resizeEvent(event)
        self.view.setColumnHidden(self.model.HEADERS.index("bin"), self.width() < NARROW)
        self._name_filters()
        signs = sum(button.minimumWidth() + 4 for button in self.kinds.values())
        needed = signs + self.serious.fontMetrics().horizontalAdvance(ONLY) + 18 + self.search.minimumWidth() + 16
        line, other = (self._below, self._row) if needed > self.width() else (self._row, self._below)
        if line.indexOf(self.search) < 0:
            other.removeWidget(self.search)
            line.addWidget(self.search, 1)
            self.serious.setText("!" if line is self._below else ONLY)

    def _name_filters(self) -> None:
        texts = {kind: (f"{sign} {name}", sign) for kind, (sign, name, _) in KINDS.items()}
        room = (
            self.width() - self.search.minimumWidth() - 4 * len(texts) - 16 - self.serious.sizeHint().width()
        )  # spacing and margins of the row
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
            self.note.clearFocus()  # the next key is meant for the session: Ctrl+Z would bring the text back

    def refresh(self) -> None:
        """Show new events."""
        if self.store.event_count != self._seen:
            self._filter()

    def _filter(self) -> None:
        self._seen = self.store.event_count
        words = self.search.text().lower()
        wanted = {kind for kind, button in self.kinds.items() if button.isChecked()}
        shown = ("alarm", "warning") if self.serious.isChecked() else SEVERITY_SIGNS
        rows = [
            e
            for e in self.store.events
            if e.kind in wanted and e.severity in shown and words in f"{e.name} {e.text}".lower()
        ]
        self.model.show(rows[::-1])

    def _go_to(self, index) -> None:
        self.context.run("seek", self.model.rows[index.row()].bin + 1)

    def table(self):
        """Return the rows shown."""
        rows = self.model.rows
        return {name: [getattr(row, name) for row in rows] for name in ("t_s", "bin", "severity", "kind", "text")}


def _ticked(on: bool, words: str) -> str:
    return f"{'☑' if on else '☐'} {words}"


def clock(seconds: float) -> str:
    """Return session time as minutes and seconds."""
    return f"{int(seconds // 60):d}:{seconds % 60:05.2f}"
