"""The window with its memory on: what one day leaves behind serves the next, on other screens, with new panels."""

import pytest
from pyqtgraph.Qt import QtCore, QtWidgets
from running import KEPT

from gui import app, layouts, panels, screens, theme
from gui.console import Console
from gui.link import Link
from gui.store import Store


@pytest.fixture
def opened(qtbot, qapp, tmp_path):
    """Return a function that opens the console with its memory on; the settings are the test's own."""
    QtCore.QSettings.setPath(
        QtCore.QSettings.Format.NativeFormat, QtCore.QSettings.Scope.UserScope, str(tmp_path / "settings")
    )
    made = []

    def open_console(size=(1200, 740), folder="recordings"):
        console = Console(Link(Store(), None), remember=True, live=False, recordings_folder=str(tmp_path / folder))
        console.resize(*size)
        console.show()
        qtbot.wait(60)
        made.append(console)
        return console

    yield open_console
    for console in made:
        console.close()
    KEPT.extend(made)


def shown(console):
    return {name for name, dock in console.docks.items() if not dock.isHidden()}


def named(layout):
    return {panel for _, cells in layouts.ARRANGEMENTS[layout] for _, names in cells for panel in names}


def test_every_layout_twice_shows_the_same_panels_in_the_same_window(opened, qtbot):
    console = opened()
    for name in ("run", "calibrate", "inspect", "run", "calibrate", "inspect"):
        console.apply_layout(name)
        qtbot.wait(30)
        assert shown(console) == named(name)
        assert (console.width(), console.height()) == (1200, 740)


def test_a_change_is_there_again_after_close_and_open_in_its_layout_only(opened, qtbot):
    console = opened()
    console.docks["latency"].close()
    console.docks["tuning"].setFloating(True)
    console.apply_layout("calibrate")
    console.apply_layout("run")
    assert shown(console) == named("run") - {"latency"} and console.docks["tuning"].isFloating()
    console.close()
    again = opened()
    assert shown(again) == named("run") - {"latency"} and again.docks["tuning"].isFloating()
    again.apply_layout("inspect")
    assert shown(again) == named("inspect")
    again.apply_layout("run")
    again.run("reset_layout")
    assert shown(again) == named("run") and not again.docks["tuning"].isFloating()


def test_a_panel_that_the_remembered_layout_does_not_know_stays_closed(opened, qtbot, monkeypatch):
    console = opened()
    console.docks["health"].close()
    console.close()
    monkeypatch.setitem(panels.REGISTRY, "another", panels.REGISTRY["health"])
    again = opened()
    assert "another" in again.docks and shown(again) == named("run") - {"health"}
    assert again.height() == 740
    again.show_panel("another")
    assert not again.docks["another"].isHidden() and not again.docks["another"].isFloating()


def test_a_panel_that_is_called_into_a_remembered_layout_becomes_a_tab_of_it(opened, qtbot):
    console = opened((1366, 728))
    for name in ("calibrate", "run", "calibrate", "run"):
        console.apply_layout(name)
        qtbot.wait(20)
    console.show_panel("summary")
    qtbot.wait(20)
    summary = console.docks["summary"]
    assert console.tabifiedDockWidgets(summary) and summary.height() > 150 and summary.width() < console.width() - 200


def test_a_panel_that_is_gone_or_a_broken_memory_gives_the_layout_as_it_comes(opened, qtbot, monkeypatch):
    console = opened()
    console.docks["health"].close()
    console.close()
    monkeypatch.delitem(panels.REGISTRY, "latency")
    assert shown(opened()) == named("run") - {"latency"}
    monkeypatch.undo()
    settings = layouts.Memory().settings
    for key in settings.allKeys():
        settings.setValue(key, "rubbish")
    assert shown(opened()) == named("run")


@pytest.mark.parametrize("scale", ["nan", "inf", "-3", "large"])
def test_settings_of_another_version_open_the_window(opened, qtbot, qapp, scale):
    settings = layouts.Memory().settings
    kept = {"theme": "solarized", "text_scale": scale, "muted": "maybe", "subject": [1], "sets": "[1, 2]"}
    for key, value in kept.items():
        settings.setValue(key, value)
    app.follow_system_text()
    assert 0.7 <= theme.scale() <= 2.0 and app.remembered_theme() in theme.THEMES
    console = opened()
    console.run("subject_settings")
    console.view_actions.settings.reject()
    assert shown(console) == named("run")
    theme.set_scale(1.0)
    theme.use("dark", qapp, again=True)


def test_another_screen_begins_with_the_layout_as_it_comes_and_the_first_one_keeps_its_own(opened, qtbot, monkeypatch):
    console = opened()
    console.docks["raster"].close()
    console.close()
    small = QtCore.QRect(0, 0, 960, 540)
    monkeypatch.setattr(screens, "available", lambda widget=None: small)
    other = opened((900, 480))
    assert shown(other) == named("run") and other.width() <= 960 and other.height() <= 540
    for name in ("hold", "stop"):
        button = other.chrome.bar.buttons[name]
        assert other.rect().contains(QtCore.QRect(button.mapTo(other, QtCore.QPoint(0, 0)), button.size()))
    other.close()
    monkeypatch.undo()
    assert shown(opened()) == named("run") - {"raster"}


@pytest.mark.parametrize("size", [(1366, 728), (1280, 760), (960, 500), (683, 344)])
def test_hold_and_stop_are_whole_and_inside_at_every_size(opened, qtbot, size):
    console = opened(size)
    assert (console.width(), console.height()) == size
    for button in console.chrome.bar.buttons.values():
        where = QtCore.QRect(button.mapTo(console, QtCore.QPoint(0, 0)), button.size())
        assert console.rect().contains(where) and button.width() >= button.minimumSizeHint().width() - 20


def test_a_window_remembered_on_a_screen_that_is_gone_comes_back_onto_one(opened, qtbot):
    room = screens.available()
    for place in (QtCore.QRect(5000, 4000, 700, 500), QtCore.QRect(-3000, 10, 4000, 3000)):
        assert room.contains(screens.on_a_screen(place))
    console = opened()
    console.memory.settings.setValue("window", QtCore.QRect(9000, 9000, 500, 400))
    console.show_on_screen()
    assert room.contains(console.geometry()) and isinstance(console, QtWidgets.QMainWindow)
