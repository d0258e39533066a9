"""``kill -9`` at any moment of a real writing process loses at most the bin in flight."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from bmi_runtime.messages import step_dtype
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.recover import recover

N_UNITS = 96
WRITER = """
    import os, sys
    import numpy as np
    from bmi_runtime.messages import step_dtype
    from bmi_runtime.recording.writer import RecordingWriter

    writer = RecordingWriter(sys.argv[1], {"seeds": [1]}, 96, False, sync_interval_s=0.01)
    step = np.zeros(1, step_dtype(96, False))
    ready = False
    for number in range(10_000_000):
        step["input"]["bin_index"] = number
        step["input"]["counts"] = (number + np.arange(96)) % 7
        writer.write_step(step.tobytes(), number)
        if number % 50 == 0:
            writer.write("snapshot", {"weights": np.full((96, 3), float(number))}, number)
        os.write(1, number.to_bytes(8, "little"))  # this bin's call has returned
"""


def killed_writer(path, wait_s):
    """Let a process record until it is killed; return the number of the last bin whose call had returned."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path)], stdout=subprocess.PIPE, bufsize=0
    )
    returned = bytearray(process.stdout.read(8))
    reading, writing = process.stdout.fileno(), time.monotonic() + wait_s
    while time.monotonic() < writing:
        returned += os.read(reading, 65536)
    process.send_signal(signal.SIGKILL)
    while piece := os.read(reading, 65536):
        returned += piece
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return len(returned) // 8 - 1


def assert_nothing_lost(path, last_returned):
    """Hold the file of a killed writer against what had been written for certain."""
    recording = Recording(path)
    bins = recording.column("input", "bin_index")
    np.testing.assert_array_equal(bins, np.arange(len(bins)))
    assert last_returned + 1 <= len(bins) <= last_returned + 2  # the bin in flight may or may not be there
    expected = (np.arange(len(bins))[:, None] + np.arange(N_UNITS)) % 7
    np.testing.assert_array_equal(recording.column("input", "counts"), expected)
    assert not recording.complete and recording.header["seeds"] == [1]
    assert recording.lost_bytes < 31 + max(step_dtype(N_UNITS, False).itemsize, 4000)
    snapshots = [message["weights"][0, 0] for _, message in recording.messages("snapshot")]
    assert len(snapshots) in (len(bins) // 50, len(bins) // 50 + 1)
    assert snapshots == [50.0 * number for number in range(len(snapshots))]


def kill_and_check(folder, times, seed):
    waits_s = np.random.default_rng(seed).uniform(0.0, 0.15, times)
    for number, wait_s in enumerate(waits_s):
        path = folder / f"{number}.mcap"
        assert_nothing_lost(path, killed_writer(path, wait_s))
        saved = recover(path, folder / "recovered.mcap")
        assert Recording(folder / "recovered.mcap").complete and saved["bins"] == Recording(path).n_steps
        (folder / "recovered.mcap").unlink()
        path.unlink()


def test_kill_while_recording(tmp_path):
    kill_and_check(tmp_path, 6, seed=1)


@pytest.mark.slow
def test_kill_while_recording_many_times(tmp_path):
    kill_and_check(tmp_path, 100, seed=2)


def test_a_session_goes_on_in_a_new_file_that_names_the_killed_one(tmp_path):
    from bmi_runtime.recording.writer import RecordingWriter

    last = killed_writer(tmp_path / "a.mcap", 0.02)
    recorded = Recording(tmp_path / "a.mcap").column("input", "bin_index")
    assert recorded[-1] in (last, last + 1)
    parent = {"path": str(tmp_path / "a.mcap"), "last_bin_index": int(recorded[-1])}
    with RecordingWriter(tmp_path / "b.mcap", {"parent": parent}, N_UNITS, False) as writer:
        assert writer.failed is None
    assert Recording(tmp_path / "b.mcap").parent == parent
