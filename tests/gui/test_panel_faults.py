"""Panels of other packages that fail where Qt calls them, in the windows' own process."""

import json
import os
import pathlib
import subprocess
import sys

from running import free_addresses

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

SCRIPT = """
import json, os, sys
from pyqtgraph.Qt import QtCore, QtWidgets
from gui import app, console, hang_watch, panels
from gui.application import application
from their_lab import odd_panels

ALL = getattr(odd_panels, os.environ["PANELS"])
hang_watch.HUNG_AFTER_S = 1.0

real = panels.available()
panels.available = lambda: real | {way: panels.Row("their_lab.odd_panels", kind) for way, kind in ALL.items()}
left = list(ALL)

def window():
    return next(w for w in QtWidgets.QApplication.topLevelWidgets() if isinstance(w, console.Console))

def show_next():
    if left:
        window().show_panel(left.pop())
        return
    shown = window()
    told = [entry.text for entry in shown.store.events if entry.name == "viewer"]
    failures = {way: shown.docks[way].panel.failure for way in ALL}
    sound = shown.docks["raster"].panel.failure or (not shown.isVisible() and "hidden")
    print(json.dumps({"told": told, "failures": failures, "sound": sound}), flush=True)
    shown.close()
    QtWidgets.QApplication.instance().quit()

application()
timer = QtCore.QTimer()
timer.timeout.connect(show_next)
timer.start(250)
sys.exit(app.main(sys.argv[1:]))
"""


def shown_one_after_another(tmp_path, panels):
    """Return what the console said of each of these panels, and of itself, after all were shown."""
    telemetry, control = free_addresses()
    (tmp_path / "runtime").mkdir(mode=0o700)
    there = {"QT_QPA_PLATFORM": "offscreen", "XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": f"{tmp_path}/runtime"}
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests" / "stranger")])
    command = [sys.executable, "-c", SCRIPT, "--telemetry", telemetry, "--control", control]
    environment = {**os.environ, **there, "PYTHONPATH": path, "PANELS": panels}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert not seen["sound"]
    return seen


def test_a_panel_that_does_not_come_back_is_interrupted_and_taken_off(tmp_path):
    seen = shown_one_after_another(tmp_path, "STANDING")
    for name in ("StandsInRefresh", "StandsInPaint", "StandsInSlot"):
        why = (
            f"the panel '{name}' of their_lab.odd_panels has failed and is shown no more: PanelHangs: it did not come "
        )
        assert seen["failures"][name] == why + "back for 1 s"
        assert seen["told"].count(seen["failures"][name]) == 1
    assert not seen["failures"]["Tarries"]


def test_a_panel_that_fails_where_qt_calls_it_is_taken_off_by_name_and_the_console_lives(tmp_path):
    seen = shown_one_after_another(tmp_path, "ALL")
    assert len(seen["failures"]) == 11
    for way in set(seen["failures"]) - {"gone"}:
        why = f"the panel '{way}' of their_lab.odd_panels has failed and is shown no more: ValueError: no {way} today"
        assert seen["failures"][way] == why
        assert seen["told"].count(why) == 1  # whatever its timers do afterwards
    assert "has been deleted" in seen["failures"]["gone"]
    assert all("their_lab.odd_panels" in text or "has been deleted" in text for text in seen["told"]), seen["told"]


def test_a_fault_of_the_windows_own_code_is_told_once_with_its_place(qapp, capsys):
    from gui.panel_faults import PanelFaults
    from gui.store import Store

    faults = PanelFaults(store := Store())
    for _ in range(3):
        try:
            raise KeyError("nothing of that name")
        except KeyError as error:
            faults.caught(KeyError, error, error.__traceback__)
    qapp.processEvents()
    place = f"KeyError: 'nothing of that name' (in {__name__})"
    assert list(store.problems) == [f"something in this window failed, and the window goes on: {place}"]
    assert capsys.readouterr().err.count("Traceback") == 1
