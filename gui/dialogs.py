"""The small windows: a new session, the command palette, the sheet of keys, explanations, a comparison."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyqtgraph
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui import actions, performance, plots, screens, theme


def keys_in_words(keys: str) -> str:
    """Return keys as printed on a keyboard, or nothing."""
    return QtGui.QKeySequence(keys).toString(QtGui.QKeySequence.SequenceFormat.NativeText) if keys else ""


class Palette(QtWidgets.QDialog):
    """Find an action by typing a part of its name; Enter does it.

    Parameters
    ----------
    parent : QWidget
    run : callable
        ``run(action_name)``.
    enabled : callable
        ``enabled(action_name)``.
    panels : dict of str
        Title of every panel by its name: each is a command that brings it to the front.
    parameters : dict of dict
        Live parameters by key: ``name, kind, low, high, choices, unit, value``; typed with a value they are set.
    """

    def __init__(self, parent, run, enabled, panels=None, parameters=None):
        super().__init__(parent)
        self.setWindowTitle("All commands")
        self.setObjectName("Palette")
        self.run, self.enabled, self.panels, self.parameters = run, enabled, panels or {}, parameters or {}
        self.resize(screens.fitting(QtCore.QSize(560, 460), screens.available()))
        column = QtWidgets.QVBoxLayout(self)
        self.line = QtWidgets.QLineEdit()
        self.line.setPlaceholderText("a command, or a parameter and its value: assist 0.2")
        self.line.setFont(theme.font(13))
        self.list = QtWidgets.QTreeWidget()
        self.list.setColumnCount(3)
        self.list.setHeaderHidden(True)
        self.list.setRootIsDecorated(False)
        self.list.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFont(theme.font(10.5))
        self.list.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        head = self.list.header()
        head.setStretchLastSection(False)
        head.setSectionResizeMode(0, QtWidgets.QHeaderView.ResizeMode.Stretch)
        for section in (1, 2):
            head.setSectionResizeMode(section, QtWidgets.QHeaderView.ResizeMode.ResizeToContents)
        column.addWidget(self.line)
        column.addWidget(self.list)
        self.line.textChanged.connect(self._filter)
        self.line.installEventFilter(self)
        self.list.itemActivated.connect(lambda item, _: self._do(item))
        self._filter("")

    def _filter(self, text: str) -> None:
        words = text.lower().split()
        self.list.clear()
        for key, value, told in settings(text, self.parameters):
            item = QtWidgets.QTreeWidgetItem([told, "", "Live parameters"])
            item.setData(0, QtCore.Qt.ItemDataRole.UserRole, ("set_parameter", key, value))
            item.setDisabled(value is None)
            self.list.addTopLevelItem(item)
        for _, item in sorted(self._found(words), key=lambda found: found[0]):
            self.list.addTopLevelItem(item)
        self._select(0)

    def _found(self, words: list[str]) -> Iterator[tuple[int, QtWidgets.QTreeWidgetItem]]:
        """Yield actions and panels that hold all words, with a rank: those whose name begins so come first."""
        for action in actions.ACTIONS:
            rank = _rank(words, action.text, f"{action.tip} {action.menu}")
            if action.name == "palette" or rank is None:
                continue
            item = QtWidgets.QTreeWidgetItem([action.text, keys_in_words(action.keys), action.menu])
            item.setData(0, QtCore.Qt.ItemDataRole.UserRole, action.name)
            item.setToolTip(0, action.tip)
            item.setDisabled(not self.enabled(action.name))
            yield rank, item
        for name, title in self.panels.items():
            ranks = [_rank(words, shown, f"panel: panels {name}") for shown in (title, f"panel {title}")]
            if (rank := min((one for one in ranks if one is not None), default=None)) is not None:
                item = QtWidgets.QTreeWidgetItem([f"Panel: {title}", "", "Panels"])
                item.setData(0, QtCore.Qt.ItemDataRole.UserRole, ("show_panel", name))
                yield rank, item

    def _select(self, row: int) -> None:
        count = self.list.topLevelItemCount()
        if count:
            self.list.setCurrentItem(self.list.topLevelItem(row % count))

    def eventFilter(self, watched, event):
        """Arrows move in the list, Enter does the chosen action."""
        if event.type() != QtCore.QEvent.Type.KeyPress:
            return False
        key, keys = event.key(), QtCore.Qt.Key
        row = self.list.indexOfTopLevelItem(self.list.currentItem()) if self.list.currentItem() else 0
        if key in (keys.Key_Down, keys.Key_Up):
            self._select(row + (1 if key == keys.Key_Down else -1))
            return True
        if key in (keys.Key_Return, keys.Key_Enter):
            if self.list.currentItem():
                self._do(self.list.currentItem())
            return True
        return False

    def _do(self, item) -> None:
        if item.isDisabled():
            return
        self.accept()
        wanted = item.data(0, QtCore.Qt.ItemDataRole.UserRole)
        self.run(*((wanted,) if isinstance(wanted, str) else wanted))


def _rank(words: list[str], name: str, beside: str) -> int | None:
    """Return 0 where a name begins with the words, 1 where its words do, 2 where it holds them, 3 where only its
    explanation does; None where a word is in neither.
    """
    name = name.lower()
    if not all(word in f"{name} {beside}".lower() for word in words):
        return None
    if words and name.startswith(" ".join(words)):
        return 0
    if all(any(part.startswith(word) for part in name.split()) for word in words):
        return 1
    return 2 if all(word in name for word in words) else 3


def settings(text: str, parameters: dict[str, dict[str, Any]]) -> list[tuple[str, Any, str]]:
    """Return the settings of live parameters that `text` may mean: key, value (None: not one), and a sentence."""
    words = text.lower().split()
    found = []
    for key, facts in parameters.items():
        searched = f"{facts['name']} {key}".lower()
        named = [word for word in words if word in searched]
        if not named or len(words) - len(named) > 1:
            continue
        rest = next((word for word in words if word not in named), "")
        found.append((key, *_setting(facts, rest)))
    meant = [setting for setting in found if setting[1] is not None]
    return meant or found


def _setting(facts: dict[str, Any], text: str) -> tuple[Any, str]:
    """Return the value that a word means for a parameter, None when it means none, and a sentence."""
    name = facts["name"]
    if facts["kind"] == "switch":
        values = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}
        if text in values:
            return values[text], f"Set {name} {'on' if values[text] else 'off'}"
        return None, f"{name}: on or off (now {'on' if facts['value'] else 'off'})"
    if facts["kind"] == "choice":
        fitting = [choice for choice in facts["choices"] if text and choice.startswith(text)]
        if fitting:
            return fitting[0], f"Set {name} to {fitting[0]}"
        return None, f"{name}: {', '.join(facts['choices'])} (now {facts['value']})"
    if facts["kind"] == "text":
        return (text, f"Set {name} to {text}") if text else (None, f"{name}: now {facts['value'] or 'empty'}")
    bounds = f"{facts['low']:g} to {facts['high']:g} {facts['unit']}".strip()
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None, f"{name}: {bounds} (now {facts['value']:g})"
    if not facts["low"] <= number <= facts["high"]:
        return None, f"✕ {name}: {number:g} lies outside {bounds}"
    return number, f"Set {name} to {number:g} {facts['unit']}".strip()


class TextDialog(QtWidgets.QDialog):
    """A window with a text to read; Escape closes it.

    Parameters
    ----------
    parent : QWidget
    title : str
    html : str
    size : (int, int)
    """

    def __init__(self, parent, title: str, html: str, size=(560, 420)):
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(screens.fitting(QtCore.QSize(*size), screens.available()))
        column = QtWidgets.QVBoxLayout(self)
        self.text = QtWidgets.QTextBrowser()
        self.text.setFont(theme.font(11))
        self.text.setHtml(html)
        self.text.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        column.addWidget(self.text)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)


def explanation(parent, panel) -> TextDialog:
    """Return the window that explains a panel."""
    return TextDialog(parent, panel.title, f"<h3>{panel.title}</h3><p>{panel.about}</p>", (460, 320))


def shortcut_sheet() -> str:
    """Return all keys as a page, from the table of actions."""
    parts = []
    for menu in actions.MENUS:
        rows = [a for a in actions.ACTIONS if a.menu == menu and a.keys]
        if rows:
            parts.append(f"<h3>{menu}</h3><table cellspacing='4'>")
            parts += [
                f"<tr><td width='150'><b>{keys_in_words(a.keys)}</b></td>"
                f"<td>{a.text}: {a.tip[0].lower()}{a.tip[1:]}</td></tr>"
                for a in rows
            ]
            parts.append("</table>")
    return "".join(parts)


COLOURS_HTML = """
<h3>Badge: what this window shows</h3>
<p><b>● LIVE</b> spikes from an acquisition system, <b>◇ SIMULATED</b> spikes from simulated units, <b>↺ REPLAY</b>
a recording, <b>○ NO SESSION</b> nothing.</p>
<h3>State</h3>
<p><b>▶ RUNNING</b>; <b>❚❚ HELD</b>: cursor still, adaptation frozen, recording goes on; <b>! DEGRADED</b>: data
missing, the decoder coasts; <b>✕ OUTPUT FROZEN</b>: the output is not trusted; <b>✕ CONNECTION LOST</b>: nothing has
arrived for a second, the panels are grey and keep their last picture; <b>■ ENDED</b>.</p>
<h3>Signs</h3>
<p>✓ good, ! deserves a look, ✕ bad. Colours follow the palette of Okabe and Ito, and never stand alone: each comes
with a sign, a word, a line style or a place.</p>
<h3>Units</h3>
<p>Positions in metres or centimetres, velocities in m/s or cm/s. Gains of the encoding model are per dm/s, and so is
the learning rate.</p>
"""


def comparison(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Return two recordings side by side as a page; rows that differ are marked."""
    head = "".join(f"<td><b>{os.path.basename(entry['path'])}</b></td>" for entry in (first, second))
    rows = []
    ours, theirs = _flat(first), _flat(second)
    for name in dict.fromkeys((*ours, *theirs)):
        a, b = (_text(entry.get(name)) for entry in (ours, theirs))
        mark, weight = ("≠", "b") if a != b else ("", "span")
        rows.append(
            f"<tr><td>{html.escape(name)}</td><td>{mark}</td>"
            f"<td><{weight}>{html.escape(a)}</{weight}></td><td><{weight}>{html.escape(b)}</{weight}></td></tr>"
        )
    return f"<table cellspacing='8'><tr><td></td><td></td>{head}</tr>{''.join(rows)}</table>"


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what the list knows of a recording, a line for each: keys of the configuration as they are."""
    skipped = ("path", "modified_s", "created_s", "metadata", "settings", "learning_rate")
    found = {name.replace("_", " "): value for name, value in entry.items() if name not in skipped}
    if rates := entry.get("learning_rate"):
        found["learning rate"] = " → ".join(dict.fromkeys(_text(rate) for rate in rates))
    found |= {f"metadata.{key}": value for key, value in (entry.get("metadata") or {}).items()}
    return found | {key: value for key, value in (entry.get("settings") or {}).items() if value not in ("", None)}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return "–" if value is None else str(value)


class SessionsDialog(QtWidgets.QDialog):
    """Many sessions by their success, with 95 % intervals, oldest first.

    Parameters
    ----------
    parent : QWidget
    entries : list of dict
        Of the list of recordings.
    """

    def __init__(self, parent, entries: list[dict[str, Any]]):
        super().__init__(parent)
        self.setWindowTitle("Sessions compared")
        self.resize(screens.fitting(QtCore.QSize(820, 560), screens.available()))
        column = QtWidgets.QVBoxLayout(self)
        known = [entry for entry in entries if entry.get("trials")]
        self.entries = sorted(known, key=lambda entry: entry.get("created_s", 0.0))
        plot = self.plot = plots.Plot("success (%)", "session, oldest first")
        for number, entry in enumerate(self.entries, 1):
            trials, rate = int(entry["trials"]), float(entry["success_rate"])
            low, high = performance.wilson(round(rate * trials), trials)
            plot.addItem(pyqtgraph.PlotCurveItem([number, number], [100 * low, 100 * high], pen=theme.pen("first", 2)))
        points = pyqtgraph.ScatterPlotItem(symbol="o", size=9, pen=None, brush=theme.colour("second"))
        points.setData(np.arange(1, len(self.entries) + 1), [100 * entry["success_rate"] for entry in self.entries])
        plot.addItem(points)
        plot.show_ranges((0.5, max(len(self.entries), 1) + 0.5), (0.0, 104.0))
        column.addWidget(plot, 3)
        rows = "".join(self._line(number, entry) for number, entry in enumerate(self.entries, 1))
        names = ("", "file", "subject", "task", "decoder", "success", "trials")
        head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
        text = QtWidgets.QTextBrowser()
        text.setHtml(f"<table cellspacing='7'>{head}{rows}</table>")
        column.addWidget(text, 2)
        left_out = len(entries) - len(self.entries)
        if left_out:
            column.addWidget(QtWidgets.QLabel(f"{left_out} without a trial, or unreadable, left out"))

    @staticmethod
    def _line(number: int, entry: dict[str, Any]) -> str:
        subject = (entry.get("metadata") or {}).get("subject_id", "")
        cells = (number, os.path.basename(entry["path"]), subject, entry.get("task"), entry.get("decoder"))
        cells += (f"{100 * entry['success_rate']:.0f} %", entry["trials"])
        return "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
