"""What the window takes for silence of the runtime, and what is its own."""

import pytest

from gui import link as links
from gui.client import Client
from gui.link import Link
from gui.store import LOST_AFTER_S, Store


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now_s = 1000.0

        def monotonic(self):
            return self.now_s

    made = Clock()
    monkeypatch.setattr(links, "time", made)
    return made


def test_a_window_that_was_held_up_does_not_take_that_for_a_lost_connection(clock):
    link = Link(Store(), Client("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"))
    try:
        link.tick()
        link.store.last_s = clock.now_s  # a message came
        clock.now_s += 20.0  # a file dialog on a slow disk
        assert link.store.connection(link.now_s()) == "connected"
        link.tick()  # now it has looked, and nothing was there
        assert link.store.age_s(link.now_s()) == 20.0 > LOST_AFTER_S
        assert link.store.connection(link.now_s()) == "lost"
    finally:
        link.close()
