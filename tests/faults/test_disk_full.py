"""A full disk: the recording stops with an event, the loop goes on and says so, what was written stays whole."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys

import pytest
import zmq

from bmi_runtime.messages import unpack
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.replay import Replay


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


@contextlib.contextmanager
def small_disk(folder, size="300k"):
    """Mount a little memory on `folder`, where that is allowed."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def run_until_full(run, recording):
    """Let a session fill its disk; return its result and the event that viewers got."""
    with zmq.Context.instance().socket(zmq.SUB) as viewer:
        viewer.linger = 0
        viewer.subscribe(b"event")
        viewer.connect(run.publish)
        run.wait_for("THE RECORDING HAS STOPPED")
        sizes, told = os.path.getsize(recording), []
        while viewer.poll(500):
            told.append(unpack(viewer.recv_multipart()[1]))
    _, out = run.end(signal.SIGTERM)
    assert run.process.returncode == 1, run.said  # the session went on; its recording is not whole
    assert os.path.getsize(recording) == sizes
    return json.loads(out.splitlines()[-1]), [event for event in told if event["name"] == "recording-failed"]


def check(result, told, recording):
    kept = Recording(recording)
    assert len(told) == 1
    assert result["recording_failed"] == told[0]["reason"]
    assert told[0]["bin"] in (kept.n_steps - 1, kept.n_steps), "the bin that met the fault, or the last one written"
    assert result["bins"] > kept.n_steps + 10, "the loop went on"
    assert result["messages_lost"] >= result["bins"] - kept.n_steps
    assert not kept.complete
    assert kept.lost_bytes == 0, "no half-written frame"
    assert Replay(kept).run()["identical"]


def test_a_limit_on_the_size_of_files(live_run):
    run = live_run("--set", "session.units=24", preexec_fn=small_files)
    check(*run_until_full(run, run.recording), run.recording)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_is_full_and_a_runtime_killed_then(live_run, tmp_path):
    with small_disk(tmp_path / "disk"):
        run = live_run("--set", "session.units=24", recording="disk/a.mcap")
        run.wait_for("THE RECORDING HAS STOPPED")
        os.kill(run.runtime(), signal.SIGKILL)
        run.wait_for("NOT RECORDED")
        run.wait_for("going on")
        _, out = run.end(signal.SIGTERM)
        result = json.loads(out.splitlines()[-1])
        kept = Recording(run.recording)
        assert result["recording"] is None
        assert result["recording_failed"]
        assert result["bins"] >= kept.n_steps, "it went on from the last bin on file"
        assert Replay(kept).run()["identical"]
        del kept


@pytest.mark.parametrize(
    ("form", "name", "size"), [("nwb", "o.nwb", "300k"), ("nwb", "o.nwb", "20k"), ("tables", "o.t", "20k")]
)
def test_an_export_to_a_full_disk_says_so_and_leaves_nothing(tmp_path, bmi, form, name, size):
    pytest.importorskip({"nwb": "pynwb", "tables": "pyarrow"}[form])
    made = "run --headless --speed max --duration 20 --seed 1 --record a.mcap --set session.units=32"
    assert bmi(*made.split(), cwd=tmp_path).returncode == 0
    with small_disk(tmp_path / "full", size):
        command = [sys.executable, "-m", "bmi_runtime.cli.main", "export", "a.mcap", "--to", form, "-o", f"full/{name}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        assert done.stderr == f"bmi: full/{name} cannot be written: No space left on device; nothing is left of it\n"
        assert os.listdir(tmp_path / "full") == []
    assert bmi("export", "a.mcap", "--to", form, "-o", name, cwd=tmp_path).returncode == 0
