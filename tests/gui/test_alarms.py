"""Alarms: from a store to a bar, grouped, silent after they were acknowledged."""

import pathlib
import sys

import numpy as np
import pytest

from gui import alarms, theme
from gui.alarm_bar import STYLES, AlarmBar
from gui.alarms import Alarms
from gui.screenshot import store_from

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import synthetic

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture
def store():
    store = store_from(synthetic.hello(30))
    store.recording = None
    return store


def brightness(code):
    return LUMINANCE @ (np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255) ** 2.2


def titles(found):
    return [alarm.found.title for alarm in found.shown]


def test_a_session_that_runs_well_has_no_alarm(store):
    found = Alarms()
    assert found.update(store, store.last_s) is False and found.shown == []


def test_a_lost_connection_is_an_alarm_that_stays_until_it_is_acknowledged(store):
    found = Alarms()
    assert found.update(store, store.last_s + 3.0) is True
    assert titles(found) == ["CONNECTION LOST"] and "3 s" in found.shown[0].found.reason
    assert found.update(store, store.last_s + 4.0) is False  # not at every look
    assert found.update(store, store.last_s + 3.0 + alarms.SOUND_EVERY_S + 1) is True
    store.last_s += 20.0
    found.update(store, store.last_s)
    assert titles(found) == ["CONNECTION LOST"] and not found.shown[0].active
    assert found.acknowledge() == 1
    found.update(store, store.last_s)
    assert found.shown == []


def test_what_comes_again_is_counted_and_not_shown_twice(store):
    found = Alarms()
    for _ in range(3):
        found.update(store, store.last_s + 3.0)
        found.update(store, store.last_s)
    assert titles(found) == ["CONNECTION LOST"] and found.shown[0].times == 3


def test_a_failed_recording_comes_before_warnings(store):
    store.health = {**store.health, "recording_failed": "no space left", "adaptation": {"lost": store.n_units // 2}}
    found = Alarms()
    found.update(store, store.last_s)
    assert titles(found) == ["RECORDING FAILED", "UNITS LOST"]
    store.health = {}
    found.update(store, store.last_s + 0.5)
    found.update(store, store.last_s + alarms.LINGER_S + 0.9)
    assert "UNITS LOST" not in titles(found) and "RECORDING FAILED" in titles(found)


def test_a_restart_is_an_alarm_once(store):
    found = Alarms()
    found.update(store, store.last_s)
    message = {"name": "runtime-restarted", "why": "it had died", "bin": store.bin}
    store.fold("event", message)
    store.fold("event", message)
    found.update(store, store.last_s)
    assert titles(found) == ["RUNTIME RESTARTED"] and "it had died" in found.shown[0].found.reason


def test_the_bar_says_reason_time_and_advice_and_can_be_told_apart_without_colour(qtbot, qapp, store):
    theme.use("dark", qapp)
    asked = []
    bar = AlarmBar(asked.append)
    qtbot.addWidget(bar)
    bar.resize(1200, 60)
    found = Alarms()
    found.update(store, store.last_s + 3.0)
    bar.refresh(found.shown)
    assert bar.title.text() == "✕ CONNECTION LOST" and "since 0:30" in bar.reason.text() and bar.advice.text()
    bar.button.click()
    assert asked == ["acknowledge"]
    found.acknowledge()
    bar.refresh(found.shown)
    assert bar.title.text().startswith("✓") and bar.button.isHidden()
    bar.refresh([])
    assert bar.isHidden()
    signs = {sign for sign, _, _ in STYLES.values()}
    assert len(signs) == len(STYLES)
    for _, background, text in STYLES.values():
        light = [brightness(background), brightness(text)]
        assert (max(light) + 0.05) / (min(light) + 0.05) > 4.5  # WCAG's contrast for text
