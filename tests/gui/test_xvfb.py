"""The console in a real window on a real X server."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

SCRIPT = """
import sys
from gui.application import application
from gui.console import Console
from gui.link import Link
from gui.store import Store
app = application()
window = Console(Link(Store(), None), remember=False, live=False)
window.show()
for _ in range(20):
    app.processEvents()
    window.refresh()
print(app.platformName(), window.isVisible(), window.chrome.bar.word.text(), window.windowHandle().isExposed())
"""


@pytest.mark.xvfb
def test_the_console_opens_under_xvfb(tmp_path):
    if not shutil.which("xvfb-run"):
        pytest.skip("Xvfb is not installed (apt-get install xvfb xauth)")
    environment = {**os.environ, "QT_QPA_PLATFORM": "xcb", "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if "Could not load the Qt platform plugin" in done.stderr:
        pytest.skip("the libraries that Qt needs for a window are missing (bmi doctor names them)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["xcb", "True", "…", "WAITING", "True"]


SECOND_SCREEN = """
import sys
import time
from pyqtgraph.Qt import QtGui
from gui import screens
from gui.application import application
from gui.link import Link
from gui.store import Store
from gui.subject_options import SubjectOptions
from gui.subject_window import SubjectWindow
app = application()
said = []
for wanted in ("2", "", "9"):
    window = SubjectWindow(Link(Store(), None), own_timer=False, options=SubjectOptions(screen=wanted), say=said.append)
    window.show_on_screen()
    handle = window.windowHandle()
    until = time.monotonic() + 10.0
    while time.monotonic() < until and not (handle.isExposed() and window.width() == handle.screen().size().width()):
        app.processEvents()
        time.sleep(0.05)
        if wanted == "9" and handle.isExposed():
            break
    number = QtGui.QGuiApplication.screens().index(handle.screen()) + 1
    print(number, window.width(), window.height(), window.isFullScreen(), handle.isExposed())
    window.close()
print(len(said), said[0])
"""


@pytest.mark.xvfb
def test_the_subjects_window_fills_the_second_screen(tmp_path):
    if not shutil.which("xvfb-run") or not shutil.which("openbox"):
        pytest.skip("Xvfb or a window manager is not installed (apt-get install xvfb xauth openbox)")
    environment = {**os.environ, "QT_QPA_PLATFORM": "xcb", "XDG_RUNTIME_DIR": str(tmp_path)}
    script = tmp_path / "second.py"
    script.write_text(SECOND_SCREEN)
    inner = f'DISPLAY=$DISPLAY.0 openbox & DISPLAY=$DISPLAY.1 openbox & sleep 1; exec "{sys.executable}" "{script}"'
    screens = "-screen 0 1366x768x24 -screen 1 1024x600x24"
    command = ["xvfb-run", "-a", "-s", screens, "sh", "-c", inner]
    environment["PYTHONPATH"] = str(REPOSITORY)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    if "Could not load the Qt platform plugin" in done.stderr:
        pytest.skip("the libraries that Qt needs for a window are missing (bmi doctor names them)")
    assert done.returncode == 0, done.stderr
    by_number, by_default, missing, told = done.stdout.strip().splitlines()[-4:]
    assert by_number.split() == by_default.split() == ["2", "1024", "600", "True", "True"]
    assert missing.split()[0] == "1", "it opens on the operator's screen"
    assert told.startswith("1 ") and "there is no screen '9' now, there are: 1:" in told
