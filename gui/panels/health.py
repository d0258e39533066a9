"""Is everything alive: the source's data, the clock, the messages toward this window."""

from __future__ import annotations

import math
import os
import time

from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from bmi_runtime.messages import STREAMS
from gui import theme
from gui.panels.base import Panel

SIGNS = {"good": "✓", "warn": "!", "bad": "✕", "muted": "–"}
COLUMNS = ("", "what", "now", "meaning")


class HealthPanel(Panel):
    """A table: a sign, what is looked at, its value, what it means."""

    title = "Stream health"
    about = (
        "Upper rows: the data that the runtime decodes. Gaps are bins that never came; late data came after their bin "
        "was closed; refused data held impossible counts; data age is how old the newest data were when they were "
        "decoded. Lower rows: the messages toward this window, which may be dropped without harm to the session; lost "
        "ones are counted by their sequence numbers. ✓ is good, ! deserves a look, ✕ is bad."
    )
    refresh_hz = 2.0

    def __init__(self, context):
        super().__init__(context)
        self.cells = QtWidgets.QTableWidget(0, len(COLUMNS))
        self.cells.setHorizontalHeaderLabels(COLUMNS)
        self.cells.verticalHeader().hide()
        self.cells.setShowGrid(False)
        self.cells.setAlternatingRowColors(True)
        self.cells.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.cells.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.cells.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.cells.horizontalHeader()
        mode = QtWidgets.QHeaderView.ResizeMode
        for column, how in enumerate(
            (mode.ResizeToContents, mode.ResizeToContents, mode.ResizeToContents, mode.Stretch)
        ):
            header.setSectionResizeMode(column, how)
        header.setDefaultAlignment(QtCore.Qt.AlignmentFlag.AlignLeft)
        self.cells.verticalHeader().setDefaultSectionSize(22)
        self.column.addWidget(self.cells)

    def refresh(self) -> None:
        """Fill the table."""
        rows = source_rows(self.store) + self._viewer_rows()
        self.cells.setRowCount(len(rows))
        for index, row in enumerate(rows):
            for column, text in enumerate((SIGNS[row[0]], *row[1:])):
                self._put(index, column, text, row[0] if column in (0, 2) else "muted" if column == 3 else "text")

    def _put(self, row: int, column: int, text: str, role: str) -> None:
        item = self.cells.item(row, column)
        if item is None:
            item = QtWidgets.QTableWidgetItem()
            self.cells.setItem(row, column, item)
        if item.text() != text:
            item.setText(text)
            item.setToolTip(text)
        item.setForeground(QtGui.QBrush(theme.colour("text" if role == "good" and column == 2 else role)))

    def _viewer_rows(self) -> list[tuple[str, str, str, str]]:
        store = self.store
        now_s = time.monotonic()
        rows = []
        for name, state in store.streams.items():
            expected = STREAMS[name].publish_hz
            if not state.received:
                waiting = "nothing received yet" if expected else "none so far"
                rows.append(("muted", f"stream {name}", "–", waiting))
                continue
            age_s = now_s - state.last_s
            slow = expected and (age_s > 3.0 / expected + 1.0) and not store.replay
            role = "bad" if slow else "warn" if state.lost else "good"
            value = f"{state.rate_hz:.0f} /s" if expected else f"{state.received}"
            lost = f"{state.lost} lost on the way" if state.lost else "none lost"
            rows.append((role, f"stream {name}", value, f"last {age_s:.1f} s ago, {lost}" if slow else lost))
        return rows

    def table(self):
        """Return the table as text columns."""
        count = self.cells.rowCount()
        return {
            name or "sign": [self.cells.item(row, column).text() for row in range(count)]
            for column, name in enumerate(COLUMNS)
        }


def source_rows(store) -> list[tuple[str, str, str, str]]:
    """Return ``(role, what, value, meaning)`` of the data that the runtime decodes."""
    if store.step is None:
        return [("muted", "data", "–", "no step has arrived yet")]
    given, faults = store.step["input"], store.faults
    rows = [
        ("bad", "data", "stopped", f"none for {faults['stale']} bins; the decoder coasts")
        if faults["stale"]
        else ("good", "data", "arriving", "the newest bin held fresh data")
    ]
    for name, what, meaning in (
        ("gap_bins", "gaps", "bins that never came"),
        ("late", "late", "samples after their bin was closed"),
        ("duplicates", "duplicates", "samples that came twice, used once"),
        ("invalid", "refused", "counts that cannot be, left out"),
    ):
        rows.append(("warn" if faults[name] else "good", what, str(faults[name]), meaning))
    rows.append(_age_row(float(given["data_age_s"]), store.bin_s))
    rows.append(_clock_row(given))
    failed = store.health.get("recording_failed")
    if failed:
        rows.append(("bad", "recording", "failed", str(failed)))
    elif store.recording:
        rows.append(("good", "recording", "writing" if not store.replay else "read", os.path.basename(store.recording)))
    else:
        rows.append(("warn", "recording", "none", "this session is not recorded"))
    return rows


def _age_row(age_s: float, bin_s: float) -> tuple[str, str, str, str]:
    if not math.isfinite(age_s):
        return "muted", "data age", "–", "not known for this source"
    role = "good" if age_s <= 4 * bin_s else "warn"
    return role, "data age", f"{1000 * age_s:.1f} ms", "from the end of the bin to its decoding"


def _clock_row(given) -> tuple[str, str, str, str]:
    offset_s, uncertainty_s = float(given["clock_offset_s"]), float(given["clock_uncertainty_s"])
    if not math.isfinite(offset_s + uncertainty_s) or (offset_s == 0.0 and uncertainty_s == 0.0):
        return "muted", "clock offset", "–", "source and host share one clock"
    value = f"{1000 * offset_s:.2f} ± {1000 * uncertainty_s:.2f} ms"
    return ("good" if uncertainty_s < 2e-3 else "warn"), "clock offset", value, "host minus device clock"
