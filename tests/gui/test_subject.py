"""The subject's window: fed by a recording through the player, and by a real runtime in another process."""

import time

import pytest

from bmi_runtime.playback.player import Player
from gui.client import Client
from gui.link import Link
from gui.screenshot import picture, store_from
from gui.store import Store
from gui.subject_window import SubjectWindow


def test_a_picture_is_identical_each_time(recording, qapp, tmp_path):
    for name in ("a.png", "b.png"):
        player = Player(recording)
        player.seek(1000)
        picture(player.hello(), tmp_path / name, "subject")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len((tmp_path / "a.png").read_bytes()) > 5000


def test_the_store_shows_the_recorded_moment(recording):
    player = Player(recording)
    player.seek(1000)
    store = store_from(player.hello())
    recorded = player.recording.steps(999, 1000)[0]["output"]
    assert store.bin == 1000 and store.elapsed_s == pytest.approx(5.0)
    assert store.step["output"]["cursor"].tolist() == recorded["cursor"].tolist()
    assert store.score == (int(recorded["successes"]), int(recorded["timeouts"]))
    assert len(store.trials) == recorded["successes"] + recorded["timeouts"]
    player.seek(400)  # backward
    assert store_from(player.hello()).elapsed_s == pytest.approx(2.0)


def test_the_window_greys_when_nothing_comes(qtbot):
    client = Client("tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
    window = SubjectWindow(Link(Store(), client))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.overlay.isVisible(), timeout=2000)
    assert "waiting for a session at 127.0.0.1:2" in window.overlay.text
    window.link.store.last_s = time.monotonic() - 3.2
    window.refresh()
    assert "last update 3.2 s ago" in window.overlay.text
    window.link.close()
