"""The writer: what it refuses, and what it does when the disk fails."""

import os
import resource
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.writer import RecordingWriter


def test_an_existing_file_is_never_touched(tmp_path):
    path = tmp_path / "a.mcap"
    path.write_bytes(b"precious")
    with pytest.raises(BadInput, match="exists already"):
        RecordingWriter(path, {}, 4, False)
    assert path.read_bytes() == b"precious"


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be created"):
        RecordingWriter(tmp_path / "file" / "a.mcap", {}, 4, False)


def test_folders_are_made(tmp_path, steps, write):
    write(tmp_path / "new" / "er" / "a.mcap", steps)
    assert Recording(tmp_path / "new" / "er" / "a.mcap").complete


@pytest.mark.parametrize("n_units", [0, -1, 2_000_000])
def test_an_absurd_number_of_units(tmp_path, n_units):
    with pytest.raises(BadInput, match="between 1 and"):
        RecordingWriter(tmp_path / "a.mcap", {}, n_units, False)
    assert not (tmp_path / "a.mcap").exists()


def test_callers_mistakes_are_named_and_write_nothing(tmp_path, steps):
    writer = RecordingWriter(tmp_path / "a.mcap", {}, 4, False)
    size = os.path.getsize(writer.path)
    with pytest.raises(ValueError):
        writer.write_step(steps[0].tobytes()[:-1], 0)
    with pytest.raises(ValueError, match="'step'"):
        writer.write("step", {}, 0)
    with pytest.raises(ValueError, match="'nonsense'"):
        writer.write("nonsense", {}, 0)
    with pytest.raises(TypeError):
        writer.write("event", {"not data": object()}, 0)
    assert os.path.getsize(writer.path) == size
    writer.write_step(steps[0].tobytes(), 0)
    writer.close()
    assert Recording(writer.path).steps().tobytes() == steps[0].tobytes()


def test_every_step_is_in_the_file_when_the_call_returns(tmp_path, steps, write):
    writer = write(tmp_path / "a.mcap", steps, close=False)
    for number in range(3):
        writer.write_step(memoryview(steps[number : number + 1].view(np.uint8)), 0)
        assert Recording(writer.path).n_steps == 41 + number
    assert not Recording(writer.path).complete
    writer.close()
    writer.close()
    assert Recording(writer.path).complete


def test_steps_after_closing_are_refused_not_written_elsewhere(tmp_path, steps, write):
    writer = write(tmp_path / "a.mcap", steps)
    before = writer.path.read_bytes()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)  # takes the number of the closed file
    writer.write_step(steps[0].tobytes(), 0)
    os.close(other)
    assert writer.messages_lost == 1 and writer.path.read_bytes() == before
    assert (tmp_path / "other").read_bytes() == b""


@pytest.mark.parametrize("short", [0, 1, 30, 31, 200])
def test_disk_full_inside_a_frame(tmp_path, steps, monkeypatch, short):
    """The disk takes `short` bytes of the frame and then no more: no half frame stays, the loop never sees an error."""
    path = tmp_path / "a.mcap"
    writer = RecordingWriter(path, {"a": 1}, 4, False)
    for step in steps[:5]:
        writer.write_step(step.tobytes(), 0)
    whole = path.read_bytes()
    real, calls = os.write, []

    def full(file, data):
        calls.append(len(data))
        if len(calls) == 1 and short:
            return real(file, bytes(data)[:short])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    writer.write_step(steps[5].tobytes(), 0)
    assert "No space left on device" in writer.failed
    monkeypatch.undo()  # space again: still nothing more is written
    writer.write_step(steps[6].tobytes(), 0)
    writer.write("event", {"name": "late"}, 0)
    writer.close()
    assert path.read_bytes() == whole and writer.messages_lost == 3
    recording = Recording(path)
    assert recording.steps().tobytes() == steps[:5].tobytes()
    assert not recording.complete and recording.lost_bytes == 0


def test_a_write_in_two_parts_is_whole(tmp_path, steps, monkeypatch):
    writer = RecordingWriter(tmp_path / "a.mcap", {}, 4, False)
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, bytes(data)[:100]))
    writer.write_step(steps[0].tobytes(), 0)
    monkeypatch.undo()
    writer.close()
    assert Recording(writer.path).complete and Recording(writer.path).steps().tobytes() == steps[0].tobytes()


def test_a_real_limit_on_the_file_size(tmp_path, steps):
    """The operating system refuses to let the file grow (RLIMIT_FSIZE), in a process of its own."""
    limit = 12_000
    code = f"""
        import numpy as np
        from bmi_runtime.messages import step_dtype
        from bmi_runtime.recording.writer import RecordingWriter
        writer = RecordingWriter({str(tmp_path / "a.mcap")!r}, {{"a": 1}}, 4, False)
        step = np.zeros(1, step_dtype(4, False))
        for number in range(100):
            step["input"]["bin_index"] = number
            writer.write_step(step.tobytes(), number)
        writer.close()
        print(writer.failed, writer.messages_lost)
    """

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(code)], preexec_fn=limited, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    recording = Recording(tmp_path / "a.mcap")
    assert recording.n_steps + int(done.stdout.split()[-1]) == 100
    assert recording.n_steps > 5 and recording.lost_bytes == 0
    assert recording.column("input", "bin_index").tolist() == list(range(recording.n_steps))
    assert recording.size_bytes + recording.dtype.itemsize + 31 > limit


def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda file, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(BmiError, match="could not be started: No space left"):
        RecordingWriter(tmp_path / "a.mcap", {}, 4, False)


def test_a_disk_that_cannot_synchronise(tmp_path, steps, monkeypatch):
    def broken(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    writer = RecordingWriter(tmp_path / "a.mcap", {}, 4, False, sync_interval_s=0.001)
    writer._thread.join(10)
    writer.write_step(steps[0].tobytes(), 0)
    assert "Input/output error" in writer.failed and writer.messages_lost == 1
    writer.close()


def test_the_thread_synchronises_and_ends(tmp_path, monkeypatch):
    import threading

    called = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: called.set())
    writer = RecordingWriter(tmp_path / "a.mcap", {}, 4, False, sync_interval_s=0.001)
    assert called.wait(10)
    writer.close()
    assert not writer._thread.is_alive()
