"""``bmi gui``: the operator's console on a running session or a recording, or a picture of it."""

import os
import pathlib

import click

from bmi_runtime.cli.common import answer, answer_options, say


@click.command()
@click.option("--session", default=None, metavar="REC", help="A recording to open; default: the session that runs.")
@click.option("--at", "at_s", type=float, default=None, metavar="S", help="Session time to go to, s; default: the end.")
@click.option(
    "--layout",
    type=click.Choice(["run", "calibrate", "inspect", "subject"]),
    default="run",
    help="How the panels stand at first; subject: the subject's window alone.",
)
@click.option(
    "--theme", "theme_name", type=click.Choice(["dark", "light"]), help="Default: the last one; dark for pictures."
)
@click.option("--screenshot", default=None, metavar="PNG", help="Render off-screen into this file instead of opening.")
@click.option("--panel", default=None, help="Render only this panel (subject, raster, tuning, ...).")
@click.option("--figures", default=None, metavar="FOLDER", help="Draw every picture of the documentation again.")
@click.option("--size", default=None, metavar="WxH", help="Pixels of the picture, e.g. 1600x1000.")
@click.option("--telemetry", default="tcp://127.0.0.1:5581", help="Address that the runtime publishes on.")
@click.option("--control", default="tcp://127.0.0.1:5582", help="Address of the runtime's control socket.")
@click.option(
    "--keys", default="", metavar="FOLDER", help="Keys of an encrypted session: server.key and one's own *.key_secret."
)
@click.option("--file", "file", default=None, metavar="NPZ", help="What to show in a panel of an offline module.")
@click.option(
    "--browser", default=None, metavar="HOST:PORT", help="Serve a read-only page instead, e.g. 127.0.0.1:8580."
)
@answer_options
def gui(
    session,
    at_s,
    layout,
    theme_name,
    screenshot,
    panel,
    figures,
    size,
    telemetry,
    control,
    keys,
    file,
    browser,
    as_json,
):
    """Open the operator's console, or render a picture of it, or serve a page that shows it."""
    from bmi_runtime.errors import BadInput

    if browser:
        from gui.web_page import serve

        return serve(browser, telemetry, control, keys)

    if not (screenshot or figures):
        for option, given in (("--at", at_s), ("--panel", panel), ("--size", size)):
            if given is not None:
                raise BadInput(
                    f"{option} goes with --screenshot OUT.png; in the console, panels, times and sizes are free"
                )
    if figures:
        answer(_figures(figures, session), as_json)
        return 0
    if screenshot and file:
        answer(_picture_of_file(screenshot, file, panel, _pixels(size), theme_name or "dark"), as_json)
        return 0
    if file:
        raise BadInput("--file goes with --screenshot OUT.png; in the console, Ctrl+Shift+O opens such a file")
    if screenshot:
        if not session:
            raise BadInput(
                "--screenshot needs a recording (--session REC) or the file of an offline module (--file NPZ)"
            )
        answer(_picture(screenshot, session, at_s, layout, panel, _pixels(size), theme_name or "dark"), as_json)
        return 0
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM")):
        raise BadInput("there is no display (DISPLAY and WAYLAND_DISPLAY are not set); use --screenshot for a picture")
    from gui.app import main

    say(f"replaying {session}" if session else f"listening to {telemetry}", as_json)
    opened = ["--open", session] if session else []
    where = ["--telemetry", telemetry, "--control", control, "--keys", keys]
    return main([*where, "--layout", layout, "--theme", theme_name or "", *opened])


def _off_screen() -> None:
    """Draw without a screen, and without Qt's remarks that there is none."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from pyqtgraph.Qt import QtCore

    def said(kind, context, text):
        if "propagateSizeHints" not in text and "XDG_RUNTIME_DIR" not in text:
            click.echo(text, err=True)

    QtCore.qInstallMessageHandler(said)


def _picture_of_file(screenshot, file, panel, size, theme_name):
    _off_screen()
    from gui.files import read
    from gui.panels.file_panel import panel_for
    from gui.screenshot import panel_picture

    name = panel or panel_for(read(file), file)
    panel_picture(None, screenshot, name, size or FILE_SIZE, theme_name, file)
    return {"picture": str(screenshot), "panel": name}


def _picture(screenshot, session, at_s, layout, panel, size, theme_name):
    _off_screen()
    from gui.screenshot import panel_picture, picture

    player, hello = _moment(session, at_s)
    if panel:
        panel_picture(hello, screenshot, panel, size or (640, 420), theme_name)
    else:
        picture(hello, screenshot, layout, size, theme_name)
    return {"picture": str(screenshot), "bin": player.bin, "session_s": player.bin * player.bin_s}


def _moment(session, at_s):
    from bmi_runtime.errors import BadInput
    from bmi_runtime.playback.player import Player
    from bmi_runtime.session.recording_list import entry

    if at_s is not None and not 0.0 <= at_s < 1e9:
        raise BadInput(f"--at takes seconds of session time, zero or more, got {at_s}")
    player = Player(session)
    player.seek(len(player.steps) if at_s is None else round(at_s / player.bin_s))
    return player, player.hello() | {"catalogue": [entry(pathlib.Path(session))]}


def _figures(folder, session):
    """Draw every layout and every panel of a recording (by default of a session of one minute that is run now)."""
    import subprocess
    import sys
    import tempfile

    _off_screen()
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        if session is None:
            session = str(pathlib.Path(temporary) / "example.mcap")
            command = [sys.executable, "-P", "-m", "bmi_runtime.cli.main", "run", "--headless", "--speed", "max"]
            command += ["--seed", "3", "--duration", "60", "--record", session]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return {"files": _draw_all(pathlib.Path(folder), session, pathlib.Path(temporary))}


def _draw_all(folder, session, scratch):
    from bmi_runtime.playback.what_if import WhatIf
    from gui import panels
    from gui.screenshot import LAYOUTS, panel_picture, picture

    player, hello = _moment(session, 40.3)
    what_if = WhatIf(player.recording, ["adapter.learning_rate=1e-6"], ["adapter.learning_rate=1e-4"])
    while not what_if.done:
        what_if.grow()
    hello["what_if"] = what_if.answer(player.bin_s)
    files = [folder / "cursor.png"]
    picture(hello, files[0], "subject", (640, 640))
    for layout in LAYOUTS:
        files.append(folder / f"console_{layout}.png")
        picture(hello, files[-1], layout, (1600, 1000))
    results = _results(scratch)
    for name in panels.available():
        files.append(folder / f"console_panel_{name}.png")
        size = FILE_SIZE if name in results else PANEL_SIZES.get(name, (560, 380))
        panel_picture(hello, files[-1], name, size, file=results.get(name))
    files.append(folder / "console_light.png")
    picture(hello, files[-1], "run", (1600, 1000), "light")
    return [str(file) for file in files]


def _results(folder):
    """Make a small result of every offline module; return the files by the panel that shows them."""
    import subprocess
    import sys

    names = ("couplings", "causal", "steady_states", "density")
    data, *files = (str(folder / f"{name}.npz") for name in ("data", *names))
    for line in (
        f"glm simulate --units 12 --bins 60000 --seed 4 --out {data}",
        f"glm fit {data} --history-bins 50 --basis raised-cosine:6 --out {files[0]}",
        f"perturb simulate --neurons 12 --steps 20000 --out {data}",
        f"perturb fit {data} --out {files[1]}",
        f"networks make {data} --size 100 --strength-uv-per-hz 22 --external-mv=-54",
        f"networks solve {data} --out {files[2]}",
        f"fokker-planck run --b 1.5 --duration 3 --out {files[3]}",
    ):
        command = [sys.executable, "-P", "-m", "bmi_runtime.cli.main", *line.split()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return dict(zip(names, files, strict=True))


FILE_SIZE = (960, 440)  # of a picture of a result, pixels
PANEL_SIZES = {
    "calibration": (820, 640),
    "controls": (560, 640),
    "replay": (640, 480),
    "recordings": (1000, 200),
    "summary": (700, 620),
    "array": (520, 420),
    "traces": (640, 460),
}


def _pixels(text):
    from bmi_runtime.errors import BadInput

    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and 50 <= int(width) <= 8000 and 50 <= int(height) <= 8000):
        raise BadInput(f"--size takes WIDTHxHEIGHT in pixels, for example 1600x1000, got '{size_text(text)}'")
    return int(width), int(height)


def size_text(text):
    """Return what was given, shortened."""
    return str(text)[:40]
