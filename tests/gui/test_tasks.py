"""Whole tasks of an operator, with real mouse and key events against a real runtime in another process."""

import json
import os
import pathlib
import signal
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from pyqtgraph.Qt import QtCore, QtWidgets

from bmi_runtime.cli.gui import gui as gui_command
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from gui import theme
from gui.app import remembered_theme
from gui.client import Client
from gui.console import Console
from gui.link import Link
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from running import KEPT

READY_MS = 120_000
KEYS = QtCore.Qt.Key
LEFT = QtCore.Qt.MouseButton.LeftButton


def press(qtbot, window, key, modifier=QtCore.Qt.KeyboardModifier.NoModifier):
    """Press a key as if the window had the keyboard's focus."""
    window.activateWindow()
    window.setFocus()
    qtbot.keyClick(window, key, modifier)


def until(qtbot, condition, timeout=60_000):
    qtbot.waitUntil(lambda: bool(condition()), timeout=timeout)


@pytest.mark.timeout(600)
def test_run_tune_hold_mark_stop_and_find_the_recording_again(qtbot, console, runtime):
    process, path = runtime
    store, bar = console.store, console.chrome.bar
    until(qtbot, lambda: store.bin > 100 and bar.state == "running", READY_MS)
    assert "SIMULATED" in bar.badge.text() and "RUNNING" in bar.word.text() and "RECORDING" in bar.record.text()
    until(qtbot, lambda: store.weights is not None and len(store.raster) > 20)

    # change the learning rate: type, press Apply with the mouse
    controls = console.docks["controls"].panel
    until(qtbot, lambda: "adapter.learning_rate" in controls.rows)
    row = controls.rows["adapter.learning_rate"]
    qtbot.mouseDClick(row.editor, LEFT)
    assert row.editor.selectedText() == "1e-06"  # all of it, so that typing replaces it
    qtbot.keyClicks(row.editor, "2e-6")
    qtbot.mouseClick(row.apply_button, LEFT)
    until(qtbot, lambda: row.last.text().startswith("✓"))
    changed_at = int(row.last.text().split()[-1])
    assert "1e-06 → 2e-06" in row.last.text()
    until(qtbot, lambda: float(store.step["output"]["learning_rate"]) == 2e-6)
    assert any(entry.kind == "command" and "adapter.learning_rate" in entry.text for entry in store.events)

    # out of bounds: refused in a sentence, nothing sent
    row.editor.selectAll()
    qtbot.keyClicks(row.editor, "7")
    qtbot.keyClick(row.editor, KEYS.Key_Return)
    assert "7 lies outside 0 to 1 per bin" in row.last.text()

    # hold with the key: the cursor stops, the model freezes; resume with the button
    press(qtbot, console, KEYS.Key_F6)
    until(qtbot, lambda: bar.state == "held")
    until(qtbot, lambda: int(store.step["output"]["adapting"]) == 0)
    where, bins = store.step["output"]["cursor"][:2].tolist(), store.bin
    until(qtbot, lambda: store.bin > bins + 100)
    assert store.step["output"]["cursor"][:2].tolist() == where
    assert bar.buttons["start"].text() == "▶ Resume" and not bar.buttons["hold"].isEnabled()
    qtbot.mouseClick(bar.buttons["start"], LEFT)
    until(qtbot, lambda: bar.state == "running" and int(store.step["output"]["adapting"]) == 1)

    # a marker and a note
    press(qtbot, console, KEYS.Key_F8)
    events = console.docks["events"].panel
    events.note.setFocus()
    qtbot.keyClicks(events.note, "the subject yawns")
    qtbot.keyClick(events.note, KEYS.Key_Return)
    until(qtbot, lambda: {"marker 1", "the subject yawns"} <= {e.text for e in store.events if e.kind == "note"})

    # space freezes the display and nothing else
    press(qtbot, console, KEYS.Key_Space)
    assert (console.context.frozen and "FROZEN" in console.chrome.banner.text()) or console.context.frozen
    bins = store.bin
    until(qtbot, lambda: store.bin > bins + 40 and console.chrome.banner.isVisible())
    press(qtbot, console, KEYS.Key_Space)
    until(qtbot, lambda: console.chrome.banner.isHidden())

    # stop: asks, then ends; the recording holds the commands
    qtbot.mouseClick(bar.buttons["stop"], LEFT)
    until(qtbot, lambda: console.session_actions.commands.question.isVisible())
    assert "live.mcap" in console.session_actions.commands.question.informativeText()
    yes = next(b for b in console.session_actions.commands.question.buttons() if b.text() == "&Stop the session")
    qtbot.mouseClick(yes, LEFT)
    until(qtbot, lambda: process.poll() is not None)
    until(qtbot, lambda: bar.state == "ended")
    assert "Recordings" in console.docks["subject"].overlay.text and console.docks["recordings"].overlay.isHidden()
    result = json.loads(process.stdout.read())
    commands = [message for _, message in Recording(path).messages("command")]
    assert [c.get("set", c.get("do")) for c in commands] == [
        "adapter.learning_rate",
        "session.hold",
        "session.hold",
        "stop",
    ]
    assert commands[0]["bin"] == changed_at and commands[0]["old"] == 1e-6

    # find the recording again, verify it, open it, seek
    console.show_panel("recordings")
    recordings = console.docks["recordings"].panel
    until(qtbot, lambda: [e["path"] for e in recordings.entries] == [str(path)])
    recordings.cells.selectRow(0)
    qtbot.mouseClick(recordings.buttons["Verify"], LEFT)
    until(qtbot, lambda: recordings.verified.get(str(path)) == "✓ identical", READY_MS)
    qtbot.mouseClick(recordings.buttons["Open"], LEFT)
    until(qtbot, lambda: store.mode == "replay" and store.replay, READY_MS)
    assert console.layout_name == "inspect"
    console.run("seek", changed_at)
    until(qtbot, lambda: store.bin == changed_at)
    assert store.live["adapter.learning_rate"] == 1e-6
    console.run("seek", changed_at + 1)
    until(qtbot, lambda: store.bin == changed_at + 1 and store.live["adapter.learning_rate"] == 2e-6)
    assert result["bins"] == store.replay["bins"]


def test_a_window_that_comes_late_shows_the_same_state_and_leaves_the_session_alone(qtbot, console, runtime, addresses):
    process, _ = runtime
    until(qtbot, lambda: len(console.store.trials) >= 2, READY_MS)
    trials = console.store.trials.view["trial"].tolist()
    console.close()
    again = Console(Link(Store(), Client(*addresses)), remember=False)
    again.show()
    until(qtbot, lambda: again.store.mode == "simulated")
    seen, live = again.store.trials.view["trial"].tolist(), dict(again.store.live)
    again.close()
    again.link.close()
    assert process.poll() is None
    assert seen[: len(trials)] == trials and live["adapter.learning_rate"] == 1e-6


def test_a_killed_runtime_greys_the_window_and_says_since_when(qtbot, console, runtime):
    process, _ = runtime
    until(qtbot, lambda: console.chrome.bar.state == "running", READY_MS)
    process.send_signal(signal.SIGSTOP)  # or the supervisor would start another, and without it the runtime would end
    for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    process.kill()
    until(qtbot, lambda: console.chrome.bar.state == "lost")
    overlay = console.docks["subject"].overlay
    assert overlay.isVisible() and "connection lost: last update" in overlay.text
    assert not console.enabled("hold")


def test_replay_is_driven_by_mouse_and_keys(qtbot, console, recording):
    control = QtCore.Qt.KeyboardModifier.ControlModifier
    console.run("open_recording", str(recording))
    until(qtbot, lambda: console.store.mode == "replay", READY_MS)
    store, replay = console.store, console.docks["replay"].panel
    until(qtbot, replay.ask_button.isEnabled)
    first = replay.neighbour(True)
    press(qtbot, console, KEYS.Key_Down, control)  # the next event
    until(qtbot, lambda: store.bin == first)
    assert console.chrome.bar.state == "paused" and "REPLAY" in console.chrome.bar.badge.text()
    press(qtbot, console, KEYS.Key_Right, control)
    until(qtbot, lambda: store.bin == first + 1)
    press(qtbot, console, KEYS.Key_Left, control)
    until(qtbot, lambda: store.bin == first)
    press(qtbot, console, KEYS.Key_F5)
    until(qtbot, lambda: store.bin > first + 20 and console.chrome.bar.state == "playing")
    qtbot.mouseClick(console.chrome.bar.buttons["hold"], LEFT)
    until(qtbot, lambda: console.chrome.bar.state == "paused")
    middle = QtCore.QPoint(replay.timeline.width() // 2, 8)
    qtbot.mouseClick(replay.timeline, LEFT, pos=middle)
    until(qtbot, lambda: abs(store.bin - store.replay["bins"] / 2) < 0.05 * store.replay["bins"])
    recorded = Recording(recording).steps(store.bin - 1, store.bin)[0]["output"]
    assert store.step["output"].tobytes() == recorded.tobytes()
    until(qtbot, lambda: "whole replay is identical" in replay.words.text(), READY_MS)


def test_what_if_plots_two_settings_and_their_difference(qtbot, console, recording):
    console.run("open_recording", str(recording))
    until(qtbot, lambda: console.store.mode == "replay", READY_MS)
    replay = console.docks["replay"].panel
    until(qtbot, replay.ask_button.isEnabled)
    first, second = replay.sides
    assert first.settings() == [] and first.value.isHidden()
    first.key.setCurrentText("adapter.learning_rate")
    for side, value in ((first, "1e-5"), (second, "1e-4")):
        side.value.selectAll()
        qtbot.keyClicks(side.value, value)
    qtbot.mouseClick(replay.ask_button, LEFT)
    until(qtbot, lambda: bool(replay.result), READY_MS)
    found = replay.result
    assert found["apart_m_s"][0] < found["apart_m_s"].max() and np.isfinite(found["error_m_s"]).all()
    assert (
        "A adapter.learning_rate=1e-5" in replay.answer.text()
        and "B adapter.learning_rate=1e-4" in replay.answer.text()
    )
    replay.quantity.setCurrentText("decoded vy")
    a, b, difference = (curve.getData()[1] for curve in (*replay.curves, replay.apart))
    np.testing.assert_allclose(difference, b - a)
    np.testing.assert_allclose(b, 100 * np.array(found["velocity_m_s"])[1, :, 1])
    assert replay.difference.isVisible() and replay.difference.left == "B − A (cm/s)"
    second.value.setText("nonsense")
    qtbot.keyClick(second.value, KEYS.Key_Return)
    until(qtbot, lambda: replay.answer.text().startswith("✕"))
    assert "learning_rate" in replay.answer.text()


def test_a_live_change_is_refused_in_a_replay(qtbot, console, recording):
    console.run("open_recording", str(recording))
    until(qtbot, lambda: console.store.mode == "replay", READY_MS)
    answers = []
    console.link.send({"set": "task.assist", "value": 0.5}, answers.append)
    until(qtbot, lambda: answers)
    assert not answers[0]["ok"] and "cannot be changed" in answers[0]["error"]
    controls = console.docks["controls"].panel
    console.show_panel("controls")
    until(qtbot, lambda: controls.rows and not controls.rows["task.assist"].editor.isEnabled())


def test_the_palette_finds_and_does_a_command(qtbot, console):
    press(qtbot, console, KEYS.Key_K, QtCore.Qt.KeyboardModifier.ControlModifier)
    palette = console.dialog_actions.open
    until(qtbot, palette.isVisible)
    qtbot.keyClicks(palette.line, "light dark")
    assert palette.list.topLevelItemCount() == 1
    qtbot.keyClick(palette.line, KEYS.Key_Return)
    assert theme.current() is theme.LIGHT and palette.isHidden()
    console.view_actions.apply_theme("dark")


def test_the_sheet_of_keys_opens_with_a_question_mark(qtbot, console):
    press(qtbot, console, KEYS.Key_Question)
    until(qtbot, lambda: console.dialog_actions.open.isVisible())
    assert (
        "F6" in console.dialog_actions.open.text.toPlainText()
        and "Hold" in console.dialog_actions.open.text.toPlainText()
    )
    qtbot.keyClick(console.dialog_actions.open, KEYS.Key_Escape)


def test_start_opens_a_form_and_runs_a_session(qtbot, console, tmp_path):
    qtbot.mouseClick(console.chrome.bar.buttons["start"], LEFT)
    form = console.session_actions.starting.form
    until(qtbot, form.isVisible)
    path = tmp_path / "recordings" / "new.mcap"
    qtbot.keyClicks(form.texts["adapter.learning_rate"], "3e-6")
    qtbot.keyClicks(form.record, str(path))
    ok = form.buttons.button(QtWidgets.QDialogButtonBox.StandardButton.Ok)
    qtbot.mouseClick(ok, LEFT)
    process = console.session_actions.starting.session.process
    until(qtbot, lambda: console.store.bin > 50 and console.store.step is not None, READY_MS)
    assert float(console.store.step["output"]["learning_rate"]) == 3e-6
    console.link.send({"do": "stop"})
    until(qtbot, lambda: process.poll() is not None)
    assert Recording(path).complete


def test_a_session_that_cannot_start_says_why(qtbot, console):
    qtbot.mouseClick(console.chrome.bar.buttons["start"], LEFT)
    form = console.session_actions.starting.form
    qtbot.keyClicks(form.texts["adapter.learning_rate"], "fast")
    qtbot.mouseClick(form.buttons.button(QtWidgets.QDialogButtonBox.StandardButton.Ok), LEFT)
    until(qtbot, lambda: "adapter.learning_rate" in console.statusBar().currentMessage(), READY_MS)


def test_a_seek_that_was_never_answered_does_not_stop_the_next_recording(qtbot, console, recording):
    console.run("open_recording", str(recording))
    until(qtbot, lambda: console.store.mode == "replay" and console.store.replay, READY_MS)
    console.run("seek", 50)
    console.run("open_recording", str(recording))  # ends the replay before it can answer
    until(qtbot, lambda: console.store.mode == "waiting", READY_MS)
    until(qtbot, lambda: console.store.mode == "replay" and console.store.replay, READY_MS)
    console.run("seek", 77)
    until(qtbot, lambda: console.store.bin == 77, 10_000)


def test_the_theme_is_remembered(qtbot, qapp):
    theme.use("dark", qapp)
    window = Console(Link(Store(), None))
    window.show()
    window.activateWindow()
    until(qtbot, window.isActiveWindow)
    press(qtbot, window, KEYS.Key_T, QtCore.Qt.KeyboardModifier.ControlModifier)
    assert theme.current() is theme.LIGHT and remembered_theme() == "light"
    press(qtbot, window, KEYS.Key_T, QtCore.Qt.KeyboardModifier.ControlModifier)
    assert remembered_theme() == "dark"
    KEPT.append(window)
    window.close()


@pytest.mark.parametrize("option, value", [("--at", "5"), ("--panel", "raster"), ("--size", "640x480")])
def test_an_option_for_pictures_alone_is_not_ignored(option, value):
    done = CliRunner().invoke(gui_command, [option, value], standalone_mode=False)
    assert isinstance(done.exception, BadInput) and f"{option} goes with --screenshot" in str(done.exception)


def test_while_a_recording_is_opened_the_window_says_so_and_starts_nothing(console, tmp_path):
    def dialogs():
        shown = [w for w in QtWidgets.QApplication.topLevelWidgets() if isinstance(w, QtWidgets.QDialog)]
        return [w for w in shown if w.isVisible()]

    before = dialogs()  # of other tests
    console.replay.open(str(tmp_path / "monday.mcap"))
    console.run("start")
    assert [w for w in dialogs() if w not in before] == []
    assert "still being opened" in console.statusBar().currentMessage()
    console.refresh(all_panels=True)
    assert console.docks["subject"].overlay.text == "opening monday.mcap …"
    console.replay.close()
    console.refresh(all_panels=True)
    assert console.docks["subject"].overlay.text.startswith("waiting for a session at 127.0.0.1")
