"""The one table of actions, the registry of panels, the layouts."""

import pytest
from pyqtgraph.Qt import QtGui

from gui import actions, layouts, panels
from gui.console import Console
from gui.link import Link
from gui.panels.base import Panel
from gui.store import Store


def test_every_action_is_done_by_something_and_has_a_menu_and_a_sentence(qtbot):
    console = Console(Link(Store(), None), remember=False, live=False)
    qtbot.addWidget(console)
    for action in actions.ACTIONS:
        assert callable(console.handlers[action.name]), action.name
        assert action.menu in actions.MENUS and len(action.tip) > 10 and action.text


def test_keys_are_unique_and_valid():
    keys = [QtGui.QKeySequence(action.keys).toString() for action in actions.ACTIONS if action.keys]
    assert len(set(keys)) == len(keys) and all(keys)


def test_what_touches_the_session_is_a_function_key_or_needs_a_modifier():
    for action in actions.ACTIONS:
        if action.menu in ("Session", "Replay"):
            assert action.keys.startswith(("F", "Ctrl+", "Shift+F")), action.name
    assert actions.named("freeze").keys == "Space" and actions.named("freeze").menu == "View"


@pytest.mark.parametrize(
    ("name", "mode", "connection", "held", "paused", "expected"),
    [
        ("start", "waiting", "waiting", False, False, True),
        ("start", "live", "connected", False, False, False),
        ("start", "live", "connected", True, False, True),
        ("start", "replay", "connected", False, True, True),
        ("hold", "live", "connected", True, False, False),
        ("hold", "replay", "connected", False, False, True),
        ("stop", "replay", "connected", False, False, False),
        ("stop", "simulated", "connected", True, False, True),
        ("stop", "simulated", "lost", False, False, False),
        ("step_on", "live", "connected", False, False, False),
        ("freeze", "waiting", "waiting", False, False, True),
    ],
)
def test_actions_are_enabled_when_they_make_sense(name, mode, connection, held, paused, expected):
    assert actions.enabled(actions.named(name), mode, connection, held, paused) is expected


def test_every_panel_explains_itself():
    for row in panels.available().values():
        kind = panels.panel_class(row)
        assert issubclass(kind, Panel) and kind.title and len(kind.about) > 80


def test_every_layout_names_panels_that_exist_and_shows_the_subject():
    for columns in layouts.ARRANGEMENTS.values():
        named = [panel for _, cells in columns for _, tabs in cells for panel in tabs]
        assert set(named) <= set(panels.REGISTRY) and "subject" in named and len(named) == len(set(named))
        assert sum(width for width, _ in columns) == 100


def test_two_things_cannot_do_one_action():
    class Doer:
        def do_start(self):
            """Start."""

    assert set(actions.handlers(Doer())) == {"start"}
    with pytest.raises(ValueError, match="two actors do 'start'"):
        actions.handlers(Doer(), Doer())


def test_every_entry_of_a_menu_has_a_letter_of_its_own():
    marked = actions.with_letters()
    for menu in actions.MENUS:
        texts = [marked[action.name] for action in actions.ACTIONS if action.menu == menu]
        letters = [text[text.index("&") + 1].lower() for text in texts]
        assert len(set(letters)) == len(letters), menu
    assert {name: text.replace("&", "") for name, text in marked.items()} == {a.name: a.text for a in actions.ACTIONS}
