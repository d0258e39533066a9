"""Starts the windows' process."""

from __future__ import annotations

import argparse
import signal
import sys

from bmi_runtime.errors import BmiError
from gui import subject_options, theme
from gui.application import application, instance
from gui.client import CONTROL, TELEMETRY, Client
from gui.console import Console
from gui.hang_watch import HangWatch
from gui.layouts import Memory
from gui.link import Link
from gui.panel_faults import PanelFaults
from gui.steering import PointerSteering
from gui.store import Store
from gui.subject_window import SubjectWindow

USUAL_POINTS = 11.0  # what desktops come with is 9 to 11


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Parse the window's own command line."""
    parser = argparse.ArgumentParser(prog="python -m gui", description="The windows of a session.")
    parser.add_argument("--telemetry", default=TELEMETRY, help="address that the runtime publishes on")
    parser.add_argument("--control", default=CONTROL, help="address of the runtime's control socket")
    parser.add_argument(
        "--keys", default="", metavar="FOLDER", help="server.key and one's own client.key_secret or operator.key_secret"
    )
    parser.add_argument("--layout", default="run", choices=("run", "calibrate", "inspect", "subject"))
    parser.add_argument("--open", default="", metavar="REC", help="a recording to replay")
    parser.add_argument("--steer", default="", metavar="ADDRESS", help="where the pointer over the cursor's view goes")
    parser.add_argument("--theme", default="", choices=("", *theme.THEMES), help="default: the last one")
    return parser.parse_args(given)


def remembered_theme() -> str:
    """Return the theme that this user switched to last."""
    found = Memory().get("theme", "dark")
    return found if found in theme.THEMES else "dark"


def follow_system_text() -> None:
    """Make text as large as this user set it, or else as much larger than usual as the system's own is."""
    points = instance().font().pointSizeF()
    remembered = Memory().get("text_scale", "")
    try:
        theme.set_scale(float(remembered) if remembered else max(points, USUAL_POINTS) / USUAL_POINTS)
    except ValueError:
        theme.set_scale(1.0)


def main(given: list[str] | None = None) -> int:
    """Open the window and stay until it is closed."""
    options = arguments(given)
    follow_system_text()
    app = application(options.theme or remembered_theme())
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in the terminal closes the window too
    try:
        link = Link(Store(), Client(options.telemetry, options.control, options.keys))
    except BmiError as error:
        print(f"bmi gui: {error}", file=sys.stderr)
        return error.exit_code
    faults = PanelFaults(link.store)
    faults.install()
    if options.steer:
        PointerSteering(options.steer, app)
    window: SubjectWindow | Console
    if options.layout == "subject":
        window = SubjectWindow(link, options=subject_options.from_text(Memory().get("subject", "")), say=print)
        window.show_on_screen()
    else:
        window = Console(link, options.layout)
        faults.docks = window.docks
        window.show_on_screen()
        (watch := HangWatch(faults)).start()
        app.aboutToQuit.connect(watch.stop)
    if options.open:
        window.run("open_recording", options.open)
    status = app.exec() if hasattr(app, "exec") else app.exec_()
    link.close()
    return status
