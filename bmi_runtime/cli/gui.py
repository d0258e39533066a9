"""``bmi gui``: the operator's console on a running session or a recording, or a picture of it."""

import os
import pathlib

import click

from bmi_runtime.cli.common import answer, answer_options, say


@click.command()
@click.option("--session", default=None, metavar="REC", help="A recording to open; default: the session that runs.")
@click.option("--at", "at_s", type=float, default=None, metavar="S", help="Session time to go to, s; default: the end.")
@click.option("--layout", type=click.Choice(["run", "calibrate", "inspect", "subject"]), default="run")
@click.option("--theme", "theme_name", type=click.Choice(["dark", "light"]), default="dark")
@click.option("--screenshot", default=None, metavar="PNG", help="Render off-screen into this file instead of opening.")
@click.option("--panel", default=None, help="Render only this panel (subject, raster, tuning, ...).")
@click.option("--size", default=None, metavar="WxH", help="Pixels of the picture, e.g. 1600x1000.")
@click.option("--telemetry", default="tcp://127.0.0.1:5581", help="Address that the runtime publishes on.")
@click.option("--control", default="tcp://127.0.0.1:5582", help="Address of the runtime's control socket.")
@answer_options
def gui(session, at_s, layout, theme_name, screenshot, panel, size, telemetry, control, as_json):
    """Open the operator's console, or render a picture of it."""
    from bmi_runtime.errors import BadInput

    if screenshot:
        if not session:
            raise BadInput("--screenshot needs a recording: --session REC")
        answer(_picture(screenshot, session, at_s, layout, panel, _pixels(size), theme_name), as_json)
        return 0
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM")):
        raise BadInput("there is no display (DISPLAY and WAYLAND_DISPLAY are not set); use --screenshot for a picture")
    from gui.app import main

    say(f"replaying {session}" if session else f"listening to {telemetry}", as_json)
    opened = ["--open", session] if session else []
    return main(["--telemetry", telemetry, "--control", control, "--layout", layout, "--theme", theme_name, *opened])


def _picture(screenshot, session, at_s, layout, panel, size, theme_name):
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from bmi_runtime.session.catalogue import entry
    from bmi_runtime.session.player import Player
    from gui.screenshot import panel_picture, picture

    player = Player(session)
    last = len(player.steps)
    wanted = last if at_s is None else round(at_s / player.bin_s)
    player.seek(wanted)
    hello = player.hello() | {"catalogue": [entry(pathlib.Path(session))]}
    if panel:
        panel_picture(hello, screenshot, panel, size or (640, 420), theme_name)
    else:
        picture(hello, screenshot, layout, size, theme_name)
    return {"picture": str(screenshot), "bin": player.bin, "session_s": player.bin * player.bin_s}


def _pixels(text):
    from bmi_runtime.errors import BadInput

    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and 50 <= int(width) <= 8000 and 50 <= int(height) <= 8000):
        raise BadInput(f"--size wants WIDTHxHEIGHT in pixels, for example 1600x1000, got '{size_text(text)}'")
    return int(width), int(height)


def size_text(text):
    """Return what was given, shortened."""
    return str(text)[:40]
