"""Moving through a recording, and asking what another setting would have done."""

from __future__ import annotations

import bisect
from typing import Any

from pyqtgraph.Qt import QtCore, QtWidgets

from gui import goto, plots, theme
from gui.panels.base import Panel
from gui.panels.events import clock
from gui.replay_slider import Timeline
from gui.what_if_form import AS_RECORDED, Setting, in_words, quantities, summary

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
LEAST_PLOT = 110  # pixels in height: the two of a what if share what is left, and are scrolled to where it is less


class ReplayPanel(Panel):
    """Play, pause, step, speed, seek; jump to trials and events; what if."""

    title = "Replay"
    about = (
        "Moves through the recording; all panels show the state at the bin shown. Ticks on the line are trials and "
        "events, heads are commands. In the background the recording is replayed through the same step and compared to "
        "the bit: the line below says how far it is identical. What if replays the recorded spikes through two "
        "settings, A and B, side by side: the upper plot shows both, the lower one B minus A. Choose what is shown: "
        "the error of the decoded velocity against the recorded intention, or the decoded velocity. The spikes, the "
        "cursor and the targets stay those of the recorded session: a subject would have reacted to another cursor, "
        "which is for bmi rehearse to answer."
    )
    refresh_hz = 15.0

    def __init__(self, context):
        super().__init__(context)
        self._space, self._quantities = self.store.space, quantities(self.store.space)
        self._scroll()
        self._buttons()
        self.timeline = Timeline()
        self.timeline.sliderMoved.connect(self._seek_to)
        self.timeline.setToolTip("Drag or click to go to a moment")
        self.column.addWidget(self.timeline)
        self.words = plots.caption()
        self.column.addWidget(self.where)
        self.column.addWidget(self.words)
        self._what_if()
        self._polled = 0

    def _scroll(self) -> None:
        """Let what does not fit into a low cell be scrolled to: a field of half its height cannot be read."""
        area, inner = QtWidgets.QScrollArea(), QtWidgets.QWidget()
        self._area = area
        area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidgetResizable(True)
        inner.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred)
        area.setWidget(inner)
        area.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        area.viewport().setAutoFillBackground(False)
        inner.setAutoFillBackground(False)
        self.column.addWidget(area)
        self.column = QtWidgets.QVBoxLayout(inner)
        self.column.setContentsMargins(8, 6, 8, 6)
        self.column.setSpacing(0)

    def _buttons(self) -> None:
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(4)
        self.buttons = {}
        for name, sign, tip in (
            ("previous_trial", "◀◀", "To the event before"),
            ("step_back", "◀│", "One bin back"),
            ("play_pause", "▶", "Play or pause"),
            ("step_on", "│▶", "One bin on"),
            ("next_trial", "▶▶", "To the next event"),
        ):
            button = self.buttons[name] = QtWidgets.QToolButton()
            button.setText(sign)
            button.setToolTip(tip)
            button.setMinimumSize(34, 30)
            button.setStyleSheet("QToolButton { padding: 3px 4px; }")
            button.clicked.connect(lambda _, action=name: self.context.run(action))
            row.addWidget(button)
        self.speed = QtWidgets.QComboBox()
        self.speed.addItems([f"× {speed:g}" for speed in SPEEDS])
        self.speed.setCurrentIndex(SPEEDS.index(1.0))
        self.speed.setToolTip("Speed of the replay, times real time")
        self.speed.setMinimumWidth(self.speed.sizeHint().width())
        self.speed.activated.connect(lambda i: self.context.send({"do": "speed", "value": SPEEDS[i]}, self._moved))
        row.addWidget(self.speed)
        self.go = QtWidgets.QLineEdit()
        self.go.setPlaceholderText("go to …")
        self.go.setToolTip("trial 12, 1:30, bin 800, marker 2 or another word of an event; Enter goes there")
        self.go.returnPressed.connect(self._go_to)
        self.go.setMinimumWidth(64)
        row.addWidget(self.go, 1)
        self.where = QtWidgets.QLabel("")
        self.where.setFont(theme.font(10.5, bold=True))
        self.column.addLayout(row)

    def _what_if(self) -> None:
        grid = QtWidgets.QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        title = QtWidgets.QLabel("What if")
        title.setFont(theme.font(10.5, bold=True))
        grid.addWidget(title, 0, 0, 1, 2)
        self.sides = [Setting("A", AS_RECORDED, ""), Setting("B", "adapter.learning_rate", "1e-5")]
        for row, side in enumerate(self.sides, 1):
            side.value.returnPressed.connect(self.ask)
            for column, part in enumerate((side.name, side.key, side.equals, side.value)):
                grid.addWidget(part, row, column)
        self.ask_button = QtWidgets.QPushButton("As&k")
        self.ask_button.setToolTip("Replay the recorded spikes with both settings and plot the difference")
        self.ask_button.clicked.connect(self.ask)
        self.quantity = QtWidgets.QComboBox()
        self.quantity.addItems(list(self._quantities))
        self.quantity.setToolTip("What the plots show")
        self.quantity.setMinimumWidth(self.quantity.sizeHint().width())
        self.quantity.currentIndexChanged.connect(lambda _: self._draw())
        grid.addWidget(self.quantity, 0, 3)
        grid.addWidget(self.ask_button, 0, 4)
        grid.setColumnStretch(1, 1)
        self.column.addLayout(grid)
        self.answer = plots.caption()
        self.column.addWidget(self.answer)
        self.both, self.difference = plots.Plot("", ""), plots.Plot("B − A", "session time (s)")
        self.both.setXLink(self.difference)
        self.curves = [self.both.plot(), self.both.plot()]
        self.apart = self.difference.plot()
        self.zero = self.difference.addLine(y=0)
        for plot in (self.both, self.difference):
            plot.setMouseEnabled(True, False)
            plot.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Ignored)
            plot.setMinimumHeight(LEAST_PLOT)
            plot.hide()
            self.column.addWidget(plot, 1)
        self.column.addStretch(0)
        self.result: dict[str, Any] | None = None
        self.restyle()

    def restyle(self) -> None:
        """Take the colours of the current theme."""
        super().restyle()
        plots.restyled(self.apart, "fourth", 1.8)
        plots.restyled(self.curves[0], "first", 1.8)
        plots.restyled(self.curves[1], "second", 1.8, dashed=True)
        self.zero.setPen(theme.pen("muted", 1))
        for side, role in zip(self.sides, ("first", "second"), strict=True):
            side.name.setFont(theme.font(10.5, bold=True))
            side.name.setStyleSheet(f"color: {getattr(theme.current(), role)}")
        self.where.setFont(theme.font(10.5, bold=True))

    def _go_to(self) -> None:
        """Go to what the line says."""
        entries = [(entry.bin, entry.text) for entry in self.store.events] + list(self._marks_in_words())
        wanted = goto.bin_of(self.go.text(), entries, self.store.bin_s, self.store.replay.get("bins", 0))
        if isinstance(wanted, str):
            self.context.run("say", f"✕ {wanted}")
        else:
            self.context.run("seek", wanted)

    def _marks_in_words(self):
        """Yield the bins and names of what lies ahead in the recording."""
        for mark in self.store.replay.get("marks", ()):
            if len(mark) > 2:
                yield int(mark[0]) - 1, str(mark[2])

    # -- moving ----------------------------------------------------------------------------------------------------

    def _seek_to(self, bin_index: int) -> None:
        self.context.run("seek", bin_index)

    def _moved(self, answer: dict[str, Any]) -> None:
        if answer.get("ok"):
            self.store.replay = answer["replay"]
        else:
            self.context.run("say", answer.get("error", "refused"))

    def next_speed(self, change: int) -> float:
        """Choose the next higher speed (1) or the next lower one (-1), and return it."""
        self.speed.setCurrentIndex(min(max(self.speed.currentIndex() + change, 0), len(SPEEDS) - 1))
        return SPEEDS[self.speed.currentIndex()]

    def neighbour(self, forward: bool) -> int | None:
        """Return the bin of the next event, or of the one before; None when there is none."""
        marks = sorted({at for at, *_ in self.store.replay.get("marks", ())})
        if forward:
            index = bisect.bisect_right(marks, self.store.bin)
            return marks[index] if index < len(marks) else None
        index = bisect.bisect_left(marks, self.store.bin) - 1
        return marks[index] if index >= 0 else None

    def _offer_quantities(self) -> None:
        """Offer the axes of the recording that is open, which may be others than those of the one before."""
        if self.store.space == self._space:
            return
        self._space, self._quantities = self.store.space, quantities(self.store.space)
        self.quantity.blockSignals(True)
        self.quantity.clear()
        self.quantity.addItems(list(self._quantities))
        self.quantity.blockSignals(False)

    def refresh(self) -> None:
        """Show where the replay is."""
        self._offer_quantities()
        replay = self.store.replay
        active = bool(replay)
        settings = [part for side in self.sides for part in (side.key, side.value)]
        for part in (*self.buttons.values(), self.speed, self.go, self.timeline, *settings, self.ask_button):
            part.setEnabled(active)
        if not active:
            self.words.setText("open a recording to replay it (Recordings, or Ctrl+O)")
            self.where.setText("")
            return
        bins = replay["bins"]
        self.timeline.setMaximum(bins)
        self.timeline.marks = replay.get("marks", [])
        if not self.timeline.isSliderDown():
            self.timeline.setValue(self.store.bin)
        total_s = bins * self.store.bin_s
        self.where.setText(f"{clock(self.store.elapsed_s)} / {clock(total_s)}  bin {self.store.bin}")
        self.buttons["play_pause"].setText("▶" if replay["paused"] else "❚❚")
        self.words.setText(checked(replay))
        if self.store.what_if is not None and self.result is None:
            for side, settings in zip(self.sides, self.store.what_if["settings"], strict=True):
                side.show_settings(settings)
            self._answered({"ok": True, "what_if": self.store.what_if})
        self._polled += 1
        if self._polled % 10 == 0 and (replay["indexed_bins"] < bins or self._asking()):
            self.context.send({"get": "replay"}, self._status)

    def _status(self, answer: dict[str, Any]) -> None:
        if answer.get("ok") and self.store.replay:
            self.store.replay = answer["replay"]
            if self._asking() and not answer["replay"].get("what_if_running"):
                self.context.send({"get": "what-if"}, self._answered)

    # -- what if ---------------------------------------------------------------------------------------------------

    def _asking(self) -> bool:
        return bool(self.store.replay.get("what_if_running")) or (
            self.result is None and self.answer.text().startswith("…")
        )

    def ask(self) -> None:
        """Ask what another setting would have done."""
        first, second = (side.settings() for side in self.sides)
        self.result = None
        self.answer.setText(f"… replaying A ({in_words(first)}) and B ({in_words(second)})")
        self.context.send({"do": "what-if", "first": first, "second": second}, self._asked)

    def enter(self) -> None:
        """Take the keyboard to the place to go to."""
        self.go.setFocus(QtCore.Qt.FocusReason.ShortcutFocusReason)

    def enter_what_if(self) -> None:
        """Take the keyboard to the setting that is asked about; Enter in its value asks."""
        self.sides[1].key.setFocus(QtCore.Qt.FocusReason.ShortcutFocusReason)
        self.sides[1].key.lineEdit().selectAll()

    def _asked(self, answer: dict[str, Any]) -> None:
        if not answer.get("ok"):
            self.result = {}
            self.answer.setText(f"✕ {answer.get('error', 'refused')}")
            return
        self.store.replay = answer["replay"]

    def _answered(self, answer: dict[str, Any]) -> None:
        found = answer.get("what_if")
        if not answer.get("ok") or not found:
            self.result = {}
            self.answer.setText(f"✕ {answer.get('error', 'no answer')}")
            return
        self.result = found
        for plot in (self.both, self.difference):
            plot.show()
        self._draw()
        QtCore.QTimer.singleShot(0, lambda: self._area.ensureWidgetVisible(self.answer))

    def _draw(self) -> None:
        """Draw both settings and their difference in the chosen quantity."""
        found = self.result
        if not found:
            return
        quantity = self._quantities[self.quantity.currentText()]
        first, second = quantity.factor * quantity.curves(found)
        for curve, values in zip(self.curves, (first, second), strict=True):
            curve.setData(found["time_s"], values)
        self.apart.setData(found["time_s"], second - first)
        self.both.name_axis("left", quantity.unit)
        self.difference.name_axis("left", f"B − A ({quantity.unit})")
        self.answer.setText(summary(found, self._quantities["velocity error"]))

    def table(self):
        """Return the curves of the last what if."""
        if not self.result:
            return {}
        columns = {"time_s": self.result["time_s"], "apart_m_s": self.result["apart_m_s"]}
        for quantity in self._quantities.values():
            curves = quantity.curves(self.result)
            columns |= {f"{quantity.name}_{side}": values for side, values in zip("AB", curves, strict=True)}
        return columns


def checked(replay: dict[str, Any]) -> str:
    """Return how far the replay is known to be identical to the recording, and what the file lacks."""
    if replay["first_difference"] is not None:
        return f"✕ the replay differs from the recording from bin {replay['first_difference']} on"
    done, bins = replay["indexed_bins"], replay["bins"]
    text = (
        "✓ the whole replay is identical to the recording" if done >= bins else f"identical to the bit up to bin {done}"
    )
    if replay.get("growing"):
        text += "; the file is still being written and is shown as it was when it was opened: open it again for more"
    elif not replay["complete"]:
        text += f"; the file was cut off: {replay['lost_bytes']} bytes behind the last whole bin are lost"
    return text
