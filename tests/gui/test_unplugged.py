"""A monitor that is unplugged while a window stands on it: two outputs of an X server, one of them switched off."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.xvfb, pytest.mark.slow]
REPOSITORY = pathlib.Path(__file__).parents[2]
CONFIGURATION = """
Section "Device"
  Identifier "card"
  Driver "dummy"
  VideoRam 256000
EndSection
Section "Screen"
  Identifier "screen"
  Device "card"
  DefaultDepth 24
  SubSection "Display"
    Depth 24
    Modes "1024x768"
    Virtual 2048 768
  EndSubSection
EndSection
"""
SCRIPT = """
import subprocess, sys, time
from pyqtgraph.Qt import QtGui, QtWidgets
from gui.console import Console
from gui.link import Link
from gui.store import Store
from gui.subject_options import SubjectOptions
from gui.subject_window import SubjectWindow

application = QtWidgets.QApplication([])
second = sys.argv[1]

def plug(*how):
    subprocess.run(["xrandr", "--output", second, *how], check=True)
    subprocess.run(["xrandr"], check=True, stdout=subprocess.DEVNULL)

def until(condition):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        application.processEvents()
        if condition():
            return True
        time.sleep(0.05)
    return False

told = []
console = Console(Link(Store(), None), remember=False)
console.resize(700, 500)
console.show()
subject = SubjectWindow(Link(Store(), None), own_timer=False, options=SubjectOptions(), say=told.append)
subject.show_on_screen()
away = lambda window: window.geometry().left() >= 1024
here = lambda window: QtGui.QGuiApplication.primaryScreen().geometry().contains(window.geometry())
assert until(lambda: subject.isFullScreen() and away(subject)), subject.geometry()
console.move(1100, 50)
assert until(lambda: away(console)), console.geometry()
plug("--off")
assert until(lambda: not subject.isFullScreen() and here(subject)), subject.geometry()
assert until(lambda: here(console)), console.geometry()
assert "is gone" in told[-1]
plug("--mode", "1024x768", "--right-of", sys.argv[2])
assert until(lambda: subject.isFullScreen() and away(subject)), subject.geometry()
assert "is back" in told[-1]
print("all as it should be")
"""


@pytest.fixture
def two_screens(tmp_path):
    """Yield the environment of an X server with two monitors, and their names."""
    if not all(map(shutil.which, ("Xorg", "xrandr", "openbox"))) or os.geteuid():
        pytest.skip("needs root, openbox and an X server with pretended monitors (xserver-xorg-video-dummy)")
    (tmp_path / "xorg.conf").write_text(CONFIGURATION)
    display = f":{200 + os.getpid() % 700}"
    options = ["-config", str(tmp_path / "xorg.conf"), "-logfile", str(tmp_path / "log"), "-nolisten", "tcp"]
    server = ["Xorg", display, "-noreset", "-novtswitch", "-sharevts", *options]
    processes = [subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    environment = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_RUNTIME_DIR": str(tmp_path)}
    environment |= {"PYTHONPATH": str(REPOSITORY), "QT_SCALE_FACTOR": "1"}
    try:
        for _ in range(100):
            asked = subprocess.run(["xrandr"], env=environment, capture_output=True, text=True)
            if asked.returncode == 0 or processes[0].poll() is not None:
                break
            time.sleep(0.1)
        names = [line.split()[0] for line in asked.stdout.splitlines() if "connected" in line][:2]
        if len(names) < 2:
            pytest.skip("this X server does not pretend a second monitor")
        for command in (["--addmode", names[1], "1024x768"], ["--output", names[0], "--mode", "1024x768"]):
            subprocess.run(["xrandr", *command], env=environment, check=True)
        second = ["xrandr", "--output", names[1], "--mode", "1024x768", "--right-of", names[0]]
        subprocess.run(second, env=environment, check=True)
        subprocess.run(["xrandr"], env=environment, check=True, stdout=subprocess.DEVNULL)  # the server looks again
        processes.append(subprocess.Popen(["openbox"], env=environment, stderr=subprocess.DEVNULL))
        time.sleep(1.0)
        yield environment, names
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)


def test_windows_come_back_from_a_screen_that_is_gone_and_the_subjects_returns_with_it(two_screens):
    environment, (first, second) = two_screens
    command = [sys.executable, "-c", SCRIPT, second, first]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and "all as it should be" in done.stdout, done.stderr
