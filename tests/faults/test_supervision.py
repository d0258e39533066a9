"""Processes that die, and what becomes of the others: real ones, under the real supervisor."""

import json
import os
import pathlib
import pty
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import zmq

from bmi_runtime import wire
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.replay import Replay
from gui.client import Client
from gui.link import Link
from gui.store import Store

STRANGER = pathlib.Path(__file__).parents[1] / "stranger"


def events(path, name):
    return [message for _, message in Recording(path).messages("event") if message["name"] == name]


def assert_lineage(paths):
    """Hold every recording against a replay, and each one's beginning against the end of its parent."""
    state, last = None, None
    for number, path in enumerate(paths):
        recording = Recording(path)
        bins = recording.column("input", "bin_index")
        np.testing.assert_array_equal(np.diff(bins.astype(np.int64)), 1)
        snapshot = next(message for _, message in recording.messages("snapshot"))
        if number:
            assert recording.parent == {"path": str(paths[number - 1]), "last_bin_index": last}
            assert bins[0] == last + 1
            for name in ("weights", "covariance"):
                np.testing.assert_array_equal(snapshot["model"][name], state["model"][name])
            assert {key: snapshot[key] for key in ("bins", "cursor", "live", "safety", "rng", "task")} == {
                key: state[key] for key in ("bins", "cursor", "live", "safety", "rng", "task")
            }
        replay = Replay(recording)
        assert replay.run()["identical"]
        state, last = replay.session.snapshot(), int(bins[-1])


def test_a_killed_runtime_goes_on_with_what_it_had_learned(live_run):
    run = live_run(
        "--set", "adapter.learning_rate=1e-4", "--set", "recording.snapshot_s=0.4", "--set", "task.assist=0.3"
    )
    run.wait_for("ready")
    killed = set()
    for number in (1, 2):
        run.until(
            lambda: os.path.getsize(max(run.recording.parent.glob("*.mcap"))) > 150_000, 30, "some seconds of bins"
        )
        killed.add(run.runtime())
        os.kill(run.runtime(), signal.SIGKILL)
        run.wait_for("going on", number)
    run.until(lambda: os.path.getsize(run.recording.with_name("a_part3.mcap")) > 150_000, 30, "bins after the kill")
    left = {*run.children()} | killed
    run.end(signal.SIGINT)
    assert run.process.returncode == 0
    run.assert_all_down(left)
    paths = [run.recording, run.recording.with_name("a_part2.mcap"), run.recording.with_name("a_part3.mcap")]
    assert_lineage(paths)
    assert not Recording(paths[0]).complete
    assert Recording(paths[2]).complete
    (resumed,) = events(paths[1], "resumed")
    assert resumed["missed_bins"] == 0, "the simulated world waits"
    assert events(paths[1], "runtime-restarted")[0]["why"] == "signal SIGKILL"
    assert "the runtime died (signal SIGKILL)" in run.said


def test_a_dead_window_comes_back_and_sigterm_takes_it_down(live_run):
    run = live_run(headless=False, env={"QT_QPA_PLATFORM": "offscreen"})
    run.wait_for("ready")
    first = run.until(lambda: run.child("-m gui"), 30, "the window")
    os.kill(first, signal.SIGKILL)
    run.wait_for("the window died (signal SIGKILL) and was started again")
    second = run.until(lambda: run.child("-m gui"), 30, "the window again")
    assert second != first
    left = {*run.children()}
    _, out = run.end(signal.SIGTERM)
    result = json.loads(out.splitlines()[-1])
    assert run.process.returncode == 0
    assert result["restarts"] == 0
    run.assert_all_down(left | {first})
    assert Recording(run.recording).complete


def test_a_source_in_its_own_process_comes_back_and_a_closed_terminal_ends_all(live_run, tmp_path):
    try:
        controller, terminal = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine has no pseudo-terminals: {error}")

    def with_terminal():
        import fcntl
        import termios

        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    run = live_run(
        "--source", "zeromq", "--with-simulator", "--set", "session.units=24", preexec_fn=with_terminal
    )  # fmt: skip
    os.close(terminal)
    run.wait_for("ready")
    first = run.child("bmi_runtime.cli.main simulate")
    os.kill(first, signal.SIGKILL)
    run.wait_for("the source died (signal SIGKILL) and was started again")
    run.until(
        lambda: os.path.getsize(run.recording) > 0 and events(run.recording, "source-restarted"), 60, "its return"
    )
    recovered = {"name": "safety", "to": "active", "why": "enough good bins in a row"}
    run.until(
        lambda: any(recovered.items() <= event.items() for event in events(run.recording, "safety")), 60, "active again"
    )
    left = {*run.children()}
    os.close(controller)  # the terminal is closed: SIGHUP, and nothing can be written to it any more
    run.process.wait(20)
    run.assert_all_down(left | {first})
    assert Recording(run.recording).complete
    assert Replay(Recording(run.recording)).run()["identical"]


def test_no_orphans_when_the_supervisor_itself_is_killed(live_run):
    run = live_run("--source", "zeromq", "--with-simulator", "--set", "session.units=8")
    run.wait_for("ready")
    left = {*run.children()}
    assert len(left) == 2
    window = Link(Store(), Client(run.publish, run.control))  # what a window knows, without its picture
    try:
        run.until(lambda: window.tick() or window.store.step is not None, 60, "the first step in the window")
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
        run.assert_all_down(left)
        run.until(lambda: window.tick() or window.store.ended, 10, "the word that the session is over")
    finally:
        window.close()
    assert Recording(run.recording).complete, "the runtime ended as if asked to"
    assert events(run.recording, "session-ended")[0]["why"] == "signal"


def test_a_port_in_use_is_one_sentence(live_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        run = live_run("--set", f"telemetry.publish_address={address}")
        assert run.process.wait(60) == 1
        run.until(lambda: "is another session running?" in run.said, 5, "the sentence")
        assert "Traceback" not in run.said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "default"], "leave --config out"),
        (["--set", "adapter.learning_rate=0.1"], "would change the session that is resumed"),
        (["--speed", "max"], "goes on in real time"),
    ],
)
def test_what_resume_refuses(tmp_path, arguments, said):
    from click.testing import CliRunner

    from bmi_runtime import config as configuration
    from bmi_runtime.cli.run import run
    from bmi_runtime.errors import BadInput
    from bmi_runtime.session import launch
    from bmi_runtime.session.assemble import assemble

    path = tmp_path / "a.mcap"
    launch.run(assemble(configuration.load(None, ["session.units=8", f"recording.path='{path}'"]), "max"), 50)
    result = CliRunner().invoke(run, ["--resume", str(path), "--headless", *arguments])
    assert isinstance(result.exception, BadInput)
    assert said in str(result.exception)


@pytest.mark.parametrize("way", ["loop", "interpreter"])
def test_a_decoder_that_never_returns_is_ended_and_the_effector_stands_still_meanwhile(
    live_run, free_ports, monkeypatch, way
):
    """Two deaths, then the session goes on with the fallback; the guard's process speaks for it while it hangs."""
    free, control, output = free_ports(3)
    addresses = [f"guard.output_address=tcp://127.0.0.1:{free}", f"guard.control_address=tcp://127.0.0.1:{control}"]
    addresses.append(f"telemetry.output_address=tcp://127.0.0.1:{output}")
    guard_settings = [text for setting in addresses for text in ("--set", setting)]
    settings = ["decoder.kind=hangs", f"decoder.options.way={way}", "realtime.hung_after_s=2.0", "session.units=24"]
    flags = [text for setting in settings for text in ("--set", setting)]
    command = [sys.executable, "-u", "-m", "bmi_runtime.cli.main", "guard", *guard_settings]
    guard = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert guard.stdout.readline().startswith("guard:")  # it listens before the session begins
    run = live_run(*flags, *guard_settings, env={"PYTHONPATH": str(STRANGER)})
    effector = zmq.Context.instance().socket(zmq.SUB)
    try:
        effector.subscribe(b"decoded")
        effector.connect(f"tcp://127.0.0.1:{free}")
        run.wait_for("it hung in decoding); starting it again for the second time")
        run.wait_for("going on with the decoder 'point-process'")
        run.until(lambda: "part3" in run.newest().name and run.newest().stat().st_size > 100_000, what="bins after it")
        left = []
        while effector.poll(200) and len(left) < 100_000:
            left.append(wire.decode(effector.recv_multipart(), 1).body)
            if "passing" in {body["guard"] for body in left[-50:]} and len(left) > 500:
                break
    finally:
        effector.close(0)
        guard.terminate()
        guard.communicate(timeout=20)
    assert run.runtime(), "it goes on"
    run.end(signal.SIGTERM)
    assert run.process.returncode == 0
    still = [body for body in left if body["guard"] == "stopped"]
    assert len(still) > 5 and all(body["cursor"][2:] == [0.0, 0.0] for body in still)
    monkeypatch.syspath_prepend(str(STRANGER))  # the recordings are replayed in this process
    last = Recording(run.newest())
    [event] = events(run.newest(), "runtime-restarted")
    assert event["decoder"] == "point-process" and "completed no bin for 2 s" in event["why"]
    assert Replay(last).run()["identical"]
