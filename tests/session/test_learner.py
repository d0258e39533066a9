"""The learner beside the loop: what it fits from a recording, what it hands over, and that dying harms nothing."""

import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.decoding.fitted_file import load_fitted
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.learner import Learner
from bmi_runtime.session.learner_watch import LearnerWatch
from bmi_runtime.session.replay import Replay

WORLD = ["session.units=12", "session.bin_s=0.05", "task.assist=1.0"]


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "a.mcap"
    loop = assemble(configuration.load(None, [*WORLD, f"recording.path='{path}'"]), "max")
    launch.run(loop, 900)
    return path


def test_it_fits_from_a_session_and_says_what_is_too_little(recorded):
    learner = Learner(recorded, "", "ridge")
    first, bins = learner.refit()
    second, _ = learner.refit()
    assert bins == 900 and first.name == "a.learned-001.npz" and second.name == "a.learned-002.npz"
    assert load_fitted(first).suited(12, 0.05) is not None
    with pytest.raises(BadInput, match="learning begins at 60 s"):
        Learner(recorded, "", "ridge", least_s=60.0).refit()


def test_a_session_that_is_not_there_is_said(recorded):
    learner = Learner(recorded, "tcp://127.0.0.1:9", "ridge")
    path, _ = learner.refit()
    with pytest.raises(BmiError, match="no session answers"):
        learner.hand_over(path)


def test_a_decoder_that_was_handed_over_replays_to_the_bit(recorded, tmp_path):
    file, _ = Learner(recorded, "", "ridge").refit()
    path = tmp_path / "b.mcap"
    loop = assemble(configuration.load(None, [*WORLD[:2], f"recording.path='{path}'"]), "max")
    answers = []

    def hand_over(_):
        if loop.session.bins == 60:
            with pytest.raises(BadInput, match="cannot be read"):
                loop.handle({"set": "decoder.fitted_file", "value": str(tmp_path / "absent.npz")})
            answers.append(loop.session.decoder_settings()["kind"])
            answers.append(loop.handle({"set": "decoder.fitted_file", "value": str(file)}))

    loop.on_bin = hand_over
    launch.run(loop, 150)
    assert answers[0] == "point-process" and answers[1]["bin"] == 60
    assert loop.session.decoder_settings() | {"kind": "fitted"} == loop.session.decoder_settings()
    assert Replay(Recording(path)).run()["identical"]


def handed_over(recorded, tmp_path, file):
    """Record a session in which a file takes over at bin 60."""
    path = tmp_path / "b.mcap"
    loop = launch.assemble(configuration.load(None, [*WORLD[:2], f"recording.path='{path}'"]), "max")

    def at(_):
        if loop.session.bins == 60:
            loop.handle({"set": "decoder.fitted_file", "value": str(file)})

    loop.on_bin = at
    launch.run(loop, 150)
    return path


def test_what_was_handed_over_is_in_the_recording(recorded, tmp_path):
    file, _ = Learner(recorded, "", "ridge").refit()
    path, content = handed_over(recorded, tmp_path, file), file.read_bytes()
    (message,) = (message for _, message in Recording(path).messages("decoder_file"))
    assert message == {"path": str(file), "bin": 60, "content": content}
    file.unlink()
    assert Replay(Recording(path)).run()["identical"]
    file.write_bytes(content[:-1])
    with pytest.raises(BadInput, match="is not the file that was recorded"):
        Replay(Recording(path))


def test_a_learner_that_is_silent_is_told_once_and_the_session_goes_on(tmp_path):
    path = tmp_path / "c.mcap"
    loop = launch.assemble(configuration.load(None, [*WORLD[:2], f"recording.path='{path}'"]), "max")

    def at(_):
        if loop.session.bins in (20, 40):
            loop.handle({"learner": 0.05 if loop.session.bins == 40 else 60})
        if loop.session.bins == 60:
            time.sleep(0.1)

    loop.on_bin = at
    launch.run(loop, 120)
    told = [message for _, message in Recording(path).messages("event") if message["name"].startswith("learner")]
    assert [message["name"] for message in told] == ["learner-began", "learner-lost"] and told[1]["bin"] >= 40
    assert Recording(path).n_steps == 120


def test_a_learner_says_when_it_ends_and_nonsense_is_refused():
    watch = LearnerWatch()
    assert (
        watch.heard(5.0, 10) == "learner-began" and watch.heard(5, 11) == "" and watch.heard(0, 12) == "learner-ended"
    )
    assert not watch.lost(10**18) and watch.heard(0, 13) == ""
    for nonsense in (True, "5", None, -1.0, float("nan"), 1e9):
        with pytest.raises(BadInput, match="learner takes the seconds"):
            watch.heard(nonsense, 14)


def test_killed_while_it_trains_it_leaves_nothing_and_the_recording_is_whole(recorded):
    before = recorded.read_bytes()
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "learn", str(recorded), "--dry-run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = iter(process.stderr.readline, "")
    assert any("training" in line for line in said)  # it says so when the data are read and the network begins
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None and not list(recorded.parent.glob("a.learned-*"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert recorded.read_bytes() == before and not list(recorded.parent.glob("a.learned-*"))


def free_port():
    """Find a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


LEARNING = """
import sys
from bmi_runtime.session.learner import Learner
learner = Learner(sys.argv[1], sys.argv[2], "joined", least_s=2.0, silence_s=2.0)
with learner.heard():
    learner.refit(lambda text: print(text, flush=True))
"""


def waited_for(condition, seconds=90.0):
    """Wait for a condition of another process; a busy machine may need long."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.05)
    assert condition()


def test_killed_beside_a_live_session_the_loop_decodes_on_and_the_operator_is_told(tmp_path):
    path, (address, publish, output) = tmp_path / "live.mcap", (f"tcp://127.0.0.1:{free_port()}" for _ in range(3))
    sockets = {"control": address, "publish": publish, "output": output}
    settings = [*WORLD[:2], *(f"telemetry.{name}_address={value}" for name, value in sockets.items())]
    arguments = [part for setting in settings for part in ("--set", setting)]
    run = [sys.executable, "-m", "bmi_runtime.cli.main", "run", "--headless", "--json", "--record", str(path)]
    session = subprocess.Popen([*run, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def told():
        return [m["name"] for _, m in Recording(path).messages("event") if m["name"].startswith("learner")]

    try:
        waited_for(lambda: path.exists() and Recording(path).n_steps > 80)
        learner = subprocess.Popen(
            [sys.executable, "-c", LEARNING, str(path), address], stdout=subprocess.PIPE, text=True
        )
        assert "training a joined decoder" in learner.stdout.readline()
        waited_for(lambda: told() == ["learner-began"])
        learner.send_signal(signal.SIGKILL)
        learner.communicate()
        waited_for(lambda: told() == ["learner-began", "learner-lost"])
    finally:
        session.send_signal(signal.SIGINT)
        session.communicate(timeout=60)
    recording = Recording(path)
    assert session.returncode == 0 and not list(tmp_path.glob("*.npz")) and Replay(recording).run()["identical"]
    (lost,) = (m["bin"] for _, m in recording.messages("event") if m["name"] == "learner-lost")
    index = recording.column("input", "bin_index")
    assert (index == np.arange(len(index))).all() and len(index) >= lost  # no bin is missing, before and after
    alone = tmp_path / "alone.mcap"
    launch.run(launch.assemble(configuration.load(None, [*settings, f"recording.path='{alone}'"]), "max"), len(index))
    late = np.flatnonzero(recording.column("input", "behind"))  # a busy machine: the subject moved on meanwhile
    until = late[0] if len(late) else len(index)
    with_it, without = (r.column("output", "decoded", 0, int(until)) for r in (recording, Recording(alone)))
    np.testing.assert_array_equal(with_it, without)
