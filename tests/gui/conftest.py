"""A recorded session, a running session in another process, a console."""

import os
import pathlib
import subprocess
import sys

import pytest
from pyqtgraph.Qt import QtCore, QtWidgets, isQObjectAlive

from gui import theme
from gui.client import Client
from gui.console import Console
from gui.link import Link
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from running import KEPT, RUN, free_addresses


def windows():
    """Return every window: not menus and floating docks, nor the bare widgets in menus of plots, which have owners."""
    application = QtWidgets.QApplication.instance()
    kinds = (QtCore.Qt.WindowType.Window, QtCore.Qt.WindowType.Dialog)
    found = application.topLevelWidgets() if application else []
    alone = [widget for widget in found if widget.parent() is None and type(widget) is not QtWidgets.QWidget]
    return [widget for widget in alone if widget.windowType() in kinds]


@pytest.fixture(autouse=True)
def windows_end_with_their_test():
    """Delete the windows that a test opened: a theme is polished into every one that is left, for half a second each.

    Plots that are deleted while events wait for them crash Qt, so the events come first.
    """
    before = windows()
    yield
    opened = list(dict.fromkeys([*(window for window in windows() if window not in before), *KEPT]))
    for window in filter(isQObjectAlive, opened):
        window.hide()
    if opened:
        QtWidgets.QApplication.processEvents()
    for window in filter(isQObjectAlive, opened):
        window.deleteLater()
        QtWidgets.QApplication.sendPostedEvents(window, QtCore.QEvent.Type.DeferredDelete)
    KEPT.clear()


@pytest.fixture(scope="session", autouse=True)
def settings_folder(tmp_path_factory):
    """Keep the tests' window arrangements out of the user's."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("settings"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """A simulated session of 8 s, recorded by the command line."""
    path = tmp_path_factory.mktemp("recordings") / "session.mcap"
    command = [*RUN, "--speed", "max", "--seed", "3", "--duration", "8", "--record", str(path), "--json"]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def addresses():
    return free_addresses()


@pytest.fixture
def runtime(addresses, tmp_path):
    """A session that runs in real time in another process; yields (process, recording)."""
    path = tmp_path / "recordings" / "live.mcap"
    settings = [f"telemetry.{k}='{a}'" for k, a in zip(("publish_address", "control_address"), addresses)]
    command = [*RUN, "--seed", "5", "--record", str(path), "--json"]
    for setting in settings:
        command += ["--set", setting]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process, path
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def console(qtbot, qapp, addresses, tmp_path):
    """A console that listens to `addresses`, its timer running."""
    theme.use("dark", qapp)
    window = Console(Link(Store(), Client(*addresses)), remember=False, recordings_folder=str(tmp_path / "recordings"))
    KEPT.append(window)
    window.timer.setInterval(50)  # 20 frames a second are enough for a test
    window.show()
    yield window
    window.close()
    window.link.close()
