"""Success by block, task, assist and target, with intervals."""

from __future__ import annotations

import math

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import performance, plots
from gui.panels.base import Panel

HEADERS = ("", "trials", "success", "95 % interval", "time to target", "on target")


class PerformancePanel(Panel):
    """A table of success rates."""

    title = "Performance"
    about = (
        "How many trials succeeded, by block, task, assist or target. A block is a stretch in which task, adaptation "
        "and decoder were not changed. The interval holds the true rate with 95 % confidence (Wilson): few trials "
        "say little. Time to target is the median over the targets reached. For pursuit, whose target moves, the "
        "share of the time on the target stands instead."
    )
    refresh_hz = 1.0

    def __init__(self, context):
        super().__init__(context)
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 5, 8, 3)
        self.by = QtWidgets.QComboBox()
        self.by.addItems([f"by {way}" for way in performance.WAYS])
        self.by.currentIndexChanged.connect(lambda _: self.refresh())
        self.words = plots.caption()
        row.addWidget(self.by)
        row.addWidget(self.words, 1)
        self.column.addLayout(row)
        self.cells = QtWidgets.QTableWidget(0, len(HEADERS))
        self.cells.setHorizontalHeaderLabels(HEADERS)
        self.cells.verticalHeader().hide()
        self.cells.verticalHeader().setDefaultSectionSize(22)
        self.cells.setShowGrid(False)
        self.cells.setAlternatingRowColors(True)
        self.cells.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.cells.horizontalHeader()
        header.setDefaultAlignment(QtCore.Qt.AlignmentFlag.AlignLeft)
        header.setSectionResizeMode(QtWidgets.QHeaderView.ResizeMode.ResizeToContents)
        self.column.addWidget(self.cells, 1)
        self._shown: tuple = ()

    def refresh(self) -> None:
        """Fill the table when there are new trials."""
        trials, way = self.store.trials.view, list(performance.WAYS)[self.by.currentIndex()]
        state = (way, self.store.trials.total, len(trials), len(self.store.blocks))
        self.words.setText("" if len(trials) else self.waits_for("the first trial to end"))
        if state == self._shown:
            return
        self._shown = state
        groups = performance.grouped(trials, self.store.blocks, way)
        self.cells.setRowCount(len(groups))
        for index, found in enumerate(groups):
            for column, text in enumerate(cells_of(found)):
                self.cells.setItem(index, column, QtWidgets.QTableWidgetItem(text))

    def table(self):
        """Return the table as text columns."""
        rows = range(self.cells.rowCount())
        return {
            name or "group": [self.cells.item(row, column).text() for row in rows]
            for column, name in enumerate(HEADERS)
        }


def cells_of(found: performance.Group) -> tuple[str, ...]:
    """Return the texts of one row."""
    return (
        found.label,
        str(found.trials),
        f"{100 * found.rate:.0f} %",
        f"{100 * found.low:.0f} to {100 * found.high:.0f} %",
        f"{found.median_s:.2f} s" if math.isfinite(found.median_s) else "–",
        f"{100 * found.inside:.0f} %" if math.isfinite(found.inside) else "–",
    )
