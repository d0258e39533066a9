"""The parameters that may change while a session runs: value, unit, bounds, and what became of each change."""

from __future__ import annotations

from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import theme
from gui.panels.base import Panel

NAMES = {  # in this order; parameters that are not named here come behind, by their key
    "adapter.learning_rate": "Learning rate",
    "adapter.enabled": "Adaptation",
    "task.assist": "Assist",
    "task.kind": "Targets",
    "decoder.frozen": "Decoder",
    "decoder.kind": "Decoder kind",
    "decoder.velocity_time_constant_s": "Velocity memory",
    "decoder.velocity_sd_m_s": "Velocity spread",
    "decoder.parameter_trust": "Caution",
    "decoder.gain": "Cursor gain",
    "session.left_out": "Units left out",
}
SWITCH_WORDS = {"decoder.frozen": ("follows adaptation", "frozen")}
SHORTEST = 6  # characters of a choice that are always to be seen
HIDDEN = ("session.hold", "session.stopped", "session.block", "adapter.intention", "task.trial")
"""Have buttons and keys of their own, or are told by the device."""


def in_words(key: str, value: Any) -> str:
    """Return a live parameter's value for a person."""
    if isinstance(value, bool) or key in SWITCH_WORDS:
        return SWITCH_WORDS.get(key, ("off", "on"))[bool(value)]
    return f"{value:g}" if isinstance(value, float | int) else str(value)


class NumberEdit(QtWidgets.QLineEdit):
    """A line for one number: coming to it, or a double click, chooses all of it, so that typing replaces it.

    A double click alone would choose the ``06`` of ``1e-06``. Escape gives up what was typed.
    """

    given_up = QtCore.Signal()

    def __init__(self):
        super().__init__()
        self._doubled = QtCore.QElapsedTimer()

    def focusInEvent(self, event):
        """Choose all once the click that brought the focus has been handled."""
        super().focusInEvent(event)
        QtCore.QTimer.singleShot(0, self.selectAll)

    def mouseDoubleClickEvent(self, event):
        """Choose all."""
        self._doubled.start()
        self.selectAll()

    def mousePressEvent(self, event):
        """Put the caret where the click is, unless it is the third of a triple one."""
        if self._doubled.isValid() and self._doubled.elapsed() < QtWidgets.QApplication.doubleClickInterval():
            self.selectAll()
        else:
            super().mousePressEvent(event)

    def keyPressEvent(self, event):
        """Tell of Escape."""
        if event.key() == QtCore.Qt.Key.Key_Escape:
            self.given_up.emit()
        else:
            super().keyPressEvent(event)


class Row(QtCore.QObject):
    """One live parameter: its editor, its Apply button, its last change.

    Parameters
    ----------
    panel : ControlsPanel
    key : str
    facts : dict
        Unit, bounds, kind, choices, what it is.
    """

    def __init__(self, panel: ControlsPanel, key: str, facts: dict[str, Any]):
        super().__init__(panel)
        self.panel, self.key, self.facts, self.value = panel, key, facts, facts.get("value")
        self.name = QtWidgets.QLabel(NAMES.get(key, key))
        self.now, self.last = QtWidgets.QLabel(), QtWidgets.QLabel()
        self.last.setWordWrap(True)
        self.bounds = QtWidgets.QLabel(self._bounds())
        self.bounds.setWordWrap(True)  # of a choice it is a sentence, which must not push the buttons away
        self.editor = self._editor()
        self.editor.setObjectName(key)
        self.editor.setToolTip(f"{facts['about']} ({key})")
        self.apply_button = QtWidgets.QPushButton("Apply")
        self.apply_button.setObjectName(f"{key}.apply")
        self.apply_button.setToolTip("Send the change; it takes effect on a bin boundary and is recorded")
        self.apply_button.clicked.connect(self.apply)
        self.touched = False
        self.restyle()
        self.show_value(self.value)

    def _give_up(self) -> None:
        """Show the runtime's value in place of one that was typed and not sent."""
        self.touched = False
        self._tell("")
        self.show_value(self.value)

    def _touch(self) -> None:
        self.touched = True
        self._compare()

    def _bounds(self) -> str:
        facts = self.facts
        if facts["kind"] != "number":
            return str(facts.get("why", ""))
        unit = f" {facts['unit']}" if facts["unit"] else ""
        return f"{facts['low']:g} to {facts['high']:g}{unit}"

    def _editor(self) -> QtWidgets.QWidget:
        if self.facts["kind"] in ("number", "text"):
            editor = NumberEdit()
            editor.setMinimumWidth(60)
            editor.returnPressed.connect(self.apply)
            editor.textEdited.connect(lambda _: self._touch())
            editor.given_up.connect(self._give_up)
            return editor
        editor = QtWidgets.QComboBox()
        choices = self.facts["choices"] or [in_words(self.key, False), in_words(self.key, True)]
        editor.addItems(choices)
        editor.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        editor.setMinimumContentsLength(SHORTEST)  # long names must not push the buttons off a small screen
        editor.activated.connect(lambda _: self._touch())
        return editor

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme."""
        self.name.setFont(theme.font(10.5, bold=True))
        for label in (self.now, self.last, self.bounds):
            label.setFont(theme.font(8.5))
            label.setStyleSheet(f"color: {theme.current().muted}")

    def remove(self) -> None:
        """Take the row off the panel."""
        for part in (self.name, self.now, self.last, self.bounds, self.editor, self.apply_button):
            part.deleteLater()
        self.deleteLater()

    def wanted(self) -> Any:
        """Return what the editor holds, or None when it is no value."""
        if self.facts["kind"] == "switch":
            return bool(self.editor.currentIndex())
        if self.facts["kind"] == "choice":
            return self.editor.currentText()
        if self.facts["kind"] == "text":
            return self.editor.text().strip()
        try:
            return float(self.editor.text().replace(",", "."))
        except ValueError:
            return None

    def show_value(self, value: Any) -> None:
        """Show the runtime's value; an editor that is being used keeps what it holds."""
        if value != self.value and not self.touched:
            self._tell("")  # what stands there is of an earlier change
        self.value = value
        self.now.setText(f"now {in_words(self.key, value)}")
        if not self.touched:
            self._fill(value)
        self._compare()

    def _fill(self, value: Any) -> None:
        if self.facts["kind"] == "switch":
            self.editor.setCurrentIndex(int(bool(value)))
        elif self.facts["kind"] == "choice":
            self.editor.setCurrentText(str(value))
        elif self.facts["kind"] == "text":
            self.editor.setText(str(value or ""))
        else:
            self.editor.setText(f"{value:g}")

    def propose(self, value: Any) -> None:
        """Put a value into the editor without sending it."""
        self._fill(value)
        self._touch()
        self.last.setText("proposed; Apply sends it")

    def _compare(self) -> None:
        self.apply_button.setEnabled(self.wanted() != self.value)

    def apply(self) -> None:
        """Send the change, if it is one within bounds."""
        value = self.wanted()
        low, high = self.facts["low"], self.facts["high"]
        if value is None:
            self._tell(f"✕ '{self.editor.text()[:20]}' is not a number", bad=True)
        elif self.facts["kind"] == "number" and not low <= value <= high:
            self._tell(f"✕ {value:g} lies outside {self._bounds()}", bad=True)
        else:
            self._tell("sent …")
            self.panel.context.send({"set": self.key, "value": value}, self._answered)

    def _tell(self, text: str, bad: bool = False) -> None:
        """Say what became of a change; a refused one in red, as are the bounds that it broke."""
        self.last.setText(text)
        for label in (self.last, self.bounds):
            label.setStyleSheet(f"color: {theme.current().bad if bad else theme.current().muted}")

    def _answered(self, answer: dict[str, Any]) -> None:
        if not answer.get("ok"):
            self._tell(f"✕ {answer.get('error', 'refused')}", bad=True)
            return
        old, new = (in_words(self.key, answer[name]) for name in ("old", "new"))
        self.touched = False
        self.panel.store.live[self.key] = answer["new"]
        self.show_value(answer["new"])
        self._tell(f"✓ {old} → {new} at bin {answer['bin']}")


class ControlsPanel(Panel):
    """The live parameters."""

    title = "Live parameters"
    about = (
        "What may change while the session runs. Type or choose a value, then Apply (or Enter). The runtime takes it "
        "on a bin boundary, answers with the old value, the new one and the bin, and records the change. A recording "
        "cannot be changed: in a replay the values are those of the moment shown."
    )
    refresh_hz = 4.0

    def __init__(self, context):
        super().__init__(context)
        self.rows: dict[str, Row] = {}
        self.words = QtWidgets.QLabel("no runtime has answered yet")
        self.words.setContentsMargins(12, 8, 12, 4)
        self.words.setWordWrap(True)
        self.column.addWidget(self.words)
        inner = QtWidgets.QWidget()
        self.grid = QtWidgets.QGridLayout(inner)
        self.grid.setContentsMargins(12, 4, 12, 8)
        self.grid.setHorizontalSpacing(8)
        self.grid.setVerticalSpacing(1)
        self.grid.setColumnStretch(1, 1)
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        area.setWidget(inner)
        area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.viewport().setAutoFillBackground(False)
        inner.setAutoFillBackground(False)
        self.column.addWidget(area, 1)
        row = QtWidgets.QHBoxLayout()
        row.setContentsMargins(12, 2, 12, 6)
        self.apply_all = QtWidgets.QPushButton("Apply &all")
        self.apply_all.setToolTip("Send every value that was changed here")
        self.apply_all.clicked.connect(self.apply_changed)
        self.undo = QtWidgets.QPushButton("&Undo the last change")
        self.undo.setToolTip("Set the parameter that was changed last back (Ctrl+Z)")
        self.undo.clicked.connect(lambda _: self.context.run("undo"))
        row.addWidget(self.apply_all)
        row.addWidget(self.undo)
        row.addStretch(1)
        self.column.addLayout(row)

    def apply_changed(self) -> None:
        """Send every value that differs from the runtime's."""
        for row in self.rows.values():
            if row.touched and row.wanted() != row.value:
                row.apply()

    def refresh(self) -> None:
        """Show the runtime's values."""
        store = self.store
        if not store.live_parameters:
            return
        if set(self.rows) != set(store.live_parameters) - set(HIDDEN):
            self._build()
        editable = store.mode != "replay" and not store.watching
        self.words.setVisible(not editable)
        self.words.setText(
            "watching only: there is no operator's key for commands"
            if store.watching
            else "a recording: values of the moment shown (What if asks for others)"
        )
        changed = sum(row.touched and row.wanted() != row.value for row in self.rows.values())
        self.apply_all.setEnabled(editable and changed > 0)
        self.undo.setEnabled(editable and bool(store.undoable))
        for key, row in self.rows.items():
            value = store.live.get(key, row.value)
            if value != row.value:
                row.show_value(value)
            row.editor.setEnabled(editable)
            row.apply_button.setEnabled(editable and row.wanted() != row.value)

    def _build(self) -> None:
        self.words.hide()
        for row in self.rows.values():
            row.remove()
        self.rows = {}
        offered = self.store.live_parameters
        for key in (*(key for key in NAMES if key in offered), *(key for key in offered if key not in NAMES)):
            if key in HIDDEN:
                continue
            facts = offered[key]
            row = self.rows[key] = Row(self, key, {**facts, "value": self.store.live.get(key)})
            at = 4 * len(self.rows)
            self.grid.addWidget(row.name, at, 0)
            self.grid.addWidget(row.editor, at, 1)
            self.grid.addWidget(row.apply_button, at, 2)
            self.grid.addWidget(row.now, at + 1, 0)
            self.grid.addWidget(row.bounds, at + 1, 1, 1, 2)
            self.grid.addWidget(row.last, at + 2, 0, 1, 3)
            self.grid.setRowMinimumHeight(at + 3, 7)
        self.grid.setRowStretch(4 * len(self.rows) + 4, 1)

    def propose(self, key: str, value: Any) -> bool:
        """Put a value into an editor without sending it; return whether there is such a parameter."""
        if not self.rows:
            self.refresh()
        if key not in self.rows:
            return False
        self.rows[key].propose(value)
        return True

    def restyle(self) -> None:
        """Take the fonts and colours of the current theme."""
        for row in self.rows.values():
            row.restyle()
