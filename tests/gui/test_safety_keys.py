"""Hold and the stops work from wherever the keyboard's focus is, and the safe answer is the one that Enter gives."""

import pytest
from pyqtgraph.Qt import QtCore, QtWidgets
from running import KEPT

from gui import theme
from gui.console import Console
from gui.link import Link
from gui.session_commands import SessionCommands
from gui.store import Store

KEYS, SHIFT = QtCore.Qt.Key, QtCore.Qt.KeyboardModifier.ShiftModifier


class Wire:
    """A client that is connected to a session, notes what is sent, and answers as the runtime does."""

    telemetry_address = control_address = "here"
    keys, locked_out, refused, refuses, may_command, problem = "", "", 0, False, True, ""

    def __init__(self):
        self.sent = []

    def receive(self):
        return []

    def poll(self):
        pass

    def close(self):
        pass

    def send(self, command, answered=None):
        self.sent.append(command)
        if answered and "set" in command:
            answered({"ok": True, "set": command["set"], "old": None, "new": command["value"], "bin": 7})
        elif answered:
            answered({"ok": True, "bin": 7} | command)


@pytest.fixture
def console(qtbot, qapp, tmp_path):
    theme.use("dark", qapp)
    store = Store()
    window = Console(Link(store, Wire()), remember=False, recordings_folder=str(tmp_path))
    window.timer.stop()
    store.mode, store.needs_hello, store.last_s = "simulated", False, window.link.now_s() + 1e6
    window.show()
    window.refresh()
    yield window
    for dialog in window.findChildren(QtWidgets.QDialog):
        dialog.close()
    window.close()
    KEPT.append(window)


def sent(console):
    found = [(c.get("set", c.get("do", c.get("note"))), c.get("value")) for c in console.link.client.sent]
    console.link.client.sent.clear()
    return found


def test_the_keys_work_in_a_dialog_a_message_box_a_menu_and_another_window(console, qtbot):
    console.run("shortcuts")
    modal = QtWidgets.QDialog(console)
    modal.setModal(True)
    line = QtWidgets.QLineEdit(modal)
    other = QtWidgets.QWidget()
    menu = QtWidgets.QMenu(console)
    menu.addAction("nothing")
    for place in (console.dialog_actions.open, modal, other):
        place.show()
        qtbot.keyClick(place, KEYS.Key_F6)
        assert sent(console) == [("session.hold", True)], place
        qtbot.keyClick(place, KEYS.Key_F5)
        assert sent(console) == [("session.hold", False)], place
    qtbot.keyClick(line, KEYS.Key_F8)
    assert sent(console) == [("marker 1", None)] and line.text() == ""
    menu.popup(QtCore.QPoint(10, 10))
    qtbot.keyClick(menu, KEYS.Key_F6)
    assert sent(console) == [("session.hold", True)]
    for window in (menu, modal, other, console.dialog_actions.open):
        window.close()  # a modal dialog that stays would shut the shortcuts of later tests out


def test_stop_goes_on_unless_another_button_is_chosen(console, qtbot):
    qtbot.keyClick(console, KEYS.Key_F9)
    box = console.session_actions.commands.question
    assert box.defaultButton().text() == "Go on"
    qtbot.keyClick(box, KEYS.Key_Return)
    assert sent(console) == []
    qtbot.keyClick(console, KEYS.Key_F9)
    qtbot.keyClick(console.session_actions.commands.question, KEYS.Key_Escape)
    assert sent(console) == []


def test_the_output_stop_holds_at_once_and_asks(console, qtbot):
    qtbot.keyClick(console, KEYS.Key_F9, SHIFT)
    assert sent(console) == [("session.hold", True)]
    assert console.session_actions.commands.question.defaultButton().text() == "Stay held"
    qtbot.keyClick(console.session_actions.commands.question, KEYS.Key_Return)
    assert sent(console) == []
    console.store.live["session.hold"] = False
    qtbot.keyClick(console, KEYS.Key_F9, SHIFT)
    qtbot.keyClick(console.session_actions.commands.question, KEYS.Key_F9, SHIFT)  # again is the answer
    assert sent(console) == [("session.hold", True), ("session.stopped", True)]


def test_the_output_stop_does_not_ask_in_a_held_session_nor_when_kept_down(console, qtbot):
    console.store.live["session.hold"] = True
    qtbot.keyClick(console, KEYS.Key_F9, SHIFT)
    assert sent(console) == [("session.stopped", True)]
    console.store.live["session.hold"] = False
    qtbot.keyPress(console, KEYS.Key_F9, SHIFT)
    qtbot.waitUntil(lambda: {"set": "session.stopped", "value": True} in console.link.client.sent, timeout=3000)
    qtbot.keyRelease(console, KEYS.Key_F9, SHIFT)
    assert sent(console) == [("session.hold", True), ("session.stopped", True)]
    qtbot.keyClick(console, KEYS.Key_F9, SHIFT)
    console.store.live["session.hold"] = False
    assert console.session_actions.commands.question is None or console.session_actions.commands.question.isVisible()


def test_a_key_that_can_do_nothing_says_why(console, qtbot):
    console.store.live["session.hold"] = True
    qtbot.keyClick(console, KEYS.Key_F6)
    assert "held already" in console.statusBar().currentMessage() and sent(console) == []
    console.store.last_s = -float("inf")
    qtbot.keyClick(console, KEYS.Key_F9)
    assert "no session runs" in console.statusBar().currentMessage() and sent(console) == []


def test_quit_asks_in_a_session_and_cancel_is_the_default(console, qtbot):
    console.run("quit")
    box = console.session_actions.closing
    assert console.isVisible() and box.defaultButton().text() == "Cancel"
    assert [b.text() for b in box.buttons()][:2] == [
        "&Keep it running, close the window",
        "&Stop the session and close",
    ] or len(box.buttons()) == 3
    qtbot.keyClick(box, KEYS.Key_Return)
    assert console.isVisible() and sent(console) == []
    console.run("quit")
    next(b for b in console.session_actions.closing.buttons() if b.text() == "&Stop the session and close").click()
    assert sent(console) == [("stop", None)] and not console.isVisible()


def test_undo_takes_back_the_last_change_and_then_the_one_before(console):
    store = console.store
    for old, new in ((1e-6, 2e-6), (2e-6, 3e-6)):
        message = {"seq": 1, "bin": 5, "set": "adapter.learning_rate", "old": old, "new": new}
        store.fold("command", message)
    console.run("undo")
    assert sent(console) == [("adapter.learning_rate", 2e-6)]
    store.fold("command", {"bin": 6, "set": "adapter.learning_rate", "old": 3e-6, "new": 2e-6})
    console.run("undo")
    assert sent(console) == [("adapter.learning_rate", 1e-6)]


def test_markers_go_on_counting_in_a_window_that_comes_late():
    store = Store()
    store.fold("event", {"name": "note", "note": "marker 4", "bin": 3})
    commands = SessionCommands(Link(store, Wire()), None, lambda text: None)
    commands.marker()
    assert commands.link.client.sent == [{"note": "marker 5"}]


def test_an_output_that_is_stopped_for_good_is_not_resumed(console, qtbot):
    console.store.live |= {"session.hold": True, "session.stopped": True}
    assert not console.enabled("start")
    qtbot.keyClick(console, KEYS.Key_F5)
    assert "stopped for good" in console.statusBar().currentMessage() and sent(console) == []


@pytest.mark.parametrize("key", [KEYS.Key_F6, KEYS.Key_F9])
def test_a_hold_asked_of_a_silent_runtime_is_sent_when_it_answers(qtbot, console, key):
    modifier = SHIFT if key == KEYS.Key_F9 else QtCore.Qt.KeyboardModifier.NoModifier
    now_s = console.link.now_s()
    console.store.last_s = now_s - 9.0
    qtbot.keyClick(console, key, modifier)
    console.tick()
    assert sent(console) == [] and "Hold is sent" in console.chrome.bar.why.text()
    console.store.last_s = now_s + 1e6
    console.tick()
    assert sent(console) == [("session.hold", True)]
    console.tick()
    assert sent(console) == []


def test_a_hold_for_a_silent_runtime_can_be_taken_back_and_is_void_for_a_session_that_is_over(qtbot, console):
    now_s = console.link.now_s()
    console.store.last_s = now_s - 9.0
    for _ in range(2):
        qtbot.keyClick(console, KEYS.Key_F6)
    assert not console.store.hold_owed and "no Hold is sent" in console.statusBar().currentMessage()
    qtbot.keyClick(console, KEYS.Key_F6)
    console.store.ended = True
    console.tick()
    assert not console.store.hold_owed and sent(console) == []
