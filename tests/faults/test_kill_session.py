"""``kill -9`` of a real session at random moments, with a witness outside who saw what left it."""

import os
import signal
import time

import msgpack
import numpy as np
import pytest
import zmq

from bmi_runtime.recording.reader import Recording
from bmi_runtime.session.replay import Replay


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_that_left_the_session_is_missing_from_its_files(live_run, kills):
    run = live_run("--set", "session.units=24", "--set", "recording.snapshot_s=0.3", "--set", "task.pause_s=0.0")
    run.wait_for("ready")
    witness = zmq.Context.instance().socket(zmq.SUB)
    witness.linger, witness.rcvhwm = 0, 0
    witness.subscribe(b"")
    witness.connect(run.output)
    rng, messages = np.random.default_rng(7), []

    def look():
        while witness.poll(0):
            messages.append(witness.recv_multipart())

    for number in range(1, kills + 1):
        pause = time.monotonic() + rng.uniform(0.3, 0.9)
        while time.monotonic() < pause:
            look()
            time.sleep(0.001)
        os.kill(run.runtime(), signal.SIGKILL)
        run.wait_for("going on", number)
    look()
    run.end(signal.SIGTERM)
    look()
    witness.close()
    assert run.process.returncode == 0
    check_lineage(run.recording, kills, {msgpack.unpackb(frames[1])["bin"] for frames in messages})


def check_lineage(first, kills, seen):
    paths = [first] + [first.with_name(f"a_part{number}.mcap") for number in range(2, kills + 2)]
    on_file = []
    for path in paths:
        recording = Recording(path)
        on_file += recording.column("input", "bin_index").tolist()
        result = Replay(recording).run()
        assert result["identical"]
        assert result["bins"] == recording.n_steps
    assert on_file == list(range(len(on_file))), "no bin is missing, none is there twice"
    assert seen
    assert seen <= set(on_file), "nothing moved that is not on file"
