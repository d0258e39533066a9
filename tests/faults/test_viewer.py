"""A viewer that freezes or dies changes no bit of what the session puts out."""

import signal
import subprocess
import sys
import textwrap

import pytest

from bmi_runtime import config as configuration
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble

VIEWER = """
    import sys, zmq
    socket = zmq.Context().socket(zmq.SUB)
    socket.subscribe(b"")
    socket.rcvhwm = 10
    socket.connect(sys.argv[1])
    print("here", flush=True)
    while True:
        socket.recv_multipart()
"""
BINS = 3000


@pytest.fixture
def viewer():
    """Return a function that starts a viewer of an address; all are killed afterwards."""
    started = []

    def start(address):
        command = [sys.executable, "-c", textwrap.dedent(VIEWER), address]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert started[-1].stdout.readline() == b"here\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def digest(addresses, published, on_bin=None):
    settings = ["session.units=24", "recording.enabled=false", "task.kind=random-target", *addresses]
    loop = assemble(configuration.load(None, settings), "max", published=published)
    loop.on_bin = on_bin
    launch.run(loop, BINS)
    return loop.result()["output_digest"], dict(loop.telemetry.sequence) if loop.telemetry else {}


def test_frozen_and_killed_viewers_change_nothing(viewer, tmp_path):
    names = ("publish_address", "control_address", "output_address")
    sockets = {name: f"ipc://{tmp_path}/{name}" for name in names}
    addresses = [f"telemetry.{name}={address}" for name, address in sockets.items()]
    alone, _ = digest(addresses, False)
    frozen, killed = viewer(sockets["publish_address"]), viewer(sockets["publish_address"])
    effector = viewer(sockets["output_address"])

    def trouble(loop):
        if loop.session.bins == 300:
            frozen.send_signal(signal.SIGSTOP)
            effector.send_signal(signal.SIGSTOP)
        if loop.session.bins == 1000:
            killed.kill()
        if loop.session.bins == 2000:
            frozen.send_signal(signal.SIGCONT)

    watched, sent = digest(addresses, True, trouble)
    assert watched == alone
    assert sent["step"] == BINS // 3, "everything was published all the same"
    assert killed.wait(10) == -signal.SIGKILL


def test_a_real_window_that_freezes_and_dies(live_run):
    """In real time too: what was recorded replays to the bit, whatever the window did."""
    import os

    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.session.replay import Replay

    run = live_run("--set", "session.units=24", headless=False, env={"QT_QPA_PLATFORM": "offscreen"})
    run.wait_for("ready")
    window = run.until(lambda: run.child("-m gui"), 30, "the window")
    os.kill(window, signal.SIGSTOP)
    grown = os.path.getsize(run.recording) + 200_000
    run.until(lambda: os.path.getsize(run.recording) > grown, 60, "going on while the window is frozen")
    os.kill(window, signal.SIGKILL)
    run.wait_for("the window died")
    grown = os.path.getsize(run.recording) + 100_000
    run.until(lambda: os.path.getsize(run.recording) > grown, 60, "going on after it died")
    run.end(signal.SIGTERM)
    recording = Recording(run.recording)
    assert recording.complete
    assert recording.missing_bins == 0
    assert Replay(recording).run()["identical"]
