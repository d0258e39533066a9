"""A recorded session, a running session in another process, a console."""

import os
import pathlib
import subprocess
import sys

import pytest

from gui import theme
from gui.client import Client
from gui.console import Console
from gui.link import Link
from gui.store import Store

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from running import RUN, free_addresses

KEPT = []  # plots that are deleted while events wait for them crash Qt, so tests close windows and keep them


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
