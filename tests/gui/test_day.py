"""A day at the console by real keys and mouse, in a real window under a window manager, with its memory on."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from running import BMI, free_addresses

pytestmark = [pytest.mark.slow, pytest.mark.xvfb, pytest.mark.timeout(1500)]
SCREENS = {"1366x768": "1", "1920x1080": "1", "1920x1080 at 200 %": "2"}
PROBE = """
import json, sys
from pyqtgraph.Qt import QtCore, QtWidgets
import gui.app, gui.console

class Probed(gui.console.Console):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.probe = QtCore.QTimer(self)
        self.probe.timeout.connect(self.tell)
        self.probe.start(100)

    def tell(self):
        store, bar = self.store, self.chrome.bar
        windows = QtWidgets.QApplication.topLevelWidgets()
        dialogs = [w for w in windows if isinstance(w, QtWidgets.QDialog) and w.isVisible()]
        room = self.screen().geometry()
        buttons = [bar.buttons[n] for n in ("hold", "stop")]
        inside = all(room.contains(QtCore.QRect(b.mapToGlobal(QtCore.QPoint(0, 0)), b.size())) for b in buttons)
        told = {
            "state": bar.state, "mode": store.mode, "bin": store.bin, "held": store.held, "layout": self.layout_name,
            "live": {k: v for k, v in store.live.items()}, "notes": [e.text for e in store.events if e.kind == "note"],
            "trials": len(store.trials), "recording": store.recording, "dialogs": [d.windowTitle() for d in dialogs],
            "alarms": [a.found.title for a in self.chrome.alarms.shown], "inside": inside,
            "size": [self.width(), self.height()],
            "room": [room.width(), room.height()], "status": self.statusBar().currentMessage(),
            "shown": sorted(n for n, d in self.docks.items() if not d.isHidden()),
            "entries": len(self.docks["recordings"].panel.entries), "replay": bool(store.replay),
            "verified": list(self.docks["recordings"].panel.verified.values()),
            "words": self.docks["recordings"].panel.words.text(), "answer": self.docks["replay"].panel.answer.text(),
            "why": bar.why.toolTip() or bar.why.text(),
            "subject": self.view_actions.subject is not None and self.view_actions.subject.isVisible(),
            "active": QtWidgets.QApplication.activeWindow() is self,
        }
        with open(sys.argv[-1] + ".part", "w") as file:
            json.dump(told, file)
        import os
        os.replace(sys.argv[-1] + ".part", sys.argv[-1])

gui.app.Console = Probed
sys.exit(gui.app.main(sys.argv[1:-1]))
"""


class Desk:
    """A screen with a window manager, the console on it, and hands."""

    def __init__(self, folder, screen):
        size, scale = screen.split()[0], SCREENS[screen]
        self.number, self.folder, self.told = 70 + os.getpid() % 900, folder, folder / "told.json"
        self.environment = {
            **os.environ,
            "DISPLAY": f":{self.number}",
            "QT_QPA_PLATFORM": "xcb",
            "QT_SCALE_FACTOR": scale,
            "XDG_CONFIG_HOME": str(folder / "settings"),
            "XDG_RUNTIME_DIR": str(folder),
            "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        }
        self.addresses = free_addresses()
        command = ["Xvfb", f":{self.number}", "-screen", "0", f"{size}x24"]
        self.processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL)]
        time.sleep(1.5)
        self.processes.append(subprocess.Popen(["openbox"], env=self.environment, stderr=subprocess.DEVNULL))
        time.sleep(1.0)

    def open(self):
        self.told.unlink(missing_ok=True)
        where = ["--telemetry", self.addresses[0], "--control", self.addresses[1]]
        command = [sys.executable, "-c", PROBE, *where, str(self.told)]
        self.window = subprocess.Popen(command, env=self.environment, cwd=self.folder, stderr=subprocess.DEVNULL)
        self.processes.append(self.window)
        self.until(lambda s: s["active"], 240)

    def state(self):
        try:
            return json.loads(self.told.read_text())
        except (OSError, ValueError):
            return None

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        state = None
        while time.monotonic() < end:
            state = self.state()
            if state is not None and condition(state):
                return state
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s; the window says {state}")

    def key(self, *keys):
        for key in keys:
            subprocess.run(["xdotool", "key", key], env=self.environment, check=True)
            time.sleep(0.35)

    def type(self, text):
        subprocess.run(["xdotool", "type", "--delay", "30", text], env=self.environment, check=True)
        time.sleep(0.5)

    def command(self, text):
        self.key("ctrl+k")
        self.until(lambda s: "All commands" in s["dialogs"])
        self.type(text)
        self.key("Return")

    def close(self):
        for pid in workers(self.addresses[0])[:1]:  # where the day broke off before Stop
            os.kill(pid, signal.SIGTERM)
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                process.wait(20)


@pytest.fixture(params=list(SCREENS))
def desk(request, tmp_path):
    for program in ("Xvfb", "openbox", "xdotool"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (apt-get install xvfb openbox xdotool)")
    made = Desk(tmp_path, request.param)
    yield made
    made.close()


def workers(address):
    """Return the processes of the session that publishes on an address, the supervisor first."""
    found = subprocess.run(["pgrep", "-f", f"cli.main run .*{address}"], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found]


def test_start_tune_hold_mark_change_crash_stop_find_replay_and_the_next_day(desk):
    desk.open()
    first = desk.until(lambda s: s["inside"])
    assert first["size"][0] <= first["room"][0] and first["size"][1] <= first["room"][1]

    desk.key("F5")  # the form: the subject's name, then Start
    desk.until(lambda s: "Start a session" in s["dialogs"])
    config = desk.folder / "quiet.toml"  # the default port for effectors is for one session at a time
    config.write_text("[telemetry]\noutput_address = ''\n")
    desk.key("alt+g", "ctrl+a")
    desk.type(str(config))
    desk.key("alt+j")
    desk.type("M7")
    desk.key("Return")
    state = desk.until(lambda s: s["state"] in ("running", "degraded") and s["trials"] > 1, 240)
    recording = state["recording"]

    desk.command("assist 0.25")
    desk.until(lambda s: s["live"]["task.assist"] == 0.25)
    desk.key("ctrl+z")
    desk.until(lambda s: s["live"]["task.assist"] == 0.0)
    desk.key("F8")
    desk.until(lambda s: "marker 1" in s["notes"])
    desk.key("ctrl+n")
    desk.type("the subject yawns")
    desk.key("Return")
    desk.until(lambda s: "the subject yawns" in s["notes"])

    desk.key("F1", "F6")  # Hold from a dialog
    state = desk.until(lambda s: s["held"])
    assert state["dialogs"]
    desk.key("Escape", "F5")
    desk.until(lambda s: not s["held"])
    desk.key("F12")  # the subject's window takes no focus, and Hold works on
    state = desk.until(lambda s: s["subject"])
    assert state["active"]
    desk.key("F6")
    desk.until(lambda s: s["held"])
    desk.key("F5", "F12")
    desk.until(lambda s: not s["held"] and not s["subject"])
    desk.command("task pursuit")
    desk.until(lambda s: s["live"]["task.kind"] == "pursuit")

    trials = desk.state()["trials"]
    os.kill(workers(desk.addresses[0])[-1], signal.SIGKILL)  # the runtime dies; its supervisor goes on
    state = desk.until(lambda s: "RUNTIME RESTARTED" in s["alarms"], 90)
    state = desk.until(lambda s: s["recording"] != recording and s["state"] in ("running", "degraded"), 90)
    assert state["trials"] >= trials and {"marker 1", "the subject yawns"} <= set(state["notes"])
    desk.key("F4")

    desk.key("F9", "Return")  # Enter goes on
    bins = desk.state()["bin"]
    desk.until(lambda s: s["bin"] > bins + 100 and s["state"] in ("running", "degraded"))
    desk.key("F9", "Left", "Return")
    state = desk.until(lambda s: s["state"] == "ended" and "summary" in s["shown"])

    desk.command("panel recordings")
    desk.until(lambda s: s["entries"] == 2)
    desk.key("ctrl+q")
    desk.window.wait(30)

    desk.open()  # the next day: the same panels, and the recording is found and replayed
    again = desk.until(lambda s: s["inside"] and s["size"][1] <= s["room"][1])
    assert set(first["shown"]) <= set(again["shown"])
    desk.command("panel recordings")  # by keys alone: verified, compared, exported, replayed, asked what if
    desk.until(lambda s: s["entries"] == 2)
    desk.key("alt+y")
    desk.until(lambda s: s["verified"] == ["✓ identical"], 120)
    desk.key("shift+Down", "alt+c")
    desk.until(lambda s: "Two recordings" in s["dialogs"])
    desk.key("Escape", "Up", "alt+x")
    desk.until(lambda s: "Export the recording" in s["dialogs"])
    desk.key("Return")
    state = desk.until(lambda s: "is written" in s["words"], 120)
    assert list((desk.folder / "recordings").glob("*.nwb"))
    desk.key("Return")
    desk.until(lambda s: s["replay"] and s["mode"] == "replay", 120)
    desk.key("ctrl+i", "Tab", "ctrl+a")
    desk.type("1e-5")
    desk.key("Return")
    state = desk.until(lambda s: "B − A" in s["answer"], 120)
    assert "adapter.learning_rate=1e-5" in state["answer"]
    desk.key("ctrl+o")
    desk.until(lambda s: "Open a recording" in s["dialogs"])
    desk.type(recording)
    desk.key("Return")
    desk.until(lambda s: s["recording"] == recording and s["replay"] and s["mode"] == "replay", 120)
    found = subprocess.run([*BMI, "inspect", recording, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout.splitlines()[-1])["commands"] >= 6
    desk.key("ctrl+q")
    desk.window.wait(30)


def test_a_session_that_ends_by_itself_says_why_and_the_next_one_is_no_restart(desk):
    desk.open()
    config = desk.folder / "short.toml"
    config.write_text("[telemetry]\noutput_address = ''\n[[block]]\nkind = 'observe'\nlength_s = 8.0\n")
    for _ in range(2):
        desk.key("F5")
        desk.until(lambda s: "Start a session" in s["dialogs"])
        desk.key("alt+g", "ctrl+a")
        desk.type(str(config))
        desk.key("Return")
        desk.until(lambda s: s["state"] in ("running", "degraded", "calibrating"), 240)
        state = desk.until(lambda s: s["state"] == "ended", 60)
        assert "all blocks are done" in state["why"] and "summary" in state["shown"]
        assert "RUNTIME RESTARTED" not in state["alarms"] and "CONNECTION LOST" not in state["alarms"]
