"""The blocks of a new session as a table: one line for each, in their order."""

from __future__ import annotations

import json
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

KINDS = ("observe", "assisted", "adapt", "fixed", "free")
COLUMNS = {  # key of the configuration: heading, tip
    "kind": (
        "kind",
        "observe: the cursor follows the aim; assisted; adapt; fixed: nothing is learned; free: no targets",
    ),
    "name": ("name", "What it is called; empty: its kind"),
    "length_s": ("seconds", "Seconds in which the cursor may move; empty: no limit"),
    "trials": ("trials", "Ends after so many trials; empty: no limit"),
    "success_rate": ("until %", "Ends when so many percent of the last ten trials succeeded; empty: no criterion"),
    "task": ("task", "Empty: as it was"),
    "assist": ("assist %", "Empty: by kind"),
    "learning_rate": ("rate", "Learning rate per bin; empty: as it was"),
}
NUMBERS = {"length_s": (1.0, 86_400.0), "trials": (1.0, 1e6), "success_rate": (0.01, 1.0), "assist": (0.01, 1.0)}
NUMBERS |= {"learning_rate": (1.0, 1.0)}
"""Of each number: what one of the shown unit is (percent are shown), and the most that it may be."""
WIDTHS = {"kind": 96, "name": 78, "length_s": 70, "trials": 56, "success_rate": 68, "task": 150, "assist": 72}


class Table(QtWidgets.QTableWidget):
    """A table in which Enter edits the cell (in a dialog it would press its button), and Delete empties it."""

    def keyPressEvent(self, event):
        """Edit or empty the current cell."""
        keys, item = QtCore.Qt.Key, self.currentItem()
        if event.key() in (keys.Key_Return, keys.Key_Enter):
            if item is not None:
                self.editItem(item)
        elif event.key() in (keys.Key_Delete, keys.Key_Backspace) and item is not None:
            item.setText("")
        else:
            super().keyPressEvent(event)


class BlockEditor(QtWidgets.QWidget):
    """A table of blocks with buttons to add, remove and move them; without a line the session has none.

    Parameters
    ----------
    tasks : sequence of str
        Names to choose from.
    """

    def __init__(self, tasks):
        super().__init__()
        self.tasks = list(tasks)
        self._more: list[dict[str, Any]] = []  # of each line, what it has no column for
        self.table = Table(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels([heading for heading, _ in COLUMNS.values()])
        for column, (key, (_, tip)) in enumerate(COLUMNS.items()):
            self.table.horizontalHeaderItem(column).setToolTip(tip)
            self.table.setColumnWidth(column, WIDTHS.get(key, 60))
        self.table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setTabKeyNavigation(False)  # Tab leaves the table; arrows move in it
        self.table.setAccessibleName("Blocks")
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row = QtWidgets.QHBoxLayout()
        row.addWidget(QtWidgets.QLabel("Blocks"), 1)
        self.buttons = {}
        for word, action, tip in (
            ("Add &block", self.add, "A block behind the chosen one, like it"),
            ("Re&move", self.remove, "Remove the chosen block"),
            ("&Up", lambda: self.move(-1), "The chosen block earlier"),
            ("&Down", lambda: self.move(1), "The chosen block later"),
        ):
            button = self.buttons[word.replace("&", "")] = QtWidgets.QPushButton(word)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, action=action: action())
            button.setAutoDefault(False)
            row.addWidget(button)
        column.addLayout(row)
        column.addWidget(self.table)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Maximum)
        self._fit()

    def blocks(self) -> list[dict[str, Any]]:
        """Return the blocks as the configuration holds them; `fault` must be empty."""
        return [self._read(row) for row in range(self.table.rowCount())]

    def take(self, blocks: list[dict[str, Any]]) -> None:
        """Show these blocks in place of those there are."""
        self.table.setRowCount(0)
        self._more = []
        for block in blocks:
            self._insert(self.table.rowCount(), block)
        self._fit()

    def fault(self) -> str:
        """Return in a sentence what is wrong with the first line that is wrong, or nothing."""
        for row in range(self.table.rowCount()):
            for key, (one, most) in NUMBERS.items():
                text = self._text(row, key)
                try:
                    number = float(text.replace(",", ".") or 0.0) * one
                except ValueError:
                    return f"block {row + 1}, {COLUMNS[key][0]}: '{text[:20]}' is not a number"
                whole = key != "trials" or number.is_integer()
                if not (0.0 <= number <= most and whole):
                    wanted = "a whole number" if not whole else f"between 0 and {most / one:g}"
                    return f"block {row + 1}, {COLUMNS[key][0]}: {text[:20]} must be {wanted}"
        return ""

    def add(self) -> None:
        """Add a block behind the chosen one (at the end), like it."""
        at = self.table.currentRow()
        like = self._read(at) if at >= 0 and not self.fault() else {"kind": KINDS[min(self.table.rowCount(), 3)]}
        at = at + 1 if at >= 0 else self.table.rowCount()
        self._insert(at, like)
        self.table.setCurrentCell(at, 1)
        self._fit()

    def remove(self) -> None:
        """Remove the chosen block, or the last one."""
        at = self.table.currentRow() if self.table.currentRow() >= 0 else self.table.rowCount() - 1
        if at >= 0:
            self.table.removeRow(at)
            del self._more[at]
        self._fit()

    def move(self, change: int) -> None:
        """Move the chosen block up (-1) or down (1)."""
        at, to = self.table.currentRow(), self.table.currentRow() + change
        if at < 0 or not 0 <= to < self.table.rowCount() or self.fault():
            return
        blocks = self.blocks()
        blocks.insert(to, blocks.pop(at))
        self.take(blocks)
        self.table.setCurrentCell(to, 1)

    def _insert(self, row: int, block: dict[str, Any]) -> None:
        self.table.insertRow(row)
        self._more.insert(row, {k: v for k, v in block.items() if k not in COLUMNS and v not in (None, "")})
        for column, key in enumerate(COLUMNS):
            value = block.get(key)
            if key in ("kind", "task"):
                box = QtWidgets.QComboBox()
                box.addItems(list(KINDS) if key == "kind" else self.tasks)
                if value and box.findText(str(value)) < 0:
                    box.addItem(str(value))  # somebody else's task
                box.setCurrentText(str(value or (KINDS[0] if key == "kind" else "")))
                box.setToolTip(COLUMNS[key][1])
                self.table.setCellWidget(row, column, box)
            else:
                self.table.setItem(row, column, QtWidgets.QTableWidgetItem(_shown(key, value)))

    def _read(self, row: int) -> dict[str, Any]:
        block: dict[str, Any] = dict(self._more[row])
        for key in COLUMNS:
            text = self._text(row, key)
            if not text:
                continue
            if key in NUMBERS:
                number = float(text.replace(",", ".")) * NUMBERS[key][0]
                block[key] = int(number) if key == "trials" else round(number, 12)
            else:
                block[key] = text
        return block

    def _text(self, row: int, key: str) -> str:
        column = list(COLUMNS).index(key)
        box = self.table.cellWidget(row, column)
        if isinstance(box, QtWidgets.QComboBox):
            return box.currentText()
        item = self.table.item(row, column)
        return item.text().strip() if item else ""

    def _fit(self) -> None:
        """Be as high as the lines need, up to six."""
        rows = min(self.table.rowCount(), 6)
        header = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(header + rows * self.table.verticalHeader().defaultSectionSize() + 22)
        self.table.setVisible(rows > 0)
        self.table.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAsNeeded)


def _shown(key: str, value: Any) -> str:
    if value in (None, "", 0, 0.0):
        return ""
    return f"{value / NUMBERS[key][0]:g}" if key in NUMBERS else str(value)


def as_toml(blocks: list[dict[str, Any]]) -> str:
    """Return the blocks as a list of inline tables."""
    tables = (", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in b.items()) for b in blocks)
    return "[" + ", ".join(f"{{{table}}}" for table in tables) + "]"
