"""The console in a real window on a real X server."""

import os
import shutil
import subprocess
import sys

import pytest

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
print(app.platformName(), window.isVisible(), window.bar.word.text(), window.windowHandle().isExposed())
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
