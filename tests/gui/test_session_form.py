"""The form of a session, the palette's settings, the subject's options: what they give, and what they refuse."""

import resource

import pytest
from pyqtgraph.Qt import QtCore, QtWidgets
from running import KEPT

from gui import processes, subject_options, summary
from gui.dialogs import Palette, settings
from gui.layouts import Memory
from gui.screenshot import store_from
from gui.session_form import SessionForm
from gui.subject_options import SubjectOptions


@pytest.fixture
def form(qtbot, qapp, tmp_path):
    QtCore.QSettings.setPath(QtCore.QSettings.Format.NativeFormat, QtCore.QSettings.Scope.UserScope, str(tmp_path))
    made = SessionForm(None, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "", Memory(), str(tmp_path / "none"))
    KEPT.append(made)
    yield made
    made.reject()


def values_of(arguments):
    return [value for name, value in zip(arguments[::2], arguments[1::2], strict=True) if name == "--set"]


def test_what_is_typed_reaches_the_command_line_as_the_configuration_wants_it(form):
    from bmi_runtime.config import load

    form.texts["metadata.subject_id"].setText("M7")
    form.texts["metadata.experimenter"].setText("A. Ito, B. Okabe")
    form.texts["metadata.notes"].setText('says "hi" \\ and = more')
    form.texts["adapter.learning_rate"].setText("2e-6")
    form.boxes["task.kind"].setCurrentText("pursuit")
    config = load(None, values_of(form.arguments()))
    assert config.metadata.subject_id == "M7" and config.metadata.experimenter == ("A. Ito", "B. Okabe")
    assert config.metadata.notes == 'says "hi" \\ and = more'
    assert config.adapter.learning_rate == 2e-6 and config.task.kind == "pursuit"


def test_an_empty_field_says_what_holds_then(form):
    empty = [*form.texts.values(), *(box.lineEdit() for box in form.boxes.values()), form.record]
    assert all(field.placeholderText() for field in empty)


def test_every_field_is_reached_by_a_letter_of_its_own(form):
    words = [label.text() for label in form.findChildren(QtWidgets.QLabel) if label.buddy()]
    words += [button.text() for button in form.findChildren(QtWidgets.QPushButton)]
    letters = [word[word.index("&") + 1].lower() for word in words if "&" in word]
    assert len(set(letters)) == len(letters) >= 24
    assert {word for word in words if "&" not in word} <= {"Start", "Cancel"}, "Enter and Escape"


def test_a_decimal_comma_is_a_decimal_point(form):
    from bmi_runtime.config import load

    form.texts["task.assist"].setText("0,25")
    form.texts["duration"].setText("1,5")
    assert not form.fault()
    given = form.arguments()
    assert load(None, values_of(given)).task.assist == 0.25 and given[given.index("--duration") + 1] == "1.5"


def test_what_was_remembered_in_another_shape_leaves_an_empty_form(form):
    for text in ("rubbish", "[1]", '{"seed": "x", "block": 3, "task.kind": [1], "duration": null}', '{"seed": 1e99}'):
        form.memory.put("form", text)
        again = SessionForm(None, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "", form.memory, "none")
        KEPT.append(again)
        assert again.seed.value() == 1 and not again.blocks.blocks()
        again.reject()


def test_blocks_are_edited_saved_and_reach_the_command_line(form):
    from bmi_runtime.config import load

    editor = form.blocks
    assert not editor.blocks() and editor.table.isHidden()
    editor.take([{"kind": "observe", "length_s": 60.0}, {"kind": "fixed", "trials": 20, "success_trials": 7}])
    editor.table.setCurrentCell(0, 1)
    editor.add()
    editor.table.cellWidget(1, 0).setCurrentText("assisted")
    for column, text in ((1, 'with "help"'), (4, "85"), (6, "25"), (7, "2e-6")):
        editor.table.item(1, column).setText(text)
    editor.table.setCurrentCell(2, 1)
    editor.move(-1)
    made = load(None, values_of(form.arguments())).block
    assert [block.kind for block in made] == ["observe", "fixed", "assisted"]
    assert made[1].trials == 20 and made[1].success_trials == 7, "what has no column is kept"
    assert made[2].name == 'with "help"' and made[2].success_rate == 0.85 and made[2].assist == 0.25
    assert made[2].learning_rate == 2e-6 and made[2].length_s == 60.0
    form.accept()
    again = SessionForm(None, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "", form.memory, "none")
    KEPT.append(again)
    assert again.blocks.blocks() == editor.blocks()
    again.reject()
    editor.remove()
    assert len(editor.blocks()) == 2


def test_a_block_that_cannot_be_is_said(form):
    form.blocks.take([{"kind": "observe"}])
    for column, text, words in (
        (2, "long", "block 1, seconds: 'long' is not a number"),
        (4, "140", "until %: 140 must be between 0 and 100"),
        (3, "2.5", "trials: 2.5 must be a whole number"),
    ):
        form.blocks.take([{"kind": "observe"}])
        form.blocks.table.item(0, column).setText(text)
        form.accept()
        assert words in form.problem.text() and form.result() == 0


def test_what_cannot_be_started_is_said_and_nothing_is_lost(form, tmp_path):
    taken = tmp_path / "there.mcap"
    taken.write_text("")
    for change, words in (
        (lambda: form.texts["adapter.learning_rate"].setText("fast"), "'fast' is not a number"),
        (lambda: form.texts["adapter.learning_rate"].setText("7"), "7 lies outside 0 to 1"),
        (
            lambda: (
                form.texts["adapter.learning_rate"].setText(""),
                form.boxes["encoding.initial"].setCurrentText("gone.mcap"),
            ),
            "no file gone.mcap",
        ),
        (
            lambda: (form.boxes["encoding.initial"].setCurrentText(""), form.record.setText(str(taken))),
            "never overwritten",
        ),
    ):
        change()
        form.accept()
        assert words in form.problem.text() and form.result() == 0
    assert form.record.text() == str(taken)


def test_a_set_and_the_last_session_are_there_again(form):
    form.texts["metadata.subject_id"].setText("M7")
    form.texts["task.assist"].setText("0.3")
    form.sets.names.setCurrentText("morning")
    form.sets.save.click()
    form.accept()
    again = SessionForm(None, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "", Memory(), "none")
    KEPT.append(again)
    assert again.texts["metadata.subject_id"].text() == "M7"
    again.take({})
    assert again.texts["task.assist"].text() == ""
    again.sets.names.setCurrentText("morning")
    again.sets.names.activated.emit(again.sets.names.currentIndex())
    assert again.texts["task.assist"].text() == "0.3"
    again.reject()


def test_an_earlier_session_is_copied_with_its_units_and_its_model(form):
    form.earlier.add(
        {
            "path": "/data/a.mcap",
            "task": "pursuit",
            "duration_s": 60.0,
            "seed": 4,
            "metadata": {"subject_id": "M7", "experimenter": ["A"]},
            "settings": {"session.units": 32, "task.kind": "pursuit", "adapter.learning_rate": 1e-7},
        }
    )
    form.earlier.names.activated.emit(1)
    given = values_of(form.arguments())
    assert "session.units=32" in given and 'encoding.initial="/data/a.mcap"' in given
    assert 'metadata.experimenter=["A"]' in given and "adapter.learning_rate=1e-07" in given


PARAMETERS = {
    "task.assist": {"name": "Assist", "kind": "number", "low": 0, "high": 1, "choices": [], "unit": "", "value": 0.0},
    "task.kind": {"name": "Task", "kind": "choice", "choices": ["pursuit", "centre-out"], "value": "centre-out"},
    "adapter.enabled": {"name": "Adaptation", "kind": "switch", "choices": [], "value": True},
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("assist 0.2", [("task.assist", 0.2)]),
        ("assist 0,2", [("task.assist", 0.2)]),
        ("task pursuit", [("task.kind", "pursuit")]),
        ("adaptation off", [("adapter.enabled", False)]),
        ("assist 7", [("task.assist", None)]),
        ("nothing", []),
    ],
)
def test_the_palette_understands_a_parameter_and_its_value(text, wanted):
    assert [(key, value) for key, value, _ in settings(text, PARAMETERS)] == wanted


def test_options_of_the_subjects_window_survive_and_rubbish_does_not():
    options = SubjectOptions(screen="2", patch="top left", patch_cm=3.0, magnification=1.5, score=True)
    assert subject_options.from_text(options.text()) == options
    for text in ("", "rubbish", "[1]", '{"patch": "middle", "patch_cm": 1e9, "score": "yes", "screen": 4}'):
        assert subject_options.from_text(text) == SubjectOptions()


def test_the_summary_is_written_whole_or_not_at_all(qapp, tmp_path):
    import pathlib
    import sys

    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import synthetic

    store = store_from(synthetic.hello(30))
    store.config["metadata"] = {"subject_id": "M<7>", "experimenter": ["A"], "notes": "n"}
    for name, start in (("a.html", b"<html>"), ("a.pdf", b"%PDF")):
        summary.save(store, str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(start)
    page = (tmp_path / "a.html").read_text()
    assert "M&lt;7&gt;" in page and "95 % interval" in page and page.count("data:image/png") == 2
    with pytest.raises(OSError):
        summary.save(store, str(tmp_path / "no folder" / "a.html"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.html", "a.pdf"]


def test_the_letter_of_a_row_goes_to_its_first_field(form, qtbot):
    form.show()
    for label in form.findChildren(QtWidgets.QLabel):
        if label.buddy() and label.isVisibleTo(form):
            assert label.buddy().focusPolicy() != QtCore.Qt.FocusPolicy.NoFocus, (
                f"{label.text()}: a letter does nothing"
            )


def test_what_was_refused_is_not_said_of_the_next_value(form, qtbot):
    form.texts["adapter.learning_rate"].setText("lots")
    form.accept()
    assert "'lots' is not a number" in form.problem.text()
    qtbot.keyClicks(form.texts["adapter.learning_rate"], "1")
    assert form.problem.text() == ""


def test_enter_in_the_table_of_blocks_edits_and_does_not_start_the_session(form, qtbot):
    form.show()
    started = []
    form.accepted.connect(lambda: started.append(True))
    form.blocks.add()
    table = form.blocks.table
    table.setCurrentCell(0, 2)
    table.setFocus()
    table.item(0, 2).setText("20")
    qtbot.keyClick(table, QtCore.Qt.Key.Key_Delete)
    assert table.item(0, 2).text() == ""
    qtbot.keyClick(table, QtCore.Qt.Key.Key_Return)
    assert table.state() == QtWidgets.QAbstractItemView.State.EditingState and not started


@pytest.mark.parametrize("typed", ["panel rec", "recordings", "panel: rec"])
def test_the_palette_finds_a_panel_by_what_it_shows(qtbot, typed):
    done = []
    palette = Palette(None, lambda *what: done.append(what), lambda name: True, {"recordings": "Recordings"})
    KEPT.append(palette)
    qtbot.keyClicks(palette.line, typed)
    qtbot.keyClick(palette.line, QtCore.Qt.Key.Key_Return)
    assert done == [("show_panel", "recordings")]


def test_the_palette_puts_names_before_explanations(qtbot):
    done = []
    palette = Palette(None, lambda *what: done.append(what), lambda name: True, {"recordings": "Recordings"})
    KEPT.append(palette)
    qtbot.keyClicks(palette.line, "rec")
    shown = [palette.list.topLevelItem(row).text(0) for row in range(palette.list.topLevelItemCount())]
    assert shown[:2] == ["Panel: Recordings", "Open a recording …"] and "Start / resume / play" in shown
    qtbot.keyClick(palette.line, QtCore.Qt.Key.Key_Return)
    assert done == [("show_panel", "recordings")]


def test_a_session_whose_disk_was_full_says_so_and_not_that_it_said_nothing(tmp_path, monkeypatch):
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, kept[1]))  # the session inherits it
    try:
        settings = ["telemetry.enabled=false", "session.duration_s=4", "session.units=24"]
        arguments = [text for setting in settings for text in ("--set", setting)]
        session = processes.SessionProcess([*arguments, "--record", str(tmp_path / "a.mcap")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert session.process.wait(120) == 1
    told = session.why_it_failed()
    assert told.startswith("its recording is incomplete: File too large") and "can be read" in told


def test_how_a_program_ended_that_did_not_say_why():
    assert processes._ending(3, "Killed") == "its program ended with exit code 3; its last words: Killed"
    assert "ended from outside (SIGKILL)" in processes._ending(-9, "")
