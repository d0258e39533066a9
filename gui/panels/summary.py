"""The summary of the session on one page, to read and to save."""

from __future__ import annotations

import os

from pyqtgraph.Qt import QtWidgets

from gui import plots, summary
from gui.panels.base import Panel


class SummaryPanel(Panel):
    """One page about the session that is shown."""

    title = "Summary"
    about = (
        "The session on one page: subject and settings, success by block and target with 95 % intervals, curves over "
        "the trials, what happened, where the recording is. Save writes it as a web page or as PDF. It opens by "
        "itself when a session has ended; Renew draws it again while one runs."
    )
    refresh_hz = 1.0
    needs_runtime = False

    def __init__(self, context):
        super().__init__(context)
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(8, 5, 8, 4)
        self.buttons = {}
        for name, tip, what in (
            ("Sav&e …", "As a web page (.html) or as PDF", self.save),
            ("&Open the recording", "Replay it in this window", self.open),
            ("Re&new", "Draw the page again", self.show_page),
        ):
            button = self.buttons[name.replace("&", "")] = QtWidgets.QPushButton(name)
            button.setToolTip(tip)
            button.clicked.connect(lambda _, what=what: what())
            row.addWidget(button)
        row.addStretch(1)
        self.column.addLayout(row)
        self.words = plots.caption()
        self.column.addWidget(self.words)
        self.text = QtWidgets.QTextBrowser()
        self.text.setStyleSheet("background: #ffffff; color: #10171e;")
        self.column.addWidget(self.text, 1)
        self._shown: tuple = ()

    def refresh(self) -> None:
        """Draw the page when it was never drawn, or the session has ended, or another recording is shown."""
        store = self.store
        if store.step is None:
            self.words.setText(self.waits_for("a session"))
        state = (store.recording, store.ended, store.mode, bool(len(store.trials)))
        if state != self._shown and store.step is not None:
            self._shown = state
            self.show_page()
        recorded = bool(store.recording) and store.mode != "replay" and store.ended
        self.buttons["Open the recording"].setEnabled(recorded)

    def show_page(self) -> None:
        """Draw the page."""
        if self.store.step is None:
            return
        room = max(self.text.viewport().width() - 24, 200)
        self._document = summary.document(self.store, min(summary.WIDTH, room))
        self.text.setDocument(self._document)
        self.words.setText(f"as it was at {summary.clock(self.store.elapsed_s)}")

    def save(self) -> None:
        """Choose a file and write the page."""
        name = os.path.splitext(self.store.recording or "session")[0] + "_summary.html"
        path, _ = QtWidgets.QFileDialog.getSaveFileName(self, "Save the summary", name, "Page (*.html);;PDF (*.pdf)")
        if path:
            self.save_to(path)

    def save_to(self, path: str) -> None:
        """Write the page; say so, or why it could not be."""
        try:
            summary.save(self.store, path)
        except OSError as error:
            self.context.run(
                "say", f"✕ {path} could not be written ({error.strerror}): choose another folder or make room"
            )
        else:
            self.context.run("say", f"✓ the summary is in {path}")

    def open(self) -> None:
        """Replay the session's recording."""
        if self.store.recording:
            self.context.run("open_recording", self.store.recording)
